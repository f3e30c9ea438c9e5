"""All of one simulation: time, voters, calls, the story of what happened, and what the voters executed."""

import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import starmap
from typing import Any

from tests.simulation.network import SimulatedVoters, Weather
from tests.simulation.node import Call, Fate, Job, Terms
from tests.simulation.server import EPOCH, Fields, Request, Server
from tests.simulation.virtual_time import Task, Time

FIRST = EPOCH // 1000  # s: tick 0 of a story


@contextmanager
def drawn_from(rng: random.Random) -> Iterator[None]:
    """os.urandom gives bytes of this generator: the pauses between two attempts and the holders' ids are of the seed.

    The code draws them itself, where nothing is to be chosen by a caller; in a simulation nothing else draws.
    """
    urandom, os.urandom = os.urandom, rng.randbytes
    try:
        yield
    finally:
        os.urandom = urandom


class Committed:
    """What became known of one token: which voters took it, and until when its leases last."""

    def __init__(self, tick: int, at: int) -> None:
        self.tick = tick
        self.first = at
        self.voters: set[str] = set()
        self.until = 0
        self.quorum_at: int | None = None


class World:
    """`rng` decides on all that nobody chose. Times are ms since the simulation began; ticks count from FIRST."""

    def __init__(self, rng: random.Random, voters: int, weather: Weather, skewed: bool = False) -> None:
        self.time = Time()
        self.rng = rng
        self.calls: list[Call] = []
        self.committed: dict[int, Committed] = {}
        self.weather = weather
        self.steady = False  # nothing but what a schedule says is late, so that each bound is exact
        self.after_each: Callable[[], None] = lambda: None  # operation that a voter has executed
        self.servers = [self._server(number, skewed) for number in range(voters)]
        self.lists: dict[str, list[Server]] = {}  # by node, the voters that it was told, if not all
        self.forgot: set[str] = set()  # who has forgotten since all voters held the newest run
        self._story: list[tuple[Any, ...]] = []

    def _server(self, number: int, skewed: bool) -> Server:
        offset, rate = (self.rng.randint(-2_000, 2_000), self.rng.uniform(0.991, 1.009)) if skewed else (0, 1.0)
        server = Server("ABCDE"[number], lambda: self.time.now, offset, rate)
        server.executed = self._executed
        return server

    @property
    def sets(self) -> list[list[Server]]:
        """The voters, as each node was told."""
        return list(self.lists.values()) or [self.servers]

    def voters_for(self, call: Call, task: Task) -> SimulatedVoters:
        servers = self.lists.get(call.node, self.servers)
        return SimulatedVoters(call.machine, task, call.node, call.name, servers, self.weather)

    def call(
        self,
        at: int,
        node: str,
        tick: int,
        terms: Terms,
        job: Job | None = None,
        fate: Fate | None = None,
        offset: int = 0,
    ) -> Call:
        """Plan that cron starts cronlock on a node, for the tick so many seconds after the first."""
        call = Call(self, node, FIRST + tick, terms, offset, job or Job(), fate)
        self.calls.append(call)
        self.time.start(at, call.live)
        return call

    def play(self, until: int) -> None:
        """Let all happen that happens until then."""
        with drawn_from(self.rng):
            self.time.play(until)

    def tell(self, *words: object) -> None:
        """A line of the story."""
        self._story.append((self.time.now, *words))

    def _executed(self, server: Server, request: Request, answer: Fields) -> None:
        self.tell(request.who, request.operation, "at", server.name, "->", answer["answer"])
        if request.operation in ("commit", "extend") and answer["answer"] == "ok":
            ask, now = request.ask, self.time.now
            known = self.committed.setdefault(ask["token"], Committed(ask["run_tick"], now))
            known.voters.add(server.name)
            known.until = max(known.until, now + ask["lease"] * 102 // 100)
            if known.quorum_at is None and len(known.voters) >= int(ask["voter_set"].split()[1]) // 2 + 1:
                known.quorum_at = now
        self.after_each()

    def story(self) -> str:
        """One line per event: seconds, who, what."""
        return "\n".join(starmap(_line, self._story))


def _line(at: int, who: object, *words: object) -> str:
    return f"{at / 1000:8.3f}  {who!s:<8} {' '.join(str(word) for word in words)}".rstrip()
