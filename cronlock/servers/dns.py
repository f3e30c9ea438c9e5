"""Host names: looked up beside the loop, which goes on meanwhile."""

import os

from cronlock.lock.protocol import Failure
from cronlock.process.event_loop import CHILDREN, READ, keep_only, signal, socket

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cronlock.process.event_loop import Loop
    from cronlock.servers.connection import Connection, SocketAddress
    from cronlock.servers.url import Address

CHUNK = 65_536


class Resolution:
    """A look-up of a host name in a forked child: a silent resolver would block signals and voters for 10 s."""

    connections: "Sequence[Connection]" = ()

    def __init__(
        self, loop: "Loop", address: "Address", done: "Callable[[list[SocketAddress] | Failure], None]"
    ) -> None:
        self._loop = loop
        self._done = done
        self._text = b""
        if not address.host.isascii():
            try:  # which brings the codec here: after an upgrade the child of a later look-up would find none
                address.host.encode("idna")
            except UnicodeError:  # the child says so
                pass
        self._fd, other = os.pipe()
        try:
            self._pid = os.fork()
        except OSError:
            os.close(self._fd)
            os.close(other)
            raise
        if not self._pid:
            _look_up(other, address)
        CHILDREN.add(self._pid)
        os.close(other)
        loop.watch(self._fd, READ, self._read)

    def _read(self, _events: int) -> None:
        data = os.read(self._fd, CHUNK)
        self._text += data
        if data:
            return
        self.cancel()
        lines = self._text.decode("utf-8", "surrogateescape").splitlines()
        places: list[SocketAddress] = []
        for line in lines[1:]:
            family, host, port = line.split(" ")
            places.append((int(family), (host, int(port))))
        places = list(dict.fromkeys(places))  # /etc/hosts may have a line twice
        self._done(places or Failure(lines[0] if lines else "the look-up of its name failed"))

    def cancel(self) -> None:
        """End the look-up, if it goes on; its child is reaped."""
        if self._fd < 0:
            return
        self._loop.forget(self._fd)
        os.close(self._fd)
        self._fd = -1
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        CHILDREN.discard(self._pid)


def _look_up(fd: int, address: "Address") -> None:
    """The child's part: a first line for an error, then one place a line."""
    try:
        signal.set_wakeup_fd(-1)
        keep_only(fd)
        try:  # bytes, for a str would import encodings.idna (7 ms)
            host = address.host.encode("ascii") if address.host.isascii() else address.host.encode("idna")
            found = socket.getaddrinfo(host, address.port, 0, socket.SOCK_STREAM)
            places = [(int(family), *place[:2]) for family, _, _, _, place in found]
            lines = ["", *(" ".join(map(str, place)) for place in places)]
        except (OSError, UnicodeError) as error:
            lines = [str(error.args[-1]).lower()]
        os.write(fd, "\n".join(lines).encode())
    finally:
        os._exit(0)
