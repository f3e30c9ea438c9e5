"""`cronlock history`: a table of the newest runs of a key."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from cronlock.commands.invocation import UNKNOWN_KEY, Invocation
from cronlock.config.settings import load
from cronlock.errors import Refused, Unreachable
from cronlock.lock.node_stats import HISTORY_LENGTH
from cronlock.messages import Messages, printable
from cronlock.output.columns import Column
from cronlock.output.json import as_line, moment
from cronlock.output.outcome import outcome_cell
from cronlock.output.table import Cell, Printer, bar, length
from cronlock.output.times import clock, tick_clock
from cronlock.survey.key_status import DIED
from cronlock.survey.rows import Row, keys_to_read, rows_named
from cronlock.survey.run_history import Entry, runs_of
from cronlock.survey.survey import Survey

WIDTH, NARROW_WIDTH = 20, 10  # cells of a bar, and of one in a narrow terminal
ROOMY = 100  # cells, from which on bars have their full width
COLUMNS = (
    Column("TICK"),
    Column("NODE", narrowest=14),
    Column("START", gives_way=4),
    Column("ENDED"),
    Column("ATTEMPT", gives_way=1),
    Column("TOKEN", gives_way=3),
    Column("TOOK", gives_way=5),
    Column("", gives_way=2),
)


def history(invocation: Invocation) -> int:
    """Show the newest runs of each key; return the exit status."""
    options = invocation.command_options
    if not invocation.arguments:
        raise Refused("no key is given: name one or more keys")
    survey = Survey(load(invocation.given, invocation.environ), keys_to_read(invocation.arguments))
    survey.read_all(history=True)
    rows = rows_named(invocation.arguments, survey.records)
    found = {row: runs_of(survey, *row)[: options.get("limit", HISTORY_LENGTH)] for row in rows}
    printer = Printer(wide=bool(options.get("wide")))
    if options.get("format") == "json":
        listed = [{"key": row.key, "runs": list(map(_as_json, runs))} for row, runs in found.items()]
        printer.write(as_line({"keys": listed}))
    else:
        printer.write("\n".join(_table(printer, row, runs, len(rows) > 1) for row, runs in found.items() if runs))
    for text in survey.missing.values():
        Messages().error(Unreachable(text))
    unknown = [row for row, runs in found.items() if not runs]
    for row in unknown:
        Messages(row.name).notice("no runs found")
    return UNKNOWN_KEY if unknown else 0


# -- what is shown -----------------------------------------------------------------------------------------------------


def _table(printer: Printer, row: Row, runs: Sequence[Entry], named: bool) -> str:
    longest = max(run.duration_ms for run in runs)
    width = WIDTH if printer.width is None or printer.width >= ROOMY else NARROW_WIDTH
    shares = Counter(run.node for run in runs)
    most = max(shares.values())
    counts: list[list[Cell]] = [
        [printable(node), str(count), bar(count, most, width)]
        for node, count in sorted(shares.items(), key=lambda share: (-share[1], share[0]))
    ]
    front = f"{printable(row.name)}\n" if named else ""
    rows = (_run_row(run, longest, width) for run in runs)
    nodes = printer.table([Column("NODE", narrowest=20), "RUNS", Column("", gives_way=1)], counts)
    return front + printer.table(COLUMNS, rows) + "\n" + nodes


def _run_row(run: Entry, longest: int, width: int) -> list[Cell]:
    return [
        tick_clock(run.tick),
        printable(run.node),
        clock(run.start),
        _ended(run),
        str(run.attempt or "-"),
        str(run.token),
        length(run.duration_ms) if run.duration_ms or run.end else "-",
        bar(run.duration_ms, longest, width),
    ]


def _ended(run: Entry) -> Cell:
    if not run.outcome:
        return "running", "green"
    return (DIED, "red") if run.outcome == DIED else outcome_cell(run.outcome, run.status)


def _as_json(run: Entry) -> dict[str, object]:
    over = bool(run.end) and run.outcome != DIED
    return {
        "tick": moment(run.tick * 1000),
        "node": run.node,
        "pid": run.pid,
        "start": moment(run.start),
        "end": moment(run.end) if over else None,
        "duration": run.duration_ms / 1000 if over else None,
        "outcome": run.outcome or None,
        "exit_status": run.status if over else None,
        "token": run.token,
        "attempt": run.attempt,
    }
