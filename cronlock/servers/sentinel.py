"""The master of a service: every Sentinel is asked at once, and the majority decides.

Follows https://redis.io/docs/latest/develop/reference/sentinel-clients/ except for one rule: the first Sentinel's
answer does not decide, because a Sentinel that is cut off may not know of a failover.
"""

from cronlock.config.redis_url import HOST_MAX, PORT_MAX
from cronlock.lock.protocol import Failure
from cronlock.lock.quorum import quorum
from cronlock.process.event_loop import Loop, boottime
from cronlock.servers.connection import STRAGGLER_WAIT, Connection, failure_of_reply, step
from cronlock.servers.dns import Resolution
from cronlock.servers.transport import literal

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from cronlock.config.redis_url import Address
    from cronlock.servers.transport import SocketAddress

    Master = tuple[str, int]  # host and port

NO_MASTER = "no Sentinel reported the master"


class MasterQuery:
    """Asks the Sentinels of an address. `on_found` gets the master's host and port, or a Failure.

    A host name with several addresses counts as that many Sentinels.
    """

    def __init__(self, loop: Loop, address: "Address", on_found: "Callable[[Master | Failure], None]") -> None:
        self._loop = loop
        self._service = address.service
        self._sentinels = address.sentinels
        self._on_found = on_found
        self._votes: list[Master] = []
        self._failures: list[Failure] = []
        self._look_ups: list[Resolution] = []
        self._unresolved = 0
        self._asked = 0
        self.connections: list[Connection] = []

    def start(self) -> None:
        """Ask; an answer may come at once. Raises OSError without a free process for a look-up."""
        self._unresolved = len(self._sentinels)
        for sentinel in self._sentinels:
            addresses = literal(sentinel)
            if addresses:
                self._resolved(sentinel, addresses)
            else:
                self._look_ups.append(Resolution(self._loop, sentinel, self._on_resolved(sentinel)))

    def cancel(self) -> None:
        """Close the connections to the Sentinels and end look-ups."""
        self._unresolved = 0
        connections, self.connections = self.connections, []
        for connection in connections:
            connection.close()
        look_ups, self._look_ups = self._look_ups, []
        for look_up in look_ups:
            look_up.cancel()

    def _on_resolved(self, sentinel: "Address") -> "Callable[[list[SocketAddress] | Failure], None]":
        return lambda found: self._resolved(sentinel, found)

    def _resolved(self, sentinel: "Address", found: "list[SocketAddress] | Failure") -> None:
        if not self._unresolved:  # the search has ended
            return
        self._unresolved -= 1
        if isinstance(found, Failure):
            self._asked += 1
            self._failures.append(Failure(f"{sentinel.label}: {found.text}"))
            self._conclude()
            return
        question = [b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", self._service.encode("utf-8", "surrogateescape")]
        new = [Connection(self._loop, sentinel, addresses=[target]) for target in found]
        self._asked += len(new)
        self.connections += new
        for connection in new:
            connection.send(question, self._on_reply(sentinel.label))

    def _on_reply(self, label: str) -> "Callable[[Any], None]":
        def answered(reply: "Any") -> None:
            if isinstance(reply, Failure):
                self._failures.append(reply)
            elif isinstance(reply, Exception):
                self._failures.append(failure_of_reply(label, str(reply)))
            else:
                try:
                    self._votes.append(parse_master(reply, self._service))
                except ValueError as error:
                    self._failures.append(Failure(f"{label}: {error}", final=True))
            for connection in self.connections if self._votes else ():
                connection.shorten_timeout(STRAGGLER_WAIT)
            if self.connections:
                self._conclude()

        return answered

    def _conclude(self) -> None:
        master = majority(self._votes)
        all_answered = not self._unresolved and len(self._votes) + len(self._failures) == self._asked
        if master and (all_answered or self._votes.count(master) >= quorum(self._asked + self._unresolved)):
            self.cancel()
            self._on_found(master)
        elif all_answered:
            self.cancel()
            final = all(failure.final for failure in self._failures)
            first = next(failure for failure in self._failures if failure.final == final)
            self._on_found(Failure(f"{NO_MASTER}: {first.text}", final))


def find_masters(services: "Sequence[Address]", timeout: int) -> "list[Master | Failure]":
    """Return the master of each service; for operators' commands, which may wait up to `timeout` ms."""
    loop, until = Loop(), boottime() + timeout
    found: dict[Address, Master | Failure] = {}

    def store(address: "Address") -> "Callable[[Master | Failure], None]":
        return lambda master: found.__setitem__(address, master)

    queries = [MasterQuery(loop, address, store(address)) for address in services]
    try:
        for query in queries:
            query.start()
        while len(found) < len(services) and (left := until - boottime()) > 0:
            step(loop, [connection for query in queries for connection in query.connections], left)
    except OSError as error:  # no process for a look-up, or no file descriptor
        failure = Failure((error.strerror or str(error)).lower())
        return [found.get(address, failure) for address in services]
    finally:
        for query in queries:
            query.cancel()
    return [found.get(address, Failure(f"{NO_MASTER}: no answer")) for address in services]


def parse_master(reply: "Any", service: str) -> "Master":
    """Return host and port from a reply to SENTINEL GET-MASTER-ADDR-BY-NAME; raises ValueError with the reason."""
    if reply is None:
        raise ValueError(f"unknown service {service}: correct its name in the URL")
    try:
        host, port = reply
        if 0 < int(port) <= PORT_MAX and len(host) <= HOST_MAX:
            return (host.decode("utf-8", "surrogateescape") if isinstance(host, bytes) else str(host)), int(port)
    except (TypeError, ValueError, AttributeError):  # the reply of another program
        pass
    raise ValueError("its replies are not those of a Sentinel: check host and port")


def majority(votes: "Sequence[Master]") -> "Master | None":
    """Return the master that most Sentinels report; None without any vote."""
    return max(votes, key=votes.count, default=None)
