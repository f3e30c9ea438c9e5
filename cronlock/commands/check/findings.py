"""Findings of `cronlock check`: level, subject, text and what to do; printed as lines or as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cronlock.messages import printable, shortened
from cronlock.output.json import as_line
from cronlock.output.table import Printer

GREEN, YELLOW, RED = "green", "yellow", "red"
LEVELS = (GREEN, YELLOW, RED)
STYLES = {GREEN: "green", YELLOW: "yellow", RED: "bold red"}
VOTERS, PLACEMENT, KEYS, LINES = "voters", "placement", "keys", "crontab lines"
TEXT_MAX = 2_000  # characters: of all but what a server makes up the longest, a line about many keys, has fewer
ABOUT_MAX = 32  # characters: a longer name moves only its own line


@dataclass(frozen=True)
class Finding:
    """One finding; `todo` is empty when nothing needs to be done."""

    section: str
    level: str
    about: str
    text: str
    todo: str = ""

    @property
    def line_text(self) -> str:
        """The text and what to do, in one line."""
        return printable(shortened(self.text, TEXT_MAX) + (f": {self.todo}" if self.todo else ""))


def worst(findings: Sequence[Finding]) -> str:
    """Return the highest level of all findings."""
    return max((finding.level for finding in findings), key=LEVELS.index, default=GREEN)


def print_json(findings: Sequence[Finding]) -> None:
    """Print the findings to standard output as one line of JSON."""
    rows = [
        {
            "section": finding.section,
            "level": finding.level,
            "about": printable(finding.about),
            "text": printable(shortened(finding.text, TEXT_MAX)),
            "todo": printable(finding.todo),
        }
        for finding in findings
    ]
    Printer().write(as_line({"worst": worst(findings), "findings": rows}))


def print_table(findings: Sequence[Finding]) -> None:
    """Print the findings to standard output, one per line below its section; with colours on a terminal."""
    printer = Printer()
    lines: list[str] = []
    for section in dict.fromkeys(finding.section for finding in findings):
        lines.append(printer.paint(section, "bold"))
        rows = [finding for finding in findings if finding.section == section]
        width = min(max(len(printable(finding.about)) for finding in rows), ABOUT_MAX)
        for finding in rows:
            level = printer.paint(f"{finding.level:6}", STYLES[finding.level])
            lines.append(f"  {level}  {printable(finding.about):{width}}  {finding.line_text}")
    lines.append(", ".join(f"{sum(finding.level == level for finding in findings)} {level}" for level in LEVELS))
    printer.write("".join(f"{line}\n" for line in lines))
