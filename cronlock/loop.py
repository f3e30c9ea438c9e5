"""The one loop: sockets, the signals' wake-up pipe and timers wait in a single poll."""

import select

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from collections.abc import Callable

POLL_MAX = 1_000  # ms: poll's timeout does not count a suspend, so no sleep is longer
READ = select.POLLIN
WRITE = select.POLLOUT


class Loop:
    """Calls a handler when its file descriptor is ready."""

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
