"""The requests and answers between a node and its voters, as types with named fields.

For type checkers only: nothing imports this module at run time, so that no run pays for `typing` (9 ms). At run time
requests and answers are plain dicts: a class for each would cost a run more than 1 % of its time.
Times are ms, ticks epoch seconds; 0 means none.
"""

from collections.abc import Callable
from typing import NotRequired, TypeAlias, TypedDict

from cronlock.lock.protocol import Failure


class Answer(TypedDict):
    """One voter's answer: what it says, its clocks, and its record."""

    answer: str
    now: int  # on the clock that leases are measured by
    time: int  # on the wall clock
    run_id: str  # stamp of the server
    restarted: int  # 1 where the server may have gone back to older data since the last run
    left: int  # ms of a lease that still runs
    wait: NotRequired[int]  # ms to let other nodes go first; prepare only
    token: int
    tick: int
    tick1: int
    tick2: int
    state: str
    attempt: int
    kind: str
    node: str
    pid: int
    start: int
    run_tick: int
    run_attempt: int
    outcome: str
    voter_set: str
    voter_set_by: str
    paused_until: int
    pause_reason: str
    clock_off: NotRequired[str]  # added by this node: how far the voter's clock is off
    impossible_token: NotRequired[int]  # added by an adoption, in which the voter counts as amnesic


class Prepare(TypedDict):
    """Request the key: the short lease of an attempt. run/plan.py makes the first fields, ballot.py adds the rest."""

    node: str
    time: int
    tick: int
    start_deadline: int
    takeover_deadline: int
    attempts: int
    again: int
    fair: int
    counts: int
    job: str
    adopt: NotRequired[int]
    lease: NotRequired[int]
    voter_set: NotRequired[str]


class Claim(TypedDict):
    """The fencing token and the tick that a won prepare may commit."""

    token: int
    tick: int
    state: str
    attempt: int
    run_tick: int
    run_attempt: int


class RunFields(TypedDict):
    """The description of a run that its record keeps."""

    node: str
    pid: int
    command: str
    schedule: str
    zone: str
    next: int
    retention: int
    by: NotRequired[str]


class Commit(RunFields, Claim):
    """Write the run into the record; extend requests the same."""

    start: int
    voter_set: str
    lease: NotRequired[int]
    not_after: NotRequired[int]
    last_outcome: NotRequired[str]


class Finish(TypedDict):
    """End the run."""

    token: int
    state: str
    outcome: str
    status: int
    end: int
    retention: int


Reply: TypeAlias = Answer | Failure
OnReply: TypeAlias = Callable[[Reply], None]
