"""The lease while the command runs: extended, lost in time, written back, and ended with the command."""

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.commands import cronlock, home, start_cronlock, wait_until
from tests.support.processes import descendants

TICK = ("--tick", "2026-11-20T02:00Z")
SHORT = ("--ttl", "7s", "--kill-after", "1s")


def where(servers):
    return [word for server in servers for word in ("--redis", server.url)]


def marked(name="ready"):
    wait_until(lambda: Path(home(), name).exists(), message=f"the file {name}")


def records(server):
    """All records at a server, by their Redis key."""
    client = server.client()
    return {name: client.hgetall(name) for name in client.keys("*:record:*")}


def record(server):
    [fields] = records(server).values()
    return fields


def test_a_command_longer_than_its_lease_keeps_it(servers):
    """A lease of 7 s is extended through a command of 17 s, at every voter."""
    process = start_cronlock("run", *where(servers), "--key", "job", *TICK, *SHORT, "--", "sleep", "17")
    wait_until(lambda: all(records(server) for server in servers))
    ends = set()
    while process.poll() is None:
        for server in servers:
            fields = record(server)
            if fields.get("kind") == "run":
                ends.add((server.port, fields["lease_end"]))
                assert int(fields["lease_end"]) / 1000 > time.time() + 1, "a lease ran out while the command ran"
        time.sleep(0.1)
    assert process.communicate() == ("", "")
    assert process.returncode == 0
    assert len(ends) >= 3 * 6, "each of three voters was extended every third of seven seconds"


def test_with_all_servers_gone_the_command_is_ended_before_the_lease_is_over(fresh_servers):
    """SIGTERM first, SIGKILL after --kill-after, all within the lease: status 123 and one line."""
    servers = fresh_servers(3)
    script = "trap '' TERM; touch ready; while :; do sleep 0.1; done"
    process = start_cronlock("run", *where(servers), "--key", "job", *TICK, *SHORT, "--", "sh", "-c", script)
    marked()
    family = descendants(process.pid)
    for server in servers:
        server.kill()
    died = time.monotonic()
    wait_until(lambda: not any(alive(pid) for pid in family), timeout=15, message="the command's end")
    assert time.monotonic() - died < 7
    _, err = process.communicate(timeout=10)
    assert process.returncode == 123
    assert err == "cronlock: job: lost: no quorum extended the lease: the command was stopped (status 123)\n"


def test_a_reader_that_stalls_does_not_keep_the_command_alive(fresh_servers):
    """Standard error is a full pipe: the command is stopped all the same, before the lease is over."""
    servers = fresh_servers(3)
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 4096)
    os.set_blocking(writer, True)
    words = ("run", *where(servers), "--key", "job", *TICK, *SHORT)
    process = start_cronlock(*words, "--", "sh", "-c", "touch ready; exec sleep 60", stderr=writer)
    marked()
    family = descendants(process.pid)
    for server in servers:
        server.kill()
    wait_until(lambda: not any(alive(pid) for pid in family), timeout=7, message="the command's end")
    assert process.wait(10) == 123
    os.close(reader)
    os.close(writer)


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_quorum_is_enough_to_go_on(fresh_servers):
    """One of three voters dies, and the run continues."""
    servers = fresh_servers(3)
    process = start_cronlock(
        "run", *where(servers), "--key", "job", *TICK, *SHORT, "--", "sh", "-c", "touch ready; sleep 9"
    )
    marked()
    servers[0].kill()
    assert process.communicate(timeout=30) == ("", "")
    assert process.returncode == 0
    assert record(servers[1])["state"] == record(servers[2])["state"] == "done"


def test_a_voter_that_forgot_gets_the_record_back(fresh_servers):
    """A restarted, empty server has tick, token and lease again a moment later, however long the lease is."""
    servers = fresh_servers(3)
    script = "touch ready; while ! test -e go; do sleep 0.05; done"
    process = start_cronlock("run", *where(servers), "--key", "job", *TICK, "--ttl", "1h", "--", "sh", "-c", script)
    marked()
    servers[0].kill()
    servers[0].restart(empty=True)
    wait_until(lambda: records(servers[0]), timeout=8, message="the write-back")
    written, kept = record(servers[0]), record(servers[1])
    for field in ("token", "tick", "attempt", "holder", "node", "start", "state"):
        assert written[field] == kept[field]
    Path(home(), "go").touch()
    assert process.wait(30) == 0
    assert record(servers[0])["state"] == "done"


def test_a_newer_run_at_a_quorum_ends_this_one(servers):
    """A run stops at once if so many voters have a newer token that no quorum is left."""
    process = start_cronlock(
        "run", *where(servers), "--key", "job", *TICK, *SHORT, "--", "sh", "-c", "touch ready; sleep 60"
    )
    marked()
    for server in servers[:2]:
        [name] = records(server)
        server.client().hset(name, mapping={"token": 2 * 10**12, "holder": "other"})
    _, err = process.communicate(timeout=15)
    assert process.returncode == 123
    assert "lost" in err


def test_the_lease_ends_with_the_command(server):
    """After the end the next run starts at once, however long the lease was."""
    words = ("run", "--redis", server.url, "--key", "job", "--schedule", "none", "--ttl", "1h")
    for _ in range(2):
        assert cronlock(*words, "--", "echo", "ran").stdout == "ran\n"


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL])
def test_a_voter_that_dies_at_the_end_changes_no_status(fresh_servers, number):
    """All voters gone when the command ends: its status stands, at most 3 s later.

    The 3 s are those of a process beside it that sleeps so long: a machine that stalls delays both.
    """
    servers = fresh_servers(3)
    script = "touch ready; while ! test -e go; do sleep 0.05; done; exit 7"
    process = start_cronlock("run", *where(servers), "--key", "job", *TICK, "--", "sh", "-c", script)
    marked()
    for server in servers:
        os.kill(server.pid, number)
    measure = subprocess.Popen(["sh", "-c", "while ! test -e go; do sleep 0.05; done; exec sleep 3"], cwd=home())
    Path(home(), "go").touch()
    measure.wait(30)
    begun = time.monotonic()
    _, err = process.communicate(timeout=20)
    assert process.returncode == 7
    why = "the end could not be recorded by a quorum: the lease will expire"
    assert err == f"cronlock: job: ended with status 7, but {why}\n"
    assert time.monotonic() - begun < 1
    for server in servers:
        if number == signal.SIGSTOP:
            server.continue_process()


def test_a_run_longer_than_its_record_is_kept_keeps_it(servers):
    """Otherwise all voters would forget the record during its lease, and a waiting node would start a second run."""
    words = ("run", *where(servers), "--key", "job", "--schedule", "none", "--ttl", "12s", "--kill-after", "1s")
    runs = "echo begins >>log; while ! [ -e end ]; do sleep 0.1; done; echo ends >>log"
    holder = start_cronlock(*words, "--", "sh", "-c", f"touch ready; {runs}")
    marked()
    voters = [(server.client(), name) for server in servers for name in records(server)]
    for client, name in voters:  # extended after four seconds: a month, as it were, goes by in five
        client.pexpire(name, 5_000)
    wait_until(lambda: all(client.ttl(name) > 86_400 or not client.exists(name) for client, name in voters))
    waiting = start_cronlock(*words, "--wait", "forever", "--node", "other", "--", "sh", "-c", runs)
    log = Path(home(), "log")
    clients = [server.client() for server in servers]
    wait_until(
        lambda: all(one.pubsub_channels() for one in clients) or log.read_text() != "begins\n",
        message="the other one to wait",
    )
    assert log.read_text() == "begins\n"
    Path(home(), "end").touch()
    assert (holder.wait(20), waiting.wait(20)) == (0, 0)
    assert log.read_text() == "begins\nends\n" * 2
