"""Takeovers: from the death of a node with all its processes to the start of its tick on another node."""

import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from tests.support.commands import environment, new_folder, wait_until
from tests.support.processes import kill_all

LEASE = 7.0  # s: the shortest lease that leaves time to stop a command
LOG = 'echo "$CRONLOCK_RUN_NODE $EPOCHREALTIME" >> "$0"; sleep "$1"'
RUN = 3.0  # s that a killed node's command had run, at most


def measure(where: Sequence[str], trials: int, at_once: int = 10) -> list[float]:
    """Return the seconds from the kill to the next start, for each trial."""
    with ThreadPoolExecutor(at_once) as pool:
        return list(pool.map(lambda number: _one(where, number), range(trials)))


def _one(where: Sequence[str], number: int) -> float:
    journal = new_folder() / "runs"
    words = ["run", *where, "--key", f"takeover-{number}", "--tick", str(int(time.time())), "--failover"]
    words += ["--ttl", f"{LEASE:.0f}s", "--node"]

    def start(node: str, seconds: float) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "cronlock", *words, node, "--", "bash", "-c", LOG, str(journal), str(seconds)]
        return subprocess.Popen(command, env=environment(), cwd="/", stdin=subprocess.DEVNULL)

    first = start("first", 60)
    wait_until(journal.exists, message="the first run")
    others = [start(f"other-{number}", 0.1) for number in range(2)]
    time.sleep(RUN * (number % 10) / 10)  # the lease is extended after a third of its time
    killed = time.time()
    kill_all(first)
    first.wait()
    statuses = [process.wait(LEASE + 20) for process in others]
    lines = [line.split() for line in journal.read_text().splitlines()]
    assert statuses == [0, 0]
    assert [line[0] for line in lines].count("first") == len(lines) - 1 == 1
    return float(lines[-1][1]) - killed
