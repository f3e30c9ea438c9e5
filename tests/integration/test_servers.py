"""The harness keeps its promises: a test that relies on it can't pass for nothing."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.support.binaries import binaries
from tests.support.clusters import Cluster
from tests.support.commands import ROOT, cronlock, end, environment, home, start_cronlock, wait_until
from tests.support.processes import descendants
from tests.support.proxies import Proxy
from tests.support.servers import Server

Servers = Callable[..., list[Server]]
Clusters = Callable[..., Cluster]
Proxies = Callable[[Server], Proxy]


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def asked(cluster: Cluster, key: str) -> str:
    """What the owner of a key's slot says to a plain connection, which follows no redirect."""
    try:
        return str(cluster.master_of(cluster.slot_of(key)).redis.get(key))
    except redis.RedisError as error:
        return f"{type(error).__name__} {error}"


def test_it_names_each_binary_by_product_and_version() -> None:
    assert binaries()
    assert all(re.fullmatch(r"(redis|valkey)-\d+\.\d+", name) for name in binaries())


def test_a_server_answers_over_tcp_and_its_unix_socket(every_binary: Path, fresh_servers: Servers) -> None:
    (server,) = fresh_servers(binary=every_binary)
    redis.Redis.from_url(server.url).set("a", "1")
    assert redis.Redis.from_url(server.unix_url).get("a") == b"1"
    assert server.client().info("server")["process_id"] == server.pid
    assert f"port={server.port}" in server.log


def test_a_server_takes_another_port_when_its_own_is_taken(every_binary: Path, fresh_servers: Servers) -> None:
    (first,) = fresh_servers(binary=every_binary)
    (second,) = fresh_servers(binary=every_binary, port=first.port)
    assert second.port != first.port
    assert second.run_id != first.run_id


def test_a_server_that_cannot_start_says_why(fresh_servers: Servers) -> None:
    with pytest.raises(RuntimeError, match="no-such-option"):
        fresh_servers(no_such_option=1)


def test_a_killed_server_refuses_and_comes_back_empty_on_the_same_port(
    every_binary: Path, fresh_servers: Servers
) -> None:
    (server,) = fresh_servers(binary=every_binary)
    server.client().set("a", "1")
    port, run_id = server.port, server.run_id
    server.kill()
    assert not server.running
    with pytest.raises(redis.ConnectionError):
        server.client().ping()
    server.restart()
    assert server.port == port
    assert server.run_id != run_id
    assert server.client().get("a") is None


def test_a_restarted_server_has_what_its_dump_has(every_binary: Path, fresh_servers: Servers) -> None:
    (server,) = fresh_servers(binary=every_binary)
    server.client().set("a", "1")
    server.client().save()
    server.client().set("b", "2")
    server.restart()
    assert server.client().mget("a", "b") == ["1", None]
    server.restart(empty=True)
    assert server.client().get("a") is None


def test_a_restarted_server_has_what_its_append_only_file_has(every_binary: Path, fresh_servers: Servers) -> None:
    (server,) = fresh_servers(binary=every_binary, appendonly="yes", appendfsync="always")
    server.client().set("a", "1")
    server.restart()
    assert server.client().get("a") == "1"
    server.restart(empty=True)
    assert server.client().get("a") is None


def test_a_stopped_server_accepts_and_stays_silent_until_it_continues(server: Server) -> None:
    server.stop_process()
    assert not server.running
    with pytest.raises(redis.TimeoutError):
        server.client(socket_timeout=0.1).ping()
    server.continue_process()
    assert server.client().ping()


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda server: server.client().set("a", "1"), id="data"),
        pytest.param(Server.stop_process, id="stopped"),
        pytest.param(Server.kill, id="killed"),
        pytest.param(lambda server: os.kill(server.pid, signal.SIGKILL), id="killed behind its back"),
        pytest.param(lambda server: server.client().config_set("maxmemory", "1mb"), id="setting"),
        pytest.param(lambda server: server.client().config_set("requirepass", "secret"), id="password"),
        pytest.param(lambda server: server.client().execute_command("ACL", "SETUSER", "eve"), id="user"),
        pytest.param(lambda server: server.client().replicaof("127.0.0.1", 1), id="role"),
        pytest.param(lambda server: server.client().client_pause(60_000), id="paused"),
    ],
)
def test_the_next_test_gets_a_server_as_new(servers: list[Server], damage: Callable[[Server], Any]) -> None:
    server = servers[1]
    damage(server)
    server.heal()
    assert server.running
    assert server.settings() == server.built
    assert server.client().dbsize() == 0
    assert server.client().set("a", "1")


def test_a_stopped_server_is_continued_for_the_next_test(server: Server) -> None:
    run_id = server.run_id
    server.stop_process()
    server.heal()
    assert server.run_id == run_id


def test_three_servers_share_nothing(servers: list[Server]) -> None:
    assert len({server.run_id for server in servers}) == 3
    servers[0].client().set("a", "1")
    assert [server.client().dbsize() for server in servers] == [1, 0, 0]


def test_a_cluster_serves_all_slots_from_all_masters(cluster: Cluster) -> None:
    assert [len(cluster.masters()), len(cluster.replicas()), len(cluster.seeds)] == [3, 3, 6]
    assert len({cluster.master_of(slot).port for slot in (0, 8000, 16383)}) == 3
    client = redis.RedisCluster.from_url(cluster.urls[0])
    for number in range(100):
        client.set(f"key{number}", number)
    assert all(master.client().dbsize() for master in cluster.masters())
    assert all(len(cluster.replicas(master)) == 1 for master in cluster.masters())
    cluster.reset()
    assert not any(master.client().dbsize() for master in cluster.masters())


def test_a_migration_halfway_answers_ask_and_then_moved(every_binary: Path, fresh_cluster: Clusters) -> None:
    cluster = fresh_cluster(binary=every_binary)
    assert (len(cluster.masters()), len(cluster.replicas())) == (3, 3)
    here, there = "{tag}here", "{tag}there"
    slot = cluster.slot_of(here)
    source = cluster.master_of(slot)
    target = next(master for master in cluster.masters() if master is not source)
    source.redis.set(here, "1")
    cluster.begin_migration(slot, target)
    assert asked(cluster, here) == "1"
    assert asked(cluster, there).startswith("AskError")
    assert cluster.move_keys(slot, target) == 1
    assert asked(cluster, here).startswith("AskError")
    cluster.finish_migration(slot, target)
    assert cluster.master_of(slot) is target
    assert asked(cluster, here) == "1"
    with pytest.raises(redis.exceptions.MovedError):
        source.redis.get(here)


def test_a_fourth_master_is_empty_and_takes_slots(cluster: Cluster) -> None:
    fourth = cluster.add_master()
    assert fourth in cluster.masters()
    cluster.master_of(0).redis.set("{06S}", "1")  # slot 0
    cluster.migrate(cluster.slot_of("{06S}"), fourth)
    assert fourth.redis.get("{06S}") == "1"


def test_a_changed_cluster_is_replaced(cluster: Cluster) -> None:
    assert len(cluster.nodes) == 6
    cluster.begin_migration(0, next(master for master in cluster.masters() if master is not cluster.master_of(0)))
    with pytest.raises(RuntimeError, match="have changed"):
        cluster.heal()


def test_a_cluster_with_a_node_stopped_for_a_moment_is_kept(cluster: Cluster) -> None:
    for node in (cluster.masters()[0], cluster.replicas()[0]):
        node.stop_process()
    cluster.heal()
    assert len(cluster.running()) == 6


def test_a_killed_master_is_followed_by_its_replica_and_comes_back_as_one(fresh_cluster: Clusters) -> None:
    cluster = fresh_cluster()
    old = cluster.master_of(0)
    (replica,) = cluster.replicas(old)
    assert cluster.failover(old) is replica
    old.restart()
    cluster.wait_ok()
    assert cluster.replicas(replica) == [old]


def test_a_proxy_passes(server: Server, proxy_to: Proxies) -> None:
    proxy = proxy_to(server)
    client = redis.Redis.from_url(proxy.url)
    client.set("a", "x" * 1_000_000)
    assert len(client.get("a")) == 1_000_000  # type: ignore[arg-type]


def test_a_proxy_that_drops_replies_lets_requests_through(server: Server, proxy_to: Proxies) -> None:
    proxy = proxy_to(server)
    client = server.client(port=proxy.port, socket_timeout=0.2)
    client.ping()
    proxy.drop_replies()
    with pytest.raises(redis.TimeoutError):
        client.incr("a")
    assert server.client().get("a") == "1"
    proxy.pass_all()
    assert client.get("a") == "1"


def test_a_proxy_that_drops_requests_lets_none_through(server: Server, proxy_to: Proxies) -> None:
    proxy = proxy_to(server)
    client = server.client(port=proxy.port, socket_timeout=0.2)
    client.ping()
    before = proxy.request_bytes
    proxy.drop_requests()
    with pytest.raises(redis.TimeoutError):
        client.incr("a")
    assert proxy.request_bytes > before
    assert server.client().get("a") is None


def test_a_proxy_that_drops_some_operations_lets_the_others_through(server: Server, proxy_to: Proxies) -> None:
    proxy = proxy_to(server)
    client = server.client(port=proxy.port, socket_timeout=0.2)
    proxy.drop_requests("commit", "release")
    assert client.eval("return ARGV[1]", 0, "prepare", "commit not") == "prepare"  # type: ignore[no-untyped-call]
    for operation in ("commit", "release"):
        with pytest.raises(redis.TimeoutError):
            client.eval("return ARGV[1]", 0, operation)  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("requests", [False, True])
def test_a_proxy_delays_and_keeps_the_order(server: Server, proxy_to: Proxies, requests: bool) -> None:
    proxy = proxy_to(server)
    client = server.client(port=proxy.port)
    client.ping()
    proxy.delay(300, requests=requests)
    begun = time.monotonic()
    pipe = client.pipeline(transaction=False)
    for number in range(100):
        pipe.rpush("a", number)
    pipe.execute()
    assert 0.3 <= time.monotonic() - begun < 2
    assert server.client().lrange("a", 0, -1) == [str(number) for number in range(100)]


def test_a_late_request_is_carried_out_after_its_sender_left(server: Server, proxy_to: Proxies) -> None:
    proxy = proxy_to(server)
    client = server.client(port=proxy.port, socket_timeout=0.1)
    client.ping()
    proxy.delay(500, requests=True)
    with pytest.raises(redis.TimeoutError):
        client.set("a", "late")
    client.close()
    assert server.client().get("a") is None
    wait_until(lambda: server.client().get("a") == "late", message="the late request")


def test_a_cut_proxy_resets_and_refuses_until_it_passes_again(server: Server, proxy_to: Proxies) -> None:
    proxy = proxy_to(server)
    url = proxy.url
    with socket.create_connection(("127.0.0.1", proxy.port)) as connection:
        connection.sendall(b"PING\r\n")
        assert connection.recv(100) == b"+PONG\r\n"
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            connection.recv(100)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", proxy.port))
    proxy.pass_all()
    assert proxy.url == url
    assert redis.Redis.from_url(url).ping()


def test_nothing_outlives_tests_that_were_killed() -> None:
    script = """
import os, signal
from tests.support.servers import Server
server = Server()
server.stop_process()
print(server.pid, server.folder, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    told = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert told.returncode == -signal.SIGKILL, told.stderr
    pid, folder = told.stdout.split()
    wait_until(lambda: gone(int(pid)), message="the server to be ended")
    wait_until(lambda: not Path(folder).exists(), message="its folder to be removed")


def test_what_a_test_left_is_ended_with_its_children() -> None:
    """Even what ignores SIGTERM, below what doesn't."""
    shell = "sh -c 'trap \"\" TERM; echo ready; while :; do sleep 60; done' & wait"
    process = subprocess.Popen(["sh", "-c", shell], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    family = wait_until(lambda: len(found := descendants(process.pid)) == 2 and found, message="sh and sleep")
    assert family
    end(process)
    assert process.returncode == -signal.SIGTERM
    wait_until(lambda: all(gone(pid) for pid in family), message="its children to be ended")


def test_cronlock_gets_a_clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRONLOCK_KEY", "mine")
    monkeypatch.setenv("REDIS_URL", "redis://mine")
    assert set(environment()) - {"PYTHONPATH"} == {"PATH", "HOME", "LANG"}
    assert environment({"HOME": None, "TZ": "UTC"}).items() >= {("TZ", "UTC")}
    assert "HOME" not in environment({"HOME": None})


def test_cronlock_is_the_package_that_tests_import() -> None:
    told = subprocess.run(
        [sys.executable, "-c", "import cronlock; print(cronlock.__file__)"],
        env=environment(),
        cwd=home(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.strip() == str(ROOT / "cronlock" / "__init__.py")


def test_cronlock_runs_to_its_end_or_beside_the_test() -> None:
    """Whatever it says: this holds for the harness only."""
    done = cronlock("--version")
    assert done.stdout or done.stderr
    process = start_cronlock("--version")
    assert process.wait(30) == done.returncode


def test_waiting_in_vain_says_for_what() -> None:
    with pytest.raises(AssertionError, match=r"waited 0.05 s in vain for a miracle; the last answer was \[\]"):
        wait_until(list, 0.05, "a miracle")
