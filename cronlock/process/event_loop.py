"""The event loop, and what cronlock uses of the operating system: sockets, signals, clocks, child processes.

`import socket` and `import signal` build enums, which takes 11 ms, and a hundred crontab lines start in the same
second. The C modules below them have everything that is needed. No other module of cronlock imports a private module.
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
POLL_MAX = 1_000  # ms of the longest sleep: the timeout of poll does not count the time of a suspend
OPEN_FILES = "/proc/self/fd"
FILES_MIN = 1024  # descriptors to close: a limit that was lowered later leaves files above it open
FILES_MAX = 1 << 20  # Linux's own limit: where a system has no limit, a loop over all numbers would take minutes

CHUNK = 65_536  # bytes per read of a file of unknown size
CHILDREN: set[int] = set()  # reaped where they were started: as PID 1 cronlock reaps all other processes
BOOTTIME = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # also counts while the machine is suspended
UPTIME = getattr(time, "CLOCK_UPTIME_RAW", time.CLOCK_MONOTONIC)  # macOS, where CLOCK_MONOTONIC counts then too


UNCHANGED, EXITED, KILLED, STOPPED = range(4)  # states of a child


def boottime() -> int:
    """Return ms that also count while the machine sleeps: the clock for leases at a server."""
    return time.clock_gettime_ns(BOOTTIME) // 1_000_000


def monotonic() -> int:
    """Return ms that do not count while the machine sleeps: the clock for leases in a local file."""
    return time.clock_gettime_ns(UPTIME) // 1_000_000


def sha1(data: bytes) -> str:
    """Return the SHA-1 as hexadecimal digits, the name of a script for EVALSHA."""
    try:
        from _sha1 import sha1 as digest  # type: ignore[import-not-found]
    except ImportError:  # a Python built without it
        from hashlib import sha1 as digest
    return str(digest(data).hexdigest())  # noqa: S324 - a script's name, not a secret


def read_file(path: str) -> bytes:
    """Return the bytes of a file, without the extra calls of a file object, and without a codec."""
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
        """Stop watching `fd`, which is still open."""
        if self._handlers.pop(fd, None):
            self._poll.unregister(fd)

    def step(self, timeout: int) -> None:
        """Wait up to `timeout` ms, at most a second, for events; handle them."""
        for fd, events in self._poll.poll(max(0, min(timeout, POLL_MAX))):
            handler = self._handlers.get(fd)
            if handler:
                handler(events)


class Child:
    """A child process whose state is read without reaping it: its pid stays its own, for signals.

    Without os.waitid, which Python has on macOS from 3.13 on, the `state` call that finds the end reaps the child:
    then the child is `gone`.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._end: tuple[int, int] | None = None

    @property
    def gone(self) -> bool:
        """True once the pid may belong to another process."""
        return self._end is not None

    def state(self) -> tuple[int, int]:
        """Return UNCHANGED, EXITED, KILLED or STOPPED, with the exit status or the signal."""
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

    def consume_stop(self) -> None:
        """Consume the stop that `state` has found. Raises ChildProcessError if the child has ended meanwhile."""
        if hasattr(os, "waitid"):
            os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WNOHANG)

    def reap(self) -> None:
        """Wait for the end of the child, and release its pid."""
        if not self.gone:
            os.waitpid(self.pid, 0)


def continue_if_stopped(pid: int) -> None:
    """Send SIGCONT to a stopped child. Raises ChildProcessError if the child has ended."""
    if not hasattr(os, "waitid") or os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOHANG):
        os.kill(pid, signal.SIGCONT)


def random_id() -> str:
    """Return 32 random hexadecimal digits, which are unique."""
    return os.urandom(16).hex()


def random_between(least: int, most: int) -> int:
    """Return a random whole number from `least` to `most`."""
    return least + int.from_bytes(os.urandom(4), "big") % (most - least + 1)


def occupy_standard_streams() -> None:
    """Open /dev/null in place of 0, 1 or 2 if closed: otherwise a socket could get 2, and messages would go into it.

    These descriptors close on exec, so the command finds them closed, as cronlock did.
    """
    try:
        while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
            pass
        os.close(fd)
    except OSError:  # no /dev/null here
        pass


def keep_only(*kept: int) -> None:
    """Close all descriptors from 3 on except `kept`, in a forked process: their other ends wait for the close."""
    first = 3
    for fd in sorted(kept):
        os.closerange(first, fd)
        first = max(first, fd + 1)
    os.closerange(first, min(max(os.sysconf("SC_OPEN_MAX"), FILES_MIN), FILES_MAX))


def close_inherited_files(*, stderr: bool) -> None:
    """Close input, output and all inherited descriptors: if the command closes its copy, the other end must notice.

    A terminal stays open; so does standard error unless `stderr`.
    """
    redirect_to_null((0, 1, 2) if stderr else (0, 1))
    inherited = [fd for fd in _open_files() if fd > 2 and _is_inherited(fd)]
    locked = {_file(fd) for fd in inherited if _has_record_lock(fd)}
    for fd in inherited:
        if not locked or _file(fd) not in locked:  # closing one descriptor drops all locks of this process on the file
            try:
                os.close(fd)
            except OSError:  # the disk is full: the descriptor is closed all the same
                pass


def _open_files() -> "Iterable[int]":
    """Return file descriptors, some of which may be closed by now."""
    try:
        return map(int, os.listdir(OPEN_FILES))
    except OSError:  # not Linux, or too many open files
        return range(FILES_MIN)


def _is_inherited(fd: int) -> bool:
    """Return whether a descriptor was open at the start: Python's own descriptors close on exec (PEP 446)."""
    try:
        return os.get_inheritable(fd)
    except OSError:
        return False


def _file(fd: int) -> tuple[int, int]:
    stat = os.fstat(fd)
    return stat.st_dev, stat.st_ino


def _has_record_lock(fd: int) -> bool:
    """Return whether this process has a lock of fcntl(2) on this descriptor, which the command does not inherit."""
    try:
        with open(f"/proc/self/fdinfo/{fd}", "rb") as info:
            return b" POSIX " in info.read()
    except OSError:  # not Linux
        return False


def redirect_to_null(fds: "Iterable[int]") -> None:
    """Put /dev/null in place of these descriptors, except terminals."""
    try:
        null = os.open(os.devnull, os.O_RDWR)
    except OSError:  # no /dev/null here
        return
    for fd in fds:
        if not os.isatty(fd):
            os.dup2(null, fd, inheritable=False)
    os.close(null)
