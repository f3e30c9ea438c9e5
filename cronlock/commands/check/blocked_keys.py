"""Keys of which no run can start: too few of their voters answer, vote and remember them; and what to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cronlock.commands.check.placement import first_names
from cronlock.config.suggested_command import suggested_command
from cronlock.lock.quorum import quorum
from cronlock.lock.state_machine import CLOCK_LIMIT
from cronlock.servers.placement import slot_of
from cronlock.survey.copies import copies_with_impossible_token, newest_copy
from cronlock.survey.key_status import KeyStatus
from cronlock.survey.snapshot import Snapshot
from cronlock.survey.survey import Record, Survey


def servers_with_wrong_clock(ahead: Mapping[str, float]) -> dict[str, float]:
    """Return the servers that do not vote because of their clocks: label -> seconds ahead of this machine's clock.

    Return none where most servers differ: then this machine's clock is wrong.
    """
    found = {label: seconds for label, seconds in ahead.items() if abs(seconds) * 1000 > CLOCK_LIMIT}
    return {} if 2 * len(found) > len(ahead) else found


def non_voting_servers(survey: Survey) -> dict[str, str]:
    """Return the servers that do not vote: label -> reason."""
    texts = dict(survey.missing)
    for label, seconds in servers_with_wrong_clock(survey.clock_offsets).items():
        side = "ahead" if seconds > 0 else "behind"
        texts.setdefault(label, f"{label}: its clock is {abs(seconds):.0f} s {side}, and it does not vote")
    return texts


@dataclass
class KeyVotes:
    """The copies of one record, counted by the labels of their servers.

    `valid` copies can vote for a run; `amnesic` ones forgot the key or may be old; `not_voting` ones are unreachable or
    have a wrong clock. `reasons`: label -> why its copies do not count. `cure` brings back those that do not vote.
    `adoptable`: cronlock adopt can leave those out. `never_ran`: no voter that was read has a run of the key.
    """

    record: Record
    voters: int
    valid: Counter[str]
    amnesic: Counter[str]
    not_voting: Counter[str]
    reasons: dict[str, str]
    cure: str
    adoptable: bool
    never_ran: bool
    location_flags: str

    @classmethod
    def of(cls, record: Record, copies: Sequence[Snapshot], survey: Survey, non_voting: Mapping[str, str]) -> KeyVotes:
        """Count the copies that were read; `non_voting` is what `non_voting_servers` returned."""
        found = {(seen.voter, slot_of(seen.name)): seen for seen in copies}
        impossible = copies_with_impossible_token(copies)
        valid, amnesic, not_voting, reasons = Counter[str](), Counter[str](), Counter[str](), dict[str, str]()
        for label, slot in survey.copy_locations(record):
            seen = found.get((label, slot))
            if label in non_voting:
                not_voting[label] += 1
                reasons[label] = non_voting[label]
            elif seen and seen in impossible:
                amnesic[label] += 1
                reasons.setdefault(label, f"{label} has an impossible fencing token")
            elif seen and _remembers(seen):
                valid[label] += 1
            else:
                amnesic[label] += 1
                forgot = not seen or not seen.newness[0]
                reasons.setdefault(label, f"{label} {'has no record of it' if forgot else 'was restarted or promoted'}")
        answering = valid.total() + amnesic.total()
        wrong_clocks = [label for label in not_voting if label not in survey.missing]
        return cls(
            record,
            survey.voters,
            valid,
            amnesic,
            not_voting,
            reasons,
            _cure([label for label in not_voting if label in survey.missing], wrong_clocks),
            answering >= quorum(survey.voters) and not wrong_clocks,
            not any(seen.newness[0] for seen in copies),
            survey.location_flags,
        )

    @property
    def blocked(self) -> bool:
        """True if no run can start. Once all voters answer, a run can start, and then all copies count again."""
        return self.valid.total() < quorum(self.voters) and bool(self.not_voting)

    @property
    def reason(self) -> str:
        """The reason why the key is blocked; equal for keys that are blocked for the same reason."""
        names = [*self.not_voting, *(label for label in self.amnesic if not self.never_ran)]
        why = "; ".join(self.reasons[label] for label in names)
        if self.never_ran:
            return f"it never ran, and a first run needs all {self.voters} voters: {why}"
        count = self.valid.total()
        return f"{count} of {self.voters} voters count{'s' * (count == 1)}: {why}"

    def todo(self, *, all_keys: bool = False) -> str:
        """Return what to do, for this key or for all keys."""
        if not self.adoptable:
            return self.cure
        flags = f"--leave-out {self.location_flags}"
        adopt = f"cronlock adopt {flags}--all" if all_keys else suggested_command("adopt", flags, *self.record)
        more = "" if self.never_ran else ", and a run that all answer makes all count"
        return f"{self.cure}{more}; or run without them: {adopt}"


def _remembers(seen: Snapshot) -> bool:
    """Return whether the copy counts for a run, by the rule of lock/quorum.py."""
    return bool(seen.newness[0]) and not seen.restarted


def _cure(missing: Sequence[str], wrong_clocks: Sequence[str]) -> str:
    ways = [f"bring {', '.join(missing)} back"] if missing else []
    ways += [f"set the clock of {', '.join(wrong_clocks)}, by NTP"] if wrong_clocks else []
    return " and ".join(ways)


def votes_of_all_keys(survey: Survey) -> list[KeyVotes]:
    """Return the votes of all records that have several voters, except those of nodes with another voter set."""
    if survey.voters == 1:
        return []
    non_voting = non_voting_servers(survey)
    return [
        KeyVotes.of(record, copies, survey, non_voting)
        for record, copies in sorted(survey.records.items())
        if newest_copy(copies).get("voter_set") in ("", survey.voter_set)
    ]


def note_blocked_keys(found: Sequence[KeyStatus], survey: Survey) -> None:
    """Add a problem to each key of which no run can start."""
    if not non_voting_servers(survey):
        return
    blocked = {votes.record: votes for votes in votes_of_all_keys(survey) if votes.blocked}
    for one in found:
        if votes := blocked.get((one.key, one.each)):
            one.problems.append(f"no run of it can start: {votes.reason}: {votes.todo()}")


def name_keys(records: Sequence[Record]) -> str:
    """Return the names of the first of these keys, for one line."""
    return first_names([f"{key} on {node}" if node else key for key, node in records])
