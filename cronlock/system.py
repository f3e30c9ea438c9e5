"""What cronlock takes from the operating system below the public modules: sockets, signals, clocks, and the one loop.

`import socket` and `import signal` build enums: 11 ms of a start that a hundred crontab lines pay in the same second.
The C modules under them hold all that is needed here. Nothing else in cronlock imports a private module.
"""

import _signal as signal  # type: ignore[import-not-found]
import _socket as socket
import os
import select
import time

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["CHILDREN", "POLL_MAX", "READ", "WRITE", "Loop", "boottime", "monotonic", "sha1", "signal", "socket"]

READ, WRITE = select.POLLIN, select.POLLOUT
POLL_MAX = 1_000  # ms: poll's timeout does not count a suspend, so no sleep is longer

CHILDREN: set[int] = set()  # whom somebody here waits for: as PID 1 cronlock reaps all others
BOOTTIME = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # goes on while the machine is suspended


def boottime() -> int:
    """Milliseconds that also count while the machine sleeps: what a lease on a server is believed by."""
    return time.clock_gettime_ns(BOOTTIME) // 1_000_000


def monotonic() -> int:
    """Milliseconds that stand still while the machine sleeps: what a lease on a local file is believed by."""
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1_000_000


def sha1(data: bytes) -> str:
    """SHA-1 as hexadecimal digits, the name that EVALSHA knows a script by."""
    try:
        from _sha1 import sha1 as digest  # type: ignore[import-not-found]
    except ImportError:  # a Python built without it
        from hashlib import sha1 as digest
    return str(digest(data).hexdigest())  # noqa: S324 - a script's name, no secret


class Loop:
    """Calls a handler when its file descriptor is ready: sockets, signals and timers wait in a single poll."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self._handlers: dict[int, Callable[[int], None]] = {}

    def watch(self, fd: int, events: int, handler: "Callable[[int], None]") -> None:
        """Call `handler` with the events of `fd`; a second call replaces the first."""
        self._poll.register(fd, events)
        self._handlers[fd] = handler

    def forget(self, fd: int) -> None:
        """No longer watch `fd`, which is still open."""
        if self._handlers.pop(fd, None):
            self._poll.unregister(fd)

    def step(self, timeout: int) -> None:
        """Wait at most so many ms, and never longer than a second, for something to happen; handle it."""
        for fd, events in self._poll.poll(max(0, min(timeout, POLL_MAX))):
            handler = self._handlers.get(fd)
            if handler:
                handler(events)


def random_id() -> str:
    """32 hexadecimal digits that nobody else has."""
    return os.urandom(16).hex()


def random_between(least: int, most: int) -> int:
    """A whole number from one to the other, at random."""
    return least + int.from_bytes(os.urandom(4), "big") % (most - least + 1)


def occupy_standard_streams() -> None:
    """Open /dev/null where cronlock was started with 0, 1 or 2 closed: a message would go into a socket that got 2.

    They close on exec, so the command finds them as cronlock was given them.
    """
    try:
        while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
            pass
        os.close(fd)
    except OSError:  # a place without /dev/null
        pass


def let_go_of_standard_streams() -> None:
    """Keep open no input and no output but a terminal: when the command closes its own, the other end is to see it."""
    try:
        null = os.open(os.devnull, os.O_RDWR)
    except OSError:  # a place without /dev/null
        return
    for fd in (0, 1):
        if not os.isatty(fd):
            os.dup2(null, fd, inheritable=False)
    os.close(null)
