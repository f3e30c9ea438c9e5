"""Which voters do not count for which keys: those that were restarted, or know nothing of them, until the next run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from cronlock.commands.check.blocked_keys import Standing, named, standings
from cronlock.commands.check.findings import KEYS, RED, VOTERS, YELLOW, Finding
from cronlock.commands.check.placement import NEXT_RUNS
from cronlock.lock.quorum import quorum
from cronlock.survey.survey import Survey


@dataclass
class Counts:
    """By label: for which keys each server does not count, and which keys would stop with the loss of it alone.

    `weak` are the keys of which no further voter may be lost, though enough of them would be there; `stuck` says of
    which no run can start as it is; `todo` is what makes copies count that do not.
    """

    is_amnesic: dict[str, list[str]] = field(default_factory=dict)
    stops: dict[str, list[str]] = field(default_factory=dict)
    stuck: list[Finding] = field(default_factory=list)
    todo: str = NEXT_RUNS

    @property
    def weak(self) -> list[str]:
        return sorted({key for keys in self.stops.values() for key in keys})


def count(survey: Survey) -> Counts:
    """What the voters' copies amount to; of keys with other voters nothing, of those that never ran who is stuck."""
    counts = Counts()
    stuck = []
    for standing in standings(survey):
        if standing.stuck:
            stuck.append(standing)
        elif not standing.never and (standing.is_amnesic or standing.gone):
            key = standing.record[0]
            counts.todo = standing.cure or counts.todo
            for label in standing.is_amnesic:
                _add(counts.is_amnesic, label, key)
            for label in {*standing.is_amnesic, *standing.good}:
                if standing.good.total() - standing.good[label] < quorum(standing.voters):
                    _add(counts.stops, label, key)
    counts.stuck = list(_stuck(stuck))
    return counts


def _add(to: dict[str, list[str]], label: str, key: str) -> None:
    keys = to.setdefault(label, [])
    if key not in keys[-1:]:
        keys.append(key)


def _stuck(found: Iterable[Standing]) -> Iterable[Finding]:
    """A line for each reason, whatever the number of keys."""
    by_reason: dict[str, list[Standing]] = {}
    for standing in found:
        by_reason.setdefault(standing.reason, []).append(standing)
    for reason, some in by_reason.items():
        names = named([standing.record for standing in some])
        if len(some) == 1:
            yield Finding(KEYS, RED, names, f"no run of it can start: {reason}", some[0].todo())
        else:
            text = f"no run of them can start ({names}): {reason}"
            yield Finding(KEYS, RED, f"{len(some)} keys", text, some[0].todo("--all"))


def look(counts: Counts) -> list[Finding]:
    """A line for each voter that does not count everywhere."""
    findings = []
    for label, keys in sorted(counts.is_amnesic.items()):
        number = len(set(keys))
        why = "it was restarted or promoted, or knows nothing of them"
        text = f"it does not count for {number} key{'s' * (number > 1)}: {why}"
        findings.append(Finding(VOTERS, YELLOW, label, text, NEXT_RUNS))
    return findings
