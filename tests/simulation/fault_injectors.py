"""Random faults: of servers, packets, and processes."""

import random

from tests.simulation.network import NEVER, Delivery
from tests.simulation.node import CallFault
from tests.simulation.server import Server
from tests.simulation.world import World


class RandomNetwork:
    """A network whose rates of slow and lost packets are drawn once; cuts come and go."""

    def __init__(self, rng: random.Random) -> None:
        self.fine = False
        self.cuts: dict[tuple[str, str], tuple[bool, bool]] = {}  # (node, server): whether requests and answers pass
        self._rng = rng
        self._slow = rng.choice((0, 0.02, 0.1, 0.3))
        self._lost = rng.choice((0, 0.01, 0.05, 0.2))

    def delivery(self, node: str, server: Server, _operation: str) -> Delivery:
        rng = self._rng
        if self.fine:
            return Delivery(rng.randint(0, 2), rng.randint(0, 2))
        there, back = self.cuts.get((node, server.name), (True, True))
        if not there or rng.random() < self._lost:
            return self._lost_one(executed=rng.random() < 0.5)
        if not back or rng.random() < self._lost:
            return Delivery(self._delay(), NEVER, rng.choice((NEVER, NEVER, rng.randint(1, 300))))
        return Delivery(self._delay(), self._delay())

    def _delay(self) -> int:
        rng = self._rng
        if rng.random() >= self._slow:
            return rng.randint(0, 2)
        return rng.choice((rng.randint(2, 80), rng.randint(50, 900), rng.randint(500, 4_000)))

    def _lost_one(self, executed: bool) -> Delivery:
        """Return the delivery of a request on a broken connection, which may arrive long after its node gave it up."""
        rng = self._rng
        late = rng.choice((rng.randint(100, 3_000), rng.randint(1_000, 15_000)))
        return Delivery(late if executed else NEVER, NEVER, rng.choice((NEVER, 1, rng.randint(1, 500))))


class FaultInjector:
    """The faults of one simulation's servers and connections until `end` ms."""

    def __init__(self, world: World, nodes: list[str], network: RandomNetwork, end: int) -> None:
        self._world, self._rng, self._end = world, world.rng, end
        self._nodes, self._chance = nodes, network
        self._kinds = [self._stop, self._restart, self._flush, self._go_back, self._fail_back, self._cut, self._cut]
        self._rng.shuffle(self._kinds)
        self._kinds = self._kinds[: self._rng.randint(1, len(self._kinds))]

    def plan(self) -> None:
        """Plan faults at random moments, and some right after a voter has executed an operation."""
        world, rng = self._world, self._rng
        for server in world.servers:
            for _ in range(4):
                world.time.at(rng.randrange(self._end), server.save)
        for _ in range(rng.choice((0, 3, 6, 12, 25))):
            world.time.at(rng.randrange(self._end), self._inject)
        often = rng.choice((0, 0.02, 0.1))
        world.after_each = lambda: self._inject() if rng.random() < often else None

    def _inject(self) -> None:
        if self._world.time.now < self._end:
            inject, server = self._rng.choice(self._kinds), self._rng.choice(self._world.servers)
            self._world.time.at(self._world.time.now, lambda: inject(server))

    def _until(self, longest: int) -> int:
        now = self._world.time.now
        return min(self._end, now + self._rng.randint(50, longest))

    def _stop(self, server: Server) -> None:
        if server.up:
            server.stop()
            self._log(server, "stopped")
            self._world.time.at(self._until(6_000), lambda: self._continue(server))

    def _continue(self, server: Server) -> None:
        self._log(server, "continues")
        server.resume()

    def _restart(self, server: Server) -> None:
        self._restart_with(server, "restarts with its data", None)

    def _go_back(self, server: Server) -> None:
        saved = self._rng.choice(server.saved)
        if self._may_forget(server):
            self._restart_with(server, f"restarts with token {saved.get('token')}", saved)

    def _fail_back(self, server: Server) -> None:
        saved = self._rng.choice(server.saved)
        if server.up and not server.stopped and self._may_forget(server):
            self._log(server, f"is failed back to, with token {saved.get('token')}")
            server.fail_back(saved)

    def _restart_with(self, server: Server, what: str, copy: object) -> None:
        if server.up and not server.stopped:
            self._log(server, what)
            server.shut_down()
            self._world.time.at(self._until(self._rng.choice((100, 3_000))), lambda: server.start_up(copy))

    def _flush(self, server: Server) -> None:
        if self._may_forget(server):
            self._log(server, "forgets all")
            server.flush()

    def _cut(self, server: Server) -> None:
        pair = (self._rng.choice(self._nodes), server.name)
        there, back = self._rng.choice(((False, False), (True, False)))
        self._chance.cuts[pair] = (there, back)
        self._log(server, f"is cut off from {pair[0]}{', which receives nothing' if there else ''}")
        self._world.time.at(self._until(8_000), lambda: self._mend(server, pair))

    def _mend(self, server: Server, pair: tuple[str, str]) -> None:
        if self._chance.cuts.pop(pair, None):
            self._log(server, f"reaches {pair[0]} again")

    def _may_forget(self, server: Server) -> bool:
        """Return whether this server may forget: fewer than a quorum may, counted since all voters held the newest run.

        The quorum is computed here and not by cronlock, whose own rule for it may be a known-bad one.
        """
        world, newest = self._world, max(self._world.committed, default=0)
        if newest and all(other.remembers(newest) for servers in world.sets for other in servers):
            world.forgot.clear()
        if not server.up or not all(fewer_than_quorum(world.forgot | {server.name}, servers) for servers in world.sets):
            return False
        world.forgot.add(server.name)
        return True

    def _log(self, server: Server, what: str) -> None:
        self._world.log(server.name, what)


def fewer_than_quorum(names: set[str], servers: list[Server]) -> bool:
    """Return whether these are fewer than a quorum of the servers."""
    return sum(server.name in names for server in servers) <= len(servers) // 2


def fault(rng: random.Random, often: float) -> CallFault | None:
    """Return the fault of one call; mostly None."""
    if rng.random() >= often:
        return None
    what = rng.choice(("die", "crash", "pause", "pause", "signal", "signal", "host", "host unseen"))
    if what == "signal":
        return CallFault(what, "step", rng.randint(1, 30))
    if what.startswith("host"):
        return CallFault(
            what, "step", rng.randint(1, 12), rng.choice((rng.randint(50, 20_000), rng.randint(5_000, 40_000)))
        )
    moment = rng.choice(("send", "send", "step", "clock"))
    count = rng.randint(1, {"send": 16, "step": 20, "clock": 120}[moment])
    return CallFault(what, moment, count, rng.choice((100, 2_100, rng.randint(50, 20_000))) if what == "pause" else 0)
