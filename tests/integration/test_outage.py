"""Servers that do not answer: cronlock waits up to --outage-wait and a second, then fails with 122."""

import random
import re
import signal
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis

from cronlock.servers.placement import copies
from tests.support.commands import changed_cronlock, cronlock, home, start_cronlock, wait_until
from tests.support.processes import kill_all

TICK = ("--tick", "2026-11-20T02:00Z")
NOISE = 0.5  # s that a loaded machine may take to run a process that is due


def where(servers):
    return [word for server in servers for word in ("--redis", server.url)]


def catches_sigterm(process):
    status = Path(f"/proc/{process.pid}/status").read_text()
    return process.poll() is not None or int(status.partition("SigCgt:")[2].split()[0], 16) & 1 << 14


def assert_unreachable_after(window, *words):
    """Assert status 122 and one line, `seconds` after the start and at most a second later; return the line."""
    process = start_cronlock(*words, "--outage-wait", f"{window}s", "--", "touch", "ran")
    wait_until(lambda: catches_sigterm(process), message="cronlock's start", interval=0.001)
    begun = time.monotonic()
    out, err = process.communicate(timeout=60)
    took = time.monotonic() - begun
    assert process.returncode == 122
    assert out == ""
    assert len(err.splitlines()) == 1
    assert err.startswith("cronlock: job: unreachable: no ")
    assert not Path(home(), "ran").exists()
    assert window - NOISE <= took < window + 1 + NOISE
    return err


@pytest.mark.parametrize("trouble", ["refused", "stopped", "read-only", "unknown name", "loading"])
def test_an_outage_is_reported_after_the_outage_wait(trouble, fresh_servers):
    """Whatever the cause, the wait is --outage-wait and at most a second more."""
    [server] = fresh_servers(1, key_load_delay=500)
    url = server.url
    if trouble == "refused":
        server.kill()
    elif trouble == "stopped":
        server.stop_process()
    elif trouble == "read-only":
        [master] = fresh_servers(1)
        server.client().replicaof("127.0.0.1", master.port)
    elif trouble == "unknown name":
        url = "redis://nowhere.invalid:1"
    else:
        load_slowly(server)
    assert_unreachable_after(2, "run", "--redis", url, "--key", "job", *TICK)
    if trouble == "stopped":
        server.continue_process()


def load_slowly(server):
    """Restarts a server with so much data that it replies LOADING for some seconds."""
    client = server.client(socket_timeout=30)
    with client.pipeline() as pipe:
        for number in range(12_000):
            pipe.set(f"k{number}", random.randbytes(2000))  # what can't be compressed: it answers every 2 MB
        pipe.execute()
    client.save()
    server.restart(wait=False)
    wait_until(lambda: says_loading(server), message="LOADING")


def says_loading(server):
    try:
        server.client().ping()
    except redis.BusyLoadingError:
        return True
    except redis.RedisError:
        return False
    raise AssertionError("it has loaded its data already")


def test_an_outage_wait_of_0_means_one_attempt(fresh_servers):
    """The run fails at once."""
    [server] = fresh_servers(1)
    server.kill()
    assert_unreachable_after(0, "run", "--redis", server.url, "--key", "job", *TICK)


def test_a_server_that_comes_back_in_time_is_found(fresh_servers):
    """The tick is not lost to a restart."""
    [server] = fresh_servers(1)
    server.kill()
    process = start_cronlock("run", "--redis", server.url, "--key", "job", *TICK, "--", "echo", "ran")
    time.sleep(1)
    server.restart()
    assert process.communicate(timeout=20) == ("ran\n", "")
    assert process.returncode == 0


def test_on_outage_decides_the_end_of_an_outage(fresh_servers):
    """fail, skip or run; the line is printed in each case."""
    [server] = fresh_servers(1)
    server.kill()
    words = ("run", "--redis", server.url, "--key", "job", *TICK, "--outage-wait", "0", "-E", "9", "--on-outage")
    skipped = cronlock(*words, "skip", "--", "touch", "ran")
    assert (skipped.returncode, len(skipped.stderr.splitlines())) == (9, 1)
    assert not Path(home(), "ran").exists()
    ran = cronlock(*words, "run", "--", "sh", "-c", "env | grep CRONLOCK_RUN | sort; exit 4")
    assert (ran.returncode, len(ran.stderr.splitlines())) == (4, 1)
    assert [line.split("=")[0] for line in ran.stdout.splitlines()] == ["CRONLOCK_RUN_KEY", "CRONLOCK_RUN_NODE"]


def test_a_run_without_a_lock_does_not_start_too_late(fresh_servers):
    """With --on-outage run after --start-within: 122."""
    [server] = fresh_servers(1)
    server.kill()
    words = ("run", "--redis", server.url, "--key", "job", *TICK, "--start-within", "1h", "--on-outage", "run")
    done = cronlock(*words, "--outage-wait", "0", "--", "touch", "ran")
    assert done.returncode == 122
    assert not Path(home(), "ran").exists()


def test_a_minority_is_not_a_quorum_and_its_votes_are_released(fresh_servers):
    """One of three voters answers: 122, and that voter holds no lease afterwards."""
    servers = fresh_servers(3)
    servers[0].kill()
    servers[1].stop_process()
    assert_unreachable_after(2, "run", *where(servers), "--key", "job", *TICK)
    servers[1].continue_process()
    client = servers[2].client()
    assert client.hget(client.keys("*:record:*")[0], "holder") == ""


def holder_of(server):
    client = server.client()
    return client.hmget(client.keys("*:record:*")[0], "holder", "kind")


def test_a_run_that_ends_during_its_commit_waits_for_the_releases(servers, proxy_to):
    """The next node must not take it for a run: commits are on their way, and the releases behind them."""
    proxies = [proxy_to(server) for server in servers]
    words = ("run", *where(proxies), "--key", "job", "--schedule", "none", "--")
    cronlock(*words, "true")
    for proxy in proxies[1:]:
        proxy.delay(60, requests=True)
    process = start_cronlock(*words, "touch", "ran")
    wait_until(lambda: holder_of(servers[0])[1] == "run", message="the first commit", interval=0.001)
    process.terminate()
    assert process.wait(10) == 128 + signal.SIGTERM
    assert [holder_of(server)[0] for server in servers] == [""] * 3
    assert not Path(home(), "ran").exists()


def test_a_new_key_waits_for_all_voters_and_says_so(fresh_servers):
    """A copy that never had the key looks like a copy that lost it."""
    servers = fresh_servers(3)
    servers[0].kill()
    words = ("run", *where(servers), "--key", "job", "--outage-wait", "1s")
    for tick in (TICK, ("--schedule", "none")):
        done = cronlock(*words, *tick, "--", "touch", "ran")
        assert done.returncode == 122
        assert "first run needs every voter" in done.stderr
    servers[0].restart()
    assert cronlock(*words, *TICK, "--", "echo", "ran").stdout == "ran\n"
    servers[0].kill()
    assert cronlock(*words, "--tick", "2026-11-20T03:00Z", "--", "echo", "ran").stdout == "ran\n"


def test_a_new_key_waits_for_a_voter_that_is_far_away(servers, proxy_to):
    """A first run needs all voters, also a voter whose answers take a fifth of a second."""
    far = proxy_to(servers[2])
    far.delay(200)
    words = ("run", *where(servers[:2]), "--redis", far.url, "--key", "job")
    assert cronlock(*words, *TICK, "--", "echo", "ran").stdout == "ran\n"


def test_voters_that_wake_are_not_blocked_by_dead_requests(fresh_servers):
    """Two of three are stopped for some seconds: their late votes are released, and the tick runs."""
    servers = fresh_servers(3)
    words = ("run", *where(servers), "--key", "job")
    cronlock(*words, "--tick", "2026-11-20T01:00Z", "--", "true")
    for server in servers[1:]:
        server.stop_process()
    nodes = [
        start_cronlock(*words, *TICK, "--outage-wait", "6s", "--node", f"n{node}", "--", "echo", "ran")
        for node in range(3)
    ]
    time.sleep(3.7)
    for server in servers[1:]:
        server.continue_process()
    said = [node.communicate(timeout=30) for node in nodes]
    assert sorted(said) == [("", ""), ("", ""), ("ran\n", "")]
    assert {node.returncode for node in nodes} == {0}


def test_a_server_that_was_stopped_executes_no_dead_request(fresh_servers):
    """Requests that timed out leave no lease when the server continues."""
    servers = fresh_servers(3)
    words = ("run", *where(servers), "--key", "job")
    cronlock(*words, "--tick", "2026-11-20T01:00Z", "--", "true")
    servers[2].stop_process()
    assert cronlock(*words, *TICK, "--", "echo", "ran").stdout == "ran\n"
    time.sleep(2.5)
    servers[2].continue_process()
    client = servers[2].client()
    wait_until(client.ping)
    [name] = client.keys("*:record:*")
    assert client.hget(name, "kind") != "run"


def test_a_voter_that_hangs_delays_the_start_by_milliseconds(fresh_servers):
    """Median over 20 starts, one voter stopped, against the same with all up, in turn: within 20 ms.

    Where a start takes longer, a quarter of it: to wait for that voter would take a second.
    """
    servers = fresh_servers(3)
    words = [*where(servers), "--key", "job", "--schedule", "none"]
    took = {False: [], True: []}
    cronlock("run", *words, "--", "true")
    for _ in range(20):
        for hangs in (False, True):
            if hangs:
                servers[1].stop_process()
            begun = time.time()
            done = cronlock("run", *words, "--", "date", "+%s.%N")
            if hangs:
                servers[1].continue_process()
            assert done.returncode == 0
            took[hangs].append(float(done.stdout) - begun)
    usual = statistics.median(took[False])
    assert statistics.median(took[True]) - usual < max(0.020, usual / 4)


@pytest.mark.parametrize("damage", ["gone", "cut"])
@pytest.mark.parametrize(
    ("name", "begins", "more"),
    [
        ("lock/lease.py", "class Lease:", ()),
        ("run/supervisor.py", "class Supervisor:", ()),
        ("run/supervisor.py", "class Supervisor:", ("--on-outage", "run", "--outage-wait", "0")),
    ],
    ids=["won", "committing", "run without a lock"],
)
def test_a_cronlock_that_is_replaced_during_an_attempt_releases_its_votes(
    damage, name, begins, more, servers, tmp_path
):
    """Modules for the command are imported late: if that fails, another node gets the tick, and a line says so."""
    env = changed_cronlock(tmp_path, name, begins, "class Later:")
    if damage == "gone":
        (tmp_path / "cronlock" / name).unlink()
    words = ("run", *where(servers), "--key", "job", *TICK)
    nowhere = ("--redis", "redis://127.0.0.1:1") if more else ()
    done = cronlock(*(("run", *nowhere, "--key", "job", *TICK) if more else words), *more, "touch", "ran", env=env)
    assert done.returncode == 125
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("cronlock: job: refused: can't import cronlock's own code: ")
    assert not Path(home(), "ran").exists()
    assert cronlock(*words, "--", "echo", "next").stdout == "next\n"


def test_a_run_outlives_its_script_file(server, tmp_path):
    """An upgrade removes the file, then the server is restarted: the run sends the script from memory."""
    env = changed_cronlock(tmp_path, "run/supervisor.py", "class Supervisor:", "class Supervisor:")
    words = ("run", "--redis", server.url, "--key", "job", "--schedule", "none", "--ttl", "6s", "--kill-after", "1s")
    process = start_cronlock(*words, "--", "sh", "-c", "touch began; exec sleep 5", env=env)
    wait_until(Path(home(), "began").exists)
    (tmp_path / "cronlock" / "servers" / "scripts" / "record.lua").unlink()
    server.redis.script_flush()
    assert process.communicate(timeout=20) == ("", "")
    assert process.returncode == 0


def test_a_split_vote_is_asked_again_before_it_is_too_late(server):
    """However long others block it, an attempt is left when they are gone: here a dead node."""

    def play(number):
        key, tick = f"job{number}", int(time.time())
        names = copies("cronlock", key, count=1)[0].keys
        server.redis.hset(names[0], mapping={"holder": "dead", "kind": "prepare", "lease_end": (tick + 2) * 1000})
        words = ("run", "--redis", server.url, "--key", key, "--tick", str(tick), "--start-within", "3s")
        return cronlock(*words, "--", "echo", "ran").stdout

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(play, range(8))) == ["ran\n"] * 8


def test_an_outage_is_reported_early_at_a_terminal():
    """Once, after a second; cron's mail has one line at the end."""
    words = ("run", "--redis", "redis://127.0.0.1:1", "--key", "job", "--schedule", "none", "--outage-wait")
    told, last = cronlock(*words, "6s", "-v", "--", "true").stderr.splitlines()
    assert re.fullmatch(r"cronlock: job: no answer in \d s \(127.0.0.1:1: .* refused\): retrying for [1-4]s more", told)
    assert last.startswith("cronlock: job: unreachable: ")
    assert len(cronlock(*words, "2s", "--", "true").stderr.splitlines()) == 1


def test_a_lease_from_before_a_restart_is_reported(fresh_servers):
    """The run may still be alive: this is neither a held lock nor an outage without a reason."""
    [server] = fresh_servers(1, appendonly="yes", appendfsync="always")
    words = ("run", "--redis", server.url, "--key", "job", "--schedule", "none")
    holder = start_cronlock(*words, "--node", "web-1", "--", "sh", "-c", "touch ready; exec sleep 60")
    wait_until((home() / "ready").exists, message="the command")
    kill_all(holder)
    server.restart()
    done = cronlock(*words, "--outage-wait", "0", "--", "true")
    assert done.returncode == 122
    assert "the server was restarted or promoted during a run on web-1 whose lease has not expired" in done.stderr
