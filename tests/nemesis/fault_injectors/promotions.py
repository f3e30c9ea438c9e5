"""Masters are failed over from and failed back to: they have older data under their former run_id."""

import time
from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING

import redis

from tests.nemesis.network_namespaces import Namespace
from tests.nemesis.voters import follow
from tests.support.commands import wait_until
from tests.support.servers import Server

if TYPE_CHECKING:
    from tests.nemesis.round import Round

WAIT = 30  # s for a replica or for a cluster


class Cuts:
    """The links that are cut, and mended later."""

    def __init__(self, round: "Round") -> None:
        self._network = round.network
        self._cut: set[tuple[Namespace, Namespace]] = set()

    def only(self, namespaces: set[tuple[Namespace, Namespace]]) -> None:
        """Cut these pairs and no others."""
        for namespace, other in self._cut - namespaces:
            self._network.mend(namespace, [other])
        for namespace, other in namespaces - self._cut:
            self._network.cut(namespace, [other])
        self._cut = namespaces


def failed_back(round: "Round", rng: Random) -> None:
    """Let some voters miss a run and others, fewer than a quorum, go back to before it; its node reaches neither.

    The other nodes reach all voters except those that remember the run: no node may run the tick again, or overlap it.
    """
    voting = sorted(round.voters.voting, key=lambda server: server.port)
    rng.shuffle(voting)
    minority = (len(voting) - 1) // 2
    back, missed, rest = voting[:minority], voting[minority : 2 * minority], voting[2 * minority :]
    for server in voting:
        round.voters.replica_of(server)
    if not round.voters.remembered(round.key, None):
        round.sleep(0.1)
        return
    cuts, nodes = Cuts(round), {node.namespace for node in round.nodes.all}
    away, others = _namespaces(round, missed), _namespaces(round, rest)
    before = {server: server.run_id for server in back}
    try:
        for server in back:
            _detach(round, server)
        cuts.only({(node, voter) for node in nodes for voter in away})
        if not round.voters.watch.wait("commit", 2 * round.pace.period):
            return
        time.sleep(0.2)
        if not (attempt := round.nodes.holder()):
            return
        own = next(node.namespace for node in round.nodes.all if node.name == attempt.node)
        lonely = {(own, voter) for voter in away | _namespaces(round, back)}
        cuts.only(lonely | {(node, voter) for node in nodes - {own} for voter in others})
        with round.hit(f"{minority} failed back to"):
            for server in back:
                _failed_over_and_back(round, server)
            assert all(server.run_id == before[server] for server in back)
            round.sleep(rng.uniform(0.2, 0.6) * round.pace.ttl)
    finally:
        cuts.only(set())
        for server in back:
            _reattach(round, server)
        round.voters.heal()
    round.sleep(round.pace.period)


def _namespaces(round: "Round", servers: list[Server]) -> set[Namespace]:
    return {round.voters.namespace(server) for server in servers}


def _detach(round: "Round", master: Server) -> None:
    """Let the master's replica miss everything from now on."""
    replica = round.voters.replica_of(master)
    if round.voters.cluster:
        replica.stop_process()
        master.ask("CLIENT", "KILL", "TYPE", "replica")  # otherwise the next writes survive in a socket's buffer
    else:
        replica.ask("REPLICAOF", "NO", "ONE")


def _failed_over_and_back(round: "Round", master: Server) -> None:
    replica, cluster = round.voters.replica_of(master), round.voters.cluster
    if not cluster:
        follow(master, replica)
        master.ask("REPLICAOF", "NO", "ONE")
        return
    slot = next(seen.slots[0][0] for seen in cluster.view(master) if seen.port == master.port)
    master.stop_process()
    replica.continue_process()
    replica.ask("CLUSTER", "FAILOVER", "TAKEOVER")
    master.continue_process()
    wait_until(lambda: _promoted(replica, master, "TAKEOVER"), WAIT, "a replica to take over", 0.1)
    wait_until(lambda: _promoted(master, replica), WAIT, "its master to take over again", 0.1)
    wait_until(lambda: cluster.master_of(slot) is master, WAIT, "the cluster to know it", 0.02)


def _promoted(server: Server, replica: Server, *how: str) -> bool:
    """Return whether the replica follows the server; ask repeatedly, since a change may not be known yet."""
    with suppress(redis.RedisError):
        if server.redis.info("replication")["role"] == "slave":
            server.ask("CLUSTER", "FAILOVER", *how)
            return False
        link = replica.redis.info("replication")
        return link["role"] == "slave" and link["master_port"] == server.port and link["master_link_status"] == "up"
    return False


def _reattach(round: "Round", master: Server) -> None:
    if not round.voters.cluster:
        follow(round.voters.replica_of(master), master)
