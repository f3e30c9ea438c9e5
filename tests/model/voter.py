"""One voter: the project's own state machine over copies that are kept as values."""

from typing import Any, NamedTuple

from cronlock.lock.copy import Copy
from cronlock.lock.protocol import PREPARE_LEASE, RETENTION
from tests.model.rules import Fields, Operation, Rules

NOW = 10_000_000  # ms: the moment at which everything happens
NO_HOLDER = -1
USUAL = "3 voters"  # the voter set of most nodes
ABANDONED = -2  # an id that its node has abandoned for another one


class CopyValue(NamedTuple):
    """The fields of a copy that can change an answer while all nodes have the same voter set."""

    holder: int = NO_HOLDER
    kind: str = ""
    live: bool = False
    token: int = 0
    tick: int = 0
    state: str = ""
    attempt: int = 0
    owns_tick_state: bool = False  # the recorded run is the run that the tick's state is about
    paused: bool = False
    stale: bool = False  # last written under another run_id of this server
    voter_set: str = ""  # differs from most nodes' voter set, if not empty
    old: bool = False  # its expiry was not renewed in the month that is about to end
    mark: int = 0  # for known-bad rules that need a field of their own


class Answer(NamedTuple):
    """The fields of an answer that the verdict and the claim depend on."""

    answer: str
    token: int
    tick: int
    state: str
    attempt: int
    restarted: int

    def fields(self) -> Fields:
        return self._asdict() | {"time": 0, "now": NOW, "wait": 0}


class Unanswered(NamedTuple):
    """An answer that is still under way."""

    answer: Answer


BLANK = CopyValue()


def to_copy(kept: CopyValue) -> Copy:
    copy = Copy()
    copy.expires = _expiry(kept)
    copy.record = {
        "holder": _name(kept.holder),
        "kind": kept.kind,
        "lease_end": NOW + PREPARE_LEASE if kept.live else 0,
        "token": kept.token,
        "tick": kept.tick,
        "state": kept.state,
        "attempt": kept.attempt,
        "run_tick": kept.tick if kept.owns_tick_state else -1,
        "paused_until": -1 if kept.paused else 0,
        "run_id": "earlier" if kept.stale else "today",
        "voter_set": kept.voter_set or (USUAL if kept.token else ""),
        "mark": kept.mark,
    }
    return copy


def from_copy(copy: Copy) -> CopyValue:
    holder = copy.get("holder")
    return CopyValue(
        holder=int(holder) if holder else NO_HOLDER,
        kind=copy.get("kind") if holder else "",
        live=copy.live(NOW),
        token=copy.get("token"),
        tick=copy.get("tick"),
        state=copy.get("state"),
        attempt=copy.get("attempt"),
        owns_tick_state=copy.get("kind") == "run" and copy.owns_tick_state(),
        paused=bool(copy.get("paused_until")),
        stale=bool(copy.get("token")) and copy.get("run_id") == "earlier",
        voter_set="" if copy.get("voter_set") == USUAL else copy.get("voter_set"),
        old=bool(copy.get("token")) and 0 < copy.expires < RETENTION,
        mark=copy.get("mark") or 0,
    )


def _expiry(kept: CopyValue) -> int:
    """Return the copy's expiry for a wall clock of 0."""
    if kept.paused or not kept.token:
        return 0
    return 1 if kept.old else RETENTION


def _name(holder: int) -> str:
    return "" if holder == NO_HOLDER else str(holder)


class Voter:
    """A voter that executes each distinct request on each distinct copy only once."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._known: dict[tuple[Any, ...], tuple[Answer, CopyValue]] = {}

    def do(
        self, operation: str, kept: CopyValue, holder: int, ask: tuple[tuple[str, Any], ...] = (), in_time: bool = True
    ) -> tuple[Answer, CopyValue]:
        """Return the answer and the copy afterwards."""
        call = (operation, kept, holder, ask, in_time)
        if call not in self._known:
            self._known[call] = self._execute(getattr(self._rules, operation), kept, _request(holder, ask, in_time))
        return self._known[call]

    def _execute(self, operation: Operation, kept: CopyValue, request: Fields) -> tuple[Answer, CopyValue]:
        copy = to_copy(kept)
        said = operation(copy, request, NOW, 0, "today")
        after = from_copy(copy)
        restarted = said["restarted"] if said["token"] else 0  # a copy without a token is blank anyway
        return Answer(said["answer"], said["token"], said["tick"], said["state"], said["attempt"], restarted), after

    def end_lease(self, kept: CopyValue) -> CopyValue:
        copy = to_copy(kept)
        self._rules.end_lease(copy)
        return from_copy(copy)


def _request(holder: int, ask: tuple[tuple[str, Any], ...], in_time: bool) -> Fields:
    """Return a complete request; the fields without influence on the lock are always the same."""
    texts = dict.fromkeys("command schedule zone job reason".split(), "")
    numbers = dict.fromkeys("time fair start_deadline takeover_deadline counts pid start end next status".split(), 0)
    return {
        **texts,
        **numbers,
        "holder": _name(holder),
        "node": f"node-{holder}",
        "voter_set": USUAL,
        "lease": PREPARE_LEASE,
        "retention": RETENTION,
        "not_after": NOW if in_time else NOW - 1,
        "outcome": "ran",
        "until": -1,
        **dict(ask),
    }
