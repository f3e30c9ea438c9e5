"""The clock of a local lease, and the witness: a file lock that shows whether the lease's run is alive.

A lease in a file means something only by the clock that it was written with, and processes that share the file may
read different ones: a container has a boot id of its own, a time namespace shifts CLOCK_MONOTONIC, a hidden /proc shows
neither. A file lock is the same for all of them. cronlock takes a shared lock before the record has the run, and the
guard inherits it. The kernel drops the lock when the last of the two has exited, and not before.
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
SAME, OTHER, UNSURE = range(3)  # results of `compare`
BUSY_WAIT = 1.0  # s to wait for a lock file: another process holds it for one operation
BUSY_STEP = 0.002  # s between two tries
TRIES = 3  # at a witness that is locked: another process that checks it locks it too, for microseconds


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
    """Return SAME, OTHER, or UNSURE when the known parts of two clocks are equal but a part is unknown."""
    if any(UNKNOWN not in pair and pair[0] != pair[1] for pair in zip(one, another, strict=True)):
        return OTHER
    return UNSURE if UNKNOWN in one + another else SAME


def private(path: str, flags: int) -> int:
    """Open a file and make it private to its user, whatever the umask was when it was created."""
    fd = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    os.fchmod(fd, 0o600)
    return fd


def lock(fd: int, how: int) -> None:
    """Take a file lock. Raises BlockingIOError when another process holds it for longer than BUSY_WAIT."""
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
    """The witness of one record, held by the process of its run. `fd` is -1 while it is not held."""

    def __init__(self, path: str) -> None:
        self.fd = -1
        self._path = witness_path(path)

    def take(self) -> None:
        """Hold the witness from now on. Raises OSError."""
        if self.fd >= 0:
            return
        fd = private(self._path, os.O_RDWR | os.O_CREAT)
        try:
            lock(fd, fcntl.LOCK_SH)
        except BaseException:
            os.close(fd)
            raise
        self.fd = fd

    def release(self) -> None:
        """Close this process's descriptor; an unlock would take the lock from the guard as well."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def is_alive(path: str) -> bool:
    """Return whether a process holds the witness of the record at `path`. Raises OSError if the lock can't be tried."""
    flags = os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        try:
            fd = os.open(witness_path(path), os.O_RDWR | flags)  # NFS demands write access for an exclusive lock
        except OSError as error:
            if error.errno != errno.EROFS:
                raise
            fd = os.open(witness_path(path), os.O_RDONLY | flags)
    except FileNotFoundError:
        return False
    try:
        for _ in range(TRIES):
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return False
            except BlockingIOError:
                time.sleep(BUSY_STEP)
        return True
    finally:
        os.close(fd)


def witness_path(path: str) -> str:
    """Return the path of the witness, beside the record's."""
    return path + ".run"
