"""A host name with several addresses: seeds of one cluster, or one server that has several; never several servers.

Nodes that come to different servers by the same name would hold different locks.
"""

from cronlock.lock.protocol import Failure
from cronlock.servers.connection import Connection, refused_by_server, shortened

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from cronlock.process.event_loop import Loop
    from cronlock.servers.connection import SocketAddress
    from cronlock.servers.url import Address

    Ids = frozenset[bytes]

OTHERS_WAIT = 300  # ms for further addresses, once one has answered: a name may outlive a pod


class ServerIdentity:
    """Asks each of the places what it is. `done` gets those that answered, or a Failure.

    Those that are silent or refuse the connection are passed over. `strict`: refuse what can't be told, too; one
    address of each family is hardly ever two servers.
    """

    def __init__(
        self,
        loop: "Loop",
        address: "Address",
        places: "Sequence[SocketAddress]",
        done: "Callable[[list[SocketAddress] | Failure], None]",
        strict: bool = True,
    ) -> None:
        self._done = done
        self._label = address.label
        self._strict = strict
        self._asked = len(places)
        self._good: list[SocketAddress] = []
        self._known: tuple[bool, Ids] | None = (
            None  # whether it is a cluster, and the ids of servers that it is made of
        )
        self._untold = ""
        self._failures: list[Failure] = []
        self.connections = [Connection(loop, address, places=[place]) for place in places]
        self._places = dict(zip(self.connections, places, strict=True))

    def start(self) -> None:
        """Ask; an answer may come at once."""
        for connection in list(self.connections):
            replies: list[Any] = []
            connection.send([b"CLUSTER", b"SLOTS"], replies.append)
            connection.send([b"INFO", b"server"], self._listener(connection, replies))

    def _listener(self, connection: Connection, replies: "list[Any]") -> "Callable[[Any], None]":
        def told(reply: "Any") -> None:
            if not self.connections:
                return
            if isinstance(reply, Failure):
                self._failures.append(Failure(reply.text.removeprefix(f"{self._label}: "), reply.final))
            else:
                self._told(connection, replies[0], reply)
            for other in self.connections if self._good else ():
                other.shorten_timeout(OTHERS_WAIT)
            self._judge()

        return told

    def _told(self, connection: Connection, slots: "Any", info: "Any") -> None:
        found = identity(slots, info)
        if found is None:
            failure = refused_by_server("", str(info))
            if isinstance(info, Exception) and not failure.final:
                self._failures.append(Failure(shortened(str(info))))
                return
            self._untold = shortened(str(info)) if isinstance(info, Exception) else "its answers are not those of Redis"
        elif self._known is None:
            self._known = found
        elif found[0] != self._known[0] or not found[1] & self._known[1]:
            text = f"that name has {self._asked} addresses, of different servers: name each one"
            self._end(Failure(text, final=True))
            return
        else:
            self._known = (found[0], found[1] | self._known[1])
        self._good.append(self._places[connection])

    def _judge(self) -> None:
        if not self.connections or len(self._good) + len(self._failures) < self._asked:
            return
        if self._untold and self._strict:
            text = f"are the {self._asked} addresses of that name one server? It can't be told: {self._untold}"
            self._end(Failure(text, final=True))
        else:
            passing = [failure for failure in self._failures if not failure.final]
            self._end(self._good or [*passing, *self._failures][0])

    def _end(self, found: "list[SocketAddress] | Failure") -> None:
        self.cancel()
        self._done(found)

    def cancel(self) -> None:
        """Let go of all."""
        connections, self.connections = self.connections, []
        for connection in connections:
            connection.close()


def identity(slots: "Any", info: "Any") -> "tuple[bool, Ids] | None":
    """Whether a server is a cluster's, and the ids of it or of all nodes; None when it does not tell."""
    try:
        members = frozenset(node[2] for part in slots for node in part[2:] if len(node) > 2)
    except (TypeError, LookupError):  # no part of a cluster
        members = frozenset()
    if members:
        return True, members
    lines = info.splitlines() if isinstance(info, bytes) else ()
    own = next((line for line in lines if line.startswith(b"run_id:")), None)
    return None if own is None else (False, frozenset([own]))
