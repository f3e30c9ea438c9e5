"""Handovers: from the end of one command to the start of the next, while nodes wait in turn order."""

import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from tests.support.commands import environment, new_folder, wait_until
from tests.support.servers import Server

SPAN = 'echo "start $EPOCHREALTIME" >> "$0"; sleep "$1"; echo "end $EPOCHREALTIME" >> "$0"'
SETTLED = 1.5  # s until all nodes have asked again, as they do after they subscribed
QUIET = 12.0  # s of counting: longer than the time between two polls


@dataclass
class Handovers:
    """`gaps` in ms; `rate`: commands a second that one waiting node costs all its servers together."""

    gaps: list[float]
    rate: float

    def percentile(self, share: float) -> float:
        return sorted(self.gaps)[min(len(self.gaps) - 1, int(len(self.gaps) * share))]


def measure(
    where: Sequence[str], servers: Sequence[Server], waiters: int, rounds: int, quiet: float = QUIET
) -> Handovers:
    """Measure this many handovers, with one node running and the given number waiting."""
    journal = new_folder() / "runs"
    words = ["run", *where, "--key", "queue", "--schedule", "none", "--wait", "forever", "--"]
    command = [sys.executable, "-m", "cronlock", *words, "bash", "-c", SPAN, str(journal)]

    def start(seconds: float) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [*command, str(seconds)], env=environment(), cwd="/", stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    first = start(quiet + SETTLED + 2)
    wait_until(journal.exists, message="the first run")
    queue = [start(0.1) for _ in range(waiters + 1)]
    wait_until(lambda: subscribed(servers) > waiters, message="all to wait")
    time.sleep(SETTLED)
    before = _commands(servers)
    time.sleep(quiet)
    rate = (_commands(servers) - before) / quiet / len(queue)
    first.wait()
    for _ in range(rounds - 1):
        wait_until(lambda queue=queue: any(process.poll() is not None for process in queue), interval=0.005)
        queue = [process for process in queue if process.poll() is None]
        queue.append(start(0.1))
    for process in queue:
        process.terminate()
        process.wait()
    return Handovers(_gaps(journal.read_text()), rate)


def _gaps(text: str) -> list[float]:
    lines = [line.split() for line in text.splitlines()]
    return [
        (float(after) - float(at)) * 1000
        for (what, at), (then, after) in pairwise(lines)
        if (what, then) == ("end", "start")
    ]


def subscribed(servers: Sequence[Server]) -> int:
    counts = [
        sum(count for _, count in server.redis.pubsub_numsub(*server.redis.pubsub_channels())) for server in servers
    ]
    return min(counts)


def _commands(servers: Sequence[Server]) -> int:
    """Return the calls that clients sent, without those of this count; a script's own calls are not included."""
    total = 0
    for server in servers:
        stats = server.redis.info("commandstats")
        sent = ("eval", "evalsha", "subscribe", "ping", "cluster|slots", "cluster")
        total += sum(int(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"]) for name in sent)
    return total
