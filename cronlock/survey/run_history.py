"""The newest runs of a key, merged from the voters' histories."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cronlock.cron.schedule import TICK_MAX
from cronlock.lock.node_stats import ENTRY
from cronlock.lock.protocol import ADOPTED
from cronlock.survey.copies import newest_copy
from cronlock.survey.key_status import DIED, RUNNING
from cronlock.survey.node_status import number_or_zero
from cronlock.survey.report import key_status
from cronlock.survey.snapshot import Snapshot
from cronlock.survey.survey import Survey


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


def runs_of(survey: Survey, key: str, each: str | None = None) -> list[Entry]:
    """Return the runs of a key, newest first; with --each, those of all nodes, or of the node `each`."""
    runs: list[Entry] = []
    for record, copies in survey.records.items():
        if record[0] == key and each in (None, record[1]):
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
