"""The network between one call of cronlock and the voters: requests and answers are late or lost."""

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


class Delivery:
    """The fault of one request in the network, in ms.

    `there`: until it arrives. `back`: from its execution until its answer arrives. `reset`: until its sender sees the
    connection end. NEVER stands for a lost packet.
    """

    __slots__ = ("back", "reset", "there")

    def __init__(self, there: int | None = 1, back: int | None = 1, reset: int | None = NEVER) -> None:
        self.there = there
        self.back = back
        self.reset = reset


class Network(Protocol):
    """The decision on each request."""

    def delivery(self, node: str, server: Server, operation: str) -> Delivery: ...


class Connection:
    """A stream in each direction: packets keep their order, and nothing follows a lost packet."""

    def __init__(self, link: "VoterLink", server: Server) -> None:
        self._link = link
        self._server = server
        self._life = server.life
        self._there: int | None = 0  # arrival of the last request and of the last answer
        self._back: int | None = 0
        server.clients[self] = None

    def send(self, delivery: Delivery, operation: str, ask: Fields) -> None:
        time, link = self._link.time, self._link
        if self._there is NEVER or delivery.there is NEVER:
            self._there = NEVER
        else:
            self._there = max(self._there, time.now + delivery.there)
            request = Request(link.actor, self, self._life, operation, ask, lambda reply: self._answer(reply, delivery))
            time.at(self._there, lambda: self._server.arrive(request))
        if delivery.reset is not NEVER:
            time.at(time.now + delivery.reset, lambda: self.dropped("connection reset by peer"))

    def _answer(self, reply: Fields, delivery: Delivery) -> None:
        if self._back is NEVER or delivery.back is NEVER:
            self._back = NEVER
            return
        self._back = max(self._back, self._link.time.now + delivery.back)
        self._link.time.at(self._back, lambda: self._link.receive(self, reply))

    def dropped(self, text: str) -> None:
        """End the connection; its node notices a moment later."""
        self._link.time.at(self._link.time.now + 1, lambda: self._link.receive(self, Failure(text)))

    def forget(self) -> None:
        self._server.clients.pop(self, None)


class VoterLink:
    """One call's link to one voter, with a new connection after each failure.

    The counterpart of servers/connection.py.
    """

    def __init__(self, machine: Machine, task: Task, actor: str, server: Server) -> None:
        self.time = machine.time
        self._machine = machine
        self.actor = actor
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

    def send(self, delivery: Delivery, operation: str, ask: Fields, answered: Answered) -> None:
        if not self._waiting:
            self._heard_at = self._machine.now
        self._waiting.append(answered)
        if not self._connection:
            self._connection = Connection(self, self._server)
        self._connection.send(delivery, operation, ask)

    def receive(self, connection: Connection, reply: Reply) -> None:
        """Queue a reply, which is read at the task's next step."""
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
    """The counterpart of RedisVoters. `point` is called at each moment at which a fault may hit this process."""

    conflict = ""
    distinct = True
    key, node = "job", ""
    warning = ""
    location_flags = staticmethod(str)

    def __init__(
        self, machine: Machine, task: Task, node: str, actor: str, servers: list[Server], network: Network
    ) -> None:
        self.count = len(servers)
        names = sorted(server.name for server in servers)
        self.voter_set = f"1 {self.count}" + (f" {','.join(names)}" if self.count > 1 else "")
        self.point: Callable[[str], None] = lambda _: None
        self._machine, self._time = machine, machine.time
        self._task = task
        self._node = node
        self._servers = servers
        self._weather = network
        self._links = [VoterLink(machine, task, actor, server) for server in servers]
        self._on_run_ended: Callable[[int, int], None] = lambda _voter, _token: None
        self._notifications: list[tuple[int, int]] = []

    def clock(self) -> int:
        now = self._machine.now
        self.point("clock")
        return now

    def label(self, voter: int) -> str:
        return self._servers[voter].name

    def flush(self) -> None:
        """Do nothing: requests are sent at once."""

    def find(self, _until: int) -> Failure | None:
        return None

    def send(self, voter: int, operation: str, ask: Fields, answered: Answered) -> None:
        self.point("send")
        delivery = self._weather.delivery(self._node, self._servers[voter], operation)
        self._links[voter].send(delivery, operation, ask, answered)

    def listen(self, on_run_ended: Callable[[int, int], None]) -> None:
        """Subscribe now, but only at servers that are up."""
        self._on_run_ended = on_run_ended
        for voter, server in enumerate(self._servers):
            if server.up:
                server.subscribers[self, voter] = server.life

    def listening(self, state: str) -> int:
        subscribers = [
            server.subscribers.get((self, voter)) == server.life for voter, server in enumerate(self._servers)
        ]
        return sum(subscribers) if state == ACTIVE else 0

    def notify(self, voter: int, token: int) -> None:
        """Deliver a run's end from a voter, late or never."""
        back = self._weather.delivery(self._node, self._servers[voter], "message").back
        if back is not NEVER:
            self._time.at(self._time.now + back, lambda: self._notified(voter, token))

    def _sleep(self, wait: int) -> None:
        """Wait this many ms of the machine's time, or until woken."""
        until = self._machine.now + wait
        while (left := until - self._machine.now) >= 0:
            alarm = self._time.now + left
            self._time.sleep(self._task, alarm)
            woken = self._time.now < alarm
            self._machine.sleep_through(self._task)
            if woken or not left:
                break

    def _notified(self, voter: int, token: int) -> None:
        self._notifications.append((voter, token))
        self._time.wake(self._task)

    def refresh(self) -> None:
        pass

    def failures(self, voter: int) -> int:
        return self._links[voter].failures

    def close(self) -> None:
        for voter, (link, server) in enumerate(zip(self._links, self._servers, strict=True)):
            server.subscribers.pop((self, voter), None)
            link.close()

    def step(self, timeout: int) -> None:
        """Wait until something arrives, at most a second, as Loop.step and RedisVoters.step do."""
        self.point("step")
        busy = [link for link in self._links if link.busy]
        wait = max(0, min([timeout, POLL_MAX, *(link.time_left for link in busy)]))
        if not self._notifications and not any(link.inbox for link in self._links):
            self._sleep(wait)
        self.point("step")
        notifications, self._notifications = self._notifications, []
        for notification in notifications:
            self._on_run_ended(*notification)
        for link in self._links:
            if link.inbox:
                link.read()
        for link in busy:
            if link.busy and link.time_left <= 0:
                link.fail("no answer")
