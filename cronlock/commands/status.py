"""`cronlock status`: the last run of each key, its node and its result, and what is wrong."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from typing import Any

from cronlock.commands.check.blocked_keys import note_blocked_keys
from cronlock.commands.invocation import UNKNOWN_KEY, Invocation
from cronlock.config.settings import Settings, load
from cronlock.errors import Unreachable
from cronlock.messages import Messages, instant, printable, since
from cronlock.output.json import as_line, key_as_json
from cronlock.output.outcome import outcome_cell
from cronlock.output.prometheus import metrics
from cronlock.output.scan_progress import scan_progress
from cronlock.output.table import Cell, Printer, length
from cronlock.survey.copies import differing_fields, newest_copy
from cronlock.survey.key_status import DIED, RUNNING, UNCERTAIN, KeyStatus, NodeStatus
from cronlock.survey.report import all_statuses
from cronlock.survey.snapshot import Snapshot
from cronlock.survey.survey import Survey

TITLES = "KEY|STATE|NODE|SINCE|LEASE LEFT|LAST TICK|ENDED|TOOK|MISSED|NEXT TICK|PAUSED".split("|")
STATE_STYLE = {RUNNING: "green", DIED: "red", UNCERTAIN: "yellow"}


def status(invocation: Invocation) -> int:
    """Show all keys, or the given ones; return the exit status."""
    output_format = invocation.command_options.get("format", "table")
    keys = list(dict.fromkeys(invocation.arguments))
    gc.disable()  # collections would only walk through thousands of copies again and again
    survey = _survey(load(invocation.given, invocation.environ), keys, whole=bool(keys) or output_format != "table")
    found = all_statuses(survey)
    note_blocked_keys(found, survey)
    _print(found, survey, output_format, keys)
    for text in survey.missing.values():
        Messages().error(Unreachable(text))
    unknown = [key for key in keys if all(entry.key != key for entry in found)]
    for key in unknown:
        Messages(key).notice("unknown key")
    return UNKNOWN_KEY if unknown else 0


def _survey(settings: Settings, keys: Sequence[str], *, whole: bool) -> Survey:
    """Read the copies; unless `whole`, only the newest of each record, which is enough for the table of all keys.

    Counts need all copies: they are the numbers that a quorum agrees on.
    """
    with scan_progress() as progress:
        survey = Survey(settings, keys, progress, heads=not whole)
        if whole:
            survey.read_all()
        else:
            survey.read_newest(newest_copy)
    return survey


def _print(found: Sequence[KeyStatus], survey: Survey, output_format: str, keys: Sequence[str]) -> None:
    printer = Printer()
    if output_format == "prometheus":
        printer.write(metrics(found), "utf-8")
    elif output_format == "json":
        copies = survey.records if keys else {}
        rows = [key_as_json(entry, copies.get((entry.key, entry.each), ())) for entry in found]
        printer.write(as_line({"keys": rows}))
    elif keys:
        printer.write("\n".join(_details(printer, entry, survey) for entry in found))
    elif found:
        printer.write(_overview(printer, found))
    else:
        printer.write("no keys found\n")


# -- the table ---------------------------------------------------------------------------------------------------------


def _overview(printer: Printer, found: Sequence[KeyStatus]) -> str:
    problems = [f"{entry.name}: {text}" for entry in found for text in entry.problems]
    lines = "".join(printer.paint(printable(text), "red") + "\n" for text in problems)
    return printer.table(TITLES, map(_key_row, found)) + ("\n" + lines if lines else "")


def _key_row(entry: KeyStatus) -> list[Cell]:
    red = "red" if entry.problems else ""
    return [
        (printable(entry.name), red),
        (entry.state, STATE_STYLE.get(entry.state, "")),
        printable(entry.node) or "-",
        since(entry.start) if entry.start else "-",
        length(entry.left) if entry.left else "-",
        (instant(entry.tick) if entry.tick else "-", red),
        ("never", "red") if entry.state == DIED else outcome_cell(entry.outcome, entry.status),
        "-" if entry.duration_ms is None else length(entry.duration_ms),
        (str(entry.missed), "yellow" if entry.missed else ""),
        instant(entry.next) if entry.next else "-",
        (printable(entry.pause_text), "yellow") if entry.paused else "-",
    ]


# -- one key, voter by voter -------------------------------------------------------------------------------------------


def _details(printer: Printer, entry: KeyStatus, survey: Survey) -> str:
    copies = survey.records[entry.key, entry.each]
    parts = [_overview(printer, [entry])]
    parts.append(
        f"command   {printable(entry.command) or '-'}\n"
        f"schedule  {printable(f'{entry.schedule} {entry.zone}'.strip()) or '-'}\n"
    )
    if entry.nodes:
        titles = "NODE|LAST ASKED|LAST RUN|ENDED|LAST SUCCESS|OUTCOMES|SCHEDULE|COMMAND".split("|")
        parts.append(printer.table(titles, map(_node_row, entry.nodes)))
    parts.append(_side_by_side(printer, copies, entry.voters))
    return "\n".join(parts)


def _node_row(node: NodeStatus) -> list[Cell]:
    return [
        printable(node.node),
        instant(node.newest_tick) if node.newest_tick else since(node.asked * 1000) if node.asked else "-",
        since(node.start) if node.start else "-",
        outcome_cell(node.outcome, node.status),
        since(node.success) if node.success else "-",
        printable(", ".join(f"{count} {outcome}" for outcome, count in sorted(node.counts.items()))) or "-",
        printable(f"{node.schedule} {node.zone}".strip()) or "-",
        printable(node.command) or "-",
    ]


def _side_by_side(printer: Printer, copies: Sequence[Snapshot], voters: int) -> str:
    """Return a table with a column for each voter's copy, which marks the fields that differ."""
    names = sorted({name for snapshot in copies for name in snapshot.copy.record} - {"command", "schedule", "zone"})
    titles = [f"{len(copies)} OF {voters} VOTERS", *(printable(snapshot.voter) for snapshot in copies), ""]
    different = set(differing_fields(copies))
    rows: list[list[Cell]] = []
    for name in names:
        cells = [printable(_field_text(name, snapshot.copy.record.get(name, ""))) for snapshot in copies]
        style = "red" if name in different else ""
        rows.append([printable(name), *((cell, style) for cell in cells), ("differs", style) if style else ""])
    rows.append(["lease left", *(length(snapshot.left) if snapshot.left else "-" for snapshot in copies), ""])
    rows.append(["may be old", *(("yes", "yellow") if snapshot.restarted else "no" for snapshot in copies), ""])
    return printer.table(titles, rows)


def _field_text(name: str, value: Any) -> str:
    if value in ("", 0) and name != "status":
        return "-"
    if name in ("tick", "tick1", "tick2", "run_tick", "next", "missed_tick"):
        return instant(value)
    if name in ("start", "end", "lease_end") or (name == "paused_until" and value > 0):
        return since(value)
    return str(value)[:24]
