"""How long status takes over many keys on a cluster: whole processes, from their start to their end."""

import time
from collections.abc import Mapping
from typing import Any

from cronlock.lock.slots import OFFSETS, SLOTS, Tags, slot_of
from tests.commands import cronlock
from tests.servers import Cluster

AT_ONCE = 1_000  # keys in one pipeline
MODEL = "model"  # the key whose copies are copied


def fill(cluster: Cluster, count: int) -> None:
    """So many keys, all of whose copies are those of a key that two nodes have run."""
    masters = cluster.masters()
    for node in ("web-1", "web-2"):
        cronlock("run", "--redis", masters[0].url, "--key", MODEL, "--node", node, "--schedule", "*/5 * * * *", "true")
    model = {part: _model(cluster, part) for part in ("record", "nodes")}
    owners = cluster.owners()
    tags = [Tags().of(slot) for slot in range(SLOTS)]
    pipes = {master.port: master.redis.pipeline(transaction=False) for master in masters}
    for number in range(count):
        key = f"key-{number}"
        for offset in OFFSETS:
            slot = (slot_of(key.encode()) + offset) % SLOTS
            for part, fields in model.items():
                name = f"cronlock:{{{tags[slot].decode()}}}:{part}:{key}"
                pipes[owners[slot].port].hset(name, mapping=fields)
        if number % AT_ONCE == AT_ONCE - 1 or number == count - 1:
            for pipe in pipes.values():
                pipe.execute()


def _model(cluster: Cluster, part: str) -> Mapping[Any, Any]:
    for master in cluster.masters():
        for name in master.redis.scan_iter(f"*:{part}:{MODEL}"):
            return master.redis.hgetall(name)
    raise LookupError(part)


def play(cluster: Cluster, how: str) -> tuple[float, int]:
    """Seconds of one `cronlock status`, and how many lines it printed."""
    begun = time.monotonic()
    done = cronlock("status", "--redis", cluster.urls[0], "--format", how)
    assert done.returncode == 0
    return time.monotonic() - begun, len(done.stdout.splitlines())
