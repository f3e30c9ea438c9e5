"""Findings of `cronlock check`: level, subject, text and what to do; printed as lines or as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cronlock.messages import printable, shortened
from cronlock.output.columns import cells, wrap_words
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


def print_table(findings: Sequence[Finding], *, green: bool = True, wide: bool = False) -> None:
    """Print the findings to standard output below their sections, the green ones if `green`; and count them.

    On a terminal they have colours and fit its width; elsewhere each is one line.
    """
    printer = Printer(wide)
    lines: list[str] = []
    shown = [finding for finding in findings if green or finding.level != GREEN]
    for section in dict.fromkeys(finding.section for finding in shown):
        lines.append(printer.paint(section, "bold"))
        rows = [finding for finding in shown if finding.section == section]
        width = min(max(cells(printable(finding.about)) for finding in rows), ABOUT_MAX)
        for finding in rows:
            lines += _finding_lines(printer, finding, width)
    counts = ", ".join(f"{sum(finding.level == level for finding in findings)} {level}" for level in LEVELS)
    hidden = len(findings) - len(shown)
    lines.append(counts + (" (-v shows the green ones)" if hidden else ""))
    printer.write("".join(f"{line}\n" for line in lines))


def _finding_lines(printer: Printer, finding: Finding, width: int) -> list[str]:
    """Return the lines of a finding; more than one only where it does not fit, broken at blanks."""
    about = printable(finding.about)
    front = f"  {finding.level:6}  "
    whole = f"{front}{about}{' ' * (width - cells(about))}  {finding.line_text}"
    if printer.width is not None and cells(whole) > printer.width:
        whole = wrap_words(whole, printer.width, " " * len(front))
    return whole.replace(finding.level, printer.paint(finding.level, STYLES[finding.level]), 1).split("\n")
