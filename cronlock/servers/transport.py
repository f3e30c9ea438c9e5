"""Transport: a non-blocking byte stream to one server, over TCP or a Unix socket, with TLS if the URL asks for TLS."""

import os

from cronlock.errors import TlsError
from cronlock.process.event_loop import READ, WRITE, boottime, socket

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from cronlock.config.redis_url import Address
    from cronlock.process.event_loop import Loop
    from cronlock.servers.tls import TlsStream

    SocketAddress = tuple[int, Any]  # address family, and the argument of connect(2)

READ_SIZE = 16_384  # bytes of one read: several answers of the script
TIMEOUT = 1_000  # ms without progress, after which a connection counts as lost: a dead peer sends nothing
FLAGS = getattr(socket, "SOCK_CLOEXEC", 0) | getattr(socket, "SOCK_NONBLOCK", 0)  # where the system sets both at once


class Transport:
    """One socket at a time. `out` holds the bytes to send; `on_data` and `on_failure` are called from the loop.

    `addresses` are the socket addresses still to be tried, the present one first; `host` is the name that the server's
    certificate has to have.
    """

    def __init__(
        self,
        loop: "Loop",
        address: "Address",
        addresses: "Sequence[SocketAddress]",
        on_data: "Callable[[bytes], None]",
        on_failure: "Callable[[str, bool], None]",
    ) -> None:
        self._loop = loop
        self._address = address
        self._on_data = on_data
        self._on_failure = on_failure
        self.addresses = list(addresses)
        self.host = address.host
        self.out = bytearray()
        self.connected = False
        self.progress_at = 0  # ms of boottime(): the last progress, or the first request after all were answered
        self.proven = False  # a server has answered: a failure of TLS may then pass
        self._socket: socket.socket | None = None
        self._tls: TlsStream | None = None

    @property
    def encrypted(self) -> bool:
        """Return whether TLS is in use."""
        return self._tls is not None

    @property
    def timeout_text(self) -> str:
        """The message for a server that has sent nothing in time."""
        in_handshake = self.connected and self._tls and not self._tls.established
        return "no answer to the TLS handshake: without TLS write redis://" if in_handshake else "no answer"

    def connect(self) -> None:
        """Begin to connect to the first of `addresses`; `on_failure` may be called at once."""
        family, target = self.addresses[0]
        try:
            self._socket = sock = socket.socket(family, socket.SOCK_STREAM | FLAGS)
            if not FLAGS:
                sock.setblocking(False)
            if family != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.connect(target)
        except BlockingIOError:
            pass
        except OSError as error:
            self._try_next(error.errno or 0)
            return
        self._loop.watch(sock.fileno(), WRITE, self._ready)
        if self._address.tls is not None:
            self._start_tls()

    def close(self) -> None:
        """Close the socket; `out` and `addresses` stay."""
        if self._socket is not None:
            self._loop.forget(self._socket.fileno())
            self._socket.close()
            self._socket = None
        self._tls = None
        self.connected = False

    def reset(self) -> None:
        """Close the socket and discard `out`; the next connect() tries the next address."""
        if self._socket is not None:  # an address that was found but not tried yet keeps its turn
            self.addresses = self.addresses[1:]
        self.close()
        self.out.clear()

    def write(self) -> None:
        """Send as much of `out` as the socket takes; the loop sends the rest."""
        if self._socket is None:
            return
        out = self.out
        try:
            if self._tls:
                out = self._tls.encrypt(out)
            while out:
                del out[: self._socket.send(out)]
        except BlockingIOError:
            pass
        except TlsError as error:
            self._fail_tls(error)
            return
        except OSError as error:
            if not isinstance(error, BrokenPipeError | ConnectionResetError):  # reading finds the reason of these two
                self._on_failure(os.strerror(error.errno or 0).lower(), False)
                return
        self._loop.watch(self._socket.fileno(), READ | WRITE if out else READ, self._ready)

    def _ready(self, events: int) -> None:
        if self._socket and not self.connected:
            number = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if number:
                self._try_next(number)
                return
            self.connected = True
            self.progress_at = boottime()
        if events & ~WRITE:
            self._read()
        if self.connected:
            self.write()

    def _read(self) -> None:
        if self._socket is None:
            return
        try:
            data = self._socket.recv(READ_SIZE)
        except BlockingIOError:
            return
        except OSError as error:
            self._on_failure(os.strerror(error.errno or 0).lower() + self._tls_hint(), False)
            return
        if not data:
            self._on_failure("the server closed the connection" + self._tls_hint(), False)
            return
        if self._tls:
            try:
                data = self._tls.decrypt(data)
            except TlsError as error:
                self._fail_tls(error)
                return
            self.progress_at = boottime()
        self._on_data(data)

    def _try_next(self, number: int) -> None:
        if len(self.addresses) > 1:
            self.close()
            self.addresses = self.addresses[1:]
            self.connect()
        else:
            self._on_failure(os.strerror(number).lower(), False)

    def _start_tls(self) -> None:
        try:
            from cronlock.servers.tls import TlsStream

            self._tls = TlsStream(self._address, self.host)
        except TlsError as error:
            self._fail_tls(error)
        except (OSError, ImportError) as error:  # Python without OpenSSL, or an upgrade of cronlock during the run
            self._on_failure(f"no TLS: {error}", isinstance(error, ImportError) and not self.proven)

    def _fail_tls(self, error: TlsError) -> None:
        """Fail for good, unless TLS has worked before: certificates are replaced during a run."""
        self._on_failure(str(error), not self.proven)

    def _tls_hint(self) -> str:
        """Return advice for a server that never answered: a server with TLS closes connections without TLS at once."""
        plain = self._tls is None and not self.proven and not self._address.path
        return ": if the server uses TLS, write rediss://" if plain else ""


def literal(address: "Address") -> "list[SocketAddress]":
    """Return the socket address of a path or a numeric address; an empty list for a host name."""
    if address.path:
        return [(socket.AF_UNIX, address.path)]
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, address.host)
        except (OSError, ValueError):
            continue
        return [(family, (address.host, address.port))]
    return []
