"""A voter in memory: the pure state machine, a clock of its own, and the faults of a server."""

from collections.abc import Callable
from typing import Any, Protocol

from cronlock.lock.copy import Copy
from cronlock.lock.local import OPERATIONS

EPOCH = 1_800_000_000_000  # ms: the wall clocks at the start of the simulation
DROPPED = "it closed the connection"

Fields = dict[str, Any]


class Client(Protocol):
    """The client's end of a connection."""

    def dropped(self, text: str) -> None: ...


class Subscriber(Protocol):
    """A subscriber to the ends of runs."""

    def notify(self, voter: int, token: int) -> None: ...


class Request:
    """An operation on its path; `answer` sends the answer back."""

    __slots__ = ("actor", "answer", "ask", "client", "life", "operation")

    def __init__(
        self, actor: str, client: Client, life: int, operation: str, ask: Fields, answer: Callable[[Fields], None]
    ) -> None:
        self.actor = actor
        self.client = client
        self.life = life  # of the server to which the connection was opened
        self.operation = operation
        self.ask = ask
        self.answer = answer


class Server:
    """A server, `name` in traces; its clock is `offset` ms off at the start and runs at `rate`."""

    def __init__(self, name: str, now: Callable[[], int], offset: int = 0, rate: float = 1.0) -> None:
        self.name = name
        self.copy = Copy()
        self.life = 1  # a restarted server has another life for its clients
        self.promotion = 1
        self.up = True
        self.clients: dict[Client, None] = {}
        self.subscribers: dict[
            tuple[Subscriber, int], int
        ] = {}  # (subscriber, voter): the life of the server at the subscription
        self.executed: Callable[[Server, Request, Fields], None] = lambda *_: None
        self._now = now
        self._offset = offset
        self._rate = rate
        self._stopped = 0
        self._queue: list[Request] = []
        self._saved: list[Copy] = []

    @property
    def run_id(self) -> str:
        """The stamp, made of values that INFO shows: it changes with a restart and with a promotion."""
        return f"{self.name}/{self.life}/{self.promotion}"

    @property
    def time(self) -> int:
        """The wall clock, which in Redis is also the clock of the leases."""
        return EPOCH + self._offset + int(self._now() * self._rate)

    @property
    def stopped(self) -> bool:
        return bool(self._stopped)

    @property
    def live(self) -> bool:
        """Return whether a lease is live here."""
        return self.copy.live(self.time)

    def remembers(self, token: int) -> bool:
        """Return whether it holds this run, under its present stamp."""
        return bool(self.copy.get("token") == token and self.copy.get("run_id") == self.run_id)

    def arrive(self, request: Request) -> None:
        """Execute a request at once, or queue it like the socket of a stopped server."""
        if not self.up or request.life != self.life:
            request.client.dropped("connection refused" if not self.up else DROPPED)
        elif self._stopped:
            self._queue.append(request)
        else:
            self._execute(request)

    def _execute(self, request: Request) -> None:
        if 0 < self.copy.expires <= self.time:
            self.copy = Copy()
        ran = self.copy.get("kind") == "run"
        answer = OPERATIONS[request.operation](self.copy, request.ask, self.time, self.time, self.run_id)
        self.executed(self, request, answer)
        if ran and not self.copy.get("holder"):
            for subscriber, voter in list(self.subscribers):
                subscriber.notify(voter, self.copy.get("token"))
        request.answer(answer)

    def stop(self) -> None:
        """Stop the server (SIGSTOP)."""
        self._stopped += 1

    def resume(self) -> None:
        """Continue the server (SIGCONT) and execute the queued requests in order."""
        self._stopped -= 1
        if not self._stopped:
            queue, self._queue = self._queue, []
            for request in queue:
                self.arrive(request)

    def flush(self) -> None:
        """Forget everything (FLUSHALL); connections stay open."""
        self.copy = Copy()

    def fail_back(self, copy: Copy) -> None:
        """Take older data, as a master that was failed over from and failed back to; connections stay open."""
        self.promotion += 1
        self.copy = copied(copy)

    def shut_down(self) -> None:
        """Stop the server and end all connections."""
        self.up = False
        self.life += 1
        self.subscribers.clear()
        self._queue.clear()
        clients, self.clients = self.clients, {}
        for client in clients:
            client.dropped(DROPPED)

    def start_up(self, copy: Copy | None = None) -> None:
        """Start again as another life, with its own data or the given copy."""
        self.up = True
        if copy:
            self.copy = copied(copy)

    def save(self) -> None:
        """Save a snapshot that the server may go back to."""
        self._saved.append(copied(self.copy))

    @property
    def saved(self) -> list[Copy]:
        """The snapshots that the server may go back to, oldest first."""
        return [Copy(), *self._saved]


def copied(copy: Copy) -> Copy:
    """Return a deep copy of this state."""
    other = Copy()
    other.record, other.nodes, other.history = dict(copy.record), dict(copy.nodes), list(copy.history)
    other.expires = copy.expires
    return other
