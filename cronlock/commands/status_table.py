"""The table of `cronlock status`, the problems below it, and its one line for chat."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from cronlock.messages import printable
from cronlock.output.columns import Column, wrap_words
from cronlock.output.outcome import outcome_cell
from cronlock.output.table import Cell, Printer, length
from cronlock.output.times import clock, tick_clock
from cronlock.survey.key_status import DIED, IDLE, NEW, RUNNING, UNCERTAIN, KeyStatus

STATE_STYLE = {RUNNING: "green", DIED: "red", UNCERTAIN: "yellow"}
COLUMNS = (  # what an operator needs first gives way last; how a run ended and where never does
    Column("KEY", narrowest=22),
    Column("STATE"),
    Column("NODE", narrowest=12),
    Column("SINCE", gives_way=7),
    Column("LEASE LEFT", gives_way=4),
    Column("LAST TICK", gives_way=6),
    Column("ENDED"),
    Column("TOOK", gives_way=5),
    Column("MISSED", gives_way=3),
    Column("NEXT TICK", gives_way=2),
    Column("PAUSED", gives_way=8, narrowest=8),
    Column("REASON", gives_way=1, narrowest=20),
)
WORDS = {IDLE: "ok"}  # for states in the line for chat
ORDER = ("ok", RUNNING, NEW, UNCERTAIN, "paused", DIED)
NAMED = 5  # keys that the line for chat names of each kind


def overview(printer: Printer, found: Sequence[KeyStatus]) -> str:
    """Return the table of these keys, and their problems."""
    lines = problem_lines(printer, found)
    return printer.table(COLUMNS, map(_key_row, found)) + ("\n" + lines if lines else "")


def problem_lines(printer: Printer, found: Sequence[KeyStatus]) -> str:
    """Return one paragraph for each problem."""
    texts = [printable(f"{entry.name}: {text}") for entry in found for text in entry.problems]
    if printer.width is not None:
        texts = [wrap_words(text, printer.width, "  ") for text in texts]
    return "".join(printer.paint(line, "red") + "\n" for text in texts for line in text.split("\n"))


def paused_until(entry: KeyStatus) -> str:
    """Return the end of a pause, on the clock of tables."""
    return "until resumed" if entry.paused_until == -1 else f"until {clock(entry.paused_until)}"


def ended_cell(entry: KeyStatus) -> Cell:
    """Return the cell about the end of the last run."""
    return ("never", "red") if entry.state == DIED else outcome_cell(entry.outcome, entry.status)


def _key_row(entry: KeyStatus) -> list[Cell]:
    red = "red" if entry.problems else ""
    return [
        (printable(entry.name), red),
        (entry.state, STATE_STYLE.get(entry.state, "")),
        printable(entry.node) or "-",
        clock(entry.start),
        length(entry.left) if entry.left else "-",
        (tick_clock(entry.tick), red),
        ended_cell(entry),
        "-" if entry.duration_ms is None else length(entry.duration_ms),
        (str(entry.missed), "yellow" if entry.missed else ""),
        tick_clock(entry.next),
        (paused_until(entry), "yellow") if entry.paused else "-",
        (printable(entry.pause_reason) or "-", "yellow") if entry.paused else "-",
    ]


# -- one line ----------------------------------------------------------------------------------------------------------


def summary(found: Sequence[KeyStatus]) -> str:
    """Return one line: the numbers of keys that are well, then those that are not, with their names."""
    if not found:
        return "no keys found"
    wrong = [entry for entry in found if entry.problems]
    well = [entry for entry in found if not entry.problems]
    states = Counter("paused" if entry.paused else WORDS.get(entry.state, entry.state) for entry in well)
    parts = [f"{states[word]} {word}" for word in sorted(states, key=ORDER.index)]
    failed = [_with_node(entry, _how(entry)) for entry in wrong if entry.failure]
    died = [_with_node(entry) for entry in wrong if entry.state == DIED]
    other = [entry.name for entry in wrong if not entry.failure and entry.state != DIED]
    groups = [_group(failed, "failed"), _group(died, "never ended"), _group(other, "with problems")]
    named = "; ".join(filter(None, groups))
    return printable(", ".join(filter(None, [*parts, named])))


def _group(names: Sequence[str], word: str) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{len(names)} {word}: {', '.join(names[:NAMED])}{more}" if names else ""


def _how(entry: KeyStatus) -> str:
    return f" ({entry.status if entry.outcome == 'ran' else entry.outcome})"


def _with_node(entry: KeyStatus, how: str = "") -> str:
    return f"{entry.key}{how} on {entry.node}"
