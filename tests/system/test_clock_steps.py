"""A SIGTERM, and a SIGKILL, at every step of a run: before, while and after it gets the lock and the command runs.

A step is a system call: strace delivers the signal at each one in turn, from the first socket to the exit.
"""

import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.commands import environment, home, wait_until
from tests.support.fork_server import run_forked
from tests.support.processes import bearing

pytestmark = pytest.mark.debian

AT_ONCE = 3
DELAY = 100_000  # us
FEWEST = 60  # steps: with fewer the trace is not that of a whole run
SCRIPT = "exec 2>/dev/null; : >{began}; trap 'exit 7' TERM; sleep 0.3 & wait; exit 0"  # dash would say Terminated
STOPPED = {7, 128 + signal.SIGTERM}  # by its own trap, or before it had one; the latter also when it never began
TICK = "2026-11-20T02:00Z"


def run(key, where, command, front=()):
    words = [sys.executable, "-m", "cronlock", "run", *where, "--key", key, "--tick", TICK, "--", *command]
    return subprocess.run(
        [*front, *words],
        env=environment(),
        cwd=home(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def steps(where):
    """Each system call of a run as its name and how many of this name there were up to it."""
    trace = Path(home(), "trace")
    done = run("reference", where, ["sh", "-c", SCRIPT.format(began="began")], ["strace", "-qq", "-o", trace])
    assert (done.returncode, done.stderr) == (0, "")
    names = [found[0] for line in trace.read_text().splitlines() if (found := re.match(r"\w+(?=\()", line))]
    numbered = [(name, names[: place + 1].count(name)) for place, name in enumerate(names)]
    return numbered[names.index("socket") :]


def injecting(number, name, count, slow=""):
    """strace, so that it sends a signal at this system call, and stands still behind those that are slow."""
    words = ["strace", "-qq", "-o", "/dev/null", "-e", f"trace={','.join(filter(None, (slow, name)))}"]
    words += ["-e", f"inject={slow}:delay_exit={DELAY}"] if slow else []
    return [*words, "-e", f"inject={name}:signal={number}:when={count}"]


def signalled(place, step, where):
    """What came of a run that was signalled at a step, and of the next one of the same tick."""
    name, count = step
    key = f"{place}-{name}-{count}"
    inject = injecting("TERM", name, count)
    done = run(key, where, ["sh", "-c", SCRIPT.format(began=f"began-{key}")], inject)
    words = ["run", *where, "--key", key, "--tick", TICK, "--", "echo", "next"]
    after = run_forked(words, environment(), home())  # this one's start is not what is tried
    return key, done.returncode, done.stderr, Path(home(), f"began-{key}").exists(), after.stdout


@pytest.mark.parametrize("place", ["server", "servers", "cluster"])
def test_a_sigterm_at_any_step_ends_the_run_and_leaves_the_tick_to_others(place, request):
    """Before the command: 143, and nothing stays. While it runs: its own end. After it: nothing changes any more."""
    voters = request.getfixturevalue(place)
    urls = {"server": lambda: [voters.url], "servers": lambda: [s.url for s in voters], "cluster": lambda: voters.urls}
    where = [word for url in urls[place]() for word in ("--redis", url)]
    found = steps(where)
    assert len(found) >= FEWEST
    with ThreadPoolExecutor(AT_ONCE) as pool:
        results = list(pool.map(lambda step: signalled(place, step, where), found))
    for key, status, said, began, after in results:
        assert said == "", key
        assert status in {0, *STOPPED}, key
        assert began or status == 128 + signal.SIGTERM, key
        assert after == ("" if status == 0 else "next\n"), (key, status, began)
        if key.endswith("-clone-1"):  # the guard's: the last but one thing before the command
            assert not began, key
    statuses = [status for _, status, _, _, _ in results]
    assert {*statuses} >= {0, 143}, "some steps are before the command, some behind it"
    assert not bearing(f"HOME={home()}")


def test_a_sigkill_at_any_step_leaves_nothing_behind(servers):
    """The guard knows the command before that can leave its group, and ends it long before the lease of an hour.

    cronlock stands still behind each fork, for as long as the command takes to leave.
    """
    where = [word for server in servers for word in ("--redis", server.url)]
    found = steps(where)
    where += ["--ttl", "1h", "--kill-after", "1s"]
    stray = ["setsid", "sh", "-c", "trap '' TERM; sleep 0.3; kill -0 $PPID && exit 0; sleep 61"]

    def killed(step):
        return run(
            "-".join(map(str, step)), where, stray, injecting("KILL", *step, slow="clone,clone3,vfork")
        ).returncode

    with ThreadPoolExecutor(AT_ONCE) as pool:
        statuses = list(pool.map(killed, found))
    assert statuses.count(-signal.SIGKILL) > FEWEST
    wait_until(lambda: not bearing(f"HOME={home()}"), message="the end of all", interval=0.05)


@pytest.mark.parametrize("call", ["waitid:error=EINVAL:when=2", "poll:error=EINVAL:when=12+"])
def test_a_fault_of_cronlock_itself_leaves_nothing_behind(servers, call):
    """Whatever makes cronlock fail while the command runs: the guard ends the command."""
    where = [word for server in servers for word in ("--redis", server.url)]
    where += ["--ttl", "1h", "--kill-after", "1s"]
    inject = ["strace", "-qq", "-o", "/dev/null", "-e", f"trace={call.partition(':')[0]}", "-e", f"inject={call}"]
    done = run("job", where, ["sh", "-c", ": >began; trap '' TERM; sleep 61"], inject)
    assert done.returncode not in (0, 128 + signal.SIGTERM)
    assert Path(home(), "began").exists()
    wait_until(lambda: not bearing(f"HOME={home()}"), message="the end of all", interval=0.05)
