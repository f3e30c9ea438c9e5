"""The table of faults in tests/README.md, written by the run that it tells of."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.commands import between
from tests.nemesis.faults import FAULTS, Fault
from tests.nemesis.report import Report

README = Path(__file__).parent.parent / "README.md"
BEGIN, END = "<!-- nemesis: written by the run -->\n", "<!-- end of nemesis -->\n"
HEAD = "| fault | how it is made | what must hold | rounds | ticks run | hits | on a live run | violations |"


def broken(report: Report) -> list[str]:
    """The violations that nothing excuses."""
    conceded = FAULTS[report.fault].conceded
    return [f"{one.kind}: {one.text}" for one in report.violations if one.kind not in conceded]


def lines(reports: Iterable[Report]) -> list[str]:
    """The table, and below it what no lock can prevent, with what was seen."""
    rows: dict[str, list[Report]] = defaultdict(list)
    for report in reports:
        rows[report.fault].append(report)
    table = [HEAD, "|" + " --- |" * (HEAD.count("|") - 1)]
    table += [_row(fault, rows[fault.name]) for fault in FAULTS.values()]
    everything = [report for some in rows.values() for report in some]
    sums = {name: sum(getattr(report, name) for report in everything) for name in ("ran", "ticks", "attempts", "hits")}
    total = "{} rounds, {ran} of {ticks} ticks run, {attempts} calls of cronlock, {hits} hits.".format(
        len(everything), **sums
    )
    notes = [f"- {fault.name}: {_seen(fault, rows[fault.name])}" for fault in FAULTS.values() if fault.conceded]
    return [total, "", *table, "", "What no lock can prevent, and what was seen of it:", "", *notes]


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
    """Puts the table in its place; a run that left out rows writes nothing."""
    if {report.fault for report in reports} == set(FAULTS):
        between(path, BEGIN, END, "\n".join(lines(reports)))
