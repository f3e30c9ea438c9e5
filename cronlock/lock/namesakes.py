"""A host name with several addresses: seeds of one cluster, or one server that has several; never several servers.

Nodes that come to different servers by the same name would hold different locks.
"""

from cronlock.lock.quorum import Failure
from cronlock.lock.wire import Connection

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from cronlock.lock.address import Address
    from cronlock.lock.wire import Place
    from cronlock.system import Loop

ALONE = b"standalone"  # as INFO tells a server's mode: the others are cluster and sentinel, of which each may be asked


class Namesakes:
    """Asks each of the places what it is. `done` gets those that answered, or a Failure.

    Those that are silent or refuse the connection are passed over: a name may outlive a pod.
    """

    def __init__(
        self,
        loop: "Loop",
        address: "Address",
        places: "Sequence[Place]",
        done: "Callable[[list[Place] | Failure], None]",
    ) -> None:
        self._done = done
        self._label = address.label
        self._asked = len(places)
        self._good: list[Place] = []
        self._servers: set[bytes] = set()
        self._failures: list[Failure] = []
        self.connections = [Connection(loop, address, places=[place]) for place in places]
        self._places = dict(zip(self.connections, places, strict=True))

    def start(self) -> None:
        """Ask; an answer may come at once."""
        for connection in list(self.connections):
            connection.send([b"INFO", b"server"], self._listener(connection))

    def _listener(self, connection: Connection) -> "Callable[[Any], None]":
        def told(reply: "Any") -> None:
            if not self.connections:
                return
            if isinstance(reply, Failure):
                self._failures.append(Failure(reply.text.removeprefix(f"{self._label}: "), reply.final))
            elif not isinstance(reply, bytes):  # no right to it
                self._end(Failure(f"{self._which} one server? It can't be told: {reply}", final=True))
                return
            else:
                fields = dict(line.split(b":", 1) for line in reply.splitlines() if b":" in line)
                place = self._places[connection]
                mode = fields.get(b"redis_mode") or fields.get(b"server_mode", ALONE)  # Valkey's name for it, from 8.0
                if mode != ALONE:
                    self._end([place])
                    return
                self._good.append(place)
                self._servers.add(fields.get(b"run_id", b""))
            self._judge()

        return told

    @property
    def _which(self) -> str:
        return f"are the {self._asked} addresses of that name"

    def _judge(self) -> None:
        if len(self._servers) > 1:
            self._end(
                Failure(f"that name has {self._asked} addresses, of different servers: name each one", final=True)
            )
        elif len(self._good) + len(self._failures) == self._asked:
            self._end(self._good or self._failures[0])

    def _end(self, found: "list[Place] | Failure") -> None:
        self.cancel()
        self._done(found)

    def cancel(self) -> None:
        """Let go of all."""
        connections, self.connections = self.connections, []
        for connection in connections:
            connection.close()
