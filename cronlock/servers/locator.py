"""Where a server is that is named and not given by its address: by its name, or by the sentinels of its service."""

from cronlock.lock.protocol import Failure
from cronlock.servers.dns import Resolution
from cronlock.servers.server_identity import ServerIdentity

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cronlock.process.event_loop import Loop
    from cronlock.servers.connection import Connection, SocketAddress
    from cronlock.servers.sentinel import Search
    from cronlock.servers.url import Address


class Locator:
    """One search. `done` gets the places, the best first, and the host whose they are; or a Failure.

    Raises OSError when there is no process or no file descriptor to be had.
    """

    def __init__(
        self, loop: "Loop", address: "Address", done: "Callable[[list[SocketAddress] | Failure, str], None]"
    ) -> None:
        self._loop = loop
        self._address = address
        self._done = done
        self._host = address.host
        self._stage: Resolution | ServerIdentity | Search | None = None

    @property
    def connections(self) -> "Sequence[Connection]":
        """Those on which somebody is asked."""
        return self._stage.connections if self._stage else ()

    def start(self) -> None:
        """Begin; it may be done at once."""
        if self._address.sentinels:
            from cronlock.servers.sentinel import Search

            self._stage = search = Search(self._loop, self._address, self._found)
            search.start()
        else:
            self._stage = Resolution(self._loop, self._address, self._found)

    def cancel(self) -> None:
        """Let go of everything."""
        if self._stage:
            self._stage.cancel()

    def _found(self, places: "list[SocketAddress] | Failure", host: str = "") -> None:
        self._host = host or self._host
        if isinstance(places, Failure) or len(places) == 1:
            self._end(places)
            return
        self._stage = namesakes = ServerIdentity(self._loop, self._address, places, self._end, strict=_crowded(places))
        namesakes.start()

    def _end(self, places: "list[SocketAddress] | Failure") -> None:
        self._stage = None
        self._done(places, self._host)


def _crowded(places: "list[SocketAddress]") -> bool:
    """Whether there are several of one address family: one of each is a machine with both."""
    families = [family for family, _ in places]
    return len(set(families)) < len(families)
