"""--wait: for a shell, for CI, and for a daemon that is to run on exactly one node."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.figures.handover import subscribed
from tests.support.commands import cronlock, home, start_cronlock, wait_until
from tests.support.processes import about, descendants, kill_all
from tests.support.proxies import Proxy
from tests.support.servers import Server
from tests.support.terminals import Terminal
from tests.support.waiting_nodes import SLEEPER, held, start, waiting_node, where

PLAIN = ("--schedule", "none")
TICK = ("--tick", "2026-11-20T02:00Z")
NEXT = ("--tick", "2026-11-20T03:00Z")
SHORT = ("--ttl", "7s")
LEADER = """
import os, signal, sys, time
name = os.environ["CRONLOCK_RUN_NODE"]
def say(what):
    with open("reigns", "a") as file:
        file.write(f"{what} {name} {time.monotonic():.3f}\\n")
def over(*_):
    say("end")
    sys.exit(0)
signal.signal(signal.SIGTERM, over)
say("start")
while True:
    time.sleep(0.05)
    open("beat-" + name, "w").close()
"""


def test_a_held_lock_is_waited_for(servers):
    """One line when the wait begins, and then the command and its status."""
    holder = held(servers, *PLAIN)
    process = waiting_node(servers, *PLAIN, "--wait", "50s", "--", "sh", "-c", "echo ran; exit 7")
    holder.terminate()
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (7, "ran\n")
    assert err.startswith("cronlock: job: waiting at most 50s for the lock, held by web-1 since ")
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(("words", "status"), [((), 75), (("-E", "0"), 0), (("-E", "9"), 9)])
def test_a_wait_that_expires_ends_with_75_or_with_the_given_status(servers, words, status):
    """A line reports it, except with -q."""
    held(servers, *PLAIN)
    done = cronlock("run", *where(servers), "--key", "job", *PLAIN, "--wait", "1s", *words, "--", "echo", "ran")
    assert (done.returncode, done.stdout) == (status, "")
    assert done.stderr.splitlines()[-1].startswith("cronlock: job: gave up waiting: held by web-1 since ")
    quiet = cronlock("run", "-q", *where(servers), "--key", "job", *PLAIN, "--wait", "100ms", *words, "--", "true")
    assert (quiet.returncode, quiet.stderr) == (status, "")


def test_without_a_wait_held_is_held_at_once(servers):
    """A done or paused key is not waited for either."""
    held(servers, *PLAIN)
    done = cronlock("run", *where(servers), "--key", "job", *PLAIN, "--wait", "0", "--", "echo", "ran")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    other = [*where(servers), "--key", "other"]
    cronlock("run", *other, *TICK, "--", "true")
    assert cronlock("run", *other, *TICK, "--wait", "forever", "--", "echo", "ran").returncode == 0
    cronlock("pause", *where(servers), "other")
    assert cronlock("run", *other, *NEXT, "--wait", "forever", "--", "echo", "ran").returncode == 0


def test_a_run_of_an_older_tick_is_waited_for_and_one_of_the_same_tick_is_not(servers):
    """Waiting for the same tick is --failover."""
    holder = held(servers, *TICK)
    same = cronlock("run", "-v", *where(servers), "--key", "job", *TICK, "--wait", "50s", "--", "echo", "ran")
    assert (same.returncode, same.stdout) == (0, "")
    assert "held by web-1" in same.stderr
    newer = waiting_node(servers, *NEXT, "--wait", "50s", "--", "echo", "ran")
    holder.terminate()
    assert newer.communicate(timeout=20)[0] == "ran\n"


def test_of_several_nodes_that_wait_for_an_older_run_one_gets_the_tick_and_the_others_are_held(servers):
    """Such a wait has not expired: the status is 0, without a message."""
    holder = held(servers, *TICK)
    log = ("--", "sh", "-c", "echo ran; sleep 2")
    others = [waiting_node(servers, *NEXT, "--wait", "50s", "--node", f"n{number}", *log) for number in range(3)]
    holder.terminate()
    ended = [process.communicate(timeout=20) for process in others]
    assert sorted(out for out, _ in ended) == ["", "", "ran\n"]
    assert [process.returncode for process in others] == [0, 0, 0]
    assert all(len(err.splitlines()) == 1 for _, err in ended)


def test_start_within_ends_a_wait_too(servers):
    """The outcome is the last answer: held."""
    minute = int(time.time()) // 60 * 60
    held(servers, "--tick", minute - 60)
    left = minute + 60 - time.time()
    within = f"{int(60 - left + 2)}s"
    words = ("--tick", minute, "--start-within", within, "--wait", "forever", "--", "echo", "ran")
    done = cronlock("run", *where(servers), "--key", "job", *words)
    assert (done.returncode, done.stdout) == (75, "")
    assert "gave up waiting: held by web-1" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_the_wait_at_once(servers, number):
    """Nothing remains at the voters: the next node gets the lock as soon as it is free."""
    holder = held(servers, *PLAIN)
    process = waiting_node(servers, *PLAIN, "--wait", "forever", "--", "echo", "ran")
    process.send_signal(number)
    process.communicate(timeout=10)
    assert process.returncode == 128 + number
    holder.terminate()
    holder.wait()
    assert cronlock("run", *where(servers), "--key", "job", *PLAIN, "--", "echo", "ran").stdout == "ran\n"


def test_it_works_by_polling_without_the_right_to_subscribe(servers):
    """Slower, but all the same."""
    for server in servers:
        server.ask("ACL", "SETUSER", "cron", "reset", "on", ">secret", "~*", "&*", "+@all", "-subscribe")
    urls = [word for server in servers for word in ("--redis", server.url.replace("//", "//cron:secret@"))]
    holder = start_cronlock("run", *urls, "--key", "job", *PLAIN, *SLEEPER)
    wait_until(Path(home(), "ready").exists, message="the command")
    process = start_cronlock("run", *urls, "--key", "job", *PLAIN, "--wait", "forever", "--", "echo", "ran")
    assert process.stderr.readline().startswith("cronlock: job: waiting for the lock, held by ")
    holder.terminate()
    assert process.communicate(timeout=20)[0] == "ran\n"


def test_voters_that_come_and_go_do_not_end_a_wait(fresh_servers: Callable[..., list[Server]]):
    """A lost subscription is renewed."""
    servers = fresh_servers(3, appendonly="yes", appendfsync="always")
    holder = held(servers, *PLAIN, *SHORT)
    process = waiting_node(servers, *PLAIN, *SHORT, "--wait", "forever", "--", "echo", "ran")
    servers[0].restart()
    wait_until(lambda: subscribed(servers[:1]) == 1, timeout=25, message="the subscription")
    holder.terminate()
    assert process.communicate(timeout=25)[0] == "ran\n"


def test_an_outage_ends_a_wait(fresh_servers: Callable[..., list[Server]]):
    """The wait ends after --outage-wait, however long --wait is."""
    servers = fresh_servers(3)
    held(servers, *PLAIN, *SHORT)
    process = waiting_node(servers, *PLAIN, *SHORT, "--wait", "forever", "--outage-wait", "1s", "--", "echo", "ran")
    for server in servers[1:]:
        server.kill()
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (122, "")
    assert "unreachable: no quorum of 3 voters in " in err


def test_a_local_lock_is_waited_for(local_key):
    """No server notifies the end; the waiting node polls the file."""
    words = ("--local", "--key", local_key, *PLAIN)
    holder = start_cronlock("run", *words, *SLEEPER)
    wait_until(Path(home(), "ready").exists, message="the command")
    process = start_cronlock("run", *words, "--wait", "forever", "--", "echo", "ran")
    assert process.stderr.readline().startswith("cronlock: ")
    begun = time.monotonic()
    holder.terminate()
    assert process.communicate(timeout=20)[0] == "ran\n"
    assert time.monotonic() - begun < 5, "not only when it looks anyway"


def test_a_terminal_shows_the_holder_during_a_wait(terminal: Terminal, local_key: str):
    """One line shows the holder and the time, and disappears at the end of the wait."""
    holder = start_cronlock("run", "--local", "--key", local_key, "--node", "web-1", *PLAIN, *SLEEPER)
    wait_until(Path(home(), "ready").exists, message="the command")
    terminal.enter("TERM=xterm cronlock run --wait 50s -- echo ran")
    terminal.expect(r"waiting at most 50s for the lock \(0:00:0\d\), held by web-1 since \d\d:\d\d:\d\d, pid \d+")
    terminal.expect(r"\(0:00:0[2-9]\)")
    holder.terminate()
    terminal.expect("ran\n")
    terminal.prompt()
    terminal.enter("cronlock run --wait 50s -- echo 'ran again'")
    terminal.expect("ran again\n")


def test_a_dumb_terminal_gets_a_plain_line(terminal: Terminal, local_key: str):
    """As a log does."""
    start_cronlock("run", "--local", "--key", local_key, "--node", "web-1", *PLAIN, *SLEEPER)
    wait_until(Path(home(), "ready").exists, message="the command")
    terminal.enter("TERM=dumb cronlock run --wait 1s -- echo ran")
    terminal.expect("waiting at most 1s for the lock, held by web-1 since .* pid [0-9]+\n")
    terminal.expect("gave up waiting: held by web-1")


def test_ctrl_c_ends_a_wait_at_a_terminal(terminal: Terminal, local_key: str):
    """And its line is gone."""
    start_cronlock("run", "--local", "--key", local_key, "--node", "web-1", *PLAIN, *SLEEPER)
    wait_until(Path(home(), "ready").exists, message="the command")
    terminal.enter("TERM=xterm cronlock run --wait forever -- echo ran")
    terminal.expect(r"waiting for the lock \(0:00:\d\d\), held by web-1")
    terminal.ctrl("C")
    terminal.prompt()
    assert terminal.run("echo $?") == "130\n"


# --splay


def test_a_splay_is_at_random_and_at_most_so_long(servers):
    """The tick is fixed before; a signal ends it at once."""
    words = ("--key", "job", *TICK, "--splay", "1s", "--", "true")
    begun = time.monotonic()
    started = [start_cronlock("run", *where(servers), "--node", f"n{number}", *words) for number in range(6)]
    ends = []
    while started:
        ended = [process for process in started if process.poll() is not None]
        started = [process for process in started if process not in ended]
        ends += [time.monotonic() - begun] * len(ended)
        time.sleep(0.01)
    assert max(ends) - min(ends) > 0.05, "they did not all ask at once"
    assert max(ends) < 6
    process = start(servers, *NEXT, "--splay", "50s", *SLEEPER)
    wait_until(lambda: _catches(process.pid, signal.SIGTERM), message="its handlers")
    process.terminate()
    process.communicate(timeout=10)
    assert process.returncode == 143


def test_a_splay_longer_than_the_run_may_be_late_is_refused(servers):
    """By --start-within, or by the next tick."""
    within = ("--start-within", "10s", "--splay", "11s")
    for words in ((*TICK, *within), ("--schedule", "* * * * *", "--splay", "61s")):
        done = cronlock("run", *where(servers), "--key", "job", *words, "--", "echo", "ran")
        assert (done.returncode, done.stdout) == (125, "")
        assert "--splay " in done.stderr
        assert "is too long: the run must start within " in done.stderr


def _catches(pid, number):
    caught = int(about(pid).get("SigCgt", "0"), 16)
    return bool(caught >> (number - 1) & 1)


# A daemon that runs on exactly one node


def leader(servers, node):
    (home() / "leader.py").write_text(LEADER)
    words = ("--wait", "forever", "--node", node, "--", "python3", "leader.py")
    return start(servers, *PLAIN, *SHORT, *words)


def reigns():
    """Return the lines written: start or end, node, time."""
    path = home() / "reigns"
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def led_by(node):
    wait_until(lambda: any(line[:2] == ["start", node] for line in reigns()), timeout=30, message=f"{node} to lead")


def beats(node):
    """Return whether the node's daemon lives, which writes all the time."""
    beat = home() / f"beat-{node}"
    beat.unlink(missing_ok=True)
    deadline = time.monotonic() + 1
    while time.monotonic() < deadline:
        if beat.exists():
            return True
        time.sleep(0.01)
    return False


def test_another_node_leads_when_the_leader_dies(servers):
    """After a death when the lease has expired; after a release at once."""
    first = leader(servers, "n1")
    led_by("n1")
    second = leader(servers, "n2")
    wait_until(lambda: subscribed(servers) == 1)
    kill_all(first)
    led_by("n2")
    leader(servers, "n1")
    wait_until(lambda: subscribed(servers) == 1)
    second.terminate()
    second.communicate(timeout=10)
    assert second.returncode == 0
    wait_until(lambda: [line[:2] for line in reigns()][-1] == ["start", "n1"], timeout=5, message="n1 to lead again")


def test_a_leader_that_is_cut_off_stops_before_another_one_leads(server, proxy_to: Callable[[Server], Proxy]):
    """After the partition heals, the new leader stays."""
    proxy = proxy_to(server)
    first = leader([proxy], "n1")
    led_by("n1")
    second = leader([server], "n2")
    wait_until(lambda: subscribed([server]) == 1)
    proxy.drop_requests()
    proxy.drop_replies()
    err = first.communicate(timeout=30)[1]
    proxy.pass_all()
    assert first.returncode == 123, err
    led_by("n2")
    assert [line[:2] for line in reigns()] == [["start", "n1"], ["end", "n1"], ["start", "n2"]]
    again = leader([proxy], "n1")
    wait_until(lambda: subscribed([server]) == 1)
    assert beats("n2")
    assert not beats("n1")
    assert second.poll() is again.poll() is None


def test_a_leader_that_was_frozen_is_the_one_that_is_stopped(servers):
    """Node, guard and daemon are frozen for longer than the lease: the new leader stays."""
    first = leader(servers, "n1")
    led_by("n1")
    second = leader(servers, "n2")
    wait_until(lambda: subscribed(servers) == 1)
    family = [first.pid, *descendants(first.pid)]
    for pid in family:
        os.kill(pid, signal.SIGSTOP)
    led_by("n2")
    for pid in reversed(family):
        os.kill(pid, signal.SIGCONT)
    first.communicate(timeout=20)
    assert first.returncode == 123
    assert not beats("n1")
    assert beats("n2")
    assert second.poll() is None
