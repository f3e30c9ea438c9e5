"""Faults of a cluster: acknowledged writes are lost in a failover, slots move."""

import time
from random import Random
from typing import TYPE_CHECKING

from redis import ResponseError

from tests.support.commands import wait_until

if TYPE_CHECKING:
    from tests.nemesis.round import Round


def write_lost_in_failover(round: "Round", rng: Random) -> None:
    """Stop a replica, so that it misses a commit that its master acknowledged, and let it take over."""
    cluster = round.voters.cluster
    assert cluster
    master = round.voters.one(rng)
    (replica,) = cluster.replicas(master)
    round.voters.watch.wait("finish", 2 * round.pace.period)
    if not round.voters.remembered(round.key, master):
        return
    replica.stop_process()
    master.ask("CLIENT", "KILL", "TYPE", "replica")  # otherwise the write survives in a socket's buffer
    try:
        if not round.voters.watch.wait("commit", 2 * round.pace.period):
            return
        with round.hit(f"{master.place.address} failed over") as hit:
            time.sleep(0.005)  # for the commit to be acknowledged
            own = next(seen.slots[0][0] for seen in cluster.view(master) if seen.port == master.port)
            master.kill()
            replica.continue_process()
            wait_until(lambda: cluster.master_of(own) is replica, 30, "the replica to be promoted", 0.05)
            tokens = [(server, int(record.get("token", 0))) for server, record in round.voters.records(round.key)]
            newest = max(token for _, token in tokens)
            lost = sum(server is replica and token < newest for server, token in tokens)
            hit.what += f", {lost} copies without the last commit"
    finally:
        round.voters.heal()


def slots_moved(round: "Round", rng: Random) -> None:
    """Move the slots of this key's copies one by one between four masters, keys first, ownership last."""
    cluster = round.voters.cluster
    assert cluster
    if len(cluster.nodes) == 6:
        cluster.add_master(round.voters.spare_place)
    source, names = rng.choice(round.voters.copies(round.key))
    target = rng.choice([master for master in cluster.masters() if master is not source])
    try:
        cluster.begin_migration(names.slot, target)
    except ResponseError as error:
        if "only with masters" not in str(error):
            raise
        slots_moved(round, rng)  # a master that lost its last slot had just become a replica
        return
    with round.hit(f"slot {names.slot} moved"):
        round.sleep(rng.uniform(0, 0.5))
        cluster.move_keys(names.slot, target, count=rng.randint(1, 3))
        round.sleep(rng.uniform(0, 0.5))
        wait_until(lambda: not cluster.move_keys(names.slot, target), 10, "a slot to be empty")
        cluster.finish_migration(names.slot, target)
