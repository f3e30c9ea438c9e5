"""The table of faults in README.md, written by the run that it describes."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.nemesis.faults import FAULTS, Fault
from tests.nemesis.report import Report
from tests.support.commands import between

README = Path(__file__).parent / "README.md"
BEGIN, END = "<!-- nemesis: written by the run -->\n", "<!-- end of nemesis -->\n"
HEAD = "| fault | how it is injected | what must hold | rounds | ticks run | hits | during a run | violations |"


def broken(report: Report) -> list[str]:
    """Return the violations that the fault does not excuse."""
    conceded = FAULTS[report.fault].conceded
    return [f"{one.kind}: {one.text}" for one in report.violations if one.kind not in conceded]


def lines(reports: Iterable[Report], before: str = "") -> list[str]:
    """Return the table and, below it, the violations that no lock can prevent.

    Rows without a round stay as they were.
    """
    rows: dict[str, list[Report]] = defaultdict(list)
    for report in reports:
        rows[report.fault].append(report)
    known = {line.strip("|- ").split(" |")[0].split(":")[0]: line for line in before.splitlines() if line[:2] == "| "}
    seen = {line[2:].split(":")[0]: line for line in before.splitlines() if line.startswith("- ")}
    table, notes = [HEAD, "|" + " --- |" * (HEAD.count("|") - 1)], []
    for fault in FAULTS.values():
        played = rows[fault.name]
        table.append(_row(fault, played) if played else known.get(fault.name, ""))
        if fault.conceded:
            notes.append(f"- {fault.name}: {_seen(fault, played)}" if played else seen.get(fault.name, ""))
    return [
        *filter(None, table),
        "",
        "Violations that no lock can prevent, and how often they were seen:",
        "",
        *filter(None, notes),
    ]


def _row(fault: Fault, reports: Sequence[Report]) -> str:
    where = Counter(report.topology for report in reports)
    rounds = f"{len(reports)}: " + ", ".join(f"{where[name]} {name}" for name in fault.topologies)
    ran, ticks = sum(report.ran for report in reports), sum(report.ticks for report in reports)
    violations = str(sum(len(broken(report)) for report in reports))
    if fault.conceded:
        violations += ", see below"
    cells = (fault.name, fault.how, fault.holds, rounds, f"{ran} of {ticks}")
    cells += (sum(report.hits for report in reports), sum(report.live for report in reports), violations)
    return "| " + " | ".join(map(str, cells)) + " |"


def _seen(fault: Fault, reports: Sequence[Report]) -> str:
    kinds = Counter(one.kind for report in reports for one in report.violations if one.kind in fault.conceded)
    seen = ", ".join(f"{count} x {kind}" for kind, count in kinds.items()) or "nothing"
    reasons = "; ".join(dict.fromkeys(fault.conceded.values()))
    stale = sum(report.stale for report in reports)
    return f"{seen} in {len(reports)} rounds, {stale} writes with a token older than the newest. {reasons}."


def write(reports: Sequence[Report], path: Path = README) -> None:
    """Replace the rows of the faults that were run."""
    before = path.read_text().partition(BEGIN)[2].partition(END)[0]
    between(path, BEGIN, END, "\n".join(lines(reports, before)))
