"""Host names: resolved in a child process, so that the event loop continues meanwhile."""

import os

from cronlock.lock.protocol import Failure
from cronlock.process.event_loop import CHILDREN, READ, keep_only, signal, socket

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cronlock.config.redis_url import Address
    from cronlock.process.event_loop import Loop
    from cronlock.servers.connection import Connection
    from cronlock.servers.transport import SocketAddress

READ_SIZE = 65_536  # bytes: a pipe holds no more


class Resolution:
    """Resolves a host name in a forked child: a silent name server would block signals and voters for 10 s."""

    connections: "Sequence[Connection]" = ()

    def __init__(
        self, loop: "Loop", address: "Address", on_resolved: "Callable[[list[SocketAddress] | Failure], None]"
    ) -> None:
        self._loop = loop
        self._on_resolved = on_resolved
        self._text = b""
        if not address.host.isascii():
            try:  # loads the codec now: after an upgrade the child of a later look-up would not find it
                address.host.encode("idna")
            except UnicodeError:  # the child reports the error
                pass
        self._fd, other = os.pipe()
        try:
            self._pid = os.fork()
        except OSError:
            os.close(self._fd)
            os.close(other)
            raise
        if not self._pid:
            _resolve_in_child(other, address)
        CHILDREN.add(self._pid)
        os.close(other)
        loop.watch(self._fd, READ, self._read)

    def cancel(self) -> None:
        """End the look-up if it is still under way; its child is reaped."""
        if self._fd < 0:
            return
        self._loop.forget(self._fd)
        os.close(self._fd)
        self._fd = -1
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        CHILDREN.discard(self._pid)

    def _read(self, _events: int) -> None:
        data = os.read(self._fd, READ_SIZE)
        self._text += data
        if data:
            return
        self.cancel()
        lines = self._text.decode("utf-8", "surrogateescape").splitlines()
        found: list[SocketAddress] = []
        for line in lines[1:]:
            family, host, port = line.split(" ")
            found.append((int(family), (host, int(port))))
        found = list(dict.fromkeys(found))  # /etc/hosts may have a line twice
        self._on_resolved(found or Failure(lines[0] if lines else "name resolution failed"))


def _resolve_in_child(fd: int, address: "Address") -> None:
    """Write an error or an empty line to `fd`, then one socket address a line; never return."""
    try:
        signal.set_wakeup_fd(-1)
        keep_only(fd)
        try:  # bytes, because a str would import encodings.idna (7 ms)
            host = address.host.encode("ascii") if address.host.isascii() else address.host.encode("idna")
            found = socket.getaddrinfo(host, address.port, 0, socket.SOCK_STREAM)
            addresses = [(int(family), *target[:2]) for family, _, _, _, target in found]
            lines = ["", *(" ".join(map(str, fields)) for fields in addresses)]
        except (OSError, UnicodeError) as error:
            lines = [str(error.args[-1]).lower()]
        os.write(fd, "\n".join(lines).encode())
    finally:
        os._exit(0)
