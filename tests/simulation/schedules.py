"""Schedules written by hand: each is a counter-example that one rule of the lock prevents."""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from tests.simulation.network import NEVER, Delivery
from tests.simulation.node import CallFault, Job, Terms
from tests.simulation.oracle import Report, violations_of
from tests.simulation.server import Server
from tests.simulation.world import World

TERMS = Terms(lease=12_000, kill_after=2_000, outage_wait=12_000)
PLAIN = replace(TERMS, ticks=False)
REFUSED = Delivery(NEVER, NEVER, reset=1)  # the request is lost, and its node notices at once


@dataclass
class Cut:
    """A fault on the way from a node to a server, for the named operations, from one ms to another."""

    node: str
    server: str
    begin: int = 0
    end: int = 1_000_000
    operations: str = "prepare commit extend release finish"
    delivery: Delivery = REFUSED


class ScriptedNetwork:
    """A network that takes a millisecond each path, except for its cuts."""

    def __init__(self, *cuts: Cut) -> None:
        self.now: Callable[[], int] = lambda: 0
        self._cuts = cuts

    def delivery(self, node: str, server: Server, operation: str) -> Delivery:
        for cut in self._cuts:
            mine = (cut.node, cut.server) == (node, server.name) and operation in cut.operations
            if mine and cut.begin <= self.now() < cut.end:
                return cut.delivery
        return Delivery(1, 1)


def _world(network: ScriptedNetwork, terms: Terms = TERMS) -> World:
    """Return a world whose three voters know the key: n0 ran tick 0 in the first second; all else starts at 10 s."""
    world = World(random.Random(1), 3, network)
    network.now, world.steady = lambda: world.time.now, True
    world.call(0, "n0", 0, terms, Job(500))
    return world


def report_on(world: World) -> Report:
    """Return the report after one minute."""
    world.run_until(60_000)
    return Report(violations_of(world), world.trace(), sum(bool(call.command) for call in world.calls))


def ok_after_the_verdict() -> Report:
    """A late ok does not join acknowledgements from before the prepare leases expired.

    n1 has A's commit and can't reach C, and B misses the rest of n1's requests. A forgets. When n1's prepare lease at B
    has expired, n2 wins all three, the blank A included, commits at A and B, and runs; its commit can't reach C. When
    n2's prepare lease at C has expired as well, C answers ok to n1. Together with A's old answer that would be a
    quorum.
    """
    world = _world(
        ScriptedNetwork(
            Cut("n1", "B", operations="commit"),
            Cut("n1", "C", end=14_300),
            Cut("n2", "C", operations="commit extend"),
        )
    )
    world.call(10_000, "n1", 10, TERMS, Job(5_000))
    world.time.at(10_500, world.servers[0].flush)
    world.call(12_100, "n2", 10, TERMS, Job(8_000))
    return report_on(world)


def asked_again() -> Report:
    """A prepare that arrives late, after its voter was asked again, gives the old attempt no vote.

    n1 has A's commit and no further answer from B. Its prepare to C is stuck in the network. C answers ok when it is
    asked again; the commit to C is lost until n1's prepare leases have expired and n2 runs with B and C. Then C
    forgets, and n1's first prepare arrives. If it carried n1's current id, C would accept the next commit.
    """
    world = _world(
        ScriptedNetwork(
            Cut("n1", "B", operations="commit"),
            Cut("n1", "C", end=10_100, operations="prepare", delivery=Delivery(4_100, NEVER, reset=5)),
            Cut("n1", "C", end=14_200, operations="commit"),
        )
    )
    world.call(10_000, "n1", 10, TERMS, Job(5_000))
    world.call(12_700, "n2", 10, TERMS, Job(8_000))
    world.time.at(14_000, world.servers[2].flush)
    return report_on(world)


def two_dead_commits() -> Report:
    """Two commits of dead nodes, each at one voter, make no node exit quietly: there was no run.

    n1 dies after A has its commit. n2, which wins B and C, dies after B has its commit. Both voters report a lease to
    n3.
    """
    world = _world(ScriptedNetwork())
    fifth = 3 + 2  # send: the second commit, after three prepares
    world.call(10_000, "n1", 10, TERMS, fault=CallFault("die", "send", fifth))
    world.call(12_700, "n2", 10, TERMS, fault=CallFault("die", "send", fifth))
    world.call(13_000, "n3", 10, TERMS)
    return report_on(world)


def restarted_and_forgotten() -> Report:
    """Without ticks, a voter that restarted with its data is not new, and with an amnesic one it is not a quorum.

    A restarts; n1 can't reach A and runs with B and C. C forgets. n2 can't reach B, and gets the oks of A and C.
    """
    world = _world(ScriptedNetwork(Cut("n1", "A"), Cut("n2", "B")), PLAIN)
    world.time.at(9_000, world.servers[0].shut_down)
    world.time.at(9_100, world.servers[0].start_up)
    world.call(10_000, "n1", 10, PLAIN, Job(5_000))
    world.time.at(12_000, world.servers[2].flush)
    world.call(12_100, "n2", 10, PLAIN)
    return report_on(world)


def went_back_inside_commit() -> Report:
    """A voter that went back to its ok accepts the commit, but its acknowledgement does not count.

    n1 has A's commit and can't reach C. B answered ok and is saved in that state; the commit to B is lost. When n1's
    prepare lease at B has expired, n2 runs with B and C. Then B restarts from its snapshot, and n1's commit reaches it.
    """
    world = _world(
        ScriptedNetwork(
            Cut("n1", "B", end=14_200, operations="commit"),
            Cut("n1", "C"),
        )
    )
    voter = world.servers[1]
    world.call(10_000, "n1", 10, TERMS, Job(5_000))
    world.time.at(11_000, voter.save)
    world.call(12_100, "n2", 10, TERMS, Job(8_000))
    world.time.at(13_500, voter.shut_down)
    world.time.at(13_600, lambda: voter.start_up(voter.saved[-1]))
    return report_on(world)


def beyond_retention() -> Report:
    """A run longer than the retention keeps its record: n2, which arrives after the retention, is held.

    The run is committed at 10 s and extended every second from 11 s on. Without the renewal no voter knows of it at
    14.9 s.
    """
    terms = replace(PLAIN, lease=3_000, kill_after=200, retention=4_800)
    world = _world(ScriptedNetwork(), terms)
    world.call(10_000, "n1", 10, terms, Job(9_000))
    for at in range(14_000, 17_000, 50):
        world.call(at, f"n{at}", 14, terms, Job(500))
    return report_on(world)


def failed_back() -> Report:
    """A master that was failed over from and failed back to does not vouch for its older data.

    n1 can't reach C and runs with A and B. A is failed back to, with older data; n2 can't reach B.
    """
    world = _world(ScriptedNetwork(Cut("n1", "C"), Cut("n2", "B")))
    voter = world.servers[0]
    world.time.at(9_000, voter.save)
    world.call(10_000, "n1", 10, TERMS, Job(8_000))
    world.time.at(11_000, lambda: voter.fail_back(voter.saved[-1]))
    world.call(11_100, "n2", 10, TERMS, Job(8_000))
    return report_on(world)


def failed_back_inside_commit() -> Report:
    """An ok that a master gave before it was failed back to does not count for the master that it is now.

    As in went_back_inside_commit, but B stays the same server, and its connections stay open.
    """
    world = _world(ScriptedNetwork(Cut("n1", "B", end=14_200, operations="commit"), Cut("n1", "C")))
    voter = world.servers[1]
    world.call(10_000, "n1", 10, TERMS, Job(5_000))
    world.time.at(11_000, voter.save)
    world.call(12_100, "n2", 10, TERMS, Job(8_000))
    world.time.at(13_500, lambda: voter.fail_back(voter.saved[-1]))
    return report_on(world)


def _paused(clock_shows: bool) -> Report:
    """Pause n1's machine at 11 s, until n2 has waited for n1's lease to end, and runs."""
    waiting = replace(PLAIN, wait=40_000)
    world = _world(ScriptedNetwork(), PLAIN)
    paused = world.call(10_000, "n1", 10, PLAIN, Job(60_000))
    world.time.at(11_000, lambda: paused.pause_host(20_000, clock_shows=clock_shows))
    world.call(12_000, "n2", 12, waiting, Job(30_000))
    return report_on(world)


def paused_host() -> Report:
    """A run whose host paused its machine, and with it every clock but the wall clock, ends within about a second."""
    return _paused(clock_shows=True)


def paused_host_unseen() -> Report:
    """If the wall clock does not show the pause either, the run ends when an extension is due."""
    return _paused(clock_shows=False)


SCHEDULES = {
    one.__name__: one
    for one in (
        ok_after_the_verdict,
        asked_again,
        two_dead_commits,
        restarted_and_forgotten,
        went_back_inside_commit,
        beyond_retention,
        failed_back,
        failed_back_inside_commit,
        paused_host,
        paused_host_unseen,
    )
}
