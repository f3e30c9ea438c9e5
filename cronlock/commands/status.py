"""`cronlock status`: the last run of each key, its node and its result, and what is wrong."""

from __future__ import annotations

import gc
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cronlock.commands.check.blocked_keys import note_blocked_keys
from cronlock.commands.invocation import UNKNOWN_KEY, Invocation
from cronlock.commands.status_key import key_answer
from cronlock.commands.status_table import overview, summary
from cronlock.config.settings import Settings, load
from cronlock.errors import CronlockError, Refused, Unreachable
from cronlock.messages import Messages, printable
from cronlock.output.json import as_line, key_as_json
from cronlock.output.live_screen import watch
from cronlock.output.prometheus import metrics
from cronlock.output.scan_progress import scan_progress
from cronlock.output.table import Printer
from cronlock.survey.copies import newest_copy
from cronlock.survey.key_status import KeyStatus
from cronlock.survey.report import all_statuses, known_statuses
from cronlock.survey.rows import Row, keys_to_read, rows_named
from cronlock.survey.survey import Survey

SOMETHING_IS_WRONG = 1  # exit status of --problems
TABLES_ONLY = ("watch", "summary", "wide", "raw")  # options that go with no other format


@dataclass
class Found:
    """The statuses to show, what was read for them, the rows that were named, and those of them without a record."""

    statuses: list[KeyStatus]
    survey: Survey
    named: list[Row]
    unknown: list[Row]


def status(invocation: Invocation) -> int:
    """Show all keys, or the given ones; return the exit status."""
    options = invocation.command_options
    output_format = options.get("format", "table")
    if output_format != "table" and (given := [name for name in TABLES_ONLY if options.get(name)]):
        raise Refused(f"--{given[0]} goes with tables only: leave out --format {output_format}")
    settings = load(invocation.given, invocation.environ)
    if options.get("watch"):
        watch(lambda: _screen(settings, invocation))
        return 0
    gc.disable()  # collections would only walk through thousands of copies again and again
    with scan_progress() as progress:
        found = _find(settings, invocation, progress)
    printer = Printer(wide=bool(options.get("wide")))
    printer.write(_text(printer, found, options), "utf-8" if output_format == "prometheus" else "")
    for text in found.survey.missing.values():
        Messages().error(Unreachable(text))
    for row in found.unknown:
        Messages(row.name).notice("unknown key")
    wrong = options.get("problems") and (found.statuses or found.survey.missing)
    return UNKNOWN_KEY if found.unknown else SOMETHING_IS_WRONG if wrong else 0


def _find(settings: Settings, invocation: Invocation, progress: Any = lambda _done, _total: None) -> Found:
    """Read the copies; without keys, for the table, only the newest of each record, which is enough there.

    Counts need all copies: they are the numbers that a quorum agrees on.
    """
    words, options = invocation.arguments, invocation.command_options
    whole = bool(words) or options.get("format", "table") != "table"
    survey = Survey(settings, keys_to_read(words), progress, heads=not whole)
    if whole:
        survey.read_all(history=bool(words))
    else:
        survey.read_newest(newest_copy)
    statuses = all_statuses(survey)
    note_blocked_keys(statuses, survey)
    named = rows_named(words, survey.records)
    by_row = {row: [entry for entry in statuses if _is_named(entry, row)] for row in named}
    shown = {entry.name: entry for found in by_row.values() for entry in known_statuses(found) or found}
    known = list(shown.values()) if named else known_statuses(statuses)
    unknown = [row for row, found in by_row.items() if not found]
    if options.get("problems"):
        known = [entry for entry in known if entry.problems]
    return Found(known, survey, named, unknown)


def _is_named(entry: KeyStatus, row: Row) -> bool:
    return entry.key == row.key and row.each in (None, entry.each)


def _text(printer: Printer, found: Found, options: Mapping[str, Any]) -> str:
    """Return the output in the format that the options ask for."""
    output_format = options.get("format", "table")
    if output_format == "prometheus":
        return metrics(found.statuses)
    if output_format == "json":
        copies = found.survey.records if found.named else {}
        rows = [key_as_json(entry, copies.get((entry.key, entry.each), ())) for entry in found.statuses]
        return as_line({"keys": rows})
    if options.get("summary"):
        return f"{summary(found.statuses)}\n"
    if found.named and not options.get("problems"):
        raw = bool(options.get("raw"))
        return "\n".join(key_answer(printer, entry, found.survey, raw=raw) for entry in found.statuses)
    if found.statuses:
        return overview(printer, found.statuses)
    return "no problems found\n" if options.get("problems") else "no keys found\n"


def _screen(settings: Settings, invocation: Invocation) -> str:
    """Return the text of one look at the voters; an outage is shown, and watched until it ends."""
    printer = Printer(wide=bool(invocation.command_options.get("wide")))
    try:
        found = _find(settings, invocation)
    except CronlockError as error:
        return printer.paint(printable(f"{type(error).__name__.lower()}: {error}"), "red") + "\n"
    missing = [printer.paint(printable(f"unreachable: {text}"), "yellow") for text in found.survey.missing.values()]
    unknown = [f"{printable(row.name)}: unknown key" for row in found.unknown]
    return _text(printer, found, invocation.command_options) + "".join(f"{line}\n" for line in missing + unknown)
