"""`cronlock status`: did it run, where, and why not."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import get_ident
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from cronlock.commands.check.blocked_keys import note_stuck
from cronlock.commands.invocation import Invocation
from cronlock.config.settings import load
from cronlock.errors import Unreachable
from cronlock.messages import Messages, instant, printable, since
from cronlock.output.json import dumped, key_as_json
from cronlock.output.prometheus import metrics
from cronlock.output.table import Cell, Printer, length
from cronlock.survey.copies import differing_fields, newest_copy
from cronlock.survey.key_status import DIED, RUNNING, UNCERTAIN, KeyStatus, NodeStatus
from cronlock.survey.report import all_statuses
from cronlock.survey.snapshot import Snapshot
from cronlock.survey.survey import Survey

TITLES = "KEY|STATE|NODE|SINCE|LEASE LEFT|LAST TICK|ENDED|TOOK|MISSED|NEXT TICK|PAUSED".split("|")
UNKNOWN_KEY = 1  # the exit status when a key that was named is known to no voter
STATE_STYLE = {RUNNING: "green", DIED: "red", UNCERTAIN: "yellow"}


def status(invocation: Invocation) -> int:
    """Show all keys, or those named; the exit status."""
    how = invocation.command_options.get("format", "table")
    keys = list(dict.fromkeys(invocation.arguments))
    gc.disable()  # a short life, in which thousands of copies would be walked again and again
    of_all = bool(keys) or how != "table"  # counts are what a quorum has; the table shows none
    with _progress() as progress:
        survey = Survey(load(invocation.given, invocation.environ), keys, progress, heads=not of_all)
        if of_all:
            survey.read_all()
        else:
            survey.read_newest(newest_copy)
    found = all_statuses(survey)
    note_stuck(found, survey)
    printer = Printer()
    if how == "prometheus":
        printer.write(metrics(found), "utf-8")
    elif how == "json":
        copies = survey.records if keys else {}
        printer.write(dumped({"keys": [key_as_json(one, copies.get((one.key, one.each), ())) for one in found]}))
    elif keys:
        printer.write("\n".join(_details(printer, one, survey) for one in found))
    elif found:
        printer.write(_overview(printer, found))
    else:
        printer.write("no key is known\n")
    for text in survey.missing.values():
        Messages().error(Unreachable(text))
    unknown = [key for key in keys if all(one.key != key for one in found)]
    for key in unknown:
        Messages(key).notice("no voter knows it")
    return UNKNOWN_KEY if unknown else 0


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error while names are scanned, at a terminal; several servers go side by side."""
    console = Console(stderr=True)
    columns = (
        TextColumn("cronlock: reading the voters"),
        BarColumn(),
        TextColumn("{task.completed} of {task.total} names"),
    )
    with Progress(*columns, console=console, transient=True, disable=not os.isatty(2)) as bar:
        tasks: dict[int, Any] = {}

        def progress(done: int, of: int) -> None:
            if get_ident() not in tasks:
                tasks[get_ident()] = bar.add_task("", total=of)
            bar.update(tasks[get_ident()], completed=done)

        yield progress


# -- the table ---------------------------------------------------------------------------------------------------------


def _overview(printer: Printer, found: Sequence[KeyStatus]) -> str:
    wrong = [f"{one.name}: {text}" for one in found for text in one.problems]
    lines = "".join(printer.paint(printable(text), "red") + "\n" for text in wrong)
    return printer.table(TITLES, map(_row, found)) + ("\n" + lines if lines else "")


def _row(one: KeyStatus) -> list[Cell]:
    red = "red" if one.problems else ""
    took = one.duration
    return [
        (printable(one.name), red),
        (one.state, STATE_STYLE.get(one.state, "")),
        printable(one.node) or "-",
        since(one.start) if one.start else "-",
        length(one.left) if one.left else "-",
        (instant(one.tick) if one.tick else "-", red),
        ("never", "red") if one.state == DIED else ended(one.outcome, one.status),
        "-" if took is None else length(took),
        (str(one.missed), "yellow" if one.missed else ""),
        instant(one.next) if one.next else "-",
        (printable(one.pause), "yellow") if one.paused else "-",
    ]


def ended(outcome: str, status: int) -> Cell:
    """How a run ended; what a person should look at has a colour."""
    if not outcome:
        return "-"
    fine = outcome in ("ran", "given back", "adopted", "forgotten") and (not status or outcome == "given back")
    return printable(f"{outcome}, status {status}" if outcome == "ran" else outcome), "" if fine else "yellow"


# -- one key, voter by voter -------------------------------------------------------------------------------------------


def _details(printer: Printer, one: KeyStatus, survey: Survey) -> str:
    copies = survey.records[one.key, one.each]
    parts = [_overview(printer, [one])]
    parts.append(
        f"command   {printable(one.command) or '-'}\n"
        f"schedule  {printable(f'{one.schedule} {one.zone}'.strip()) or '-'}\n"
    )
    if one.nodes:
        titles = "NODE|LAST ASKED|LAST RUN|ENDED|LAST SUCCESS|OUTCOMES|SCHEDULE|COMMAND".split("|")
        parts.append(printer.table(titles, map(_node_row, one.nodes)))
    parts.append(_side_by_side(printer, copies, one.voters))
    return "\n".join(parts)


def _node_row(node: NodeStatus) -> list[Cell]:
    return [
        printable(node.node),
        instant(node.newest_tick) if node.newest_tick else since(node.asked * 1000) if node.asked else "-",
        since(node.start) if node.start else "-",
        ended(node.outcome, node.status),
        since(node.success) if node.success else "-",
        printable(", ".join(f"{count} {outcome}" for outcome, count in sorted(node.counts.items()))) or "-",
        printable(f"{node.schedule} {node.zone}".strip()) or "-",
        printable(node.command) or "-",
    ]


def _side_by_side(printer: Printer, copies: Sequence[Snapshot], voters: int) -> str:
    """Each voter's copy in a column, and a mark where they differ."""
    names = sorted({name for seen in copies for name in seen.copy.record} - {"command", "schedule", "zone"})
    titles = [f"{len(copies)} OF {voters} VOTERS", *(printable(seen.voter) for seen in copies), ""]
    different = set(differing_fields(copies))
    rows: list[list[Cell]] = []
    for name in names:
        cells = [printable(_shown(name, seen.copy.record.get(name, ""))) for seen in copies]
        style = "red" if name in different else ""
        rows.append([printable(name), *((cell, style) for cell in cells), ("differs", style) if style else ""])
    rows.append(["lease left", *(length(seen.left) if seen.left else "-" for seen in copies), ""])
    rows.append(["may be old", *(("yes", "yellow") if seen.restarted else "no" for seen in copies), ""])
    return printer.table(titles, rows)


def _shown(name: str, value: Any) -> str:
    if value in ("", 0) and name != "status":
        return "-"
    if name in ("tick", "tick1", "tick2", "run_tick", "next", "missed_tick"):
        return instant(value)
    if name in ("start", "end", "lease_end") or (name == "paused_until" and value > 0):
        return since(value)
    return str(value)[:24]
