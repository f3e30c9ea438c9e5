"""Keys that could lose their quorum: voters that forgot a key, or may be old, do not count for its next run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from cronlock.commands.check.blocked_keys import KeyVotes, name_keys, votes_of_all_keys
from cronlock.commands.check.findings import KEYS, RED, VOTERS, YELLOW, Finding
from cronlock.commands.check.placement import NEXT_RUNS, wait_for_next_runs
from cronlock.lock.quorum import quorum
from cronlock.survey.survey import Survey


@dataclass
class QuorumMargins:
    """By label of a server: the keys for which it does not count, and the keys that stop if that server alone is lost.

    `blocked` has a finding for the keys of which no run can start; `cure` makes the copies count again.
    """

    amnesic: dict[str, list[str]] = field(default_factory=dict)
    lost_with: dict[str, list[str]] = field(default_factory=dict)
    blocked: list[Finding] = field(default_factory=list)
    cure: str = NEXT_RUNS
    next_runs: str = NEXT_RUNS

    @property
    def at_risk(self) -> list[str]:
        """The keys that stop with the loss of one more voter, though enough voters are reachable."""
        return sorted({key for keys in self.lost_with.values() for key in keys})


def measure_margins(survey: Survey) -> QuorumMargins:
    """Return the margins of all keys with this voter set; keys that never ran can only be blocked."""
    next_runs = wait_for_next_runs(survey.location_flags)
    margins = QuorumMargins(cure=next_runs, next_runs=next_runs)
    blocked = []
    for votes in votes_of_all_keys(survey):
        if votes.blocked:
            blocked.append(votes)
        elif not votes.never_ran and (votes.amnesic or votes.not_voting):
            key = votes.record[0]
            margins.cure = votes.cure or margins.cure
            for label in votes.amnesic:
                _add(margins.amnesic, label, key)
            for label in {*votes.amnesic, *votes.valid}:
                if votes.valid.total() - votes.valid[label] < quorum(votes.voters):
                    _add(margins.lost_with, label, key)
    margins.blocked = list(_describe_blocked(blocked))
    return margins


def _add(to: dict[str, list[str]], label: str, key: str) -> None:
    keys = to.setdefault(label, [])
    if key not in keys[-1:]:
        keys.append(key)


def _describe_blocked(found: Iterable[KeyVotes]) -> Iterable[Finding]:
    """Yield one finding for each reason, whatever the number of keys."""
    by_reason: dict[str, list[KeyVotes]] = {}
    for votes in found:
        by_reason.setdefault(votes.reason, []).append(votes)
    for reason, some in by_reason.items():
        names = name_keys([votes.record for votes in some])
        if len(some) == 1:
            yield Finding(KEYS, RED, names, f"no run of it can start: {reason}", some[0].todo())
        else:
            text = f"no run of them can start ({names}): {reason}"
            yield Finding(KEYS, RED, f"{len(some)} keys", text, some[0].todo(all_keys=True))


def find_amnesic_voters(margins: QuorumMargins) -> list[Finding]:
    """Return one finding for each voter that does not count for all keys."""
    findings = []
    for label, keys in sorted(margins.amnesic.items()):
        number = len(set(keys))
        why = "it was restarted or promoted, or has no record of them"
        text = f"it does not count for {number} key{'s' * (number > 1)}: {why}"
        findings.append(Finding(VOTERS, YELLOW, label, text, margins.next_runs))
    return findings
