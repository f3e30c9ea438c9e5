"""Many keys on a cluster, each with all copies as two runs leave them; and the cost of a run among them."""

import itertools
import time
from dataclasses import dataclass

from cronlock.lock.protocol import MAIN
from tests.bench.crowd.crowd_run import Crowd, Tick
from tests.bench.crowd.server_stats import memory
from tests.support.clusters import Cluster
from tests.support.many_keys import fill, model_of

MODEL = "model"  # the key whose copies are copied
PARTS = (MAIN, "nodes", "history", "line")
SAMPLE = 300  # keys that are run, each by one node
PAST = 1_000  # s: a tick is only a number here, and the last one must not lie in the future
RUNS = 60  # at least, so that few keys give a figure, too


@dataclass
class Filled:
    """Runs of some of the keys, and the memory of a key."""

    keys: int
    bytes: float  # of memory, per key
    ticks: list[Tick]


def name_of(number: int) -> str:
    return f"key-{number}"


def measure(cluster: Cluster, counts: tuple[int, ...]) -> list[Filled]:
    """Measure runs of the first keys among more and more keys."""
    ticks = itertools.count(int(time.time()) - PAST)
    with Crowd(cluster, 2) as two:
        two.run(MODEL, next(ticks))
        two.run(MODEL, next(ticks))
    model = model_of(cluster, MODEL, PARTS)
    filled: list[Filled] = []
    empty, there = memory(cluster.masters()), 0
    for count in counts:
        fill(cluster, model, map(name_of, range(there, count)))
        there = count
        each = (memory(cluster.masters()) - empty) / count
        sample = min(count, SAMPLE)
        with Crowd(cluster, sample) as crowd:
            names = [name_of(number) for number in range(sample)]
            played = [crowd.run(names, next(ticks)) for _ in range(max(1, RUNS // sample))]
        filled.append(Filled(count, each, played))
    return filled
