"""The rules in force in a world: the project's own, or one replaced by a known-bad one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from cronlock.lock import operator_actions, quorum, state_machine
from cronlock.lock.copy import Copy
from cronlock.lock.protocol import Failure

Fields = dict[str, Any]
Operation = Callable[[Copy, Fields, int, int, str], Fields]
Reply = Fields | Failure | None
Judge = Callable[[Sequence[Reply], Sequence[bool], int], quorum.Verdict | None]
Claim = Callable[[Sequence[Fields], int, bool], Fields]


def stamp(run_id: str, replication_id: str) -> str:
    """Return the stamp that a server leaves in a copy, as scripts/record.lua makes it."""
    return f"{run_id}/{replication_id}"


def end_lease(copy: Copy) -> None:
    """End a lease by the passing of time; nothing else changes."""
    copy.record.update(lease_end=0)


def plausible(replies: Sequence[Reply]) -> Sequence[bool]:
    """Return which answers are plausible, as lock/attempt.py decides it; time is 0."""
    return [not beyond for beyond in quorum.overreaching(replies, 0)]


@dataclass(frozen=True)
class Rules:
    """The project's own functions, unless a row passes others."""

    prepare: Operation = state_machine.prepare
    commit: Operation = state_machine.commit
    extend: Operation = state_machine.extend
    release: Operation = state_machine.release
    finish: Operation = state_machine.finish
    pause: Operation = operator_actions.pause
    unlock: Operation = operator_actions.unlock
    forget: Operation = operator_actions.forget
    judge: Judge = quorum.judge
    judge_adoption: Judge = quorum.judge_adoption
    claim: Claim = quorum.claim
    may_join_commit: Callable[[Fields, int], bool] = quorum.may_join_commit
    end_lease: Callable[[Copy], None] = end_lease
    stamp: Callable[[str, str], str] = stamp
    plausible: Callable[[Sequence[Reply]], Sequence[bool]] = plausible
