"""--failover and --retry-failed: other nodes wait, and take the tick over when its node dies."""

import contextlib
import os
import signal
import time
from pathlib import Path

import pytest

from tests.support.commands import cronlock, home, start_cronlock, wait_until
from tests.support.processes import kill_all, run_by
from tests.support.waiting_nodes import SLEEPER, held, start, waiting_node, where

TICK = ("--tick", "2026-11-20T02:00Z")
NEXT = ("--tick", "2026-11-20T03:00Z")
SHORT = ("--failover", "--ttl", "7s")
TELL = ("--", "sh", "-c", 'echo "$CRONLOCK_RUN_NODE $CRONLOCK_RUN_ATTEMPT"')


def test_a_tick_moves_when_its_node_dies(servers):
    """The takeover comes when the lease has expired, and reports that the last run never ended."""
    holder = held(servers, *TICK, *SHORT)
    other = waiting_node(servers, *TICK, *SHORT, "--node", "web-2", *TELL)
    kill_all(holder)
    out, err = other.communicate(timeout=30)
    assert (other.returncode, out) == (0, "web-2 2\n")
    assert err == "cronlock: job: the run of 2026-11-20T02:00Z on web-1 never ended\n"


def test_waiting_nodes_exit_quietly_when_the_tick_has_ended(servers):
    """They exit at once, with status 0 and without output."""
    holder = start(servers, *TICK, *SHORT, "--", "sh", "-c", "touch ready; while [ ! -e over ]; do sleep 0.05; done")
    wait_until(Path(home(), "ready").exists, message="the command")
    others = [waiting_node(servers, *TICK, *SHORT, "--node", f"n{number}", *TELL) for number in range(3)]
    begun = time.monotonic()
    (home() / "over").touch()
    assert [process.communicate(timeout=20) for process in (holder, *others)] == [("", "")] * 4
    assert [process.returncode for process in (holder, *others)] == [0] * 4
    assert time.monotonic() - begun < 5, "they were told, and did not look by themselves after ten seconds"


def test_a_run_that_is_given_back_goes_on_at_once_elsewhere(servers):
    """SIGTERM, as at an eviction: it uses up no attempt."""
    holder = held(servers, *TICK, *SHORT)
    other = waiting_node(servers, *TICK, *SHORT, "--node", "web-2", *TELL)
    begun = time.monotonic()
    holder.send_signal(signal.SIGTERM)
    assert other.communicate(timeout=20)[0] == "web-2 1\n"
    assert time.monotonic() - begun < 5, "it did not wait for the lease"
    assert holder.wait(10) == 128 + signal.SIGTERM


def test_a_signal_to_the_whole_group_gives_the_run_back_too(servers):
    """systemd, and a machine that shuts down, signal cronlock and its command, in whichever order."""
    for number, first in enumerate(("command", "cronlock") * 5):
        key = ("--key", f"job-{number}")
        (home() / "ready").unlink(missing_ok=True)
        holder = start_cronlock("run", *where(servers), *key, *TICK, *SLEEPER)
        wait_until(Path(home(), "ready").exists, message="the command")
        pids = [run_by(holder.pid)[0], holder.pid]
        for pid in pids if first == "command" else pids[::-1]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        holder.communicate(timeout=10)
        assert cronlock("run", *where(servers), *key, *TICK, "--", "echo", "ran").stdout == "ran\n", first


def test_a_command_that_fails_has_run_unless_retry_failed_says_no(servers):
    """The status is the command's own either way."""
    fails = ("--", "sh", "-c", "echo $CRONLOCK_RUN_ATTEMPT; exit 3")
    first = cronlock("run", *where(servers), "--key", "job", *TICK, *SHORT, *fails)
    assert (first.returncode, first.stdout) == (3, "1\n")
    again = cronlock("run", *where(servers), "--key", "job", *TICK, *SHORT, *fails)
    assert (again.returncode, again.stdout) == (0, "")
    retried = [
        cronlock("run", *where(servers), "--key", "job", *NEXT, *SHORT, "--retry-failed", *fails) for _ in range(4)
    ]
    assert [(done.returncode, done.stdout) for done in retried] == [(3, "1\n"), (3, "2\n"), (3, "3\n"), (121, "")]
    assert retried[-1].stderr.startswith("cronlock: job: failed: attempt 3 at the tick of 2026-11-20T03:00Z, on ")


def test_the_attempts_are_bounded_over_all_nodes(servers):
    """Five nodes, and each command fails or its node dies: there are three runs, and the other nodes report it."""
    log = 'echo "$CRONLOCK_RUN_ATTEMPT" >> attempts; '
    words = (*TICK, *SHORT, "--retry-failed")
    first = start(servers, *words, "--", "sh", "-c", log + "touch ready; sleep 60")
    wait_until(Path(home(), "ready").exists, message="the command")
    others = [
        waiting_node(servers, *words, "--node", f"n{number}", "--", "sh", "-c", log + "exit 1") for number in range(4)
    ]
    kill_all(first)
    ended = [(process.communicate(timeout=40), process.returncode) for process in others]
    assert sorted(status for _, status in ended) == [1, 1, 121, 121]
    gave_up = [err for (_, err), status in ended if status == 121]
    assert all(" failed: attempt 3 at the tick of " in err and len(err.splitlines()) == 1 for err in gave_up)
    assert (home() / "attempts").read_text() == "1\n2\n3\n"


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (("--max-runtime", "100ms", "--", "sleep", "60"), 124),
        (("--", "/nonexistent"), 127),
        (("--", "sh", "-c", "kill -9 $$"), 137),
    ],
    ids=["timed out", "not found", "killed"],
)
def test_what_counts_as_failed(servers, words, status):
    """Another node may have the time, the program, or the memory."""
    done = cronlock("run", *where(servers), "--key", "job", *TICK, *SHORT, "--retry-failed", *words)
    assert done.returncode == status
    again = cronlock("run", *where(servers), "--key", "job", *TICK, *SHORT, "--retry-failed", *TELL)
    assert again.stdout.endswith(" 2\n")


def test_a_node_that_lost_its_lease_is_dead_to_the_others(server, proxy_to):
    """A partitioned node stops its command; another node runs the tick, without --retry-failed."""
    proxy = proxy_to(server)
    holder = held([proxy], *TICK, *SHORT)
    other = waiting_node([server], *TICK, *SHORT, "--node", "web-2", *TELL)
    proxy.drop_requests()
    assert other.communicate(timeout=30)[0] == "web-2 2\n"
    proxy.pass_all()
    assert holder.communicate(timeout=20)
    assert holder.returncode == 123


def test_a_stalled_node_reports_its_loss_and_another_takes_over(servers):
    """The guard ended the command of a stopped cronlock, which later does not record the tick as done."""
    holder = held(servers, *TICK, *SHORT)
    os.kill(holder.pid, signal.SIGSTOP)
    time.sleep(5)  # the guard ends the command a second before the lease is over
    os.kill(holder.pid, signal.SIGCONT)
    other = start(servers, *TICK, *SHORT, "--node", "web-2", *TELL)
    assert other.communicate(timeout=30)[0] in ("web-2 2\n", "")
    assert holder.wait(20) in (123, 0)


def test_start_within_bounds_the_first_start_only(servers):
    """A takeover may start until the next tick."""
    tick = ("--tick", int(time.time()), "--start-within", "3s")
    holder = held(servers, *tick[:2], *SHORT)
    other = waiting_node(servers, *tick, *SHORT, "--node", "web-2", *TELL)
    wait_until(lambda: time.time() > tick[1] + 3)
    done = cronlock("run", *where(servers), "--key", "other", *tick, "--failover", "--", "echo", "ran")
    assert done.stdout == ""
    assert "late: it is too late for the tick of " in done.stderr
    holder.terminate()
    assert other.communicate(timeout=20)[0] == "web-2 1\n"


def test_without_failover_a_dead_nodes_tick_stays_used(servers):
    """Also a tick that ran with --failover: the options of the later node decide."""
    holder = held(servers, *TICK, *SHORT)
    kill_all(holder)
    wait_until(
        lambda: "done" in cronlock("run", "-v", *where(servers), "--key", "job", *TICK, "--", "true").stderr,
        timeout=20,
        message="the end of the lease",
    )


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--each", "--failover", *TICK), "--failover requires --once"),
        (("--retry-failed", *TICK), "pass both"),
        (("--failover", "--schedule", "none"), "needs a tick"),
        (("--failover",), "needs a tick"),
    ],
    ids=["with each", "retry alone", "no ticks", "no schedule found"],
)
def test_options_that_exclude_each_other_are_refused(server, words, says):
    """One line names the option that is needed."""
    done = cronlock("run", "--redis", server.url, "--key", "job", *words, "--", "echo", "ran")
    assert (done.returncode, done.stdout) == (125, "")
    assert len(done.stderr.splitlines()) == 1
    assert says in done.stderr


def test_a_dry_run_shows_how_late_a_takeover_is(server):
    """The length of the lease: 30 s, or --ttl."""
    words = ("run", "--redis", server.url, "--key", "job", *TICK, "--dry-run", "--failover")
    assert "at most 30s after its node's death" in cronlock(*words, "true").stdout
    assert "at most 7s after its node's death" in cronlock(*words, "--ttl", "7s", "true").stdout
