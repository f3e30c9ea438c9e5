"""Whether a run of a key can start: which of its voters answer, vote, and remember it, and what to do if too few do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cronlock.commands.check.placement import first
from cronlock.lock.quorum import quorum
from cronlock.lock.refusals import record_words
from cronlock.lock.state_machine import CLOCK_LIMIT
from cronlock.servers.placement import slot_of
from cronlock.survey.copies import copies_with_impossible_token, newest_copy
from cronlock.survey.key_status import KeyStatus
from cronlock.survey.snapshot import Snapshot
from cronlock.survey.survey import Record, Survey


def off(ahead: Mapping[str, float]) -> dict[str, float]:
    """The servers, by label, that do not vote because their clocks are so many seconds ahead of this machine's.

    None where most are: then it is this machine's clock that is wrong.
    """
    found = {label: seconds for label, seconds in ahead.items() if abs(seconds) * 1000 > CLOCK_LIMIT}
    return {} if 2 * len(found) > len(ahead) else found


def away(survey: Survey) -> dict[str, str]:
    """The servers that do not vote, by label, and why not."""
    texts = dict(survey.missing)
    for label, seconds in off(survey.clock_offsets).items():
        side = "ahead" if seconds > 0 else "behind"
        texts.setdefault(label, f"{label}: its clock is {abs(seconds):.0f} s {side}, and it does not vote")
    return texts


@dataclass
class Standing:
    """What the copies of a record amount to. All lists are labels of servers, one for each copy.

    `why` says, by label, why a server's copies do not count; `cure` is what brings back those that do not vote.
    `adoptable`: cronlock adopt can leave those out. `never`: no voter that was read knows of a run.
    """

    record: Record
    voters: int
    good: Counter[str]
    is_amnesic: Counter[str]
    gone: Counter[str]
    why: dict[str, str]
    cure: str
    adoptable: bool
    never: bool

    @classmethod
    def of(cls, record: Record, copies: Sequence[Snapshot], survey: Survey, gone: Mapping[str, str]) -> Standing:
        """Of the copies that were read; `gone` are the servers that do not vote (see away)."""
        found = {(seen.voter, slot_of(seen.name)): seen for seen in copies}
        unbelieved = copies_with_impossible_token(copies)
        good, is_amnesic, lost, why = Counter[str](), Counter[str](), Counter[str](), dict[str, str]()
        for label, slot in survey.copy_locations(record):
            seen = found.get((label, slot))
            if label in gone:
                lost[label] += 1
                why[label] = gone[label]
            elif seen and seen in unbelieved:
                is_amnesic[label] += 1
                why.setdefault(label, f"{label} has a fencing token that can't be")
            elif seen and _remembers(seen):
                good[label] += 1
            else:
                is_amnesic[label] += 1
                forgot = not seen or not seen.newness[0]
                why.setdefault(label, f"{label} {'knows nothing of it' if forgot else 'was restarted or promoted'}")
        answering = good.total() + is_amnesic.total()
        unset = [label for label in lost if label not in survey.missing]
        return cls(
            record,
            survey.voters,
            good,
            is_amnesic,
            lost,
            why,
            _cure([label for label in lost if label in survey.missing], unset),
            answering >= quorum(survey.voters) and not unset,
            not any(seen.newness[0] for seen in copies),
        )

    @property
    def stuck(self) -> bool:
        """Whether no run can start. Where all voters answer one can, and that makes all count again."""
        return self.good.total() < quorum(self.voters) and bool(self.gone)

    @property
    def reason(self) -> str:
        """Why it is stuck; the same for keys that are so for the same reason."""
        names = [*self.gone, *(label for label in self.is_amnesic if not self.never)]
        why = "; ".join(self.why[label] for label in names)
        if self.never:
            return f"it never ran, and a first run needs all {self.voters} voters: {why}"
        count = self.good.total()
        return f"{count} of {self.voters} voters count{'s' * (count == 1)}: {why}"

    def todo(self, keys: str = "") -> str:
        """What to do; `keys` are what adopt takes, this one's when not given."""
        if not self.adoptable:
            return self.cure
        keys = keys or record_words(*self.record)
        more = "" if self.never else ", and a run that all answer makes all count"
        return f"{self.cure}{more}; or do without: cronlock adopt --leave-out {keys}"


def _remembers(seen: Snapshot) -> bool:
    """As a run's verdict has it."""
    return bool(seen.newness[0]) and not seen.restarted


def _cure(missing: Sequence[str], unset: Sequence[str]) -> str:
    ways = [f"bring {', '.join(missing)} back"] if missing else []
    ways += [f"set the clock of {', '.join(unset)}, by NTP"] if unset else []
    return " and ".join(ways)


def standings(survey: Survey) -> list[Standing]:
    """Of all records that several voters have, but for those of nodes with other voters."""
    if survey.voters == 1:
        return []
    gone = away(survey)
    return [
        Standing.of(record, copies, survey, gone)
        for record, copies in sorted(survey.records.items())
        if newest_copy(copies).get("voter_set") in ("", survey.voter_set)
    ]


def note_stuck(found: Sequence[KeyStatus], survey: Survey) -> None:
    """Add to each key's faults that no run of it can start."""
    if not away(survey):
        return
    stuck = {standing.record: standing for standing in standings(survey) if standing.stuck}
    for one in found:
        if standing := stuck.get((one.key, one.each)):
            one.problems.append(f"no run of it can start: {standing.reason}: {standing.todo()}")


def named(records: Sequence[Record]) -> str:
    """Some of these keys, for one line."""
    return first([f"{key} on {node}" if node else key for key, node in records])
