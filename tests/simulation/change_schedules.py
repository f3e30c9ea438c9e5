"""Schedules written by hand about changing voters: what each half of the nodes could do without the other."""

import random
from dataclasses import replace

from tests.simulation.node import Job, Terms
from tests.simulation.oracle import Report
from tests.simulation.schedules import PLAIN, TERMS, Cut, ScriptedNetwork, report_on
from tests.simulation.voter_changes import Operator
from tests.simulation.world import World

PATIENT = replace(TERMS, outage_wait=1_000)


def _changed(old: str, new: str, network: ScriptedNetwork, terms: Terms = TERMS) -> World:
    """Return a world in which n1 has the old list, and n2 and the operator have the new one; n0 ran tick 0."""
    world = World(random.Random(1), 5, network)
    network.now = lambda: world.time.now
    for node, names in (("n0", old), ("n1", old), ("n2", new), ("operator", new)):
        world.lists[node] = [server for server in world.servers if server.name in names]
    world.call(0, "n0", 0, terms, Job(500))
    return world


def _adopt(world: World, at: int) -> None:
    Operator(world, world.lists["operator"], every=60_000).call(at, at + 10_000)


def new_voters() -> Report:
    """Two new voters are not a quorum for a key without ticks while the third one, where a run is live, is slow."""
    world = _changed("A", "ABC", ScriptedNetwork(Cut("n2", "A")), PLAIN)
    world.call(10_000, "n1", 10, PLAIN, Job(5_000))
    world.call(12_000, "n2", 10, PLAIN, Job(5_000))
    return report_on(world)


def only_one_away() -> Report:
    """Adopt does nothing without the only old voter: the tick would run there, and on the new voters."""
    world = _changed("A", "ABC", ScriptedNetwork(Cut("operator", "A"), Cut("n2", "A")))
    _adopt(world, 5_000)
    world.call(10_000, "n1", 10, TERMS, Job(5_000))
    world.call(10_000, "n2", 10, TERMS, Job(5_000))
    return report_on(world)


def quorum_left_behind() -> Report:
    """Adopt does nothing if the voters left out are a quorum for the nodes with the old list.

    n1 can't reach A and runs with B and C; A, the only voter of the new list, knows nothing of that run.
    """
    world = _changed("ABC", "A", ScriptedNetwork(Cut("n1", "A")))
    world.call(10_000, "n1", 10, TERMS, Job(8_000))
    _adopt(world, 11_000)
    world.call(14_000, "n2", 14, TERMS, Job(1_000))
    return report_on(world)


def forgot_and_left_behind() -> Report:
    """An amnesic voter does not speak for the old ones: n1 runs with it and with the voter that is replaced."""
    world = _changed("ABC", "ABD", ScriptedNetwork(Cut("n1", "A")))
    world.call(10_000, "n1", 10, TERMS, Job(8_000))
    world.time.at(11_000, world.servers[1].flush)
    _adopt(world, 11_100)
    world.call(14_000, "n2", 14, TERMS, Job(1_000))
    return report_on(world)


def half_adopted() -> Report:
    """An adoption that reached two of three voters leaves no two quorums: A, B for n2 and C, D, E for n1."""
    cuts = [Cut("operator", "C", operations="commit"), Cut("n1", "A"), Cut("n1", "B"), Cut("n2", "C")]
    world = _changed("ABCDE", "ABC", ScriptedNetwork(*cuts), PATIENT)
    _adopt(world, 5_000)
    world.call(20_000, "n1", 20, PATIENT, Job(5_000))
    world.call(20_000, "n2", 20, PATIENT, Job(5_000))
    return report_on(world)


SCHEDULES = {
    one.__name__: one for one in (new_voters, only_one_away, quorum_left_behind, forgot_and_left_behind, half_adopted)
}
