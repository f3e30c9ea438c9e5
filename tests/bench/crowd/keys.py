"""Many keys on a cluster, each with all copies as two runs leave them; and what a run of one of them costs then."""

import itertools
import time
from dataclasses import dataclass

from cronlock.lock.slots import MAIN, OFFSETS, SLOTS, Tags, slot_of
from tests.bench.crowd.gauge import memory
from tests.bench.crowd.play import Crowd, Tick
from tests.servers import Cluster

AT_ONCE = 1_000  # keys in one pipeline
MODEL = "model"  # the key whose copies are copied
PARTS = (MAIN, "nodes", "history", "line")
SAMPLE = 300  # keys that are run, each by one node
PAST = 1_000  # s: a tick is only a number here, and the last one must not lie in the future
RUNS = 60  # at least, or one of few keys would be no figure


@dataclass
class Filled:
    """Runs of some of so many keys, and what a key takes."""

    keys: int
    bytes: float  # of memory, per key
    ticks: list[Tick]


def name_of(number: int) -> str:
    return f"key-{number}"


def play(cluster: Cluster, counts: tuple[int, ...]) -> list[Filled]:
    """With more and more keys; the first of them are run."""
    ticks = itertools.count(int(time.time()) - PAST)
    with Crowd(cluster, 2) as two:
        two.play(MODEL, next(ticks))
        two.play(MODEL, next(ticks))
    filled: list[Filled] = []
    empty, there = memory(cluster.masters()), 0
    for count in counts:
        _fill(cluster, there, count)
        there = count
        each = (memory(cluster.masters()) - empty) / count
        sample = min(count, SAMPLE)
        with Crowd(cluster, sample) as crowd:
            names = [name_of(number) for number in range(sample)]
            played = [crowd.play(names, next(ticks)) for _ in range(max(1, RUNS // sample))]
        filled.append(Filled(count, each, played))
    return filled


def _fill(cluster: Cluster, begin: int, end: int) -> None:
    model = _model(cluster)
    tags = [Tags().of(slot).decode() for slot in range(SLOTS)]
    owners = cluster.owners()
    pipes = {
        master.port: master.client(decode_responses=False).pipeline(transaction=False) for master in cluster.masters()
    }
    for number in range(begin, end):
        key = name_of(number)
        for offset in OFFSETS:
            slot = (slot_of(key.encode()) + offset) % SLOTS
            for part, dump in model.items():
                pipes[owners[slot].port].restore(f"cronlock:{{{tags[slot]}}}:{part}:{key}", 0, dump)
        if number % AT_ONCE == AT_ONCE - 1 or number == end - 1:
            for pipe in pipes.values():
                pipe.execute()


def _model(cluster: Cluster) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for master in cluster.masters():
        with master.client(decode_responses=False) as client:
            for part in PARTS:
                for name in client.scan_iter(f"*:{part}:{MODEL}"):
                    found[part] = client.dump(name)
    assert set(found) == set(PARTS)
    return found
