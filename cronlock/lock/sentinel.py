"""Who is the master of a service: what its sentinels say, all asked at once.

By the guidelines of https://redis.io/docs/latest/develop/reference/sentinel-clients/, but for one thing: not the first
sentinel's word counts but that of most, for one that is cut off may not have heard of a failover.
"""

from cronlock.lock.address import PORT_MAX, Address
from cronlock.lock.quorum import Failure, quorum
from cronlock.lock.resolver import Resolution
from cronlock.lock.wire import Connection, numeric

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from cronlock.system import Loop


class Search:
    """Asks the sentinels of an address. `done` gets the places of its master and its host, or a Failure."""

    def __init__(self, loop: "Loop", address: Address, done: "Callable[..., None]") -> None:
        self._loop = loop
        self._service = address.service
        self._done = done
        self._votes: list[tuple[str, int]] = []
        self._failures: list[Failure] = []
        self._look_up: Resolution | None = None
        self.connections = [Connection(loop, sentinel) for sentinel in address.sentinels]

    def start(self) -> None:
        """Ask; an answer may come at once."""
        question = [b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", self._service.encode("utf-8", "surrogateescape")]
        for connection in list(self.connections):
            connection.send(question, self._listener(connection.address.label))

    def _listener(self, label: str) -> "Callable[[Any], None]":
        def told(reply: "Any") -> None:
            if isinstance(reply, Failure):
                self._failures.append(reply)
            elif reply is None:
                self._failures.append(Failure(f"{label}: it knows no master {self._service}", final=True))
            else:
                try:
                    host, port = reply
                    if not 0 < int(port) <= PORT_MAX:
                        raise ValueError
                    self._votes.append((host.decode("utf-8", "surrogateescape"), int(port)))
                except (TypeError, ValueError, AttributeError):  # an error reply, another program
                    self._failures.append(Failure(f"{label}: {_text(reply)}", final=True))
            if self.connections:
                self._judge()

        return told

    def _judge(self) -> None:
        most = max(self._votes, key=self._votes.count, default=None)
        everybody = len(self._votes) + len(self._failures) == len(self.connections)
        if most and (everybody or self._votes.count(most) >= quorum(len(self.connections))):
            self._found(*most)
        elif everybody:
            self.cancel()
            final = all(failure.final for failure in self._failures)
            first = next(failure for failure in self._failures if failure.final == final)
            self._done(Failure(f"no sentinel tells its master: {first.text}", final))

    def _found(self, host: str, port: int) -> None:
        self.cancel()
        master = Address(host, port)
        places = numeric(master)
        if places:
            self._done(places, host)
            return
        try:
            self._look_up = Resolution(self._loop, master, lambda found: self._done(found, host))
        except OSError as error:
            self._done(Failure((error.strerror or str(error)).lower()))

    def cancel(self) -> None:
        """Let go of the sentinels, and of a look-up."""
        connections, self.connections = self.connections, []
        for connection in connections:
            connection.close()
        if self._look_up:
            self._look_up.cancel()
            self._look_up = None


def _text(reply: "Any") -> str:
    """An answer that is none, for a message."""
    return str(reply) if isinstance(reply, Exception) else "its answers are not those of a sentinel"
