"""Schedules written by hand, of voters that are changed: what each half of the nodes could do without the other."""

import random
from dataclasses import replace

from tests.simulation.changes import Person
from tests.simulation.directed import PLAIN, TERMS, Cut, Script, report_on
from tests.simulation.node import Job, Terms
from tests.simulation.oracle import Report
from tests.simulation.world import World

PATIENT = replace(TERMS, outage_wait=1_000)


def _changed(old: str, new: str, script: Script, terms: Terms = TERMS) -> World:
    """n0 ran tick 0 in the first second; n1 has the old list, n2 and the person have the new one."""
    world = World(random.Random(1), 5, script)
    script.now = lambda: world.time.now
    for node, names in (("n0", old), ("n1", old), ("n2", new), ("person", new)):
        world.lists[node] = [server for server in world.servers if server.name in names]
    world.call(0, "n0", 0, terms, Job(500))
    return world


def _adopt(world: World, at: int) -> None:
    Person(world, world.lists["person"], every=60_000).call(at, at + 10_000)


def new_voters() -> Report:
    """Two new voters are no quorum for a key without ticks, when the third one is slow, and somebody runs there."""
    world = _changed("A", "ABC", Script(Cut("n2", "A")), PLAIN)
    world.call(10_000, "n1", 10, PLAIN, Job(5_000))
    world.call(12_000, "n2", 10, PLAIN, Job(5_000))
    return report_on(world)


def only_one_away() -> Report:
    """Nothing is adopted without the only voter of before: the tick would run there, and on the new ones."""
    world = _changed("A", "ABC", Script(Cut("person", "A"), Cut("n2", "A")))
    _adopt(world, 5_000)
    world.call(10_000, "n1", 10, TERMS, Job(5_000))
    world.call(10_000, "n2", 10, TERMS, Job(5_000))
    return report_on(world)


def quorum_left_behind() -> Report:
    """Nothing is adopted when the voters that are left out are a quorum for the nodes that still have them.

    n1 can't reach A and runs with B and C; A, which is to be the only one, knows nothing of that.
    """
    world = _changed("ABC", "A", Script(Cut("n1", "A")))
    world.call(10_000, "n1", 10, TERMS, Job(8_000))
    _adopt(world, 11_000)
    world.call(14_000, "n2", 14, TERMS, Job(1_000))
    return report_on(world)


def forgot_and_left_behind() -> Report:
    """A voter that forgot does not speak for the old ones: n1 runs with it and with the one that is replaced."""
    world = _changed("ABC", "ABD", Script(Cut("n1", "A")))
    world.call(10_000, "n1", 10, TERMS, Job(8_000))
    world.time.at(11_000, world.servers[1].flush)
    _adopt(world, 11_100)
    world.call(14_000, "n2", 14, TERMS, Job(1_000))
    return report_on(world)


def half_adopted() -> Report:
    """An adoption that two of three voters heard leaves no two quorums: A and B for n2, and C, D and E for n1."""
    cuts = [Cut("person", "C", operations="commit"), Cut("n1", "A"), Cut("n1", "B"), Cut("n2", "C")]
    world = _changed("ABCDE", "ABC", Script(*cuts), PATIENT)
    _adopt(world, 5_000)
    world.call(20_000, "n1", 20, PATIENT, Job(5_000))
    world.call(20_000, "n2", 20, PATIENT, Job(5_000))
    return report_on(world)


SCHEDULES = {
    one.__name__: one for one in (new_voters, only_one_away, quorum_left_behind, forgot_and_left_behind, half_adopted)
}
