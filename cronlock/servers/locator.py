"""Locates a server: resolves a host name or a Sentinel service to socket addresses."""

from cronlock.config.redis_url import Address
from cronlock.lock.protocol import Failure
from cronlock.servers.dns import Resolution
from cronlock.servers.server_identity import ServerIdentity
from cronlock.servers.transport import literal

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from collections.abc import Sequence

    from cronlock.process.event_loop import Loop
    from cronlock.servers.connection import Connection, Located
    from cronlock.servers.sentinel import Master, MasterQuery
    from cronlock.servers.transport import SocketAddress


class Locator:
    """One search for an address. `on_located` gets the socket addresses, the best first, and their host; or a Failure.

    Raises OSError without a free process or file descriptor.
    """

    def __init__(self, loop: "Loop", address: Address, on_located: "Located") -> None:
        self._loop = loop
        self._address = address
        self._on_located = on_located
        self._host = address.host
        self._stage: Resolution | ServerIdentity | MasterQuery | None = None

    @property
    def connections(self) -> "Sequence[Connection]":
        """The connections on which a server is asked."""
        return self._stage.connections if self._stage else ()

    def start(self) -> None:
        """Begin; the search may end at once."""
        if self._address.sentinels:
            from cronlock.servers.sentinel import MasterQuery

            self._stage = query = MasterQuery(self._loop, self._address, self._on_master)
            query.start()
        else:
            self._stage = Resolution(self._loop, self._address, self._found)

    def cancel(self) -> None:
        """Close all connections and end look-ups."""
        if self._stage:
            self._stage.cancel()

    def _on_master(self, master: "Master | Failure") -> None:
        if isinstance(master, Failure):
            self._end(master)
            return
        self._host, port = master
        address = Address(self._host, port)
        addresses = literal(address)
        if addresses:
            self._end(addresses)
            return
        try:
            self._stage = Resolution(self._loop, address, self._found)
        except OSError as error:
            self._end(Failure((error.strerror or str(error)).lower()))

    def _found(self, found: "list[SocketAddress] | Failure") -> None:
        if isinstance(found, Failure) or len(found) == 1:
            self._end(found)
            return
        several = _several_of_one_family(found)
        self._stage = identity = ServerIdentity(self._loop, self._address, found, self._end, strict=several)
        identity.start()

    def _end(self, found: "list[SocketAddress] | Failure") -> None:
        self._stage = None
        self._on_located(found, self._host)


def _several_of_one_family(addresses: "list[SocketAddress]") -> bool:
    """Return whether two addresses share a family: one of each is usually a machine with IPv4 and IPv6."""
    families = [family for family, _ in addresses]
    return len(set(families)) < len(families)
