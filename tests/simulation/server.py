"""A voter in memory: the pure record, a clock of its own, and what may happen to a server."""

from collections.abc import Callable
from typing import Any, Protocol

from cronlock.lock.copy import Copy
from cronlock.lock.local import OPERATIONS

EPOCH = 1_800_000_000_000  # ms: what the wall clocks say when the simulation begins
DROPPED = "it closed the connection"

Fields = dict[str, Any]


class Client(Protocol):
    """The other end of a connection."""

    def dropped(self, text: str) -> None: ...


class Ear(Protocol):
    """Whoever subscribed to the ends of runs."""

    def tell(self, voter: int, token: int) -> None: ...


class Request:
    """An operation on its way; `answer` sends the answer back."""

    __slots__ = ("answer", "ask", "client", "life", "operation", "who")

    def __init__(
        self, who: str, client: Client, life: int, operation: str, ask: Fields, answer: Callable[[Fields], None]
    ) -> None:
        self.who = who
        self.client = client
        self.life = life  # of the server, to which the connection was opened
        self.operation = operation
        self.ask = ask
        self.answer = answer


class Server:
    """`name` in stories; its clock is `offset` ms off at the beginning and runs at `rate`."""

    def __init__(self, name: str, now: Callable[[], int], offset: int = 0, rate: float = 1.0) -> None:
        self.name = name
        self.copy = Copy()
        self.life = 1  # a restarted server is another one to those who were connected
        self.promotion = 1
        self.up = True
        self.clients: dict[Client, None] = {}
        self.ears: dict[tuple[Ear, int], int] = {}  # who is told of the ends of runs, as which voter, in which life
        self.executed: Callable[[Server, Request, Fields], None] = lambda *_: None
        self._now = now
        self._offset = offset
        self._rate = rate
        self._stopped = 0
        self._queue: list[Request] = []
        self._saved: list[Copy] = []

    @property
    def run_id(self) -> str:
        """Its stamp, of what INFO tells: another one after a restart, and after a promotion."""
        return f"{self.name}/{self.life}/{self.promotion}"

    @property
    def time(self) -> int:
        """Its wall clock, and in Redis also the clock of the leases."""
        return EPOCH + self._offset + int(self._now() * self._rate)

    @property
    def stopped(self) -> bool:
        return bool(self._stopped)

    @property
    def live(self) -> bool:
        """Whether somebody's lease runs here."""
        return self.copy.live(self.time)

    def remembers(self, token: int) -> bool:
        """Whether it holds this run, and says so under the same run_id."""
        return bool(self.copy.get("token") == token and self.copy.get("run_id") == self.run_id)

    def arrive(self, request: Request) -> None:
        """A request comes in: it is executed at once, or waits in the socket of a server that is stopped."""
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
            for ear, voter in list(self.ears):
                ear.tell(voter, self.copy.get("token"))
        request.answer(answer)

    def stop(self) -> None:
        """SIGSTOP."""
        self._stopped += 1

    def go_on(self) -> None:
        """SIGCONT: what waited is executed in its order."""
        self._stopped -= 1
        if not self._stopped:
            queue, self._queue = self._queue, []
            for request in queue:
                self.arrive(request)

    def flush(self) -> None:
        """FLUSHALL: it forgets, and nobody's connection ends."""
        self.copy = Copy()

    def fail_back(self, copy: Copy) -> None:
        """It was failed over from, and is failed back to: the same server, which everybody still hears; older data."""
        self.promotion += 1
        self.copy = copied(copy)

    def go_down(self) -> None:
        """Everybody's connection ends."""
        self.up = False
        self.life += 1
        self.ears.clear()
        self._queue.clear()
        clients, self.clients = self.clients, {}
        for client in clients:
            client.dropped(DROPPED)

    def come_up(self, copy: Copy | None = None) -> None:
        """As another life, with the data that it had or those given."""
        self.up = True
        if copy:
            self.copy = copied(copy)

    def save(self) -> None:
        """A snapshot that it may go back to."""
        self._saved.append(copied(self.copy))

    @property
    def saved(self) -> list[Copy]:
        """What it may go back to, the oldest first."""
        return [Copy(), *self._saved]


def copied(copy: Copy) -> Copy:
    """All of it, as it is now."""
    other = Copy()
    other.record, other.nodes, other.history = dict(copy.record), dict(copy.nodes), list(copy.history)
    other.expires = copy.expires
    return other
