"""Comparison of the copies of one record: the newest, the ones that a run would not believe, the fields that differ."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cronlock.lock.copy import Copy
from cronlock.lock.protocol import ADOPTED, TIME_MAX
from cronlock.survey.snapshot import Snapshot

OF_ONE_VOTER = frozenset("lease_end lease run_id holder".split())  # fields that differ between agreeing copies


def newest_copy(copies: Iterable[Snapshot]) -> Snapshot:
    """Return the newest of the copies that a run would believe."""
    counted = list(copies)
    impossible = copies_with_impossible_token(counted)
    if len(impossible) < len(counted):
        counted = [snapshot for snapshot in counted if snapshot not in impossible]
    return max(counted, key=_newness)


def _newness(snapshot: Snapshot) -> tuple[int, bool]:
    return snapshot.newness


def copies_with_impossible_token(copies: Sequence[Snapshot]) -> list[Snapshot]:
    """Return the copies whose fencing token is far beyond every clock, by the rule of lock/quorum.py.

    When most copies have such a token, all clocks were once wrong, and only tokens beyond any time are impossible.
    """
    ahead = [snapshot for snapshot in copies if snapshot.token_is_ahead]
    if len(ahead) > len(copies) // 2:
        return [snapshot for snapshot in ahead if snapshot.newness[0] > TIME_MAX]
    return ahead


def outcome_of_last_run(copy: Copy) -> str:
    """Return the last run's outcome, even if the record was adopted since; empty when the run did not end."""
    outcome: str = copy.get("outcome")
    return str(copy.record.get("last_outcome", outcome)) if outcome == ADOPTED else outcome


def differing_fields(copies: Sequence[Snapshot]) -> list[str]:
    """Return the fields that differ between the copies, without the fields that belong to each voter alone."""
    names = sorted({name for snapshot in copies for name in snapshot.copy.record} - OF_ONE_VOTER)
    return [name for name in names if len({snapshot.get(name) for snapshot in copies}) > 1]
