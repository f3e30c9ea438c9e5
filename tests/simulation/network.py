"""Between one call of cronlock and the voters: connections on which requests and answers are late, or lost."""

from collections.abc import Callable
from typing import Protocol

from cronlock.lock.protocol import ACTIVE, Failure
from cronlock.process.event_loop import POLL_MAX
from tests.simulation.machine import Machine
from tests.simulation.server import Fields, Request, Server
from tests.simulation.virtual_time import Task

SILENCE = 1_000  # ms without progress until a connection counts as lost, as in servers/connection.py
NEVER = None

Reply = Fields | Failure
Answered = Callable[[Reply], None]


class Passage:
    """What the network does with one request. In ms: `there` until it arrives, `back` until its answer does after it
    was executed, `reset` until its sender sees the connection end; NEVER is what a lost packet takes.
    """

    __slots__ = ("back", "reset", "there")

    def __init__(self, there: int | None = 1, back: int | None = 1, reset: int | None = NEVER) -> None:
        self.there = there
        self.back = back
        self.reset = reset


class Weather(Protocol):
    """Decides on each request."""

    def passage(self, node: str, server: Server, operation: str) -> Passage: ...


class Connection:
    """A stream in each direction: what is sent later comes later, and behind what is lost nothing comes."""

    def __init__(self, line: "Line", server: Server) -> None:
        self._line = line
        self._server = server
        self._life = server.life
        self._there: int | None = 0  # when the last request arrives, and the last answer
        self._back: int | None = 0
        server.clients[self] = None

    def send(self, passage: Passage, operation: str, ask: Fields) -> None:
        time, line = self._line.time, self._line
        if self._there is NEVER or passage.there is NEVER:
            self._there = NEVER
        else:
            self._there = max(self._there, time.now + passage.there)
            request = Request(line.who, self, self._life, operation, ask, lambda reply: self._answer(reply, passage))
            time.at(self._there, lambda: self._server.arrive(request))
        if passage.reset is not NEVER:
            time.at(time.now + passage.reset, lambda: self.dropped("connection reset by peer"))

    def _answer(self, reply: Fields, passage: Passage) -> None:
        if self._back is NEVER or passage.back is NEVER:
            self._back = NEVER
            return
        self._back = max(self._back, self._line.time.now + passage.back)
        self._line.time.at(self._back, lambda: self._line.hear(self, reply))

    def dropped(self, text: str) -> None:
        """It has ended, which its node hears in a moment."""
        self._line.time.at(self._line.time.now + 1, lambda: self._line.hear(self, Failure(text)))

    def forget(self) -> None:
        self._server.clients.pop(self, None)


class Line:
    """One call's way to one voter: a connection, and after its failure another one; wire.Connection's counterpart."""

    def __init__(self, machine: Machine, task: Task, who: str, server: Server) -> None:
        self.time = machine.time
        self._machine = machine
        self.who = who
        self.failures = 0
        self.inbox: list[tuple[Connection, Reply]] = []
        self._task = task
        self._server = server
        self._connection: Connection | None = None
        self._waiting: list[Answered] = []
        self._heard_at = 0

    @property
    def busy(self) -> bool:
        return bool(self._waiting)

    @property
    def time_left(self) -> int:
        return self._heard_at + SILENCE - self._machine.now

    def send(self, passage: Passage, operation: str, ask: Fields, answered: Answered) -> None:
        if not self._waiting:
            self._heard_at = self._machine.now
        self._waiting.append(answered)
        if not self._connection:
            self._connection = Connection(self, self._server)
        self._connection.send(passage, operation, ask)

    def hear(self, connection: Connection, reply: Reply) -> None:
        """Something has come over a connection: it is read when the task looks."""
        if connection is self._connection:
            self.inbox.append((connection, reply))
            self.time.wake(self._task)

    def read(self) -> None:
        inbox, self.inbox = self.inbox, []
        for connection, reply in inbox:
            if connection is not self._connection:
                continue
            if isinstance(reply, Failure):
                self.fail(reply.text)
            else:
                self._heard_at = self._machine.now
                self._waiting.pop(0)(reply)

    def fail(self, text: str) -> None:
        if self._connection:
            self._connection.forget()
        self._connection = None
        self.failures += 1
        waiting, self._waiting = self._waiting, []
        failure = Failure(f"{self._server.name}: {text}")
        for answered in waiting:
            answered(failure)

    def close(self) -> None:
        if self._connection:
            self._connection.forget()
        self._connection = None
        self._waiting.clear()


class SimulatedVoters:
    """topology.RedisVoters' counterpart. `point` is told of each moment at which a fate may strike this process."""

    conflict = ""
    distinct = True
    key, node = "job", ""
    warning = ""

    def __init__(
        self, machine: Machine, task: Task, node: str, who: str, servers: list[Server], weather: Weather
    ) -> None:
        self.count = len(servers)
        names = sorted(server.name for server in servers)
        self.voter_set = f"1 {self.count}" + (f" {','.join(names)}" if self.count > 1 else "")
        self.point: Callable[[str], None] = lambda _: None
        self._machine, self._time = machine, machine.time
        self._task = task
        self._node = node
        self._servers = servers
        self._weather = weather
        self._lines = [Line(machine, task, who, server) for server in servers]
        self._rung: Callable[[int, int], None] = lambda _voter, _token: None
        self._rings: list[tuple[int, int]] = []

    def clock(self) -> int:
        now = self._machine.now
        self.point("clock")
        return now

    def label(self, voter: int) -> str:
        return self._servers[voter].name

    def flush(self) -> None:
        """Everything goes at once."""

    def find(self, _until: int) -> Failure | None:
        return None

    def send(self, voter: int, operation: str, ask: Fields, answered: Answered) -> None:
        self.point("send")
        passage = self._weather.passage(self._node, self._servers[voter], operation)
        self._lines[voter].send(passage, operation, ask, answered)

    def listen(self, on_run_ended: Callable[[int, int], None]) -> None:
        """Subscribe where that is to be done: at once, but only to servers that are up."""
        self._rung = on_run_ended
        for voter, server in enumerate(self._servers):
            if server.up:
                server.ears[self, voter] = server.life

    def listening(self, state: str) -> int:
        ears = [server.ears.get((self, voter)) == server.life for voter, server in enumerate(self._servers)]
        return sum(ears) if state == ACTIVE else 0

    def tell(self, voter: int, token: int) -> None:
        """A run has ended at a voter, which is heard late, or never."""
        back = self._weather.passage(self._node, self._servers[voter], "message").back
        if back is not NEVER:
            self._time.at(self._time.now + back, lambda: self._hear(voter, token))

    def _sleep(self, wait: int) -> None:
        """So many ms of this machine's time, or until it is woken."""
        until = self._machine.now + wait
        while (left := until - self._machine.now) >= 0:
            alarm = self._time.now + left
            self._time.sleep(self._task, alarm)
            woken = self._time.now < alarm
            self._machine.sleep_through(self._task)
            if woken or not left:
                break

    def _hear(self, voter: int, token: int) -> None:
        self._rings.append((voter, token))
        self._time.wake(self._task)

    def refresh(self) -> None:
        pass

    def failures(self, voter: int) -> int:
        return self._lines[voter].failures

    def close(self) -> None:
        for voter, (line, server) in enumerate(zip(self._lines, self._servers, strict=True)):
            server.ears.pop((self, voter), None)
            line.close()

    def step(self, timeout: int) -> None:
        """As Loop.step and RedisVoters.step do: until something comes, a second at most."""
        self.point("step")
        busy = [line for line in self._lines if line.busy]
        wait = max(0, min([timeout, POLL_MAX, *(line.time_left for line in busy)]))
        if not self._rings and not any(line.inbox for line in self._lines):
            self._sleep(wait)
        self.point("step")
        rings, self._rings = self._rings, []
        for ring in rings:
            self._rung(*ring)
        for line in self._lines:
            if line.inbox:
                line.read()
        for line in busy:
            if line.busy and line.time_left <= 0:
                line.fail("no answer")
