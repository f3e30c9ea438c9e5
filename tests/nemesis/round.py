"""One round: five nodes start every tick by their own clocks, something goes wrong; then it is read what happened."""

import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.commands import about, bearing, environment, new_folder, remove_folder, wait_until
from tests.nemesis.faults import FAULTS
from tests.nemesis.harms import Harm
from tests.nemesis.house import House, Room
from tests.nemesis.journal import Attempt, Hit, Run, read
from tests.nemesis.oracle import Rules, Violation, judge, stale
from tests.nemesis.voters import TOPOLOGIES, Voters, clock

COMMAND = Path(__file__).with_name("command.py")
KEY = "nemesis"
MARK = "NEMESIS=1"  # in the environment of all that the nodes start
SKEW = 1.5  # periods by which a node's clock differs at most from the first one's
AWAY = (0, 20, -20)  # s by which all nodes' clocks differ from the voters'
GRACE = 20.0  # s for the nodes to end when all is well again


@dataclass
class Node:
    """A machine with a clock of its own; `skew` in seconds, ahead of the first node's."""

    name: str
    room: Room
    skew: float
    away: int
    password: str


@dataclass
class Report:
    """What one round came to; `hits` on a run that lived at the time count as `live`.

    `stale`: writes that a resource which looks at the token would have refused.
    """

    fault: str
    topology: str
    seed: int
    ticks: int = 0
    ran: int = 0
    attempts: int = 0
    lost: int = 0
    hits: int = 0
    live: int = 0
    stale: int = 0
    violations: list[Violation] = field(default_factory=list)
    story: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """All that happened, and what was broken."""
        sums = f"{self.ran} of {self.ticks} ticks ran, {self.attempts} attempts, {self.lost} lost; "
        sums += f"{self.hits} hits, {self.live} on a live run"
        return [*self.story, sums, *(f"VIOLATION {one.kind}: {one.text}" for one in self.violations)]

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Report":
        fields = json.loads(text)
        fields["violations"] = [Violation(**one) for one in fields["violations"]]
        return cls(**fields)


class Round:
    """One fault on one topology with one seed. `program` adds to the nodes' environment: another cronlock, say."""

    def __init__(self, fault: str, topology: str, seed: int, program: Mapping[str, str] | None = None) -> None:
        self.fault = FAULTS[fault]
        self.pace = self.fault.pace
        self.key = KEY
        self.password = self.fault.password
        self.rng = random.Random(f"{fault}/{topology}/{seed}")
        self.report = Report(fault, topology, seed)
        self.attempts: list[tuple[Attempt, subprocess.Popen[bytes]]] = []
        self.hits: list[Hit] = []
        self.over = threading.Event()
        self._program = dict(program or {})
        self._broken: list[BaseException] = []

    # -- what harms use ------------------------------------------------------------------------------------------------

    def sleep(self, seconds: float) -> None:
        """So long, or until the last tick has been tried."""
        self.over.wait(seconds)

    @contextmanager
    def hit(self, what: str) -> Iterator[None]:
        hit = Hit(what, time.monotonic(), 0)
        self.hits.append(hit)
        yield
        hit.end = time.monotonic()

    def runs(self) -> list[Run]:
        return read(self.journal)

    def some_attempt(self, rng: random.Random) -> Attempt | None:
        """The holder mostly, or another node that is about."""
        about = [attempt for attempt, process in self.attempts if attempt.status is None and not attempt.harmed]
        if not about or (rng.random() < 0.7 and (holder := self.holder())):
            return holder if about else None
        return rng.choice(about)

    def holder(self) -> Attempt | None:
        """The attempt whose command runs."""
        alive = {(run.node, run.tick) for run in self.runs() if run.end is None}
        for attempt, _ in self.attempts:
            if (attempt.node, attempt.tick) in alive and attempt.status is None and not attempt.harmed:
                return attempt
        return None

    # -- the story -----------------------------------------------------------------------------------------------------

    def play(self) -> Report:
        folder = new_folder()
        self.journal = folder / "journal"
        with ExitStack() as stack:
            stack.callback(remove_folder, folder)
            voters = TOPOLOGIES[self.report.topology]
            nodes = self.pace.nodes
            self.house = House(voters + min(nodes, 5))
            stack.callback(self.house.close)
            clocks = folder if self.fault.own_clocks else None
            self.voters = stack.enter_context(
                Voters(
                    self.report.topology,
                    self.house,
                    proxied=self.fault.proxied,
                    own_clocks=clocks,
                    password=self.password,
                )
            )
            self.crew = self._crew(self.house.rooms[voters:], nodes)
            self._everybody_runs_a_tick(0)
            self._ticks_with_harms()
            self.voters.heal()
            self._everybody_runs_a_tick(self.pace.ticks + 1)
            self._judge()
        return self.report

    def _crew(self, rooms: list[Room], count: int) -> list[Node]:
        away, most = self.rng.choice(AWAY), SKEW * self.pace.period
        spread = (lambda: self.rng.uniform(-0.5, 0.5)) if count > 5 else (lambda: self.rng.uniform(-most, most))
        skews = [0.0, *(spread() for _ in range(count - 1))]
        return [
            Node(f"n{number}", rooms[number % len(rooms)], skew, away, self.password)
            for number, skew in enumerate(skews)
        ]

    def _tick(self, number: int) -> str:
        return str(self._base + 60 * number)

    def _start(self, node: Node, number: int) -> None:
        tick = self._base + 60 * number
        seconds = self.rng.choice((0.05, 0.3, 0.5, 0.8, 1.4)) * self.pace.period
        said = self.journal.with_name(f"{node.name}-{number}")
        words = ["run", "-v", "--once", "--key", KEY, "--node", node.name, "--tick", str(tick)]
        words += ["--ttl", f"{self.pace.ttl * 1000:.0f}ms", "--kill-after", "200ms"]
        words += ["--outage-wait", f"{self.pace.outage_wait:.0f}s", "--"]
        words += ["env", "-u", "LD_PRELOAD", sys.executable, "-IS", str(COMMAND), str(self.journal), f"{seconds:.3f}"]
        env = {"CRONLOCK_REDIS": self.voters.urls(node.password), **dict([MARK.split("=")])}
        env |= clock(node.away + node.skew) | self._program
        with said.open("wb") as output:
            process = subprocess.Popen(
                [*node.room.words, sys.executable, "-m", "cronlock", *words],
                env=environment(env), cwd=self.journal.parent, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            )  # fmt: skip
        tick_text = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(tick))
        self.attempts.append((Attempt(node.name, tick_text, time.monotonic(), process.pid), process))

    def _everybody_runs_a_tick(self, number: int) -> None:
        """With all voters up: somebody has to run it."""
        self._base = getattr(self, "_base", int(time.time()) - 60 * (self.pace.ticks + 3))
        for node in self.crew:
            self._start(node, number)
        self._wait_for_the_nodes()

    def _wait_for_the_nodes(self) -> None:
        end = time.monotonic() + GRACE + self.pace.outage_wait + 2 * self.pace.ttl
        while time.monotonic() < end and any(attempt.status is None for attempt, _ in self.attempts):
            time.sleep(0.01)
            self._note_ends()

    def _note_ends(self) -> None:
        for attempt, process in self.attempts:
            if attempt.status is None:
                pid, status, used = os.wait4(process.pid, os.WNOHANG)
                if pid:
                    process.returncode = attempt.status = os.waitstatus_to_exitcode(status)
                    attempt.end, attempt.cpu = time.monotonic(), used.ru_utime + used.ru_stime

    def _ticks_with_harms(self) -> None:
        threads = [
            threading.Thread(target=self._harm, args=(harms, random.Random(self.rng.random())))
            for harms in (self.fault.harms, self.fault.also)
            if harms
        ]
        begin = time.monotonic() + SKEW * self.pace.period
        starts = [
            (begin + number * self.pace.period - node.skew + self.rng.uniform(0, 0.1), node, number)
            for number in range(1, self.pace.ticks + 1)
            for node in self.crew
        ]
        for thread in threads:
            thread.start()
        for at, node, number in sorted(starts, key=lambda start: start[0]):
            while (left := at - time.monotonic()) > 0:
                self._note_ends()
                time.sleep(min(left, 0.01))
            self._start(node, number)
        self._wait_for_the_nodes()
        self.over.set()
        for thread in threads:
            thread.join()
        if self._broken:
            raise self._broken[0]

    def _harm(self, harms: list[Harm], rng: random.Random) -> None:
        try:
            while not self.over.is_set():
                rng.choice(harms)(self, rng)
                self.sleep(rng.uniform(0, self.fault.rest))
        except BaseException as error:
            self._broken.append(error)

    # -- what came of it -----------------------------------------------------------------------------------------------

    def _judge(self) -> None:
        report, runs = self.report, self.runs()
        attempts = [attempt for attempt, _ in self.attempts]
        for attempt in attempts:
            number = self._number(attempt.tick)
            attempt.said = self.journal.with_name(f"{attempt.node}-{number}").read_text().strip()
        rules = Rules(self.fault.loud, self.fault.may_miss, self.pace.ttl)
        report.violations = judge(runs, attempts, rules) + list(self._left_over())
        report.ticks = len({attempt.tick for attempt in attempts})
        report.ran = len({run.tick for run in runs})
        report.attempts = len(attempts)
        report.lost = sum(attempt.status == 123 for attempt in attempts)
        report.hits = len(self.hits)
        report.live = sum(
            any(run.start <= hit.end and (run.end or run.start + self.pace.ttl) >= hit.start for run in runs)
            for hit in self.hits
        )
        report.stale = stale(runs)
        report.story = self._story(runs, attempts)

    def _number(self, tick: str) -> int:
        import calendar

        return (calendar.timegm(time.strptime(tick, "%Y-%m-%dT%H:%M:%SZ")) - self._base) // 60

    def _left_over(self) -> Iterator[Violation]:
        """Processes and leases, a lease after the last run's end."""

        def gone() -> bool:
            return not [pid for pid in bearing(MARK) if about(pid)["State"][0] not in "Zg"]

        try:
            wait_until(gone, self.pace.ttl + 1, "the nodes' processes to be gone", 0.1)
        except AssertionError:
            yield Violation("left over", f"processes: {bearing(MARK)}")
        time.sleep(0.1)
        if not self.fault.own_clocks:
            try:
                wait_until(lambda: not self.voters.leases(KEY), self.pace.ttl, "the leases to be over", 0.2)
            except AssertionError:
                yield Violation("left over", f"leases: {self.voters.leases(KEY)}")

    def _story(self, runs: list[Run], attempts: list[Attempt]) -> list[str]:
        first = min(attempt.start for attempt in attempts)
        lines = [(hit.start, f"HIT {hit.what}, for {hit.end - hit.start:.2f} s") for hit in self.hits]
        for run in runs:
            lines.append((run.start, f"RUN tick {self._number(run.tick)} on {run.node}, token {run.token}"))
            if run.end is not None:
                lines.append((run.end, f"END tick {self._number(run.tick)} on {run.node}, signal {run.signal}"))
        for attempt in attempts:
            who = f"{attempt.node}, tick {self._number(attempt.tick)}"
            lines.append((attempt.start, f"cron {who}"))
            lines.append((attempt.end, f"exit {who}: {attempt.status} {'(harmed) ' * attempt.harmed}{attempt.said}"))
        return [f"{at - first:8.3f} {text}" for at, text in sorted(lines)]


def main() -> None:
    """Inside namespaces of its own: plays, and prints the report as JSON."""
    fault, topology, seed = sys.argv[1:4]
    program = json.loads(os.environ.pop("NEMESIS_PROGRAM", "{}"))
    sys.stdout.write(Round(fault, topology, int(seed), program).play().to_json() + "\n")


if __name__ == "__main__":
    main()
