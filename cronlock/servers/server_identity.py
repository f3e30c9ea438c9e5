"""Several addresses of one server: a host name may lead to the nodes of one cluster or to one server, never to several.

Nodes that reach different servers by the same name would hold different locks.
"""

from cronlock.lock.protocol import Failure
from cronlock.messages import shortened
from cronlock.servers.cluster import CLUSTER_SLOTS, node_ids
from cronlock.servers.connection import STRAGGLER_WAIT, Connection, failure_of_reply
from cronlock.servers.error_replies import TEXT_MAX

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from cronlock.config.redis_url import Address
    from cronlock.process.event_loop import Loop
    from cronlock.servers.transport import SocketAddress

    Ids = frozenset[bytes]


class ServerIdentity:
    """Asks the server at each address for its identity. `on_identified` gets the addresses that answered, or a Failure.

    Addresses that are silent or refuse the connection are passed over. `strict` also refuses servers without a known
    identity; one IPv4 and one IPv6 address rarely belong to two servers.
    """

    def __init__(
        self,
        loop: "Loop",
        address: "Address",
        addresses: "Sequence[SocketAddress]",
        on_identified: "Callable[[list[SocketAddress] | Failure], None]",
        strict: bool = True,
    ) -> None:
        self._on_identified = on_identified
        self._label = address.label
        self._strict = strict
        self._asked = len(addresses)
        self._answered: list[SocketAddress] = []
        self._known: tuple[bool, Ids] | None = None  # a cluster or not, and the ids of its servers
        self._unidentified = ""  # the reason
        self._failures: list[Failure] = []
        self.connections = [Connection(loop, address, addresses=[target]) for target in addresses]
        self._addresses = dict(zip(self.connections, addresses, strict=True))

    def start(self) -> None:
        """Ask; an answer may come at once."""
        for connection in list(self.connections):
            replies: list[Any] = []
            connection.send(CLUSTER_SLOTS, replies.append)
            connection.send([b"INFO", b"server"], self._on_info(connection, replies))

    def cancel(self) -> None:
        """Close all connections."""
        connections, self.connections = self.connections, []
        for connection in connections:
            connection.close()

    def _on_info(self, connection: Connection, replies: "list[Any]") -> "Callable[[Any], None]":
        def answered(reply: "Any") -> None:
            if not self.connections:
                return
            if isinstance(reply, Failure):
                self._failures.append(Failure(reply.text.removeprefix(f"{self._label}: "), reply.final))
            else:
                self._compare(connection, replies[0], reply)
            for other in self.connections if self._answered else ():
                other.shorten_timeout(STRAGGLER_WAIT)
            self._conclude()

        return answered

    def _compare(self, connection: Connection, slots: "Any", info: "Any") -> None:
        found = identity(slots, info)
        if found is None:
            refused = isinstance(info, Exception)
            if refused and not failure_of_reply("", str(info)).final:
                self._failures.append(Failure(shortened(str(info), TEXT_MAX)))
                return
            self._unidentified = shortened(str(info), TEXT_MAX) if refused else "its replies are not those of Redis"
        elif self._known is None:
            self._known = found
        elif found[0] != self._known[0] or not found[1] & self._known[1]:
            text = f"this name has {self._asked} addresses, of different servers: list each server by its own address"
            self._end(Failure(text, final=True))
            return
        else:
            self._known = (found[0], found[1] | self._known[1])
        self._answered.append(self._addresses[connection])

    def _conclude(self) -> None:
        if not self.connections or len(self._answered) + len(self._failures) < self._asked:
            return
        if self._unidentified and self._strict:
            text = f"this name has {self._asked} addresses, perhaps of different servers: {self._unidentified}"
            self._end(Failure(f"{text}: list one address, or allow INFO", final=True))
        else:
            passing = [failure for failure in self._failures if not failure.final]
            self._end(self._answered or [*passing, *self._failures][0])

    def _end(self, found: "list[SocketAddress] | Failure") -> None:
        self.cancel()
        self._on_identified(found)


def identity(slots: "Any", info: "Any") -> "tuple[bool, Ids] | None":
    """Return whether a server is in a cluster, and its id or those of all the cluster's nodes; None if unknown."""
    try:
        members = node_ids(slots)
    except (TypeError, LookupError):  # not in a cluster
        members = frozenset()
    if members:
        return True, members
    lines = info.splitlines() if isinstance(info, bytes) else ()
    own = next((line for line in lines if line.startswith(b"run_id:")), None)
    return None if own is None else (False, frozenset([own]))
