"""A master that was failed over from, and is failed back to: the same server, and older data."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from subprocess import Popen

from tests.support.clusters import Cluster
from tests.support.commands import wait_until
from tests.support.operator import DAY, NEXT, TICK, at, run, running
from tests.support.servers import Server

AFTER = ("--tick", f"{DAY}T04:00Z")
LONG = ("--ttl", "40s")  # none of it is extended before the second node has asked


@contextmanager
def hung(process: "Popen[str]") -> Iterator[None]:
    """The node's cronlock is stopped, and its command continues."""
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


def synced(replica: Server) -> None:
    wait_until(lambda: replica.redis.info("replication").get("master_link_status") == "up", message="a replica")


def copy_data(source: Server, target: Server) -> None:
    """Copy all data of `source` to `target` and make it a master again; connections to it stay open."""
    target.ask("REPLICAOF", source.place.address, source.port)
    synced(target)
    target.ask("REPLICAOF", "NO", "ONE")


def test_a_server_that_is_failed_back_to_outvotes_no_run(fresh_servers: Callable[..., list[Server]]) -> None:
    """By hand, with REPLICAOF: a replica that had missed the run was the master, and the first one is it again.

    The run stands at two voters. One of them went back to the data of before, one is not reached, one missed the run.
    """
    first, second, third, replica = fresh_servers(4)
    place, before = at(first, second, third), first.run_id
    copy_data(first, replica)  # a server's first replica gives it a new replication id
    assert run(place, *TICK, "--", "true").returncode == 0
    copy_data(first, replica)
    third.stop_process()
    with running(place, *NEXT, *LONG) as process, hung(process):
        copy_data(replica, first)
        assert first.run_id == before
        third.continue_process()
        second.stop_process()
        done = run(place, *NEXT, "--", "echo", "beside")
        second.continue_process()
        assert (done.returncode, done.stdout) == (122, "")
        assert "1 was restarted or promoted" in done.stderr
    assert run(place, *AFTER, "--", "echo", "next").stdout == "next\n"


def failed_over_and_back(cluster: Cluster, master: Server, replica: Server) -> None:
    """Promote the replica, which has missed the last writes, and fail back to the old master."""
    slot = next(seen.slots[0][0] for seen in cluster.view(master) if seen.port == master.port)
    master.stop_process()
    replica.continue_process()
    replica.ask("CLUSTER", "FAILOVER", "TAKEOVER")
    master.continue_process()
    cluster.wait_ok()
    assert cluster.master_of(slot) is replica
    master.ask("CLUSTER", "FAILOVER")
    wait_until(lambda: cluster.master_of(slot) is master, message="the first master to be it again")
    cluster.wait_ok()


def test_a_master_that_is_failed_back_to_outvotes_no_run(fresh_cluster: Callable[..., Cluster]) -> None:
    """The same on a cluster, with CLUSTER FAILOVER."""
    cluster = fresh_cluster(replicas=1, cluster_node_timeout=30_000)
    first, second, third = cluster.masters()
    [replica] = cluster.replicas(first)
    place, before = at(*cluster.nodes), first.run_id
    assert run(place, *TICK, "--", "true").returncode == 0
    replica.stop_process()
    first.ask("CLIENT", "KILL", "TYPE", "replica")  # else the run survives in a socket's buffer
    third.stop_process()
    with running(place, *NEXT, *LONG) as process, hung(process):
        third.continue_process()
        failed_over_and_back(cluster, first, replica)
        assert first.run_id == before
        second.stop_process()
        done = run(place, *NEXT, "--", "echo", "beside")
        second.continue_process()
        assert (done.returncode, done.stdout) == (122, "")
    assert run(place, *AFTER, "--outage-wait", "20s", "--", "echo", "next").stdout == "next\n"
