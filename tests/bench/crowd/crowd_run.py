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
from tests.bench.crowd.node import UNANSWERED, NodeResult, Question
from tests.bench.crowd.server_stats import ServerWork, read
from tests.bench.crowd.worker import END, GO, STOP, Report, Worker
from tests.support.clusters import Cluster
from tests.support.servers import Server

PATIENCE = 120.0  # s after which a crowd without answers is stopped
FDS = 10_000  # at most in one process of the generator
SPARE = 200  # files of a server besides its clients
SHOWN = 5  # kinds of unexpected outcomes
SLICE = 0.004  # s that a slowed server runs at a time


def raise_limits() -> int:
    """Raise the limit of open files for this process and its children; return a server's possible clients."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return min(20_000, most - SPARE)


@dataclass
class Tick:
    """The outcome of one tick."""

    results: list[NodeResult]
    work: ServerWork
    begun: int  # ms on monotonic()
    cpu: float  # s, of the generator
    lag: int  # ms

    @property
    def outcomes(self) -> "Counter[str]":
        return Counter(result.outcome for result in self.results)

    @property
    def runners(self) -> list[NodeResult]:
        return [result for result in self.results if result.token]

    @property
    def answered(self) -> float:
        """Seconds until the last node was answered."""
        return (max(result.answered for result in self.results) - self.begun) / 1000

    @property
    def arrived(self) -> float:
        """Seconds until the last node had started."""
        return (max(result.begun for result in self.results) - self.begun) / 1000

    @property
    def started(self) -> int:
        """Milliseconds until the command started; -1 if none did."""
        return min((result.answered - self.begun for result in self.runners), default=-1)

    @property
    def waits(self) -> list[int]:
        """Milliseconds that each node waited for its answer, sorted."""
        return sorted(result.answered - result.begun for result in self.results if result.outcome != UNANSWERED)

    @property
    def attempts(self) -> float:
        """Attempts of one node, on average."""
        return sum(result.attempts for result in self.results) / len(self.results)

    def wrong(self) -> list[str]:
        """Return the unexpected outcomes: no run, several runs, nodes without a quiet answer."""
        bad = Counter(
            f"{result.outcome}: {result.text}".rstrip(": ")
            for result in self.results
            if result.outcome not in ("ran", "held", "done")
        )
        runners = ", ".join(f"{result.node} with token {result.token}" for result in self.runners)
        one_run = [] if len(self.runners) == 1 else [f"{len(self.runners)} runs: {runners}"]
        return one_run + [f"{count} x {text}" for text, count in bad.most_common(SHOWN)]

    def summary(self) -> str:
        """Return a summary in one line."""
        count, work, waits = len(self.results), self.work, self.waits or [0]
        outcomes = ", ".join(f"{number} {name}" for name, number in self.outcomes.most_common())
        return (
            f"{outcomes}; command after {self.started} ms, all answered after {self.answered:.2f} s "
            f"(arrived within {self.arrived:.2f} s; a node waits {median(waits):.0f} ms, at most {waits[-1]} ms); "
            f"attempts {self.attempts:.2f}, at most {max(result.attempts for result in self.results)}; per node: "
            f"Redis {work.cpu / count:.3f} ms, {work.scripts / count:.2f} script calls of "
            f"{work.script_us / max(1, work.scripts):.0f} us with {work.inner / max(1, work.scripts):.1f} commands, "
            f"{work.others / count:.2f} other commands, {work.connections / count:.2f} connections, "
            f"{work.received / count:.0f} bytes in, {work.sent / count:.0f} out; "
            f"generator {1000 * self.cpu / count:.2f} ms, lag {self.lag} ms; "
            f"rejected {work.rejected}, overflows {work.overflows}"
        )


class Crowd:
    """Many nodes in several processes; a context manager."""

    def __init__(self, place: Cluster | Sequence[Server], count: int) -> None:
        self.servers = list(place.masters() if isinstance(place, Cluster) else place)
        urls = [server.url for server in self.servers]
        self._urls = [[url] for url in urls] if isinstance(place, Cluster) else [urls]
        names = [f"node-{number:05}" for number in range(count)]
        processes = max(min(count, os.cpu_count() or 1), -(-count * len(urls) // FDS))
        self._workers = [Worker(names[number::processes]) for number in range(processes)]
        before = read(self.servers).cpu
        self._idle = read(self.servers).cpu - before  # the cost of reading

    def __enter__(self) -> "Crowd":
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.close()

    def run(self, key: str | Sequence[str], tick: int, *, slow: int = 1) -> Tick:
        """Let all nodes ask at once for this tick of the key, or each for its own key.

        With `slow`, the servers run for only 1/`slow` of the time.
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
        results = [result for report in reports for result in report.results]
        return Tick(results, work, begun, sum(report.cpu for report in reports), max(report.lag for report in reports))

    def _reports(self) -> list[Report]:
        """Let the command end once all nodes are answered, or stop a crowd that takes too long."""
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
    """Let the servers run for only 1/`slow` of the time: a smaller crowd then has the effect of a larger one."""
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
