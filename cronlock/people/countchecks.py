"""Which voters do not count for which keys: those that were restarted, or know nothing of them, until the next run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from cronlock.lock.quorum import quorum
from cronlock.lock.slots import OFFSETS, SLOTS, slot_of
from cronlock.people.findings import VOTERS, YELLOW, Finding
from cronlock.people.placement import NEXT_RUNS
from cronlock.people.report import newest
from cronlock.people.seen import Seen
from cronlock.people.servers import Servers
from cronlock.people.survey import Record, Survey


@dataclass
class Counts:
    """By label: for which keys each server does not count, and which keys would stop with the loss of it alone.

    `weak` are the keys of which no further voter may be lost, though enough of them would be there.
    """

    blank: dict[str, list[str]] = field(default_factory=dict)
    stops: dict[str, list[str]] = field(default_factory=dict)

    @property
    def weak(self) -> list[str]:
        return sorted({key for keys in self.stops.values() for key in keys})


def count(survey: Survey, found: Servers) -> Counts:
    """What the voters' copies amount to; of keys that never ran, and of those with other voters, nothing."""
    counts = Counts()
    if survey.voters == 1:
        return counts
    for record, seen in survey.records.items():
        last = newest(seen)
        if not last.newness[0] or last.get("settings") not in ("", survey.settings):
            continue
        good = {(one.voter, slot_of(one.name)) for one in seen if _remembers(one)}
        places = list(_places(record, found))
        if good.issuperset(places):
            continue
        by_label = Counter(label for label, slot in places if (label, slot) in good)
        for label in {label for label, _ in places}:
            if any(one == label and (one, slot) not in good for one, slot in places):
                _add(counts.blank, label, record)
            if by_label.total() - by_label[label] < quorum(survey.voters):
                _add(counts.stops, label, record)
    return counts


def _remembers(seen: Seen) -> bool:
    """As a run's verdict has it."""
    return bool(seen.newness[0]) and not seen.reborn


def _places(record: Record, found: Servers) -> Iterator[tuple[str, int]]:
    """Where copies belong: a server's label, and the slot that tells them apart there."""
    first = slot_of(record[0].encode("utf-8", "surrogateescape"))
    for offset in OFFSETS if found.cluster else OFFSETS[:1]:
        slot = (first + offset) % SLOTS
        for server in found.all:
            if not found.cluster or any(slot in part for part in server.slots):
                yield server.label, slot


def _add(to: dict[str, list[str]], label: str, record: Record) -> None:
    keys = to.setdefault(label, [])
    if record[0] not in keys[-1:]:
        keys.append(record[0])


def look(counts: Counts) -> list[Finding]:
    """A line for each voter that does not count everywhere."""
    findings = []
    for label, keys in sorted(counts.blank.items()):
        number = len(set(keys))
        text = f"it does not count for {number} key{'s' * (number > 1)}: it was restarted, or knows nothing of them"
        findings.append(Finding(VOTERS, YELLOW, label, text, NEXT_RUNS))
    return findings
