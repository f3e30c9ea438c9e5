"""What goes wrong by chance: servers, packets, and processes."""

import random

from tests.simulation.network import NEVER, Passage
from tests.simulation.node import Fate
from tests.simulation.server import Server
from tests.simulation.world import World


class Chance:
    """The network: how often a packet is slow, or lost, is drawn once; cuts come and go."""

    def __init__(self, rng: random.Random) -> None:
        self.fine = False
        self.cuts: dict[tuple[str, str], tuple[bool, bool]] = {}  # node, server: requests get through, answers do
        self._rng = rng
        self._slow = rng.choice((0, 0.02, 0.1, 0.3))
        self._lost = rng.choice((0, 0.01, 0.05, 0.2))

    def passage(self, node: str, server: Server, _operation: str) -> Passage:
        rng = self._rng
        if self.fine:
            return Passage(rng.randint(0, 2), rng.randint(0, 2))
        there, back = self.cuts.get((node, server.name), (True, True))
        if not there or rng.random() < self._lost:
            return self._lost_one(executed=rng.random() < 0.5)
        if not back or rng.random() < self._lost:
            return Passage(self._delay(), NEVER, rng.choice((NEVER, NEVER, rng.randint(1, 300))))
        return Passage(self._delay(), self._delay())

    def _delay(self) -> int:
        rng = self._rng
        if rng.random() >= self._slow:
            return rng.randint(0, 2)
        return rng.choice((rng.randint(2, 80), rng.randint(50, 900), rng.randint(500, 4_000)))

    def _lost_one(self, executed: bool) -> Passage:
        """A connection that was cut may carry a request to its server long after its node gave it up."""
        rng = self._rng
        late = rng.choice((rng.randint(100, 3_000), rng.randint(1_000, 15_000)))
        return Passage(late if executed else NEVER, NEVER, rng.choice((NEVER, 1, rng.randint(1, 500))))


class Harms:
    """Plans for one simulation what goes wrong with its servers and connections until `end` ms."""

    def __init__(self, world: World, nodes: list[str], chance: Chance, end: int) -> None:
        self._world, self._rng, self._end = world, world.rng, end
        self._nodes, self._chance = nodes, chance
        self._kinds = [self._stop, self._restart, self._flush, self._go_back, self._fail_back, self._cut, self._cut]
        self._rng.shuffle(self._kinds)
        self._kinds = self._kinds[: self._rng.randint(1, len(self._kinds))]

    def plan(self) -> None:
        """So many at any time, and some at the very moment at which a voter has done something."""
        world, rng = self._world, self._rng
        for server in world.servers:
            for _ in range(4):
                world.time.at(rng.randrange(self._end), server.save)
        for _ in range(rng.choice((0, 3, 6, 12, 25))):
            world.time.at(rng.randrange(self._end), self._strike)
        often = rng.choice((0, 0.02, 0.1))
        world.after_each = lambda: self._strike() if rng.random() < often else None

    def _strike(self) -> None:
        if self._world.time.now < self._end:
            harm, server = self._rng.choice(self._kinds), self._rng.choice(self._world.servers)
            self._world.time.at(self._world.time.now, lambda: harm(server))

    def _until(self, longest: int) -> int:
        now = self._world.time.now
        return min(self._end, now + self._rng.randint(50, longest))

    def _stop(self, server: Server) -> None:
        if server.up:
            server.stop()
            self._tell(server, "stopped")
            self._world.time.at(self._until(6_000), lambda: self._go_on(server))

    def _go_on(self, server: Server) -> None:
        self._tell(server, "goes on")
        server.go_on()

    def _restart(self, server: Server) -> None:
        self._come_back(server, "restarts with its data", None)

    def _go_back(self, server: Server) -> None:
        saved = self._rng.choice(server.saved)
        if self._may_forget(server):
            self._come_back(server, f"restarts with token {saved.get('token')}", saved)

    def _fail_back(self, server: Server) -> None:
        saved = self._rng.choice(server.saved)
        if server.up and not server.stopped and self._may_forget(server):
            self._tell(server, f"is failed back to, with token {saved.get('token')}")
            server.fail_back(saved)

    def _come_back(self, server: Server, what: str, copy: object) -> None:
        if server.up and not server.stopped:
            self._tell(server, what)
            server.go_down()
            self._world.time.at(self._until(self._rng.choice((100, 3_000))), lambda: server.come_up(copy))

    def _flush(self, server: Server) -> None:
        if self._may_forget(server):
            self._tell(server, "forgets all")
            server.flush()

    def _cut(self, server: Server) -> None:
        pair = (self._rng.choice(self._nodes), server.name)
        there, back = self._rng.choice(((False, False), (True, False)))
        self._chance.cuts[pair] = (there, back)
        self._tell(server, f"is cut off from {pair[0]}{', which hears nothing' if there else ''}")
        self._world.time.at(self._until(8_000), lambda: self._mend(server, pair))

    def _mend(self, server: Server, pair: tuple[str, str]) -> None:
        if self._chance.cuts.pop(pair, None):
            self._tell(server, f"hears {pair[0]} again")

    def _may_forget(self, server: Server) -> bool:
        """Fewer than a quorum forget between two runs, whatever node counts: from when all voters held the newest one.

        What a quorum is, is not left to cronlock: its own word for it may be a known-bad one.
        """
        world, newest = self._world, max(self._world.committed, default=0)
        if newest and all(other.remembers(newest) for servers in world.sets for other in servers):
            world.forgot.clear()
        if not server.up or not all(few(world.forgot | {server.name}, servers) for servers in world.sets):
            return False
        world.forgot.add(server.name)
        return True

    def _tell(self, server: Server, what: str) -> None:
        self._world.tell(server.name, what)


def few(names: set[str], servers: list[Server]) -> bool:
    """Whether these are fewer than a quorum of the servers."""
    return sum(server.name in names for server in servers) <= len(servers) // 2


def fate(rng: random.Random, often: float) -> Fate | None:
    """What befalls a call, mostly nothing."""
    if rng.random() >= often:
        return None
    what = rng.choice(("die", "crash", "pause", "pause", "signal", "signal", "host", "host unseen"))
    if what == "signal":
        return Fate(what, "step", rng.randint(1, 30))
    if what.startswith("host"):
        return Fate(what, "step", rng.randint(1, 12), rng.choice((rng.randint(50, 20_000), rng.randint(5_000, 40_000))))
    moment = rng.choice(("send", "send", "step", "clock"))
    count = rng.randint(1, {"send": 16, "step": 20, "clock": 120}[moment])
    return Fate(what, moment, count, rng.choice((100, 2_100, rng.randint(50, 20_000))) if what == "pause" else 0)
