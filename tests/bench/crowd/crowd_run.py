"""A crowd on some servers, tick by tick."""

import itertools
import os
import resource
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import wait
from statistics import median

from cronlock.process.event_loop import monotonic
from tests.bench.crowd.node import UNANSWERED, Fate, Question
from tests.bench.crowd.server_stats import Work, read
from tests.bench.crowd.worker import END, GO, STOP, Report, Worker
from tests.support.servers import Cluster, Server

PATIENCE = 120.0  # s for a crowd to be answered, then it is stopped
FDS = 10_000  # of one process of the generator, at most
SPARE = 200  # files of a server that are no clients
SHOWN = 5  # kinds of what went wrong
SLICE = 0.004  # s that a slowed server runs at a time


def raise_limits() -> int:
    """Let this process and what it starts have as many open files as they may; how many clients a server can have."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return min(20_000, most - SPARE)


@dataclass
class Tick:
    """What one tick came to."""

    fates: list[Fate]
    work: Work
    begun: int  # ms on monotonic()
    cpu: float  # s, of the generator
    lag: int  # ms

    @property
    def outcomes(self) -> "Counter[str]":
        return Counter(fate.outcome for fate in self.fates)

    @property
    def runners(self) -> list[Fate]:
        return [fate for fate in self.fates if fate.token]

    @property
    def answered(self) -> float:
        """Seconds until the last one was."""
        return (max(fate.answered for fate in self.fates) - self.begun) / 1000

    @property
    def arrived(self) -> float:
        """Seconds until the last one had begun."""
        return (max(fate.begun for fate in self.fates) - self.begun) / 1000

    @property
    def started(self) -> int:
        """Milliseconds until the command started; -1 when none did."""
        return min((fate.answered - self.begun for fate in self.runners), default=-1)

    @property
    def waits(self) -> list[int]:
        """Milliseconds that each node waited for its answer, in order."""
        return sorted(fate.answered - fate.begun for fate in self.fates if fate.outcome != UNANSWERED)

    @property
    def attempts(self) -> float:
        """Of one node, on average."""
        return sum(fate.attempts for fate in self.fates) / len(self.fates)

    def wrong(self) -> list[str]:
        """What should not be: no run, several runs, nodes that no answer sent home."""
        bad = Counter(
            f"{fate.outcome}: {fate.text}".rstrip(": ")
            for fate in self.fates
            if fate.outcome not in ("ran", "held", "done")
        )
        runners = ", ".join(f"{fate.node} with token {fate.token}" for fate in self.runners)
        one_run = [] if len(self.runners) == 1 else [f"{len(self.runners)} runs: {runners}"]
        return one_run + [f"{count} x {text}" for text, count in bad.most_common(SHOWN)]

    def told(self) -> str:
        """A line for people."""
        count, work, waits = len(self.fates), self.work, self.waits or [0]
        outcomes = ", ".join(f"{number} {name}" for name, number in self.outcomes.most_common())
        return (
            f"{outcomes}; command after {self.started} ms, all answered after {self.answered:.2f} s "
            f"(arrived within {self.arrived:.2f} s; a node waits {median(waits):.0f} ms, at most {waits[-1]} ms); "
            f"attempts {self.attempts:.2f}, at most {max(fate.attempts for fate in self.fates)}; per node: "
            f"Redis {work.cpu / count:.3f} ms, {work.scripts / count:.2f} script calls of "
            f"{work.script_us / max(1, work.scripts):.0f} us with {work.inner / max(1, work.scripts):.1f} commands, "
            f"{work.others / count:.2f} other commands, {work.connections / count:.2f} connections, "
            f"{work.received / count:.0f} bytes in, {work.sent / count:.0f} out; "
            f"generator {1000 * self.cpu / count:.2f} ms, lag {self.lag} ms; "
            f"rejected {work.rejected}, overflows {work.overflows}"
        )


class Crowd:
    """So many nodes in some processes; to be used in `with`."""

    def __init__(self, place: Cluster | Sequence[Server], count: int) -> None:
        self.servers = list(place.masters() if isinstance(place, Cluster) else place)
        urls = [server.url for server in self.servers]
        self._urls = [[url] for url in urls] if isinstance(place, Cluster) else [urls]
        names = [f"node-{number:05}" for number in range(count)]
        processes = max(min(count, os.cpu_count() or 1), -(-count * len(urls) // FDS))
        self._workers = [Worker(names[number::processes]) for number in range(processes)]
        before = read(self.servers).cpu
        self._idle = read(self.servers).cpu - before  # what the reading itself takes

    def __enter__(self) -> "Crowd":
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.close()

    def play(self, key: str | Sequence[str], tick: int, *, slow: int = 1) -> Tick:
        """All of them ask at once for this tick of the key, or each of a key of its own. With `slow` servers get that
        part of their time only.
        """
        keys = itertools.cycle([key] if isinstance(key, str) else key)
        urls = itertools.cycle(self._urls)
        for worker in self._workers:
            worker.pipe.send([Question(next(urls), next(keys), tick) for _ in range(worker.count)])
        for worker in self._workers:
            worker.pipe.recv()
        before = read(self.servers)
        with slowed(self.servers, slow):
            begun = monotonic()
            for worker in self._workers:
                worker.pipe.send(GO)
            reports = self._reports()
        work = read(self.servers) - before
        work.cpu -= self._idle
        fates = [fate for report in reports for fate in report.fates]
        return Tick(fates, work, begun, sum(report.cpu for report in reports), max(report.lag for report in reports))

    def _reports(self) -> list[Report]:
        """Once all are answered the command may end; a crowd that takes too long is stopped."""
        until = time.monotonic() + PATIENCE
        pipes = {worker.pipe for worker in self._workers}
        while pipes and (left := until - time.monotonic()) > 0:
            for pipe in wait(pipes, left):
                pipe.recv()  # type: ignore
                pipes.discard(pipe)  # type: ignore
        for worker in self._workers:
            worker.pipe.send(STOP if pipes else END)
        reports = []
        for worker in self._workers:
            while not isinstance(report := worker.pipe.recv(), Report):
                pass
            reports.append(report)
        return reports


@contextmanager
def slowed(servers: Sequence[Server], slow: int) -> Iterator[None]:
    """Servers that get only the `slow`th part of their time: so many times fewer nodes are to them as large a crowd."""
    over = threading.Event()

    def brake() -> None:
        while not over.wait(SLICE):
            for server in servers:
                server.stop_process()
            over.wait(SLICE * (slow - 1))
            for server in servers:
                server.continue_process()

    thread = threading.Thread(target=brake)
    if slow > 1:
        thread.start()
    try:
        yield
    finally:
        over.set()
        if slow > 1:
            thread.join()
