"""In a crowd at one tick, one node runs, all others are answered, and none of them asks again and again."""

import time

import pytest

from cronlock.lock.protocol import COPIES
from tests.bench.crowd.crowd_run import Crowd
from tests.support.clusters import Cluster
from tests.support.servers import Server

NODES, TICKS = 60, 3
ATTEMPTS = 6  # of a node on average, at most: votes split, more often on a slow machine
CALLS = 2  # of one attempt at each voter: prepare and release


def check(place: Cluster | list[Server], voters: int) -> None:
    first = int(time.time()) - TICKS
    runners = []
    with Crowd(place, NODES) as crowd:
        for number in range(TICKS):
            tick = crowd.run("crowd", first + number)
            assert tick.outcomes == {"ran": 1, "held": NODES - 1}, tick.wrong()
            assert tick.work.scripts <= NODES * ATTEMPTS * CALLS * voters, tick.summary()
            runners += tick.runners
    assert len(runners) == TICKS
    assert [runner.token for runner in runners] == sorted(runner.token for runner in runners)


@pytest.mark.timeout(200)  # a crowd that gets no answer is stopped after 120 s
def test_a_crowd_on_a_cluster_has_one_run_and_all_others_exit(cluster: Cluster) -> None:
    """At each tick one node runs, and all others learn that it holds the key."""
    check(cluster, COPIES)


@pytest.mark.timeout(200)
def test_a_crowd_on_three_servers_has_one_run_and_all_others_exit(servers: list[Server]) -> None:
    """The same holds on separate servers."""
    check(servers, len(servers))
