"""Every node gets its turn: shares in virtual time, where each tick costs nothing, and a few of them with real nodes.

`python -m tests.figures` has the figures of real nodes over hundreds of ticks.
"""

import random
from collections import Counter
from collections.abc import Mapping

import pytest

from tests.figures import fair, handover, leader, takeover
from tests.simulation.network import Delivery
from tests.simulation.node import Call, Job, Terms
from tests.simulation.server import Server as SimulatedServer
from tests.simulation.world import World
from tests.support.clusters import Cluster
from tests.support.servers import Server
from tests.support.stall_detector import when_calm

PERIOD = 60  # s
JITTER = 60  # ms by which two starts of a node may differ


class PerfectNetwork:
    """A network without faults."""

    def delivery(self, _node: str, _server: SimulatedServer, _operation: str) -> Delivery:
        return Delivery(1, 1)


def simulate(
    offsets: Mapping[str, int], ticks: int, *, polite: bool = True, dies: tuple[str, int] = ("", 0)
) -> list[Call]:
    """Nodes whose clocks differ by so many ms; of `dies` the node has no part in the ticks from that number on."""
    rng = random.Random(5)
    world = World(rng, 3, PerfectNetwork())
    terms = Terms(lease=10_000, period=PERIOD, fair=polite)
    for tick in range(ticks):
        for node, offset in offsets.items():
            if node != dies[0] or tick < dies[1]:
                world.call(tick * PERIOD * 1000 + offset + rng.randint(0, JITTER), node, tick * PERIOD, terms, Job(100))
    world.run_until(ticks * PERIOD * 1000)
    return world.calls


def shares(calls: list[Call]) -> "Counter[str]":
    """Count the runs by node; check that every tick ran, and that each node exits quietly."""
    assert {call.outcome for call in calls} <= {"ran", "done", "held"}
    ran = [call for call in calls if call.outcome == "ran"]
    assert len({call.tick for call in ran}) == len(ran) == len({call.tick for call in calls})
    return Counter(call.node for call in ran)


def named(*offsets: int) -> dict[str, int]:
    return {f"n{number}": offset for number, offset in enumerate(offsets)}


def waits(calls: list[Call], node: str) -> list[int]:
    """Return how many ms after their cronlock that node's runs began."""
    return [call.command.start - call.begun for call in calls if call.node == node and call.command]


# Shares


@pytest.mark.parametrize("offsets", [(0, 100, 200), (0, 250, 500), (0, 0, 0)], ids=str)
def test_three_nodes_get_equal_shares(offsets: tuple[int, ...]) -> None:
    """Each runs 95 to 105 of 300 ticks, although one node always asks first."""
    found = shares(simulate(named(*offsets), 300))
    assert len(found) == 3
    assert all(95 <= share <= 105 for share in found.values()), found


def test_two_nodes_half_a_second_apart_get_equal_shares() -> None:
    """With a step of 500 ms the first node would run two of three ticks."""
    found = shares(simulate(named(0, 500), 300))
    assert all(145 <= share <= 155 for share in found.values()), found


def test_without_politeness_the_first_node_runs_nearly_all() -> None:
    """The reason for turns: the first node runs more than 250 of 300 ticks."""
    assert shares(simulate(named(0, 100, 200), 300, polite=False))["n0"] > 250


def test_ten_nodes_get_equal_shares() -> None:
    """Each runs 50 of 500 ticks, within 5 %."""
    found = shares(simulate(named(*range(0, 500, 50)), 500))
    assert len(found) == 10
    assert all(47 <= share <= 53 for share in found.values()), found


def test_the_others_share_what_a_dead_node_leaves() -> None:
    """One of three dies midway: 50 to each before, 75 to each of two after."""
    found = shares(simulate(named(0, 100, 200), 300, dies=("n0", 150)))
    assert 47 <= found["n0"] <= 53
    assert all(119 <= found[node] <= 131 for node in ("n1", "n2")), found


# What it costs


def test_the_first_in_line_never_waits() -> None:
    """The node that runs has not waited: it was its turn."""
    calls = simulate(named(0, 100, 200), 60)
    assert max(wait for node in ("n0", "n1", "n2") for wait in waits(calls, node)) < 20


def test_a_lone_node_never_waits() -> None:
    """There is no other node to yield to."""
    assert max(waits(simulate(named(0), 60), "n0")) < 20


def test_a_dead_node_leaves_the_line_after_three_ticks() -> None:
    """The other node yields to it at most three times."""
    calls = simulate(named(0, 100), 30, dies=("n0", 10))
    late = [wait > 400 for wait in waits([call for call in calls if call.tick >= calls[20].tick], "n1")]
    assert 1 <= sum(late) <= 3
    assert not any(late[4:])


def test_no_tick_is_lost_to_politeness() -> None:
    """Four of five nodes die: the last one runs each tick, although its turn would come too late."""
    offsets, world = named(0, 10, 20, 30, 40), World(random.Random(5), 3, PerfectNetwork())
    terms = Terms(lease=10_000, period=2, fair=True)
    for tick in range(30):
        for node, offset in offsets.items():
            if node == "n0" or tick < 10:
                world.call(tick * 2_000 + offset, node, tick * 2, terms, Job(100))
    world.run_until(80_000)
    shares(world.calls)


def test_waiting_nodes_exit_at_the_next_tick() -> None:
    """With --failover: waiting nodes exit when the next tick comes, even if the run continues."""
    world = World(random.Random(5), 3, PerfectNetwork())
    terms = Terms(lease=10_000, period=PERIOD, failover=True)
    holder, other = (world.call(at, node, 0, terms, Job(90_000)) for at, node in ((0, "n0"), (100, "n1")))
    world.run_until(120_000)
    assert (holder.outcome, other.outcome) == ("ran", "held")
    assert PERIOD * 1000 <= (other.ended or 0) < PERIOD * 1000 + 1_000


# Real nodes


def where(servers: list[Server]) -> list[str]:
    return [word for server in servers for word in ("--redis", server.url)]


@pytest.mark.parametrize("place", ["servers", "cluster"])
def test_real_nodes_take_turns(place: str, request: pytest.FixtureRequest) -> None:
    """Of 12 ticks each of three runs 4, but for one that the machine's own slowness may misplace."""
    voters = request.getfixturevalue(place)
    urls = ["--redis", voters.urls[0]] if isinstance(voters, Cluster) else where(voters)
    prefixes = iter("abcde")
    turns = when_calm(lambda: fair.measure(urls, named(0, 100, 200), 12, 1.0, "--prefix", next(prefixes)))
    assert len(turns.ran) == 12
    assert all(3 <= turns.shares[node] <= 5 for node in ("n0", "n1", "n2")), turns.ran


def test_real_nodes_without_politeness_do_not(servers: list[Server]) -> None:
    """Without fairness the node whose cron is first has more ticks than turns would ever give it: 2 of 6."""
    assert fair.measure(where(servers), named(0, 150, 300), 6, 0.6, "--no-fair").shares["n0"] >= 4


def test_a_dead_nodes_tick_moves_within_its_lease_and_a_second(servers: list[Server]) -> None:
    """Whenever the node dies: right after an extension, or just before the next one."""
    times = when_calm(lambda: takeover.measure(where(servers), 5, at_once=5))
    assert max(times) <= takeover.LEASE + 1
    assert min(times) > 1, "never while its lease runs"


@pytest.mark.parametrize("place", ["servers", "cluster"])
def test_a_lock_is_handed_on_and_hardly_anything_is_asked_meanwhile(place: str, request: pytest.FixtureRequest) -> None:
    """Fewer than two commands a second and waiting node, to all servers together; no node waits for its next poll."""
    voters = request.getfixturevalue(place)
    cluster = isinstance(voters, Cluster)
    urls = ["--redis", voters.urls[0]] if cluster else where(voters)
    found = handover.measure(urls, voters.masters() if cluster else voters, waiters=3, rounds=12, quiet=4)
    assert len(found.gaps) >= 11
    assert found.rate < 2
    assert max(found.gaps) < 2_000, "it would be ten seconds"


def test_a_rolling_restart_never_leaves_two_leaders_nor_none(servers: list[Server]) -> None:
    """Five pods get SIGTERM in turn, and a new pod replaces each."""
    reigns = when_calm(lambda: leader.measure(where(servers), pods=5, rounds=1, apart=0.7))
    assert reigns.count >= 2
    assert reigns.overlaps == 0
    assert reigns.without < 1_000
