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
    from collections.abc import Callable, Iterable

__all__ = ["CHILDREN", "POLL_MAX", "READ", "WRITE", "Loop", "boottime", "monotonic", "sha1", "signal", "socket"]

READ, WRITE = select.POLLIN, select.POLLOUT
POLL_MAX = 1_000  # ms: poll's timeout does not count a suspend, so no sleep is longer
OPEN_FILES = "/proc/self/fd"
FILES_MIN = 1024  # that may be open: a limit which was lowered after they were opened closes none
FILES_MAX = 1 << 20  # Linux's own limit; where there is none a loop over all numbers takes minutes, and is no int

CHUNK = 65_536  # bytes that are read at once of what does not tell its size
CHILDREN: set[int] = set()  # whom somebody here waits for: as PID 1 cronlock reaps all others
BOOTTIME = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # goes on while the machine is suspended
UPTIME = getattr(time, "CLOCK_UPTIME_RAW", time.CLOCK_MONOTONIC)  # macOS: its CLOCK_MONOTONIC goes on as well


UNCHANGED, EXITED, KILLED, STOPPED = range(4)  # what has become of a child


def boottime() -> int:
    """Milliseconds that also count while the machine sleeps: what a lease on a server is believed by."""
    return time.clock_gettime_ns(BOOTTIME) // 1_000_000


def monotonic() -> int:
    """Milliseconds that stand still while the machine sleeps: what a lease on a local file is believed by."""
    return time.clock_gettime_ns(UPTIME) // 1_000_000


def sha1(data: bytes) -> str:
    """SHA-1 as hexadecimal digits, the name that EVALSHA knows a script by."""
    try:
        from _sha1 import sha1 as digest  # type: ignore[import-not-found]
    except ImportError:  # a Python built without it
        from hashlib import sha1 as digest
    return str(digest(data).hexdigest())  # noqa: S324 - a script's name, no secret


def whole(path: str) -> bytes:
    """A file's bytes, without the calls that a file object makes beside, and without a codec."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        parts = [b"", os.read(fd, CHUNK)]
        while parts[-1]:
            parts.append(os.read(fd, CHUNK))
    finally:
        os.close(fd)
    return b"".join(parts)


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


class Child:
    """A child process, looked at in a way that leaves it its number, which a signal may still be sent to.

    Without os.waitid, which Python has on macOS from 3.13 on, the look that finds it ended takes the number away:
    then it is `gone`.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._end: tuple[int, int] | None = None

    @property
    def gone(self) -> bool:
        """Whether its number may be another process's by now."""
        return self._end is not None

    def look(self) -> tuple[int, int]:
        """What has become of it, and its status or the signal."""
        if not hasattr(os, "waitid"):
            return self._end or self._wait()
        info = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WSTOPPED | os.WNOHANG | os.WNOWAIT)
        if info is None:
            return UNCHANGED, 0
        if info.si_code == os.CLD_STOPPED:
            return STOPPED, int(info.si_status)
        return EXITED if info.si_code == os.CLD_EXITED else KILLED, int(info.si_status)

    def _wait(self) -> tuple[int, int]:
        pid, status = os.waitpid(self.pid, os.WNOHANG | os.WUNTRACED)
        if not pid:
            return UNCHANGED, 0
        if os.WIFSTOPPED(status):
            return STOPPED, os.WSTOPSIG(status)
        signalled = os.WIFSIGNALED(status)
        self._end = (KILLED, os.WTERMSIG(status)) if signalled else (EXITED, os.WEXITSTATUS(status))
        return self._end

    def take_stop(self) -> None:
        """The stop that was seen has been noted. Raises ChildProcessError when it has ended meanwhile."""
        if hasattr(os, "waitid"):
            os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WNOHANG)

    def reap(self) -> None:
        """Wait for its end, and let go of its number."""
        if not self.gone:
            os.waitpid(self.pid, 0)


def go_on(pid: int) -> None:
    """Continue a child that somebody stopped. Raises ChildProcessError when it has ended."""
    if not hasattr(os, "waitid") or os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOHANG):
        os.kill(pid, signal.SIGCONT)


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


def keep_only(*kept: int) -> None:
    """In a forked process: close all from 3 on but these, which whoever is at the other end would wait for."""
    first = 3
    for fd in sorted(kept):
        os.closerange(first, fd)
        first = max(first, fd + 1)
    os.closerange(first, min(max(os.sysconf("SC_OPEN_MAX"), FILES_MIN), FILES_MAX))


def let_go_of_what_is_the_commands(*, stderr: bool) -> None:
    """Keep open no input, no output and nothing from 3 on: when the command closes its own, the other end is to see it.

    A terminal stays; so does stderr unless it is given too.
    """
    let_go_of_standard_streams((0, 1, 2) if stderr else (0, 1))
    inherited = [fd for fd in _open_files() if fd > 2 and _is_inherited(fd)]
    locked = {_file(fd) for fd in inherited if _has_record_lock(fd)}
    for fd in inherited:
        if not locked or _file(fd) not in locked:  # to close one of a file gives up all locks that we have on it
            try:
                os.close(fd)
            except OSError:  # a disk that is full: it is closed all the same
                pass


def _open_files() -> "Iterable[int]":
    """File descriptors, some of which may be closed by now."""
    try:
        return map(int, os.listdir(OPEN_FILES))
    except OSError:  # not Linux, or none to be had
        return range(FILES_MIN)


def _is_inherited(fd: int) -> bool:
    """Whether it was open when this program started: what Python opens closes on exec (PEP 446)."""
    try:
        return os.get_inheritable(fd)
    except OSError:
        return False


def _file(fd: int) -> tuple[int, int]:
    stat = os.fstat(fd)
    return stat.st_dev, stat.st_ino


def _has_record_lock(fd: int) -> bool:
    """Whether this process has a lock of fcntl(2), which is its own and not the command's, by this descriptor."""
    try:
        with open(f"/proc/self/fdinfo/{fd}", "rb") as info:
            return b" POSIX " in info.read()
    except OSError:  # not Linux
        return False


def let_go_of_standard_streams(fds: "Iterable[int]") -> None:
    """Put /dev/null in the place of these, terminals aside."""
    try:
        null = os.open(os.devnull, os.O_RDWR)
    except OSError:  # a place without /dev/null
        return
    for fd in fds:
        if not os.isatty(fd):
            os.dup2(null, fd, inheritable=False)
    os.close(null)
