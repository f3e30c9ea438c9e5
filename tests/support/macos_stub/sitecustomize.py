"""Put on PYTHONPATH it makes a Python of Linux lack what that of macOS lacks, and poll as macOS polls."""

import _socket
import os
import select
import stat
import sys
import time
from typing import Any

MISSING = {  # on macOS; what goes with os.waitid has come with Python 3.13
    os: "waitid P_PID P_PGID P_ALL P_PIDFD WEXITED WSTOPPED WNOWAIT CLD_EXITED CLD_KILLED CLD_STOPPED CLD_CONTINUED"
    " pidfd_open pipe2 sched_getaffinity eventfd memfd_create splice unshare setns close_range",
    time: "CLOCK_BOOTTIME",
    select: "epoll POLLRDHUP",
    _socket: "SOCK_CLOEXEC SOCK_NONBLOCK MSG_NOSIGNAL",
}
for module, names in MISSING.items():
    for name in names.split():
        if hasattr(module, name):
            delattr(module, name)

time.CLOCK_UPTIME_RAW = time.CLOCK_MONOTONIC_RAW  # the one that stands still while the machine sleeps
sys.platform = "darwin"

NO_LIMIT = 2**63 - 1
sysconf = os.sysconf
os.sysconf = lambda name: NO_LIMIT if name == "SC_OPEN_MAX" else sysconf(name)


class Poll:
    """Tells of another end that was closed only who asked for something, and nothing of a device but that it can't."""

    def __init__(self, real: Any = select.poll) -> None:
        self._poll = real()
        self._deaf: set[int] = set()
        self._devices: set[int] = set()

    def register(self, file: Any, events: int = select.POLLIN) -> None:
        fd = file if isinstance(file, int) else file.fileno()
        self._deaf.discard(fd)
        if stat.S_ISCHR(os.fstat(fd).st_mode):
            self._devices.add(fd)
        elif events:
            self._poll.register(fd, events)
        else:
            self._deaf.add(fd)

    def unregister(self, file: Any) -> None:
        fd = file if isinstance(file, int) else file.fileno()
        if fd in self._deaf | self._devices:
            self._deaf.discard(fd)
            self._devices.discard(fd)
        else:
            self._poll.unregister(fd)

    def poll(self, timeout: float | None = None) -> list[tuple[int, int]]:
        found: list[tuple[int, int]] = self._poll.poll(0 if self._devices else timeout)
        return [*found, *((fd, select.POLLNVAL) for fd in self._devices)]


select.poll = Poll  # type: ignore[assignment, misc]
