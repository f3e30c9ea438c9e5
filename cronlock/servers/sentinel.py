"""Who is the master of a service: what its sentinels say, all asked at once.

By the guidelines of https://redis.io/docs/latest/develop/reference/sentinel-clients/, but for one thing: not the first
sentinel's word counts but that of most, for one that is cut off may not have heard of a failover.
"""

from cronlock.lock.protocol import Failure
from cronlock.lock.quorum import quorum
from cronlock.servers.connection import Connection, numeric, refused_by_server
from cronlock.servers.dns import Resolution
from cronlock.servers.server_identity import OTHERS_WAIT
from cronlock.servers.url import HOST_MAX, PORT_MAX, Address

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from cronlock.process.event_loop import Loop
    from cronlock.servers.connection import SocketAddress


class Search:
    """Asks the sentinels of an address. `done` gets the places of its master and its host, or a Failure.

    A name with several addresses is as many sentinels.
    """

    def __init__(self, loop: "Loop", address: Address, done: "Callable[..., None]") -> None:
        self._loop = loop
        self._service = address.service
        self._sentinels = address.sentinels
        self._done = done
        self._votes: list[tuple[str, int]] = []
        self._failures: list[Failure] = []
        self._look_ups: list[Resolution] = []
        self._unresolved = 0
        self._asked = 0
        self.connections: list[Connection] = []

    def start(self) -> None:
        """Ask; an answer may come at once. Raises OSError when there is no process to look a name up."""
        self._unresolved = len(self._sentinels)
        for sentinel in self._sentinels:
            places = numeric(sentinel)
            if places:
                self._resolved(sentinel, places)
            else:
                named = self._named(sentinel)
                self._look_ups.append(Resolution(self._loop, sentinel, named))

    def _named(self, sentinel: Address) -> "Callable[[list[SocketAddress] | Failure], None]":
        return lambda places: self._resolved(sentinel, places)

    def _resolved(self, sentinel: Address, places: "list[SocketAddress] | Failure") -> None:
        if not self._unresolved:  # it is over
            return
        self._unresolved -= 1
        if isinstance(places, Failure):
            self._asked += 1
            self._failures.append(Failure(f"{sentinel.label}: {places.text}"))
            self._judge()
            return
        question = [b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", self._service.encode("utf-8", "surrogateescape")]
        new = [Connection(self._loop, sentinel, places=[place]) for place in places]
        self._asked += len(new)
        self.connections += new
        for connection in new:
            connection.send(question, self._listener(sentinel.label))

    def _listener(self, label: str) -> "Callable[[Any], None]":
        def told(reply: "Any") -> None:
            if isinstance(reply, Failure):
                self._failures.append(reply)
            elif reply is None:
                self._failures.append(Failure(f"{label}: it knows no master {self._service}", final=True))
            elif isinstance(reply, Exception):
                self._failures.append(refused_by_server(label, str(reply)))
            else:
                try:
                    host, port = reply
                    if not 0 < int(port) <= PORT_MAX or len(host) > HOST_MAX:
                        raise ValueError
                    self._votes.append((host.decode("utf-8", "surrogateescape"), int(port)))
                except (TypeError, ValueError, AttributeError):  # another program
                    self._failures.append(Failure(f"{label}: its answers are not those of a sentinel", final=True))
            for connection in self.connections if self._votes else ():
                connection.shorten_timeout(OTHERS_WAIT)
            if self.connections:
                self._judge()

        return told

    def _judge(self) -> None:
        most = max(self._votes, key=self._votes.count, default=None)
        everybody = not self._unresolved and len(self._votes) + len(self._failures) == self._asked
        if most and (everybody or self._votes.count(most) >= quorum(self._asked + self._unresolved)):
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
            self._look_ups = [Resolution(self._loop, master, lambda found: self._done(found, host))]
        except OSError as error:
            self._done(Failure((error.strerror or str(error)).lower()))

    def cancel(self) -> None:
        """Let go of the sentinels, and of look-ups."""
        self._unresolved = 0
        connections, self.connections = self.connections, []
        for connection in connections:
            connection.close()
        look_ups, self._look_ups = self._look_ups, []
        for look_up in look_ups:
            look_up.cancel()
