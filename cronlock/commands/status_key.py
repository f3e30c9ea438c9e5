"""`cronlock status KEY`: who has the key, its last runs, what each node asked for and ran, and whether voters agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from cronlock.commands.status_table import paused_until, problem_lines
from cronlock.messages import instant, printable, since
from cronlock.output.columns import Column, wrap_words
from cronlock.output.outcome import outcome_cell
from cronlock.output.table import Cell, Printer, length
from cronlock.output.times import clock, tick_clock
from cronlock.survey.copies import differing_fields
from cronlock.survey.key_status import DIED, NEW, RUNNING, UNCERTAIN, KeyStatus, NodeStatus
from cronlock.survey.report import FORGOTTEN
from cronlock.survey.run_history import Entry, runs_of
from cronlock.survey.snapshot import Snapshot
from cronlock.survey.survey import Survey

RUNS = 5  # that are shown; history shows all
LABEL = 11  # cells for the words in front of the lines
RUN_COLUMNS = (
    Column("START"),
    Column("NODE", narrowest=14),
    Column("TICK", gives_way=1),
    Column("ENDED"),
    Column("TOOK", gives_way=2),
)
NODE_COLUMNS = (
    Column("NODE", narrowest=14),
    Column("LAST ASKED"),
    Column("LAST RUN"),
    Column("ENDED"),
    Column("LAST SUCCESS", gives_way=3),
    Column("OUTCOMES", narrowest=14),
    Column("SCHEDULE", gives_way=2, narrowest=14),
    Column("COMMAND", gives_way=1, narrowest=20),
)


def key_answer(printer: Printer, entry: KeyStatus, survey: Survey, *, raw: bool) -> str:
    """Return the answer about one key; with the raw fields of all voters if `raw`, else those that differ."""
    copies = survey.records[entry.key, entry.each]
    lines = [printer.paint(printable(entry.name), "bold"), _labelled(printer, "state", *_state(entry))]
    lines += [_labelled(printer, label, text) for label, text in _facts(entry) if text]
    lines += [_labelled(printer, "" if number else "voters", text) for number, text in _voters(entry, survey)]
    parts = ["\n".join(lines) + "\n"]
    if problems := problem_lines(printer, [entry]):
        parts.append(problems)
    if runs := runs_of(survey, entry.key, entry.each)[:RUNS]:
        parts.append(printer.table(RUN_COLUMNS, map(_run_row, runs)))
    if entry.nodes:
        parts.append(_node_table(printer, entry))
    different = differing_fields(copies)
    if raw or different:
        names = {name for snapshot in copies for name in snapshot.copy.record} if raw else set(different)
        parts.append(_side_by_side(printer, copies, entry.voters, sorted(names)))
    return "\n".join(parts)


def _state(entry: KeyStatus) -> tuple[str, str]:
    """Return the text on who has the key, and on the last run; and its style."""
    if entry.state == RUNNING:
        left = f", lease for {length(entry.left)} more" if entry.left else ""
        took = length(entry.duration_ms or 0)
        return f"running on {entry.node} since {clock(entry.start)} ({took}), pid {entry.pid}{left}", "green"
    if entry.state == DIED:
        return f"died: the run on {entry.node} since {clock(entry.start)} never ended", "red"
    if entry.state == NEW:
        return "forgotten, and not run since" if entry.outcome == FORGOTTEN else "no run yet", ""
    ended = outcome_cell(entry.outcome, entry.status)
    text, style = (ended, "") if isinstance(ended, str) else ended
    took = "" if entry.duration_ms is None else f", took {length(entry.duration_ms)}"
    last = f"last run on {entry.node} at {clock(entry.start)}{took}: {text}"
    if entry.state == UNCERTAIN:
        return f"unknown: too few voters answered; {last}", "yellow"
    return f"idle: {last}", style


def _facts(entry: KeyStatus) -> list[tuple[str, str]]:
    """Return labels and texts of the lines about a key; empty texts are not shown."""
    attempt = f", attempt {entry.attempt}" if entry.attempt > 1 else ""
    by = f" by {entry.pause_by}" if entry.pause_by else ""
    reason = f": {entry.pause_reason}" if entry.pause_reason else ""
    zone = f" ({entry.zone})" if entry.zone else ""
    return [
        ("paused", f"{paused_until(entry)}{by}{reason}" if entry.paused else ""),
        ("tick", f"{tick_clock(entry.tick)}{attempt}" if entry.tick else ""),
        ("next tick", tick_clock(entry.next) if entry.next else ""),
        ("missed", f"{entry.missed} ticks, during longer runs" if entry.missed else ""),
        ("schedule", f"{entry.schedule}{zone}" if entry.schedule else ""),
        ("command", entry.command),
    ]


def _labelled(printer: Printer, label: str, text: str, style: str = "") -> str:
    line = f"  {label:{LABEL}}{printable(text)}"
    if printer.width is not None:
        line = wrap_words(line, printer.width, " " * (LABEL + 2))
    return "\n".join(printer.paint(part, style) for part in line.split("\n"))


def _voters(entry: KeyStatus, survey: Survey) -> list[tuple[int, str]]:
    """Return numbered lines on the voters: whether all have the record, whether they agree, and who is behind."""
    copies = survey.records[entry.key, entry.each]
    texts = []
    without = Counter(label for label, _ in survey.copy_locations((entry.key, entry.each)))
    without -= Counter(snapshot.server for snapshot in copies)
    empty = [label for label in without if label not in survey.missing]
    if len(copies) < entry.voters:
        texts.append(f"{len(copies)} of {entry.voters} voters have the record")
        texts += [f"{', '.join(empty)}: no record, until the next run or adopt"] if empty else []
        texts += [f"{', '.join(survey.missing)}: no answer"] if survey.missing else []
    if different := differing_fields(copies):
        texts.append(f"they differ in {', '.join(different)}: the next run repairs that")
    elif len(copies) > 1:
        texts.append(f"{len(copies)} of {entry.voters} agree")
    elif entry.voters == 1:
        texts.append(copies[0].voter)
    old = dict.fromkeys(snapshot.voter for snapshot in copies if snapshot.restarted)
    if old:
        texts.append(f"{', '.join(old)}: may be old, restarted or promoted since the last run")
    return list(enumerate(texts))


def _run_row(run: Entry) -> list[Cell]:
    ended: Cell = outcome_cell(run.outcome, run.status) if run.outcome else ("running", "green")
    took = length(run.duration_ms) if run.duration_ms or run.end else "-"
    return [clock(run.start), printable(run.node), tick_clock(run.tick), ended, took]


def _node_table(printer: Printer, entry: KeyStatus) -> str:
    """Return the table of the nodes; with schedules and commands if they differ from the key's."""
    same = all(node.job == (entry.schedule, entry.zone, entry.command) for node in entry.nodes)
    shown = len(NODE_COLUMNS) - 2 if same else len(NODE_COLUMNS)
    return printer.table(NODE_COLUMNS[:shown], (_node_row(node)[:shown] for node in entry.nodes))


def _node_row(node: NodeStatus) -> list[Cell]:
    return [
        printable(node.node),
        tick_clock(node.newest_tick) if node.newest_tick else clock(node.asked * 1000),
        clock(node.start),
        outcome_cell(node.outcome, node.status),
        clock(node.success),
        printable(", ".join(f"{count} {outcome}" for outcome, count in sorted(node.counts.items()))) or "-",
        printable(f"{node.schedule} {node.zone}".strip()) or "-",
        printable(node.command) or "-",
    ]


def _side_by_side(printer: Printer, copies: Sequence[Snapshot], voters: int, names: Sequence[str]) -> str:
    """Return a table of these fields with a column for each voter's copy, which marks the fields that differ."""
    labels = [Column(printable(snapshot.voter), narrowest=17) for snapshot in copies]
    columns = [Column(f"{len(copies)} OF {voters} VOTERS"), *labels, Column("")]
    different = set(differing_fields(copies))
    rows: list[list[Cell]] = []
    for name in names:
        cells = [printable(_field_text(name, snapshot.copy.record.get(name, ""))) for snapshot in copies]
        style = "red" if name in different else ""
        rows.append([printable(name), *((cell, style) for cell in cells), ("differs", style) if style else ""])
    rows.append(["lease left", *(length(snapshot.left) if snapshot.left else "-" for snapshot in copies), ""])
    rows.append(["may be old", *(("yes", "yellow") if snapshot.restarted else "no" for snapshot in copies), ""])
    return printer.table(columns, rows)


def _field_text(name: str, value: Any) -> str:
    if value in ("", 0) and name != "status":
        return "-"
    if name in ("tick", "tick1", "tick2", "run_tick", "next", "missed_tick"):
        return instant(value)
    if name in ("start", "end", "lease_end") or (name == "paused_until" and value > 0):
        return since(value)
    return str(value)
