"""One simulation per seed: a few ticks with random faults, then one without."""

import random
from dataclasses import replace

from cronlock.lock.protocol import RETENTION
from tests.simulation.fault_injectors import FaultInjector, RandomNetwork, fault
from tests.simulation.node import Call, Job, Terms
from tests.simulation.oracle import Report, missed_last_tick, violations_of
from tests.simulation.world import World

CALM = 60_000  # ms until the last late packet, the last lease and the last attempt have ended
FINAL = Terms(lease=5_000, kill_after=1_000, outage_wait=15_000, period=600)


def simulate(seed: int) -> Report:
    """Return the report of this seed, which is always the same."""
    rng = random.Random(seed)
    network = RandomNetwork(rng)
    world = World(rng, rng.choice((3, 3, 5)), network, skewed=rng.random() < 0.5)
    nodes = [f"n{number}" for number in range(1, rng.randint(3, 5) + 1)]
    terms = _terms(rng)
    ticks = rng.randint(2, 4)
    end = ticks * terms.period * 1000
    _plan_calls(world, nodes, terms, ticks)
    FaultInjector(world, nodes, network, end).plan()
    world.run_until(end)
    network.fine, network.cuts = True, {}
    world.run_until(end + CALM)
    last = _call_all_nodes(world, nodes, (end + CALM) // 1000, terms.ticks)
    world.run_until(end + CALM + 30_000)
    return Report(
        [*violations_of(world), *missed_last_tick(world, last)],
        world.trace(),
        sum(bool(call.command) for call in world.calls),
    )


def _terms(rng: random.Random) -> Terms:
    lease = rng.randint(3_000, 10_000)
    longest = 49 * lease // 100 - 1_001
    period = rng.choice((lease // 1000 + 1, 8, 15, 20))
    outage_wait = rng.choice((1_000, 5_000, 12_000))
    failover = rng.random() < 0.4
    return Terms(
        lease,
        min(rng.randint(100, 3_000), longest),
        outage_wait,
        period,
        ticks=rng.random() < 0.8,
        fair=rng.random() < 0.5,
        failover=failover,
        retry_failed=failover and rng.random() < 0.5,
        wait=rng.choice((0, 0, 1_000, 8_000)),
        retention=rng.choice((RETENTION, 2 * lease)),  # otherwise runs are shorter than that
    )


def _plan_calls(world: World, nodes: list[str], terms: Terms, ticks: int) -> None:
    rng = world.rng
    often = rng.choice((0, 0.1, 0.3, 0.6))
    offsets = {node: rng.choice((0, rng.randint(-1_500, 1_500))) for node in nodes}
    for tick in range(ticks):
        for node in nodes:
            late = rng.choice((0, rng.randint(0, 20), rng.randint(0, 3_000), rng.randint(0, terms.period * 1000)))
            length = rng.choice((rng.randint(1, 300), rng.randint(100, 5_000), rng.randint(1_000, 20_000)))
            job = Job(length, rng.choice((1, rng.randint(0, 2 * terms.kill_after))), rng.choice((0, 0, 0, 1)))
            at = max(0, tick * terms.period * 1000 - offsets[node] + late)
            world.call(at, node, tick * terms.period, terms, job, fault(rng, often), offsets[node])


def _call_all_nodes(world: World, nodes: list[str], tick: int, ticks: bool) -> list[Call]:
    rng = world.rng
    terms = replace(FINAL, ticks=ticks)
    return [world.call(tick * 1000 + rng.randint(0, 10), node, tick, terms, Job(2_000)) for node in nodes]
