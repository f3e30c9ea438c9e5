"""Schedules written by hand: each is the counter-example to a rule of Candidate, Holder or judge."""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from tests.simulation.network import NEVER, Passage
from tests.simulation.node import Fate, Job, Terms
from tests.simulation.oracle import Report, broken
from tests.simulation.server import Server
from tests.simulation.world import World

TERMS = Terms(lease=12_000, kill_after=2_000, outage_wait=12_000)
PLAIN = replace(TERMS, ticks=False)
REFUSED = Passage(NEVER, NEVER, reset=1)  # the request gets nowhere, and its node hears that at once


@dataclass
class Cut:
    """What becomes of a node's requests to a server, of the operations named or of all, from one ms to another."""

    node: str
    server: str
    begin: int = 0
    end: int = 1_000_000
    operations: str = "prepare commit extend release finish"
    passage: Passage = REFUSED


class Script:
    """A network that takes a millisecond each way, but for some cuts."""

    def __init__(self, *cuts: Cut) -> None:
        self.now: Callable[[], int] = lambda: 0
        self._cuts = cuts

    def passage(self, node: str, server: Server, operation: str) -> Passage:
        for cut in self._cuts:
            mine = (cut.node, cut.server) == (node, server.name) and operation in cut.operations
            if mine and cut.begin <= self.now() < cut.end:
                return cut.passage
        return Passage(1, 1)


def _world(script: Script, terms: Terms = TERMS) -> World:
    """Three voters that know the key: n0 ran tick 0 in the first second. Everything else begins at 10 s."""
    world = World(random.Random(1), 3, script)
    script.now, world.steady = lambda: world.time.now, True
    world.call(0, "n0", 0, terms, Job(500))
    return world


def report_on(world: World) -> Report:
    """What came of it within a minute."""
    world.play(60_000)
    return Report(broken(world), world.story(), sum(bool(call.command) for call in world.calls))


def on_late_ok() -> Report:
    """An ok that comes late does not join acknowledgements that were given before the short leases were over.

    n1 has A's commit, can't reach C, and B hears nothing of it any more. A forgets. When n1's short lease at B is over,
    n2 gets all three, blank A too, commits at A and B, and runs; it can't commit at C. When the short lease of n2 at C
    is over as well, C says ok to n1: with what A said once that would be a quorum.
    """
    world = _world(
        Script(
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
    """A prepare that comes late, when its voter was asked again, gives the old attempt no vote.

    n1 has A's commit and nothing more of B. Its prepare at C was cut off, and hangs in the network. C says ok when it
    is asked again; the commit there does not come through until n1's short leases are over and n2 runs with B and C.
    Then C forgets, and n1's first prepare arrives. Had it n1's id, the next commit would be taken at C.
    """
    world = _world(
        Script(
            Cut("n1", "B", operations="commit"),
            Cut("n1", "C", end=10_100, operations="prepare", passage=Passage(4_100, NEVER, reset=5)),
            Cut("n1", "C", end=14_200, operations="commit"),
        )
    )
    world.call(10_000, "n1", 10, TERMS, Job(5_000))
    world.call(12_700, "n2", 10, TERMS, Job(8_000))
    world.time.at(14_000, world.servers[2].flush)
    return report_on(world)


def two_dead_commits() -> Report:
    """Nobody is sent home by two commits of nodes that died, each with one voter: there was no run.

    n1 dies when A has its commit, and n2, which gets B and C, when B has its own. Both voters tell n3 of a lease.
    """
    world = _world(Script())
    fifth = 3 + 2  # send: the second of the commits, behind three prepares
    world.call(10_000, "n1", 10, TERMS, fate=Fate("die", "send", fifth))
    world.call(12_700, "n2", 10, TERMS, fate=Fate("die", "send", fifth))
    world.call(13_000, "n3", 10, TERMS)
    return report_on(world)


def restarted_and_forgotten() -> Report:
    """Without ticks: a voter that restarted with its data does not know nothing; with one that forgot it is no quorum.

    A restarts, n1 can't reach it and runs with B and C. C forgets. n2 can't reach B, and gets the ok of A and C.
    """
    world = _world(Script(Cut("n1", "A"), Cut("n2", "B")), PLAIN)
    world.time.at(9_000, world.servers[0].go_down)
    world.time.at(9_100, world.servers[0].come_up)
    world.call(10_000, "n1", 10, PLAIN, Job(5_000))
    world.time.at(12_000, world.servers[2].flush)
    world.call(12_100, "n2", 10, PLAIN)
    return report_on(world)


def went_back_inside_commit() -> Report:
    """A voter that went back to an ok takes the commit that it belongs to, and that counts no more.

    n1 has A's commit, and can't reach C. B has said ok, and is saved so; the commit there is cut off. When n1's short
    lease at B is over, n2 runs with B and C. Then B restarts with what was saved, and n1's commit gets through to it.
    """
    world = _world(
        Script(
            Cut("n1", "B", end=14_200, operations="commit"),
            Cut("n1", "C"),
        )
    )
    voter = world.servers[1]
    world.call(10_000, "n1", 10, TERMS, Job(5_000))
    world.time.at(11_000, voter.save)
    world.call(12_100, "n2", 10, TERMS, Job(8_000))
    world.time.at(13_500, voter.go_down)
    world.time.at(13_600, lambda: voter.come_up(voter.saved[-1]))
    return report_on(world)


def beyond_retention() -> Report:
    """A run that is longer than voters keep a record keeps its own: n2, which comes when that is over, is held.

    Extended at 11 s, and every second; committed at 10 s, so that without that nobody knows of it at 14.9 s.
    """
    terms = replace(PLAIN, lease=3_000, kill_after=200, retention=4_800)
    world = _world(Script(), terms)
    world.call(10_000, "n1", 10, terms, Job(9_000))
    for at in range(14_000, 17_000, 50):
        world.call(at, f"n{at}", 14, terms, Job(500))
    return report_on(world)


def failed_back() -> Report:
    """A master that was failed over from and back to does not speak for what it had before.

    n1 can't reach C and runs with A and B. A is failed back to, with data of before; n2 can't reach B.
    """
    world = _world(Script(Cut("n1", "C"), Cut("n2", "B")))
    voter = world.servers[0]
    world.time.at(9_000, voter.save)
    world.call(10_000, "n1", 10, TERMS, Job(8_000))
    world.time.at(11_000, lambda: voter.fail_back(voter.saved[-1]))
    world.call(11_100, "n2", 10, TERMS, Job(8_000))
    return report_on(world)


def failed_back_inside_commit() -> Report:
    """An ok that a master gave before it was failed over from and back to is no ok of the one that it is now.

    As went_back_inside_commit, but B stays the same server, and no connection ends.
    """
    world = _world(Script(Cut("n1", "B", end=14_200, operations="commit"), Cut("n1", "C")))
    voter = world.servers[1]
    world.call(10_000, "n1", 10, TERMS, Job(5_000))
    world.time.at(11_000, voter.save)
    world.call(12_100, "n2", 10, TERMS, Job(8_000))
    world.time.at(13_500, lambda: voter.fail_back(voter.saved[-1]))
    return report_on(world)


def _paused(told: bool) -> Report:
    """n1's machine is paused at 11 s, until n2 has waited for its lease to end, and runs."""
    waiting = replace(PLAIN, wait=40_000)
    world = _world(Script(), PLAIN)
    paused = world.call(10_000, "n1", 10, PLAIN, Job(60_000))
    world.time.at(11_000, lambda: paused.pause_host(20_000, told=told))
    world.call(12_000, "n2", 12, waiting, Job(30_000))
    return report_on(world)


def paused_host() -> Report:
    """A run on a machine that its host paused, all clocks with it but the wall clock, ends within a second or so."""
    return _paused(told=True)


def paused_host_unseen() -> Report:
    """Where the wall clock does not show it either: it ends when an extension is due, in a third of the lease."""
    return _paused(told=False)


SCHEDULES = {
    one.__name__: one
    for one in (
        on_late_ok,
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
