"""`cronlock history`: the newest runs of a key, merged from the voters' histories."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cronlock.commands.invocation import UNKNOWN_KEY, Invocation
from cronlock.config.settings import load
from cronlock.cron.schedule import TICK_MAX
from cronlock.errors import Refused, Unreachable
from cronlock.lock.node_stats import ENTRY, HISTORY_LENGTH
from cronlock.lock.protocol import ADOPTED
from cronlock.messages import Messages, instant, printable, since
from cronlock.output.json import as_line, moment
from cronlock.output.outcome import outcome_cell
from cronlock.output.table import Cell, Printer, bar, length
from cronlock.survey.copies import newest_copy
from cronlock.survey.key_status import DIED, RUNNING
from cronlock.survey.node_status import number_or_zero
from cronlock.survey.report import key_status
from cronlock.survey.snapshot import Snapshot
from cronlock.survey.survey import Survey

WIDTH = 20  # cells of a bar


@dataclass
class Entry:
    """One run. `end` and `duration_ms` are 0 while they are unknown. The tick is in s, times are in ms."""

    token: int
    tick: int
    attempt: int
    node: str
    pid: int
    start: int
    end: int
    outcome: str
    status: int

    @property
    def duration_ms(self) -> int:
        return max(0, self.end - self.start) if self.end and self.outcome != DIED else 0


def history(invocation: Invocation) -> int:
    """Show the newest runs of each key; return the exit status."""
    keys = list(dict.fromkeys(invocation.arguments))
    if not keys:
        raise Refused("no key is given: name one or more keys")
    survey = Survey(load(invocation.given, invocation.environ), keys)
    survey.read_all(history=True)
    found = {key: runs_of(survey, key)[: invocation.command_options.get("limit", HISTORY_LENGTH)] for key in keys}
    printer = Printer()
    if invocation.command_options.get("format") == "json":
        rows = [{"key": key, "runs": list(map(_as_json, runs))} for key, runs in found.items()]
        printer.write(as_line({"keys": rows}))
    else:
        printer.write("\n".join(_table(printer, key, runs, len(keys) > 1) for key, runs in found.items() if runs))
    for text in survey.missing.values():
        Messages().error(Unreachable(text))
    unknown = [key for key, runs in found.items() if not runs]
    for key in unknown:
        Messages(key).notice("no runs found")
    return UNKNOWN_KEY if unknown else 0


def runs_of(survey: Survey, key: str) -> list[Entry]:
    """Return the runs of a key, newest first; with --each, those of all nodes."""
    runs: list[Entry] = []
    for record, copies in survey.records.items():
        if record[0] == key:
            own = _merged(copies)
            now = key_status(record, copies, survey.voters, sure=not survey.missing)
            adopted = newest_copy(copies).get("outcome") == ADOPTED  # the record's token is then not the run's
            if now.state in (RUNNING, DIED) and not adopted and all(run.token != now.token for run in own):
                outcome = DIED if now.state == DIED else ""
                own.append(Entry(now.token, now.tick, now.attempt, now.node, now.pid, now.start, 0, outcome, 0))
            runs += own
    return sorted(runs, key=lambda run: (run.start, run.token), reverse=True)


def _merged(copies: Iterable[Snapshot]) -> list[Entry]:
    """Return one entry for each token.

    A voter that missed the end of a run records a death; the entry of any other voter is right.
    """
    found: dict[int, Entry] = {}
    for snapshot in copies:
        for line in snapshot.copy.history:
            entry = _entry(line)
            if entry and (entry.token not in found or found[entry.token].outcome == DIED):
                found[entry.token] = entry
    return list(found.values())


def _entry(line: str) -> Entry | None:
    """Return the entry of a line; None for a line that is not cronlock's, and for an adoption by an old version."""
    texts = line.split("\t")
    if len(texts) != len(ENTRY):
        return None
    fields = dict(zip(ENTRY, texts, strict=True))
    numbers = {name: number_or_zero(text) for name, text in fields.items() if name not in ("node", "outcome")}
    if not numbers["token"] or numbers["run_tick"] >= TICK_MAX or fields["outcome"] == ADOPTED:
        return None
    return Entry(
        numbers["token"],
        numbers["run_tick"],
        numbers["run_attempt"],
        fields["node"],
        numbers["pid"],
        numbers["start"],
        numbers["end"],
        fields["outcome"],
        numbers["status"],
    )


# -- what is shown -----------------------------------------------------------------------------------------------------


def _table(printer: Printer, key: str, runs: Sequence[Entry], named: bool) -> str:
    longest = max(run.duration_ms for run in runs)
    titles = ["TICK", "NODE", "START", "ENDED", "ATTEMPT", "TOKEN", "TOOK", ""]
    shares = Counter(run.node for run in runs)
    most = max(shares.values())
    counts: list[list[Cell]] = [
        [printable(node), str(count), bar(count, most, WIDTH)]
        for node, count in sorted(shares.items(), key=lambda share: (-share[1], share[0]))
    ]
    front = f"{printable(key)}\n" if named else ""
    rows = (_run_row(run, longest) for run in runs)
    return front + printer.table(titles, rows) + "\n" + printer.table(["NODE", "RUNS", ""], counts)


def _run_row(run: Entry, longest: int) -> list[Cell]:
    return [
        instant(run.tick) if run.tick else "-",
        printable(run.node),
        since(run.start),
        _ended(run),
        str(run.attempt or "-"),
        str(run.token),
        length(run.duration_ms) if run.duration_ms or run.end else "-",
        bar(run.duration_ms, longest, WIDTH),
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
