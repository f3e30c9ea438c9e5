"""One voter: the project's own record over copies that are kept as values."""

from typing import Any, NamedTuple

from cronlock.lock.copy import Copy
from cronlock.lock.protocol import PREPARE_LEASE, RETENTION
from tests.model.rules import Fields, Operation, Rules

NOW = 10_000_000  # ms: the moment at which everything happens
NOBODY = -1
USUAL = "3 voters"  # settings
DEAD = -2  # an id that its node has given up for another one


class Kept(NamedTuple):
    """What of a copy can have a bearing on an answer, as long as all nodes have the same settings."""

    holder: int = NOBODY
    kind: str = ""
    live: bool = False
    token: int = 0
    tick: int = 0
    state: str = ""
    attempt: int = 0
    owns_tick_state: bool = False  # the run that stands here is the one that the tick's state speaks of
    paused: bool = False
    stale: bool = False  # last written by a run under another run_id of this server
    voter_set: str = ""  # other ones than most nodes have
    old: bool = False  # its expiry was not renewed in the month that is about to end
    mark: int = 0  # of known-bad rules that need a field of their own


class Answer(NamedTuple):
    """What of an answer the judgement and the claim read."""

    answer: str
    token: int
    tick: int
    state: str
    attempt: int
    restarted: int

    def fields(self) -> Fields:
        return self._asdict() | {"time": 0, "now": NOW, "wait": 0}


class Unheard(NamedTuple):
    """An answer that is still on its way."""

    answer: Answer


BLANK = Kept()


def thaw(kept: Kept) -> Copy:
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


def freeze(copy: Copy) -> Kept:
    holder = copy.get("holder")
    return Kept(
        holder=int(holder) if holder else NOBODY,
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


def _expiry(kept: Kept) -> int:
    """As the record tells it, on a wall clock that stands at 0."""
    if kept.paused or not kept.token:
        return 0
    return 1 if kept.old else RETENTION


def _name(holder: int) -> str:
    return "" if holder == NOBODY else str(holder)


class Voter:
    """Executes requests; each distinct one on each distinct copy only once."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._known: dict[tuple[Any, ...], tuple[Answer, Kept]] = {}

    def do(
        self, operation: str, kept: Kept, holder: int, ask: tuple[tuple[str, Any], ...] = (), in_time: bool = True
    ) -> tuple[Answer, Kept]:
        """The answer, and the copy afterwards."""
        call = (operation, kept, holder, ask, in_time)
        if call not in self._known:
            self._known[call] = self._execute(getattr(self._rules, operation), kept, _request(holder, ask, in_time))
        return self._known[call]

    def _execute(self, operation: Operation, kept: Kept, request: Fields) -> tuple[Answer, Kept]:
        copy = thaw(kept)
        said = operation(copy, request, NOW, 0, "today")
        after = freeze(copy)
        restarted = said["restarted"] if said["token"] else 0  # a copy without a token is blank anyway
        return Answer(said["answer"], said["token"], said["tick"], said["state"], said["attempt"], restarted), after

    def end_lease(self, kept: Kept) -> Kept:
        copy = thaw(kept)
        self._rules.end_lease(copy)
        return freeze(copy)


def _request(holder: int, ask: tuple[tuple[str, Any], ...], in_time: bool) -> Fields:
    """A complete request; what has no bearing on the lock is the same in all of them."""
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
