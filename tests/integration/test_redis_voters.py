"""Discovery: one server, several servers, or a cluster, and its changes."""

import os
import time
from pathlib import Path

import pytest

from tests.support.commands import cronlock, home, start_cronlock, wait_until
from tests.support.servers import Server

TICK = ("--tick", "2026-11-20T02:00Z")
NEXT = ("--tick", "2026-11-20T03:00Z")


def marked(name="ready"):
    wait_until(lambda: Path(home(), name).exists(), message=f"the file {name}")


def copies(cluster, kind="record"):
    """Return the copies of all keys on a cluster's masters, as fields by name."""
    found = {}
    for master in cluster.masters():
        client = master.client()
        for name in client.keys(f"*:{kind}:*"):
            found[name] = client.hgetall(name)
    return found


def test_a_cluster_is_found_by_host_and_port(cluster):
    """REDIS_HOST and REDIS_PORT of any node are enough; seven copies lie on three masters."""
    node = cluster.nodes[-1]
    env = {"REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(node.port)}
    assert cronlock("run", "--key", "job", *TICK, "--", "echo", "ran", env=env).stdout == "ran\n"
    found = copies(cluster)
    assert len(found) == 7
    assert {fields["state"] for fields in found.values()} == {"done"}
    assert len({fields["token"] for fields in found.values()}) == 1
    assert cronlock("run", "--key", "job", *TICK, "--", "echo", "ran", env=env).stdout == ""


def test_several_seeds_of_one_cluster_are_one_cluster(cluster):
    """Dead seeds do no harm while one answers."""
    words = ["run", "--redis", "redis://127.0.0.1:1"]
    for url in cluster.seeds:
        words += ["--redis", url]
    assert cronlock(*words, "--key", "job", *TICK, "--", "echo", "ran").stdout == "ran\n"
    assert len(copies(cluster)) == 7


def test_nodes_that_know_other_seeds_meet(cluster):
    """The names of the copies do not depend on the node that is asked first."""
    for url in cluster.seeds:
        done = cronlock("run", "--redis", url, "--key", "job", *TICK, "--", "touch", f"ran-{url[-5:]}")
        assert (done.returncode, done.stderr) == (0, "")
    assert len([name for name in os.listdir(home()) if name.startswith("ran-")]) == 1


def test_another_server_at_a_dead_nodes_address_is_ignored(cluster):
    """A waiting node knows the address; no URL names it. Kubernetes soon gives an address to another pod."""
    dead = cluster.masters()[0]
    seed = next(node.url for node in cluster.nodes if node is not dead)
    words = ("run", "--redis", seed, "--key", "job", "--schedule", "none", "--outage-wait", "30s")
    holder = start_cronlock(*words, "--", "sh", "-c", "touch ready; while ! [ -e end ]; do sleep 0.1; done")
    marked()
    waiting = start_cronlock(*words, "--wait", "1m", "--", "echo", "ran")
    wait_until(lambda: any(node.ask("PUBSUB", "CHANNELS") for node in cluster.running()), message="who waits")
    dead.kill()
    with Server(port=dead.port):
        wait_until(lambda: dead not in cluster.masters() and len(cluster.masters()) == 3, message="a new master")
        time.sleep(2)  # the waiting node asks again every second or so
        assert waiting.poll() is None
        Path(home(), "end").touch()
        assert waiting.communicate(timeout=30)[0] == "ran\n"
    assert holder.wait(10) == 0


def test_a_cluster_may_have_databases(fresh_cluster):
    """With Valkey 9 and later, if configured: all copies are in the database of the URL, whichever node is the seed."""
    cluster = fresh_cluster(masters=2, replicas=0, cluster_databases=4)
    words = ("--key", "job", *TICK, "--", "echo", "ran")
    assert [cronlock("run", "--redis", f"{url}/3", *words).stdout for url in cluster.urls] == ["ran\n", ""]
    names = [name for node in cluster.nodes for name in node.client(db=3).keys("*:record:*")]
    assert (len(names), copies(cluster)) == (7, {})
    assert "job" in cronlock("status", "--redis", f"{cluster.urls[0]}/3").stdout


def test_a_database_of_a_cluster_that_has_none_is_refused(cluster):
    """The message has the server's text."""
    done = cronlock("run", "--redis", f"{cluster.urls[0]}/3", "--key", "job", *TICK, "--", "true")
    assert (done.returncode, "/3: ERR" in done.stderr) == (125, True)


def test_a_unix_socket_reaches_a_server(server):
    """unix:// with the absolute path."""
    words = ("run", "--redis", server.unix_url, "--key", "job", *TICK)
    assert cronlock(*words, "--", "echo", "ran").stdout == "ran\n"
    assert server.client().keys("*:record:*")


def test_three_unix_sockets_are_three_voters(servers):
    """Each is asked, and a server that hangs times out like any other."""
    words = ["run", "--key", "job"]
    for server in servers:
        words += ["--redis", server.unix_url]
    assert cronlock(*words, *TICK, "--", "echo", "ran").stdout == "ran\n"
    assert all(server.client().keys("*:record:*") for server in servers)
    servers[0].stop_process()
    told = cronlock(*words, *NEXT, "-v", "--", "sleep", "1.5")
    assert told.returncode == 0
    assert "done" not in told.stderr
    for server in servers[:2]:
        server.stop_process()
    assert cronlock(*words, "--tick", "2026-11-20T04:00Z", "--outage-wait", "1s", "--", "true").returncode == 122


def test_a_host_name_is_resolved(server):
    """localhost may resolve to IPv6 first, where no server listens."""
    url = f"redis://localhost:{server.port}"
    assert cronlock("run", "--redis", url, "--key", "job", *TICK, "--", "echo", "ran").stdout == "ran\n"


def test_login_and_database_are_used(fresh_servers):
    """User, password and database of a URL, without percent-encoding."""
    [server] = fresh_servers(1, requirepass="p@ss/word")
    url = f"redis://default:p%40ss%2Fword@127.0.0.1:{server.port}/3"
    assert cronlock("run", "--redis", url, "--key", "job", *TICK, "--", "echo", "ran").stdout == "ran\n"
    assert server.client(db=3, password="p@ss/word").keys("*:record:*")
    env = {"REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(server.port), "REDIS_PASSWORD": "p@ss/word"}
    assert cronlock("run", "--key", "other", *TICK, "--", "echo", "ran", env=env).stdout == "ran\n"


def test_a_server_without_the_script_gets_it(server):
    """After SCRIPT FLUSH the next run loads it again."""
    words = ("run", "--redis", server.url, "--key", "job", "--schedule", "none")
    cronlock(*words, "--", "true")
    server.client().script_flush()
    assert cronlock(*words, "--", "echo", "ran").stdout == "ran\n"


def test_a_run_lives_through_the_death_of_a_master(fresh_cluster):
    """The copies on two masters are a quorum; after the failover the replica's copies are extended again."""
    cluster = fresh_cluster()
    words = ("run", "--redis", cluster.seeds[0], "--redis", cluster.seeds[1], "--key", "job", *TICK)
    long = ("--ttl", "10s", "--kill-after", "2s", "--", "sh", "-c", "touch ready; sleep 20")
    process = start_cronlock(*words, *long)
    marked()
    cluster.failover(cluster.masters()[0])
    assert process.communicate(timeout=60) == ("", "")
    assert process.returncode == 0
    assert cronlock(*words, "--", "echo", "again").stdout == ""
    assert cronlock("run", "--redis", cluster.urls[0], "--key", "job", *NEXT, "--", "echo", "next").stdout == "next\n"


def test_a_cluster_of_three_masters_without_replicas_does_without_one(fresh_cluster):
    """If the cluster may serve a part of its slots; a new key needs all copies."""
    cluster = fresh_cluster(replicas=0, cluster_require_full_coverage="no")
    where = ("run", "--redis", cluster.seeds[0], "--redis", cluster.seeds[1], "--outage-wait", "1s")
    assert cronlock(*where, "--key", "job", *TICK, "--", "true").returncode == 0
    cluster.nodes[0].kill()
    for node in cluster.nodes[1:]:
        wait_until(lambda node=node: any("fail" in seen.flags for seen in cluster.view(node)), message="the loss")
    assert cronlock(*where, "--key", "job", *NEXT, "--", "echo", "next").stdout == "next\n"
    new = cronlock(*where, "--key", "new", *TICK, "--", "true")
    assert (new.returncode, "a key's first run needs every voter" in new.stderr) == (122, True)


@pytest.mark.parametrize("halfway", [False, True])
def test_slots_that_move_are_followed(fresh_cluster, halfway):
    """A request for a copy whose slot has moved, or is moving, goes to the new master."""
    cluster = fresh_cluster(replicas=0)
    words = ("run", "--redis", cluster.urls[0], "--key", "job")
    assert cronlock(*words, *TICK, "--", "echo", "ran").stdout == "ran\n"
    for name in copies(cluster):
        slot = cluster.slot_of(name)
        target = next(master for master in cluster.masters() if master is not cluster.master_of(slot))
        if halfway:
            cluster.begin_migration(slot, target)
            cluster.move_keys(slot, target)
            break
        cluster.migrate(slot, target)
    assert cronlock(*words, *TICK, "--", "echo", "again").stdout == ""
    assert cronlock(*words, *NEXT, "--", "echo", "next").stdout == "next\n"


def test_a_run_follows_slots_that_move_meanwhile(fresh_cluster):
    """MOVED during an extension: the same request goes to the new master."""
    cluster = fresh_cluster(replicas=0)
    words = ("run", "--redis", cluster.urls[0], "--key", "job", *TICK, "--ttl", "7s", "--kill-after", "1s")
    process = start_cronlock(*words, "--", "sh", "-c", "touch ready; sleep 6")
    marked()
    names = list(copies(cluster))
    for name in names:
        slot = cluster.slot_of(name)
        cluster.migrate(slot, next(m for m in cluster.masters() if m is not cluster.master_of(slot)))
    assert process.communicate(timeout=30) == ("", "")
    assert process.returncode == 0
    assert {fields["state"] for fields in copies(cluster).values()} == {"done"}


def test_a_silent_server_does_not_stop_others(servers):
    """The start does not wait for the voter that hangs, and the end only a moment."""
    words = [word for server in servers for word in ("--redis", server.url)]
    cronlock("run", *words, "--key", "job", "--tick", "2026-11-20T01:00Z", "--", "true")
    servers[0].stop_process()
    begun = time.monotonic()
    done = cronlock("run", *words, "--key", "job", *TICK, "--", "echo", "ran")
    assert (done.returncode, done.stdout, done.stderr) == (0, "ran\n", "")
    assert time.monotonic() - begun < 5
    told = cronlock("run", *words, "--key", "job", *NEXT, "-v", "--", "echo", "ran")
    label = f"127.0.0.1:{servers[0].port}"
    assert told.stderr == f"cronlock: job: voter unreachable: {label}: no answer\ncronlock: job: ran: status 0\n"
