"""Shares: nodes that start cronlock at every tick, each with its own delay."""

import heapq
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from tests.support.commands import environment, new_folder

LOG = 'echo "$CRONLOCK_RUN_TICK $CRONLOCK_RUN_NODE $EPOCHREALTIME" >> "$0"'
GRACE = 30.0  # s for the last nodes to exit


@dataclass
class Turns:
    """The outcome of some ticks: the node that ran each, and the ms from the start of its cronlock to its command."""

    ran: list[str]
    delays: list[float]

    @property
    def shares(self) -> "Counter[str]":
        return Counter(self.ran)

    @property
    def delay(self) -> float:
        return median(self.delays)


def measure(
    where: Sequence[str],
    offsets: Mapping[str, float],
    ticks: int,
    period: float,
    *words: str,
    dies: tuple[str, int] = ("", 0),
) -> Turns:
    """Start every node `offsets` ms after each tick, one tick every `period` s.

    The node in `dies` takes no part in the ticks from that number on.
    """
    journal = new_folder() / "runs"
    begin = time.time() + 0.5
    first = int(begin) - ticks  # a tick is only a number here, but a node is forgotten a month after its last tick
    starts = [
        (begin + number * period + offset / 1000, node, number)
        for number in range(ticks)
        for node, offset in offsets.items()
        if node != dies[0] or number < dies[1]
    ]
    heapq.heapify(starts)
    started: dict[tuple[int, str], float] = {}
    processes: list[subprocess.Popen[bytes]] = []
    env = environment()
    while starts:
        at, node, number = heapq.heappop(starts)
        time.sleep(max(0, at - time.time()))
        tick = first + number
        started[tick, node] = time.time()
        words_of_run = ["run", *where, "--key", "turns", "--node", node, "--tick", str(tick), *words]
        command = [*words_of_run, "--", "bash", "-c", LOG, str(journal)]
        processes.append(subprocess.Popen([sys.executable, "-m", "cronlock", *command], env=env, cwd="/"))
        processes = [process for process in processes if process.poll() is None]
    end = time.time() + GRACE
    for process in processes:
        assert process.wait(max(0, end - time.time())) == 0
    return _read(journal, started)


def _read(journal: Path, started: Mapping[tuple[int, str], float]) -> Turns:
    turns = Turns([], [])
    for line in sorted(journal.read_text().splitlines()):
        name, node, at = line.split()
        tick = int(time.mktime(time.strptime(name, "%Y-%m-%dT%H:%M:%SZ")) - time.timezone)
        turns.ran.append(node)
        turns.delays.append((float(at) - started[tick, node]) * 1000)
    return turns
