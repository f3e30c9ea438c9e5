"""The guard: whatever happens to cronlock, the command ends before its lease, and so does the guard."""

import contextlib
import os
import resource
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cronlock.process.command import CannotStartError, Command
from cronlock.process.event_loop import Loop, monotonic
from cronlock.process.guard import NEVER, Guard
from cronlock.process.terminal import Terminal
from tests.support.commands import cronlock, environment, home, start_cronlock, wait_until
from tests.support.processes import GUARD, about, bearing, descendants, guards_of, run_by

TICK = ("--tick", "2026-11-20T02:00Z")
SHORT = ("--ttl", "7s", "--kill-after", "1s")
DEAF = "trap '' TERM; "
COMMANDS = {
    "one that obeys": "exec sleep 61",
    "one that ignores SIGTERM": DEAF + "while :; do sleep 0.1; done",
    "grandchildren": "(sleep 61 & sleep 62) & sleep 63",
    "grandchildren that ignore SIGTERM": f"({DEAF} (sleep 61; sleep 62) & sleep 63; sleep 64) & exec sleep 65",
    "a pipeline": f"sleep 61 | ({DEAF} cat; sleep 62) | sleep 63",
    "one in a session of its own": "exec setsid sh -c \"trap '' TERM; touch began; sleep 61; sleep 62\"",
    "one that has stopped": "kill -STOP $$; sleep 61",
}


@pytest.fixture
def start(servers):
    """Start cronlock on three servers with a shell script; return when the script runs and both are at rest."""

    def call(script, *words, at=servers, rest=True, **kw):
        where = [word for server in at for word in ("--redis", server.url)]
        args = ("run", *where, "--key", "job", *TICK, *words, "--", "sh", "-c", f"touch ready; {script}")
        process = start_cronlock(*args, **kw)
        wait_until(Path(home(), "ready").exists, message="the command")
        if not rest:
            return process
        if "setsid" in script:
            wait_until(Path(home(), "began").exists, message="the command's session")
        wait_until(lambda: settled(process), message="the command to come to rest")
        return process

    return call


def settled(process):
    """Return whether the command's processes sleep or are stopped."""
    run = run_by(process.pid)
    return run and all(about(pid)["State"][0] in "ST" for pid in run)


def left():
    """Return all processes of this test, cronlock and guard included."""
    return bearing(f"HOME={home()}")


def wait_for_the_end(timeout=10, but=None):
    """Wait until only that process of this test is left. A check of all processes takes milliseconds."""
    wait_until(lambda: not left().keys() - {but}, timeout, "the end of all", interval=0.05)


def open_files(pid):
    return [os.readlink(fd) for fd in Path(f"/proc/{pid}/fd").iterdir()]


def tied(process):
    """Return whether the tether is armed, which happens a while after the command's start."""
    infos = [path.read_text() for path in Path(f"/proc/{process.pid}/fdinfo").iterdir()]
    return any(int(info.split("flags:")[1].split()[0], 8) & os.O_ASYNC for info in infos)


def guard_of(process):
    found = guards_of(process.pid)
    return found[0] if len(found) == 1 else None


def lease_end(servers):
    """Return the earliest end of the lease at three servers, in s of their clock."""
    clients = [server.client() for server in servers]
    ends = [client.hget(name, "lease_end") for client in clients for name in client.keys("*:record:*")]
    return min(map(int, ends)) / 1000


@pytest.mark.parametrize("script", COMMANDS.values(), ids=COMMANDS)
def test_with_cronlock_killed_the_command_ends_before_its_lease(start, servers, script):
    """SIGTERM at once, SIGKILL after --kill-after; then nothing is left, not even the guard."""
    process = start(script, "--ttl", "1h", "--kill-after", "2s")
    process.kill()
    ends = lease_end(servers)
    wait_for_the_end()
    assert time.time() < ends


@pytest.mark.parametrize("first", ["wrapper", "guard"])
@pytest.mark.parametrize("script", ["grandchildren that ignore SIGTERM", "a pipeline"])
def test_with_cronlock_and_its_guard_killed_at_once_the_kernel_ends_the_command(start, script, first):
    """In either order of death: no process of cronlock is left to do it."""
    process = start(COMMANDS[script], "--ttl", "1h", "--kill-after", "2s")
    wait_until(lambda: tied(process), message="the tether")
    pids = [process.pid, guard_of(process)]
    for pid in pids if first == "wrapper" else reversed(pids):
        os.kill(pid, signal.SIGKILL)
    wait_for_the_end()


def test_with_cronlock_killed_when_its_guards_have_died_the_kernel_ends_the_command(start):
    """A guard that replaced another guard shares the tether with the wrapper too."""
    process = start(COMMANDS["one that ignores SIGTERM"], "--ttl", "1h", "--kill-after", "2s")
    wait_until(lambda: tied(process), message="the tether")
    dead = guard_of(process)
    os.kill(dead, signal.SIGKILL)
    wait_until(lambda: guard_of(process) not in (dead, None), message="another guard")
    for pid in (guard_of(process), process.pid):
        os.kill(pid, signal.SIGKILL)
    wait_for_the_end()


@pytest.mark.parametrize("script", COMMANDS.values(), ids=COMMANDS)
def test_with_cronlock_stopped_the_command_ends_before_its_lease(start, servers, script):
    """A cronlock that is stopped for longer than its lease is woken at the end, and returns 123."""
    process = start(script, *SHORT)
    process.send_signal(signal.SIGSTOP)
    wait_until(lambda: about(process.pid)["State"][0] == "T")
    ends = lease_end(servers)
    wait_for_the_end(15, but=process.pid)
    assert time.time() < ends
    _, err = process.communicate(timeout=10)
    assert process.returncode == 123
    assert err == (
        "cronlock: job: lost: cronlock itself was stopped or delayed until its lease had nearly expired:"
        " the command was stopped (status 123)\n"
    )


def test_a_lost_run_closes_standard_error_before_it_waits_for_silent_voters(start, fresh_servers):
    """A reader of standard error sees its end 3 s before cronlock's."""
    servers = fresh_servers(3)
    process = start("exec sleep 61", *SHORT, at=servers)
    for server in servers:
        server.stop_process()
    assert process.stderr.read().startswith("cronlock: job: lost: ")
    assert process.poll() is None
    assert process.wait(10) == 123


def test_a_cronlock_that_was_stopped_for_less_goes_on(start):
    """cronlock extends the lease when it wakes, and the run continues."""
    process = start("sleep 6", "--ttl", "10s", "--kill-after", "1s")
    process.send_signal(signal.SIGSTOP)
    time.sleep(4)
    process.send_signal(signal.SIGCONT)
    assert process.communicate(timeout=20) == ("", "")
    assert process.returncode == 0


@pytest.fixture
def starved():
    """starved(pid): lets the kernel give this process no more memory; the OOM killer ends it when it wants some."""
    folders = []

    def call(pid):
        for root, limit in (
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            ("/sys/fs/cgroup", "memory.max"),
        ):
            folder = Path(root, f"cronlock-test-{pid}")
            if Path(root, "cgroup.procs").exists():
                folder.mkdir()
                folders.append(folder)
                (folder / limit).write_text("4096")
                (folder / "cgroup.procs").write_text(str(pid))
                return
        raise AssertionError("no memory cgroup")

    yield call
    for folder in folders:
        wait_until(lambda folder=folder: not (folder / "cgroup.procs").read_text())
        folder.rmdir()


@pytest.mark.debian
def test_with_cronlock_out_of_memory_the_command_ends_before_its_lease(start, fresh_servers, starved):
    """The kernel's OOM killer ends cronlock; the guard ends the command."""
    servers = fresh_servers(3)
    process = start(COMMANDS["grandchildren that ignore SIGTERM"], *SHORT, at=servers)
    starved(process.pid)
    servers[0].kill()  # what it has to do now is new, and takes memory
    ends = lease_end(servers[1:])
    wait_for_the_end()
    assert time.time() < ends
    assert process.wait() == -signal.SIGKILL


def test_a_guard_that_dies_is_replaced(start):
    """After each replacement the command is guarded as before."""
    process = start(COMMANDS["grandchildren"], "--ttl", "1h")
    group = os.getpgid(guard_of(process))
    for _ in range(3):
        dead = guard_of(process)
        os.kill(dead, signal.SIGKILL)
        wait_until(lambda dead=dead: guard_of(process) not in (dead, None), message="another guard")
        assert os.getpgid(guard_of(process)) == group
    process.kill()
    wait_for_the_end()


def test_a_guard_that_was_stopped_does_not_hold_up_the_end(start):
    """Orders that did not fit into its pipe are sent later."""
    process = start("while ! test -e go; do sleep 0.05; done; exit 4", *SHORT)
    for _ in range(3):
        os.kill(guard_of(process), signal.SIGSTOP)
    Path(home(), "go").touch()
    assert process.wait(10) == 4
    assert not left()


def test_a_guard_that_is_stopped_is_woken(start):
    """Otherwise no process would end the command if cronlock is killed next."""
    process = start("exec sleep 61", "--ttl", "1h")
    os.kill(guard_of(process), signal.SIGSTOP)
    wait_until(lambda: about(guard_of(process))["State"][0] == "S")
    process.kill()
    wait_for_the_end()


def test_a_guard_without_files_ends_the_command_all_the_same(start, servers):
    """Without file descriptors the guard can't read /proc or be replaced: the command still ends before its lease."""
    process = start(COMMANDS["one that ignores SIGTERM"], *SHORT)
    resource.prlimit(guard_of(process), resource.RLIMIT_NOFILE, (4, 4))
    process.send_signal(signal.SIGSTOP)
    ends = lease_end(servers)
    wait_for_the_end(15, but=process.pid)
    assert time.time() < ends
    assert process.wait(10) == 123


def test_a_cronlock_without_files_ends_the_command_all_the_same(start):
    """cronlock can't read /proc either: SIGKILL comes at its deadline."""
    process = start(COMMANDS["grandchildren that ignore SIGTERM"], "--max-runtime", "3s", "--kill-after", "1s")
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (5, 5))
    assert process.wait(15) == 124
    assert not left()


def test_a_guard_that_reads_late_believes_the_newest_order():
    """After a stop many orders wait in the pipe: the old ones have expired, and the last order counts."""
    guard = Guard(Loop(), monotonic, 1000)
    guard.set_deadlines(monotonic() + 500, monotonic() + 1000)
    group = guard.group.number
    os.kill(group, signal.SIGSTOP)
    for number in range(300):
        guard.set_deadlines(monotonic() + 200 + number, NEVER)
    guard.set_deadlines(NEVER, NEVER)
    time.sleep(1)
    os.kill(group, signal.SIGCONT)
    with pytest.raises(AssertionError):
        wait_until(lambda: about(group)["State"][0] == "Z", timeout=1)
    guard.dismiss()
    guard.reap()


@pytest.mark.debian
@pytest.mark.parametrize("proc", [["--mount-proc"], []], ids=["its own /proc", "a foreign /proc"])
@pytest.mark.parametrize("how", ["timed out", "killed"])
def test_in_a_pid_namespace_a_command_has_its_time_to_tidy_up(local_key, how, proc):
    """SIGKILL comes after --kill-after, not at once, also if /proc shows another namespace."""
    script = "trap 'sleep 1; touch tidied; exit 0' TERM; while :; do sleep 0.1; done"
    limit = ["--max-runtime", "2s"] if how == "timed out" else []
    words = [sys.executable, "-m", "cronlock", "run", "--local", "--key", local_key, "--schedule", "none", *limit]
    words += ["--kill-after", "5s", "--", "sh", "-c", f"({script}) & touch ready; wait"]
    line = " ".join(map(shlex.quote, words))
    kill = "while ! test -e ready; do sleep 0.1; done; sleep 0.5; kill -9 $!; sleep 3" if how == "killed" else "wait"
    unshare = ["unshare", "--pid", "--fork", *proc, "--kill-child", "sh", "-c", f"{line} & {kill}"]
    subprocess.run(unshare, env=environment(), cwd=home(), timeout=30, check=False, capture_output=True)
    assert Path(home(), "tidied").exists()


def test_the_guard_has_nothing_of_cronlocks_but_a_pipe_and_the_tether(start):
    """The guard has its own name, works in /, blocks every signal, leads the group, and keeps no other file open."""
    reader, writer = os.pipe()
    process = start("exec sleep 61", pass_fds=[writer])
    os.close(writer)
    guard = guard_of(process)
    wait_until(lambda: len(os.listdir(f"/proc/{guard}/fd")) == 6)
    files = [os.readlink(f"/proc/{guard}/fd/{fd}") for fd in sorted(map(int, os.listdir(f"/proc/{guard}/fd")))]
    assert files[:3] == ["/dev/null"] * 3
    assert [file.partition(":")[0] for file in files[3:]] == ["pipe", "socket", "socket"]
    assert all(file in open_files(process.pid) for file in files[4:])
    assert os.readlink(f"/proc/{guard}/cwd") == "/"
    stoppable = {signal.SIGKILL, signal.SIGSTOP}
    blocked = int(about(guard)["SigBlk"], 16)
    assert {number for number in signal.valid_signals() if not blocked >> number - 1 & 1} <= stoppable
    assert os.getpgid(guard) == guard
    [command] = run_by(process.pid)
    assert about(command)["Name"] == "sleep"
    assert os.getpgid(command) == guard
    os.close(reader)


def test_the_guard_costs_little_memory(start):
    """Less than 1.8 MB that is its own: forked when all is prepared, it shares the rest with cronlock.

    A quarter of it is what the import of fcntl parts, once the command has lasted for 20 ms.
    """
    process = start("exec sleep 61")
    wait_until(lambda: tied(process), message="the tether")
    text = Path(f"/proc/{guard_of(process)}/smaps_rollup").read_text()
    private = sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Private_"))
    assert 0 < private < 1800, "kB"


def test_what_the_command_leaves_behind_outlives_the_guard(start):
    """A run ends with the command itself: the guard exits without sending a signal."""
    process = start("(sleep 2; touch later) & while ! test -e go; do sleep 0.05; done; exit 3")
    Path(home(), "go").touch()
    assert process.wait(10) == 3
    assert GUARD not in left().values()
    wait_until(Path(home(), "later").exists, message="what it left")


def test_a_command_without_a_lock_is_guarded_too(fresh_servers):
    """With --on-outage run the guard acts if cronlock dies; there is no lease."""
    [server] = fresh_servers(1)
    server.kill()
    where = ("--redis", server.url, "--key", "job", "--schedule", "none")
    words = ("run", *where, "--outage-wait", "0", "--on-outage", "run", "--", "sh", "-c", "touch ready; sleep 61")
    process = start_cronlock(*words)
    wait_until(Path(home(), "ready").exists)
    process.kill()
    wait_for_the_end()


def test_a_command_that_daemonises_has_run(server):
    """The lease ends with the first process: the next run starts at once, and the daemon lives on, without a lock."""
    words = ("run", "--redis", server.url, "--key", "job", "--schedule", "none", "--ttl", "1h", "--")
    assert cronlock(*words, "sh", "-c", "setsid -f sh -c 'touch began; exec sleep 61' >/dev/null 2>&1").returncode == 0
    wait_until(Path(home(), "began").exists)
    assert cronlock(*words, "echo", "next").stdout == "next\n"
    [daemon] = left()
    os.kill(daemon, signal.SIGKILL)


def test_nothing_starts_in_the_group_of_a_guard_that_has_begun():
    """A cronlock that was stopped just before the start, and wakes when its lease is over, starts nothing."""
    guard = Guard(Loop(), monotonic, 1000)
    guard.set_deadlines(monotonic() + 300, NEVER)
    group = guard.group.number
    wait_until(lambda: about(group)["State"][0] == "Z", message="the guard's end")
    with pytest.raises(CannotStartError):
        Command(["touch", str(home() / "ran")], os.environb, [], guard, Terminal())
    assert not Path(home(), "ran").exists()
    guard.dismiss()
    guard.reap()


@pytest.mark.parametrize("script", COMMANDS.values(), ids=COMMANDS)
def test_a_run_that_is_too_long_is_ended(start, server, script):
    """124 and one line, also when SIGKILL was needed; the tick is done, and nothing is left."""
    process = start(script, "--max-runtime", "2s", "--kill-after", "1s", rest=False)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 124
    assert err == "cronlock: job: timed out: it ran for longer than 2s: the command was stopped (status 124)\n"
    assert not left()
    client = server.client()
    [name] = client.keys("*:record:*")
    assert client.hmget(name, "state", "holder") == ["done", ""]


def test_a_signal_reaches_a_command_in_a_session_of_its_own(start):
    """The command has left the group, and still gets the signal."""
    process = start("exec setsid sh -c \"trap 'exit 9' USR1; touch began; sleep 61 & wait\"")
    process.send_signal(signal.SIGUSR1)
    assert process.wait(10) == 9


def test_the_first_cause_decides(fresh_servers):
    """A lease lost while the time limit ends the command does not change the status."""
    servers = fresh_servers(3)
    where = [word for server in servers for word in ("--redis", server.url)]
    words = (*where, "--key", "job", *TICK, "--ttl", "10s", "--kill-after", "3s", "--max-runtime", "5s")
    process = start_cronlock("run", *words, "--", "sh", "-c", f"{DEAF} touch ready; sleep 61; sleep 62")
    wait_until(Path(home(), "ready").exists)
    for server in servers:
        server.kill()
    _, err = process.communicate(timeout=20)
    assert process.returncode == 124
    assert err.startswith("cronlock: job: timed out: ")
    assert not left()


def test_the_guard_of_a_waiting_cronlock_is_not_there_yet(fresh_servers):
    """A node without the lock forks no guard."""
    [server] = fresh_servers(1)
    server.stop_process()
    process = start_cronlock("run", "--redis", server.url, "--key", "job", "--schedule", "none", "--", "true")
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(1)
    assert not descendants(process.pid)
    server.continue_process()
    assert process.wait(20) == 0
