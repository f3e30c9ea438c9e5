"""One round: nodes start every tick by their own clocks, something goes wrong; then it is read what happened."""

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

from tests.nemesis.fault_injectors import Harm
from tests.nemesis.faults import FAULTS
from tests.nemesis.journal import Attempt, Hit, Pause, look_at_ends
from tests.nemesis.local import LOCAL, Containers, Folder
from tests.nemesis.network_namespaces import House, Room
from tests.nemesis.nodes import CROWD, KEY, Crew
from tests.nemesis.oracle import Rules, Violation, judge, stale
from tests.nemesis.report import Report, story
from tests.nemesis.voters import TOPOLOGIES, Voters
from tests.support.commands import cronlock, new_folder, remove_folder, wait_until
from tests.support.servers import Server


class Round:
    """One fault on one topology with one seed; what harms use of it is public."""

    def __init__(self, fault: str, topology: str, seed: int, program: Mapping[str, str]) -> None:
        self.key = KEY
        self.fault = FAULTS[fault]
        self.pace = self.fault.pace
        self.over = threading.Event()
        self.pauses: list[Pause] = []
        self.more = itertools.count(self.pace.ticks + 2)  # numbers of ticks that harms may start
        self._topology = topology
        self._seed = seed
        self._program = program
        self._rng = random.Random(f"{fault}/{topology}/{seed}")
        self._hits: list[Hit] = []
        self._broken: list[BaseException] = []

    def sleep(self, seconds: float) -> None:
        """So long, or until the last tick has been tried."""
        self.over.wait(seconds)

    @contextmanager
    def hit(self, what: str) -> Iterator[Hit]:
        """Notes from when to when something is wrong."""
        hit = Hit(what, time.monotonic(), 0)
        self._hits.append(hit)
        yield hit
        hit.end = time.monotonic()

    def person(self, *words: str) -> None:
        """A person tells the voters this of the key, again and again, until all of them have heard of it."""

        def told() -> bool:
            env = {**self.voters.place(self.voters.password), **self._program}
            return cronlock(*words, self.key, env=env).returncode == 0

        wait_until(told, 60, f"the voters to hear: {words}", 0.1)

    def committed(self, server: Server) -> Attempt | None:
        """The attempt whose commit stands on this server."""
        record = next((record for place, record in self.voters.records(KEY) if place is server), {})
        if record.get("kind") != "run":
            return None
        return next((one for one in self.crew.alive() if one.pid == int(record["pid"]) and not one.harmed), None)

    def play(self) -> Report:
        """All of it: a tick while all is well, some ticks with harms, and a tick when all is well again."""
        folder = new_folder()
        with ExitStack() as stack:
            stack.callback(remove_folder, folder)
            rooms = self._build(folder, stack)
            self.crew = Crew(self.fault, rooms, self.voters, folder, self._rng, self._program)
            if self.fault.each:
                self.voters.each_of = [node.name for node in self.crew.nodes]
            self._everybody_starts(0)
            self._ticks_with_harms()
            self.voters.heal()
            self._everybody_starts(self.pace.ticks + 1)
            return self._report()

    def _build(self, folder: Path, stack: ExitStack) -> list[Room]:
        """The voters, and rooms for the nodes."""
        nodes = min(self.pace.nodes, CROWD)
        if self._topology == LOCAL:
            containers = Containers(nodes, folder, self._rng)
            stack.callback(containers.close)
            self.voters = Folder(containers.state, KEY)  # type: ignore[assignment]  # as far as its harms go
            return containers.rooms
        count = TOPOLOGIES[self._topology]
        self.house = House(count + nodes)
        stack.callback(self.house.close)
        clocks, password = folder if self.fault.own_clocks else None, self.fault.password
        self.voters: Voters = Voters(self._topology, self.house, self.fault.proxied, clocks, password)
        stack.callback(self.voters.close)
        return self.house.rooms[count:]

    def _everybody_starts(self, number: int) -> None:
        for node in self.crew.nodes:
            self.crew.start(node, number)
        self.crew.wait()

    def _ticks_with_harms(self) -> None:
        threads = [
            threading.Thread(target=self._do, args=(harms, random.Random(self._rng.random())))
            for harms in (self.fault.harms, self.fault.also)
            if harms
        ]
        for thread in threads:
            thread.start()
        begin = time.monotonic()
        for at, node, number in self.crew.starts():
            while (left := begin + at - time.monotonic()) > 0:
                self.crew.reap()
                time.sleep(min(left, 0.01))
            self.crew.start(node, number)
        self.crew.wait()
        self.over.set()
        for thread in threads:
            thread.join()
        if self._broken:
            raise self._broken[0]

    def _do(self, harms: Sequence[Harm], rng: random.Random) -> None:
        try:
            while not self.over.is_set():
                rng.choice(harms)(self, rng)
                self.sleep(rng.uniform(0, self.fault.rest))
        except BaseException as error:
            self._broken.append(error)

    def _report(self) -> Report:
        runs, attempts = self.crew.runs(), self.crew.attempts
        look_at_ends(runs, attempts)
        every = self.fault.each or self.fault.wait  # node has to run, and not one of them
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
            violations=[*judge(runs, attempts, self._rules()), *self._left_over()],
            story=story(runs, attempts, self._hits),
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
        """Processes and leases, a lease after the last run. A clock that was off may leave a lease for an hour."""
        try:
            wait_until(lambda: not self.crew.left(), self.pace.ttl + 1, "the nodes' processes to be gone", 0.1)
        except AssertionError:
            yield Violation("left over", f"processes: {self.crew.left()}")
        if not self.fault.own_clocks:
            try:
                wait_until(lambda: not self.voters.leases(KEY), self.pace.ttl, "the leases to be over", 0.2)
            except AssertionError:
                yield Violation("left over", f"leases: {self.voters.leases(KEY)}")


def main() -> None:
    """Inside namespaces of its own: plays, and prints the report as JSON."""
    fault, topology, seed = sys.argv[1:]
    program = json.loads(os.environ.pop("NEMESIS_PROGRAM"))
    sys.stdout.write(Round(fault, topology, int(seed), program).play().to_json() + "\n")


if __name__ == "__main__":
    main()
