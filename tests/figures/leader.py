"""Leaders: a daemon that runs on exactly one of several pods, while the pods restart one after the other."""

import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from tests.support.commands import environment, new_folder, wait_until

DAEMON = """
trap 'echo "end $CRONLOCK_RUN_NODE $EPOCHREALTIME" >> "$0"; exit 0' TERM
echo "start $CRONLOCK_RUN_NODE $EPOCHREALTIME" >> "$0"
while :; do sleep 0.05; done
"""


@dataclass
class Leaders:
    """`count` of leaders; the longest time without a leader, in ms; the times that two led at once."""

    count: int
    without: float
    overlaps: int


def measure(where: Sequence[str], pods: int, rounds: int, apart: float) -> Leaders:
    """Restart each pod in turn with SIGTERM, every `apart` seconds, for this many rounds."""
    journal = new_folder() / "reigns"
    words = ["run", *where, "--key", "leader", "--schedule", "none", "--wait", "forever", "--node"]

    def start(pod: int) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "cronlock", *words, f"pod-{pod}", "--", "bash", "-c", DAEMON, str(journal)]
        return subprocess.Popen(
            command, env=environment(), cwd="/", stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    started = [start(pod) for pod in range(pods)]
    wait_until(journal.exists, message="a leader")
    time.sleep(apart)
    for _ in range(rounds):
        for pod in range(pods):
            started[pod].send_signal(signal.SIGTERM)
            assert started[pod].wait(10) in (0, 128 + signal.SIGTERM)  # the daemon's status, or the pod had not led yet
            started[pod] = start(pod)
            time.sleep(apart)
    reigns = _read(journal.read_text())
    for process in started:
        process.terminate()
        process.wait()
    return reigns


def _read(text: str) -> Leaders:
    events = [(float(at), what) for what, _, at in (line.split() for line in text.splitlines())]
    events.sort()
    without = [
        (after - at) * 1000 for (at, what), (after, then) in pairwise(events) if (what, then) == ("end", "start")
    ]
    overlaps = sum((what, then) == ("start", "start") for (_, what), (_, then) in pairwise(events))
    return Leaders(sum(what == "start" for _, what in events), max(without, default=0.0), overlaps)
