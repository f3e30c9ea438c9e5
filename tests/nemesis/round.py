"""One round: nodes start every tick by their own clocks while a fault is injected; then the traces are read."""

import itertools
import json
import os
import random
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.nemesis.fault_injectors import FaultInjector
from tests.nemesis.faults import FAULTS
from tests.nemesis.journal import Attempt, Hit, Pause, mark_open_runs
from tests.nemesis.local import LOCAL, Containers, Folder
from tests.nemesis.network_namespaces import BridgedNetwork, Namespace
from tests.nemesis.nodes import CROWD, KEY, Nodes
from tests.nemesis.oracle import Rules, Violation, find_violations, stale
from tests.nemesis.report import Report, trace
from tests.nemesis.voters import TOPOLOGIES, Voters
from tests.support.commands import cronlock, new_folder, remove_folder, wait_until
from tests.support.servers import Server


class Round:
    """One fault on one topology with one seed; the public part is for fault injectors."""

    def __init__(self, fault: str, topology: str, seed: int, program: Mapping[str, str]) -> None:
        self.key = KEY
        self.fault = FAULTS[fault]
        self.pace = self.fault.pace
        self.over = threading.Event()
        self.pauses: list[Pause] = []
        self.more = itertools.count(self.pace.ticks + 2)  # numbers of further ticks that fault injectors may start
        self._topology = topology
        self._seed = seed
        self._program = program
        self._rng = random.Random(f"{fault}/{topology}/{seed}")
        self._hits: list[Hit] = []
        self._errors: list[BaseException] = []

    def sleep(self, seconds: float) -> None:
        """Sleep, at most until the last tick has been tried."""
        self.over.wait(seconds)

    @contextmanager
    def hit(self, what: str) -> Iterator[Hit]:
        """Record the start and the end of a fault."""
        hit = Hit(what, time.monotonic(), 0)
        self._hits.append(hit)
        yield hit
        hit.end = time.monotonic()

    def operator_command(self, *words: str) -> None:
        """Repeat an operator's command on the key until it reached all voters."""

        def reached_all() -> bool:
            env = {**self.voters.place(self.voters.password), **self._program}
            return cronlock(*words, self.key, env=env).returncode == 0

        wait_until(reached_all, 60, f"all voters to record: {words}", 0.1)

    def committed(self, server: Server) -> Attempt | None:
        """Return the attempt whose commit this server holds."""
        record = next((record for place, record in self.voters.records(KEY) if place is server), {})
        if record.get("kind") != "run":
            return None
        return next((one for one in self.nodes.alive() if one.pid == int(record["pid"]) and not one.disturbed), None)

    def play(self) -> Report:
        """Run the round: one tick without faults, several ticks with faults, and one tick without faults."""
        folder = new_folder()
        with ExitStack() as stack:
            stack.callback(remove_folder, folder)
            namespaces = self._build(folder, stack)
            self.nodes = Nodes(self.fault, namespaces, self.voters, folder, self._rng, self._program)
            if self.fault.each:
                self.voters.each_of = [node.name for node in self.nodes.all]
            self._start_all_nodes(0)
            self._ticks_with_faults()
            self.voters.heal()
            self._start_all_nodes(self.pace.ticks + 1)
            return self._report()

    def _build(self, folder: Path, stack: ExitStack) -> list[Namespace]:
        """Build the voters and return the namespaces for the nodes."""
        nodes = min(self.pace.nodes, CROWD)
        if self._topology == LOCAL:
            containers = Containers(nodes, folder, self._rng)
            stack.callback(containers.close)
            self.voters = Folder(containers.state, KEY)  # type: ignore[assignment]  # as far as its injectors go
            return containers.namespaces
        count = TOPOLOGIES[self._topology]
        self.network = BridgedNetwork(count + nodes)
        stack.callback(self.network.close)
        clocks, password = folder if self.fault.own_clocks else None, self.fault.password
        self.voters: Voters = Voters(self._topology, self.network, self.fault.proxied, clocks, password)
        stack.callback(self.voters.close)
        return self.network.namespaces[count:]

    def _start_all_nodes(self, number: int) -> None:
        for node in self.nodes.all:
            self.nodes.start(node, number)
        self.nodes.wait()

    def _ticks_with_faults(self) -> None:
        threads = [
            threading.Thread(target=self._do, args=(injectors, random.Random(self._rng.random())))
            for injectors in (self.fault.injectors, self.fault.also)
            if injectors
        ]
        for thread in threads:
            thread.start()
        begin = time.monotonic()
        for at, node, number in self.nodes.starts():
            while (left := begin + at - time.monotonic()) > 0:
                self.nodes.reap()
                time.sleep(min(left, 0.01))
            self.nodes.start(node, number)
        self.nodes.wait()
        self.over.set()
        for thread in threads:
            thread.join()
        if self._errors:
            raise self._errors[0]

    def _do(self, injectors: Sequence[FaultInjector], rng: random.Random) -> None:
        try:
            while not self.over.is_set():
                rng.choice(injectors)(self, rng)
                self.sleep(rng.uniform(0, self.fault.rest))
        except BaseException as error:
            self._errors.append(error)

    def _report(self) -> Report:
        runs, attempts = self.nodes.runs(), self.nodes.attempts
        mark_open_runs(runs, attempts)
        every = self.fault.each or self.fault.wait  # every node has to run, and not only one of them
        return Report(
            self.fault.name,
            self._topology,
            self._seed,
            ticks=len({(attempt.tick, attempt.node if every else "") for attempt in attempts}),
            ran=len({(run.tick, run.node if every else "") for run in runs}),
            attempts=len(attempts),
            lost=sum(attempt.status == 123 for attempt in attempts),
            hits=len(self._hits),
            live=sum(
                any(run.start <= hit.end and (run.end or run.start + self.pace.ttl) >= hit.start for run in runs)
                for hit in self._hits
            ),
            stale=stale(runs),
            violations=[*find_violations(runs, attempts, self._rules()), *self._left_over()],
            trace=trace(runs, attempts, self._hits),
        )

    def _rules(self) -> Rules:
        return Rules(
            self.fault.loud,
            self.fault.may_miss,
            self.pace.ttl,
            attempts=self.fault.attempts,
            gives_back=False,
            each=self.fault.each,
            wait=self.fault.wait,
            calm=frozenset({0, self.pace.ticks + 1}),
            pauses=tuple(self.pauses),
            stopped_holds=self.fault.stopped_holds,
        )

    def _left_over(self) -> Iterator[Violation]:
        """Yield remaining processes, and leases long after the last run.

        A clock that jumped may leave a lease for an hour.
        """
        try:
            wait_until(lambda: not self.nodes.left(), self.pace.ttl + 1, "the nodes' processes to be gone", 0.1)
        except AssertionError:
            yield Violation("left over", f"processes: {self.nodes.left()}")
        if not self.fault.own_clocks:
            try:
                wait_until(lambda: not self.voters.leases(KEY), self.pace.ttl, "the leases to be over", 0.2)
            except AssertionError:
                yield Violation("left over", f"leases: {self.voters.leases(KEY)}")


def main() -> None:
    """Run a round inside namespaces of its own, and print the report as JSON."""
    fault, topology, seed = sys.argv[1:]
    program = json.loads(os.environ.pop("NEMESIS_PROGRAM"))
    sys.stdout.write(Round(fault, topology, int(seed), program).play().to_json() + "\n")


if __name__ == "__main__":
    main()
