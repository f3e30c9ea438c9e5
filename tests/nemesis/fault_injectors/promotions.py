"""Masters are failed over from, and failed back to: they have older data, under the run_id that they had before."""

import time
from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING

import redis

from tests.nemesis.network_namespaces import Room
from tests.nemesis.voters import follow
from tests.support.commands import wait_until
from tests.support.servers import Server

if TYPE_CHECKING:
    from tests.nemesis.round import Round

WAIT = 30  # s for a replica or for a cluster


class Cuts:
    """Who does not reach whom, and is to again."""

    def __init__(self, round: "Round") -> None:
        self._house = round.house
        self._cut: set[tuple[Room, Room]] = set()

    def only(self, rooms: set[tuple[Room, Room]]) -> None:
        """These pairs and no others."""
        for room, other in self._cut - rooms:
            self._house.mend(room, [other])
        for room, other in rooms - self._cut:
            self._house.cut(room, [other])
        self._cut = rooms


def failed_back(round: "Round", rng: Random) -> None:
    """Some voters miss a run; others, less than a quorum, go back to before it, while its node hears neither of them.

    The other nodes hear all but those that remember the run: it must not run again, nor another one beside it.
    """
    voting = sorted(round.voters.voting, key=lambda server: server.port)
    rng.shuffle(voting)
    some = (len(voting) - 1) // 2
    back, missed, rest = voting[:some], voting[some : 2 * some], voting[2 * some :]
    for server in voting:
        round.voters.replica_of(server)
    if not round.voters.remembered(round.key, None):
        round.sleep(0.1)
        return
    cuts, nodes = Cuts(round), {node.room for node in round.crew.nodes}
    away, others = _rooms(round, missed), _rooms(round, rest)
    before = {server: server.run_id for server in back}
    try:
        for server in back:
            _left_behind(round, server)
        cuts.only({(node, voter) for node in nodes for voter in away})
        if not round.voters.watch.wait("commit", 2 * round.pace.period):
            return
        time.sleep(0.2)
        if not (attempt := round.crew.holder()):
            return
        own = next(node.room for node in round.crew.nodes if node.name == attempt.node)
        lonely = {(own, voter) for voter in away | _rooms(round, back)}
        cuts.only(lonely | {(node, voter) for node in nodes - {own} for voter in others})
        with round.hit(f"{some} failed back to"):
            for server in back:
                _failed_over_and_back(round, server)
            assert all(server.run_id == before[server] for server in back)
            round.sleep(rng.uniform(0.2, 0.6) * round.pace.ttl)
    finally:
        cuts.only(set())
        for server in back:
            _together_again(round, server)
        round.voters.heal()
    round.sleep(round.pace.period)


def _rooms(round: "Round", servers: list[Server]) -> set[Room]:
    return {round.voters.room(server) for server in servers}


def _left_behind(round: "Round", master: Server) -> None:
    """From now on its replica hears of nothing."""
    replica = round.voters.replica_of(master)
    if round.voters.cluster:
        replica.stop_process()
        master.ask("CLIENT", "KILL", "TYPE", "replica")  # else what comes next survives in a socket's buffer
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
    """Whether the one follows the other; asked for again and again, for one that just changed may not be heard yet."""
    with suppress(redis.RedisError):
        if server.redis.info("replication")["role"] == "slave":
            server.ask("CLUSTER", "FAILOVER", *how)
            return False
        link = replica.redis.info("replication")
        return link["role"] == "slave" and link["master_port"] == server.port and link["master_link_status"] == "up"
    return False


def _together_again(round: "Round", master: Server) -> None:
    if not round.voters.cluster:
        follow(round.voters.replica_of(master), master)
