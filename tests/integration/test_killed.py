"""300 runs whose cronlock is killed with SIGKILL at a random moment: nothing of them outlives the lease."""

import random
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.commands import home, start_cronlock, wait_until
from tests.support.fork_server import Call, call_all
from tests.support.processes import bearing, descendants

RUNS = 300
AT_ONCE = 4
LEASE = 7  # s: the shortest that leaves time to stop a command
LENGTH = 0.5  # s of a whole run, about: the moments are spread over it
SCRIPTS = (  # none of them leaves anything behind when it ends by itself
    "sleep 0.2",
    "trap '' TERM; sleep 0.2; sleep 61",
    "(sleep 61 & sleep 62) & sleep 63",
    "sleep 61 | (trap '' TERM; cat; sleep 62) | sleep 63",
    "exec setsid sh -c 'sleep 0.1; sleep 61'",
)
FIRST, NEXT = "2026-11-20T02:00Z", "2026-11-20T03:00Z"


def begin(number, where, script):
    words = ("run", *where, "--key", f"job-{number}", "--ttl", f"{LEASE}s", "--kill-after", "1s", "--tick", FIRST)
    return start_cronlock(*words, "--", "sh", "-c", f"touch began-{number}; {script}", stdout=None, stderr=None)


def time_to_begin(number, where):
    """Return the seconds until a command begins."""
    begun = time.monotonic()
    process = begin(number, where, "true")
    wait_until(Path(home(), f"began-{number}").exists, message="the command", interval=0.001)
    took = time.monotonic() - begun
    process.wait()
    return took


def begin_and_kill(number, where, moment):
    """Kill one run of its own key; return how far it had come."""
    process = begin(number, where, SCRIPTS[number % len(SCRIPTS)])
    time.sleep(moment)
    if process.poll() is not None:
        return "ended before"
    began = Path(home(), f"began-{number}").exists()
    guarded = bool(descendants(process.pid))
    process.kill()
    process.wait()
    return "command ran" if began else "guard was there" if guarded else "before the guard"


@pytest.mark.timeout(400)
def test_of_300_killed_runs_nothing_is_left_and_the_next_tick_runs(servers, record_property):
    """After the lease no process with the test's mark lives, not even a guard, and each key runs again."""
    where = [word for server in servers for word in ("--redis", server.url)]
    chance = random.Random()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        usual = statistics.median(pool.map(lambda number: time_to_begin(f"first-{number}", where), range(5 * AT_ONCE)))
        # every other one before the command begins, which is another moment on each machine
        spans = [(0.0, usual), (usual, LENGTH)]
        moments = [chance.uniform(*spans[number % 2]) for number in range(RUNS)]
        phases = list(pool.map(lambda number: begin_and_kill(number, where, moments[number]), range(RUNS)))
        last = time.monotonic()
        wait_until(lambda: time.monotonic() > last + LEASE, timeout=LEASE + 5, message="the end of the last lease")
        assert left() == {}
        again = ("--ttl", f"{LEASE}s", "--tick", NEXT, "--", "echo", "next")
        done = call_all([Call(("run", *where, "--key", f"job-{number}", *again)) for number in range(RUNS)], AT_ONCE)
    assert [(each.returncode, each.stdout) for each in done] == [(0, "next\n")] * RUNS
    counts = {phase: phases.count(phase) for phase in sorted(set(phases))}
    record_property("phases", counts)
    assert counts["command ran"] > RUNS / 10, counts
    assert counts["before the guard"] > RUNS / 20, counts


def left():
    """Return all processes of this test: cronlocks, guards and commands have its HOME."""
    return bearing(f"HOME={home()}")
