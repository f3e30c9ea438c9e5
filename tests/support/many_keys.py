"""Many keys on a cluster, all of whose copies are those of one key that was run: that many runs would take an hour."""

from collections.abc import Iterable, Mapping

from cronlock.servers.placement import OFFSETS, SLOTS, Tags, slot_of
from tests.support.clusters import Cluster

AT_ONCE = 1_000  # keys in one pipeline


def model_of(cluster: Cluster, key: str, parts: Iterable[str]) -> dict[str, bytes]:
    """These parts of one of its copies, as DUMP gives them."""
    found: dict[str, bytes] = {}
    wanted = list(parts)
    for master in cluster.masters():
        with master.client(decode_responses=False) as client:
            for part in wanted:
                for name in client.scan_iter(f"*:{part}:{key}"):
                    found[part] = client.dump(name)
    assert set(found) == set(wanted)
    return found


def fill(cluster: Cluster, model: Mapping[str, bytes], keys: Iterable[str]) -> None:
    """All copies of these keys, which must be new."""
    tags = Tags()
    by_slot = [tags.of(slot).decode() for slot in range(SLOTS)]
    owners = cluster.owners()
    pipes = {
        master.port: master.client(decode_responses=False).pipeline(transaction=False) for master in cluster.masters()
    }
    for count, key in enumerate(keys, 1):
        for offset in OFFSETS:
            slot = (slot_of(key.encode()) + offset) % SLOTS
            for part, dump in model.items():
                pipes[owners[slot].port].restore(f"cronlock:{{{by_slot[slot]}}}:{part}:{key}", 0, dump)
        if not count % AT_ONCE:
            for pipe in pipes.values():
                pipe.execute()
    for pipe in pipes.values():
        pipe.execute()
