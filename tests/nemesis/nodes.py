"""The nodes of a round: each has a name, a network and a clock of its own, and a cron that starts cronlock."""

import os
import random
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.nemesis.faults import FAILED, Fault
from tests.nemesis.journal import Attempt, Run, read
from tests.nemesis.local import Folder
from tests.nemesis.network_namespaces import Namespace
from tests.nemesis.voters import Voters
from tests.support.commands import environment, faked_clock
from tests.support.processes import about, bearing

COMMAND = Path(__file__).with_name("command.py")
KEY = "nemesis"
MARK = "NEMESIS=1"  # in the environment of every process that the nodes start
SKEW = 1.2  # periods by which a node's clock differs at most from the first one's
CROWD = 5  # nodes with a network of their own; further nodes share these and have clocks within half a second
AWAY = (0, 20, -20)  # s by which all nodes' clocks differ from the voters'
LENGTHS = (0.05, 0.3, 0.5, 0.8, 1.4)  # periods that a command may take
GRACE = 20.0  # s for the nodes to end after the last fault


@dataclass
class Node:
    """A machine; its clock is `skew` seconds ahead of the first node's."""

    name: str
    namespace: Namespace
    skew: float
    away: int
    password: str


class Nodes:
    """All nodes of a round and the processes that they started.

    `program` adds to their environment, for a changed cronlock.
    """

    def __init__(
        self,
        fault: Fault,
        namespaces: list[Namespace],
        voters: Voters | Folder,
        folder: Path,
        rng: random.Random,
        program: Mapping[str, str],
    ) -> None:
        self.attempts: list[Attempt] = []
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._fault, pace = fault, fault.pace
        self._pace = pace
        self._voters = voters
        self._folder = folder
        self._rng = rng
        self._program = program
        self._first = int(time.time()) - 60 * (pace.ticks + 3)  # tick; those of a round are a minute apart by name
        away, most = rng.choice(AWAY), 0.5 if pace.nodes > CROWD else SKEW * pace.period
        skews = [0.0, *(rng.uniform(-most, most) for _ in range(pace.nodes - 1))]
        self.all = [
            Node(f"n{number}", namespaces[number % len(namespaces)], skew, away, voters.password)
            for number, skew in enumerate(skews)
        ]

    def start(self, node: Node, number: int) -> None:
        """Start cronlock as cron does, at the tick of this number."""
        tick = self._first + 60 * number
        name = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(tick))
        words = ["run", "-v", "--key", KEY, "--node", node.name, *self._when(tick), *self._fault.options]
        words += ["--ttl", f"{self._pace.ttl * 1000:.0f}ms", "--kill-after", "200ms"]
        words += ["--outage-wait", f"{self._pace.outage_wait:.0f}s", "--"]
        words += self._command(node, name if self._fault.wait else "")
        env = {
            **self._voters.place(node.password),
            **dict([MARK.split("=")]),
            "NEMESIS_AHEAD": str(node.namespace.ahead),
        }
        if not isinstance(self._voters, Folder):  # the containers of one machine share its wall clock
            env |= faked_clock(FAKETIME=f"{node.away + node.skew:+.3f}s")
        with self._output_file(node.name, number).open("wb") as output:
            process = subprocess.Popen(
                [*node.namespace.words, sys.executable, "-m", "cronlock", *words],
                env=environment(env | dict(self._program)),
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        self.attempts.append(Attempt(node.name, number, name, time.monotonic(), process.pid))
        self._processes[process.pid] = process

    def _when(self, tick: int) -> list[str]:
        if self._fault.wait:
            return ["--schedule", "none", "--wait", f"{self._fault.wait:.0f}s"]
        return ["--each" if self._fault.each else "--once", "--tick", str(tick)]

    def _command(self, node: Node, name: str) -> list[str]:
        seconds = self._rng.choice(LENGTHS) * self._pace.period * self._pace.length
        status = FAILED if self._rng.random() < self._fault.fails else 0
        words = ["env", "-u", "LD_PRELOAD", sys.executable, "-IS", str(COMMAND), str(self._journal(node))]
        return [*words, f"{seconds:.3f}", str(status), name]

    def starts(self) -> list[tuple[float, Node, int]]:
        """Return the node, the number and the time of each start by the node's own clock, in seconds from now."""
        starts = [
            ((SKEW + number - 1) * self._pace.period - node.skew + self._rng.uniform(0, 0.1), node, number)
            for number in range(1, self._pace.ticks + 1)
            for node in self.all
        ]
        return sorted(starts, key=lambda start: start[0])

    def _output_file(self, node: str, number: int) -> Path:
        return self._folder / f"{node}-{number}"

    def _journal(self, node: Node) -> Path:
        return self._folder / (f"journal-{node.name}" if self._fault.each else "journal")

    def runs(self) -> list[Run]:
        """Return the runs in the journals; with --each every node has one, since their runs may overlap."""
        epoch, retries = time.time() - time.monotonic(), "--retry-failed" in self._fault.options
        paths = dict.fromkeys(self._journal(node) for node in self.all)
        return sorted((run for path in paths for run in read(path, epoch, retries)), key=lambda run: run.start)

    def reap(self) -> bool:
        """Collect ended processes; return whether all have ended."""
        for attempt in self.alive():
            pid, status, used = os.wait4(attempt.pid, os.WNOHANG)
            if pid:
                attempt.status = os.waitstatus_to_exitcode(status)
                attempt.end, attempt.cpu = time.monotonic(), used.ru_utime + used.ru_stime
                attempt.said = self._output_file(attempt.node, attempt.number).read_text().strip()
                self._processes.pop(pid).returncode = attempt.status
        return not self.alive()

    def wait(self) -> None:
        """Wait until every attempt that must end has ended."""
        end = time.monotonic() + GRACE + self._pace.outage_wait + 2 * self._pace.ttl + self._fault.wait
        while not self.reap() and time.monotonic() < end:
            time.sleep(0.01)

    def alive(self) -> list[Attempt]:
        return [attempt for attempt in self.attempts if attempt.status is None]

    def holder(self) -> Attempt | None:
        """Return the undisturbed attempt whose command runs."""
        running = {(run.node, run.tick) for run in self.runs() if run.end is None}
        return next((one for one in self.alive() if (one.node, one.tick) in running and not one.disturbed), None)

    def any_attempt(self, rng: random.Random) -> Attempt | None:
        """Return mostly the holder, sometimes another undisturbed attempt."""
        if rng.random() < 0.7 and (holder := self.holder()):
            return holder
        unharmed = [attempt for attempt in self.alive() if not attempt.disturbed]
        return rng.choice(unharmed) if unharmed else None

    def left(self) -> dict[int, str]:
        """Return the remaining processes: pid -> name."""
        return {pid: name for pid, name in bearing(MARK).items() if about(pid)["State"][0] not in "Zg"}
