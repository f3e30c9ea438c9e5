"""The whole of one simulation: time, voters, calls, the trace, and the requests that voters executed."""

import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import starmap
from typing import Any

from tests.simulation.network import Network, SimulatedVoters
from tests.simulation.node import Call, CallFault, Job, Terms
from tests.simulation.server import EPOCH, Fields, Request, Server
from tests.simulation.virtual_time import Task, VirtualTime

FIRST = EPOCH // 1000  # s: tick 0 of a trace


@contextmanager
def drawn_from(rng: random.Random) -> Iterator[None]:
    """Let os.urandom return bytes of this generator, so that back-offs and holder ids depend only on the seed.

    The code under test draws them itself and offers no parameter for them; nothing else draws from os.urandom here.
    """
    urandom, os.urandom = os.urandom, rng.randbytes
    try:
        yield
    finally:
        os.urandom = urandom


class Committed:
    """The known facts about one token: the voters that took it, and the end of its leases."""

    def __init__(self, tick: int, at: int) -> None:
        self.tick = tick
        self.first = at
        self.voters: set[str] = set()
        self.until = 0
        self.quorum_at: int | None = None


class World:
    """One simulation.

    `rng` makes every choice that is not given. Times are ms since the start; ticks count from FIRST.
    """

    def __init__(self, rng: random.Random, voters: int, network: Network, skewed: bool = False) -> None:
        self.time = VirtualTime()
        self.rng = rng
        self.calls: list[Call] = []
        self.committed: dict[int, Committed] = {}
        self.network = network
        self.steady = False  # the network delays nothing at random, so that each bound is exact
        self.after_each: Callable[[], None] = lambda: None  # hook after each operation that a voter executes
        self.servers = [self._server(number, skewed) for number in range(voters)]
        self.lists: dict[str, list[Server]] = {}  # by node: its voters, if they differ from all servers
        self.forgot: set[str] = set()  # servers that forgot since all voters held the newest run
        self._trace: list[tuple[Any, ...]] = []

    def _server(self, number: int, skewed: bool) -> Server:
        offset, rate = (self.rng.randint(-2_000, 2_000), self.rng.uniform(0.991, 1.009)) if skewed else (0, 1.0)
        server = Server("ABCDE"[number], lambda: self.time.now, offset, rate)
        server.executed = self._executed
        return server

    @property
    def sets(self) -> list[list[Server]]:
        """The lists of voters that the nodes have."""
        return list(self.lists.values()) or [self.servers]

    def voters_for(self, call: Call, task: Task) -> SimulatedVoters:
        servers = self.lists.get(call.node, self.servers)
        return SimulatedVoters(call.machine, task, call.node, call.name, servers, self.network)

    def call(
        self,
        at: int,
        node: str,
        tick: int,
        terms: Terms,
        job: Job | None = None,
        fault: CallFault | None = None,
        offset: int = 0,
    ) -> Call:
        """Plan that cron starts cronlock on a node, for the tick this many seconds after the first."""
        call = Call(self, node, FIRST + tick, terms, offset, job or Job(), fault)
        self.calls.append(call)
        self.time.start(at, call.live)
        return call

    def run_until(self, until: int) -> None:
        """Let the simulation run until then."""
        with drawn_from(self.rng):
            self.time.run_until(until)

    def log(self, *words: object) -> None:
        """Append a link to the trace."""
        self._trace.append((self.time.now, *words))

    def _executed(self, server: Server, request: Request, answer: Fields) -> None:
        self.log(request.actor, request.operation, "at", server.name, "->", answer["answer"])
        if request.operation in ("commit", "extend") and answer["answer"] == "ok":
            ask, now = request.ask, self.time.now
            known = self.committed.setdefault(ask["token"], Committed(ask["run_tick"], now))
            known.voters.add(server.name)
            known.until = max(known.until, now + ask["lease"] * 102 // 100)
            if known.quorum_at is None and len(known.voters) >= int(ask["voter_set"].split()[1]) // 2 + 1:
                known.quorum_at = now
        self.after_each()

    def trace(self) -> str:
        """Return one link per event: seconds, actor, event."""
        return "\n".join(starmap(_link, self._trace))


def _link(at: int, actor: object, *words: object) -> str:
    return f"{at / 1000:8.3f}  {actor!s:<8} {' '.join(str(word) for word in words)}".rstrip()
