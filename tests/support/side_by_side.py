"""A voter and the pure record, side by side: the same random steps on both, every answer and every field compared."""

from collections import Counter
from collections.abc import Iterable
from typing import Any, Protocol

from hypothesis import HealthCheck, Phase, settings

from cronlock.lock import state_machine
from cronlock.lock.copy import Copy
from cronlock.lock.local import OPERATIONS
from cronlock.lock.protocol import RETENTION, YIELD_MAX
from cronlock.lock.quorum import claim
from cronlock.lock.state_machine import YIELD_STEP
from tests.support.random_steps import ANSWERS, HISTORY, NODES, PLAIN, RECORD, SENT, Fields, FromNow

State = tuple[Fields, Fields, list[str]]


side_by_side = settings(  # --hypothesis-profile=long has more examples
    max_examples=2 * settings.default.max_examples,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],  # to explain one would take minutes
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


class Voter(Protocol):
    """One side: does the steps; its stored state is read without it."""

    run_id: str
    lag: int  # ms by which `expires` may be wrong

    def clocks(self) -> tuple[int, int]:
        """Its clock for leases, and its wall clock."""

    def call(self, operation: str, ask: Fields) -> Fields: ...

    looked_at: tuple[int, int]  # its clocks at the last look

    def state(self) -> State:
        """Record, nodes and history."""

    def expires(self) -> int: ...

    def put(self, part: int, values: Fields) -> None: ...

    def forget(self, parts: set[int]) -> None: ...


class Pair:
    """The pure copy and a voter's, through the same steps. `met` counts operations with their answers."""

    def __init__(self, voter: Voter, met: "Counter[tuple[str, str]] | None" = None, main: Fields | None = None) -> None:
        self.voter = voter
        self.pure = Copy(main)
        self.met = Counter() if met is None else met
        self._runs: dict[str, Fields] = {}

    def go(self, steps: Iterable[tuple[str, tuple[Any, ...]]]) -> None:
        for what, words in steps:
            getattr(self, what)(*words)

    def play(self, holder: str, fields: Fields, then: Iterable[str] = ("commit", "finish")) -> None:
        """As a node does it: what it commits is made of what it was told."""
        fields = PLAIN | fields
        told = self.ask("prepare", holder, fields)
        if told["answer"] == state_machine.OK:
            claimed = claim([told], fields["tick"], bool(fields["again"]))
            claimed["token"] = told["token"] + 1  # not by the clock: two nodes may come to the same one
            self._runs[holder] = fields | claimed | fields.get("owns_tick_state", {})
            self.go_on(holder, then, {})

    def go_on(self, holder: str, then: Iterable[str], more: Fields) -> None:
        """Do the next step of the last run that it claimed, although another may have come since."""
        for operation in then if holder in self._runs else ():
            run = self._runs[holder] | more
            self.ask(operation, holder, run | {"state": run["ends"]} if operation == "finish" else run)

    def ask(self, operation: str, holder: str, fields: Fields) -> Fields:
        """One message: the same answer, and afterwards the same copies."""
        now, wall = self.voter.clocks()
        ask = {"holder": holder} | {name: fields[name] for name in SENT[operation] if name in fields}
        for name, value in ask.items():
            if isinstance(value, FromNow):
                ask[name] = value + (now if name == "not_after" else wall)
        answer = self.voter.call(operation, ask)
        seen = self.voter.state()
        for before, told, after in zip((now, wall), (answer["now"], answer["time"]), self.voter.looked_at, strict=True):
            assert before <= told <= after
        assert answer["run_id"] == self.voter.run_id
        assert answer == self.done(operation, ask, answer["now"], answer["time"]), operation
        assert seen == (self.pure.record, self.pure.nodes, self.pure.history), operation
        assert abs(self.voter.expires() - self.pure.expires) <= self.voter.lag, operation
        self.met[operation, answer["answer"]] += 1
        return answer

    def done(self, operation: str, ask: Fields, now: int, time: int) -> Fields:
        """The answer of the pure record."""
        return OPERATIONS[operation](self.pure, ask, now, time, self.voter.run_id)

    def come_to(self, field: str, distance: int) -> None:
        """The time at which that one is so many ms away."""
        if self.pure.get(field) > 0:
            self.put(RECORD, {field: self.voter.clocks()[field == "paused_until"] + distance})

    def crowd(self, missing: int) -> None:
        """As many nodes as politeness bears, or one more, or one less, stand in front."""
        self.put(NODES, {f"seen:{number}": 2**34 for number in range(YIELD_MAX // YIELD_STEP - missing)})

    def be_gone(self, word: str, node: str, seconds: int) -> None:
        """A node was seen so long ago that it is not known any more, or will not be."""
        self.put(NODES, {f"{word}:{node}": (self.voter.clocks()[1] - RETENTION) // 1000 - seconds})

    def put(self, part: int, values: Fields) -> None:
        (self.pure.record, self.pure.nodes)[part].update(values)
        self.voter.put(part, values)

    def forget(self, parts: set[int]) -> None:
        if RECORD in parts:
            self.pure.record, self.pure.expires = {}, 0
        if NODES in parts:
            self.pure.nodes = {}
        if HISTORY in parts:
            self.pure.history = []
        self.voter.forget(parts)


def missing(met: "Counter[tuple[str, str]]") -> set[tuple[str, str]]:
    """Return the answers that no step got."""
    return {(operation, answer) for operation, answers in ANSWERS.items() for answer in answers} - set(met)
