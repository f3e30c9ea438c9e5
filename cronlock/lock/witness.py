"""Which clock a local lease is measured with, and the witness: a file lock that shows whether the run behind it lives.

A lease in a file means something only by the clock that it was written with, and processes that share the file may
read different ones: a container has a boot id of its own, a time namespace shifts CLOCK_MONOTONIC, a hidden /proc tells
neither. A file lock is the same for all of them. The wrapper takes it, shared, before the record says that it runs, and
the guard keeps it too. The kernel drops the lock when the last of the two has ended, and not before.
"""

import errno
import fcntl
import os
import time

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from typing import TypeAlias

    Clock: TypeAlias = tuple[str, str]  # the boot id and the time namespace

BOOT_ID = "/proc/sys/kernel/random/boot_id"
NAMESPACES = "/proc/self/ns"
UNKNOWN = "unknown"  # in place of a boot id or a time namespace that can't be read
SAME, OTHER, UNSURE = range(3)  # what two clocks are to each other
BUSY_WAIT = 1.0  # s for another process to let go of a lock file: each holds it for one operation
BUSY_STEP = 0.002  # s between two tries at it
LOOKS = 3  # at a witness that is taken: another process that looks takes it as well, for microseconds


def this_clock() -> "Clock":
    """Return the clock that this process measures leases with."""
    return _boot_id(), _time_namespace()


def _boot_id() -> str:
    try:
        with open(BOOT_ID, encoding="ascii") as file:
            return file.read().strip()
    except OSError:  # not Linux, or hidden: ProcSubset=pid of systemd
        return UNKNOWN


def _time_namespace() -> str:
    """Return the name of the time namespace; empty where the kernel has none (Linux before 5.6)."""
    try:
        return os.readlink(f"{NAMESPACES}/time")
    except OSError:
        return "" if os.path.isdir(NAMESPACES) else UNKNOWN


def compare(one: "Clock", another: "Clock") -> int:
    """Tell whether two clocks are the same one; UNSURE while what is known of them does not differ, but not all is."""
    if any(UNKNOWN not in pair and pair[0] != pair[1] for pair in zip(one, another, strict=True)):
        return OTHER
    return UNSURE if UNKNOWN in one + another else SAME


def private(path: str, flags: int) -> int:
    """Open a file and make it its user's alone, whatever the umask and whoever made it."""
    fd = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    os.fchmod(fd, 0o600)
    return fd


def lock(fd: int, how: int) -> None:
    """Take a file lock. Raises BlockingIOError when another process keeps it for longer than an operation takes."""
    until = time.monotonic() + BUSY_WAIT
    while True:
        try:
            fcntl.flock(fd, how | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > until:
                raise
            time.sleep(BUSY_STEP)


class Witness:
    """The witness of one record, as the process that runs holds it. `fd` is -1 while it holds none."""

    def __init__(self, path: str) -> None:
        self.fd = -1
        self._path = file_of(path)

    def take(self) -> None:
        """Hold it from now on. Raises OSError."""
        if self.fd >= 0:
            return
        fd = private(self._path, os.O_RDWR | os.O_CREAT)
        try:
            lock(fd, fcntl.LOCK_SH)
        except BaseException:
            os.close(fd)
            raise
        self.fd = fd

    def let_go(self) -> None:
        """Close this process's copy: an unlock would take it from the guard as well."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def lives(path: str) -> bool:
    """Whether anybody holds the witness of the record at `path`. Raises OSError when that can't be told."""
    flags = os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        try:
            fd = os.open(file_of(path), os.O_RDWR | flags)  # which NFS wants of who takes it alone
        except OSError as error:
            if error.errno != errno.EROFS:
                raise
            fd = os.open(file_of(path), os.O_RDONLY | flags)
    except FileNotFoundError:
        return False
    try:
        for _ in range(LOOKS):
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return False
            except BlockingIOError:
                time.sleep(BUSY_STEP)
        return True
    finally:
        os.close(fd)


def file_of(path: str) -> str:
    """Return the witness's file, beside the record's."""
    return path + ".run"
