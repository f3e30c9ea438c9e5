"""The processes of a run: its process group, and the command itself where it has left the group."""

import os

from cronlock.process.event_loop import signal, socket

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from collections.abc import Callable

PROC = "/proc"
NO_PROCESS = b"none"  # in place of a start time: it matches no process
CLOCK_EVERY = 256  # processes between two checks of the deadline


class Group:
    """A process group by its number, and the command by its pid, 0 until it is known.

    A command leaves its group if it begins a session or does job control: setsid(1), an interactive shell.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.command = 0
        self._started = b""

    def register(self, command: int) -> None:
        """Add the command, which may have left the group. It runs, or has not been reaped."""
        self.command = command
        self._started = _stat(command)[2] if _proc_is_ours() else b""

    def dismiss(self) -> None:
        """Drop the command, which has ended: its pid may become another process's."""
        self._started = NO_PROCESS

    def signal(self, number: int) -> None:
        """Send a signal to all processes, to the group last: the caller may be in it."""
        if self._command_has_left():
            try:
                if os.getpgid(self.command) == self.command:
                    os.killpg(self.command, number)
                else:
                    os.kill(self.command, number)
            except (ProcessLookupError, PermissionError):
                pass
        try:
            os.killpg(self.number, number)
        except (ProcessLookupError, PermissionError):  # the group has gone, or runs as another user
            pass

    def alive(self, excluded: int, timed_out: "Callable[[], bool]") -> bool:
        """Return whether a process lives, zombies and `excluded` not counted; True also where that is not known.

        Checks no more processes once it has `timed_out`: a busy machine has many.
        """
        if not _proc_is_ours():
            return True
        if self._command_has_left() and _stat(self.command)[0] not in (b"Z", b""):
            return True
        try:
            entries = os.listdir(PROC)
        except OSError:  # too many open files
            return True
        for number, entry in enumerate(entries):
            if not number % CLOCK_EVERY and timed_out():
                return True
            if entry.isdigit() and int(entry) != excluded:
                state, group, _ = _stat(int(entry))
                if group == self.number and state != b"Z":
                    return True
        return False

    def _command_has_left(self) -> bool:
        """Return whether the command is in another group by now, and its pid is still its own."""
        try:
            return bool(
                self.command
                and os.getpgid(self.command) != self.number
                and (not self._started or _stat(self.command)[2] == self._started)
            )
        except ProcessLookupError:
            return False


def _proc_is_ours() -> bool:
    """Return whether /proc exists and shows this process's PID namespace."""
    try:
        return os.readlink(f"{PROC}/self") == str(os.getpid())
    except OSError:
        return False


def _stat(pid: int) -> tuple[bytes, int, bytes]:
    """Return state, group, and start time, which differs from that of a later process with the same pid."""
    try:
        fd = os.open(f"{PROC}/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
        try:
            fields = os.read(fd, 1024).rpartition(b")")[2].split()
        finally:
            os.close(fd)
    except OSError:
        return b"", 0, b""
    return fields[0], int(fields[2]), fields[19]


class Tether:
    """A pair of connected sockets that only the wrapper and its guard have, and to which neither of them writes.

    Once armed, the kernel ends the group when both are dead: the last of the two to die closes both sockets, one first,
    and the kernel sends SIGKILL on behalf of the other, whose peer has hung up (F_SETOWN and O_ASYNC, see fcntl(2)).
    """

    def __init__(self) -> None:
        self.ends: tuple[int, ...] = ()
        self._armed = False

    def open(self) -> None:
        """Create the sockets before the fork; without any if the system has none left."""
        if self.ends:
            return
        try:
            one, other = socket.socketpair()
        except OSError:
            return
        self.ends = one.detach(), other.detach()

    def arm(self, group: int) -> None:
        """Have the kernel kill this group when both processes are dead; only Linux can."""
        try:
            import fcntl  # only for commands that last

            set_signal = getattr(fcntl, "F_SETSIG", 0)  # Linux's
            for end in self.ends if set_signal else ():
                fcntl.fcntl(end, set_signal, signal.SIGKILL)
                fcntl.fcntl(end, fcntl.F_SETOWN, -group)
                fcntl.fcntl(end, fcntl.F_SETFL, os.O_ASYNC)
                self._armed = True
        except (ImportError, OSError):  # an upgrade, or too many open files
            pass

    def close(self) -> None:
        """Disarm and close the sockets, for both processes: remaining processes of the group keep running."""
        if self._armed:
            import fcntl

            for end in self.ends:
                fcntl.fcntl(end, fcntl.F_SETFL, 0)
        for end in self.ends:
            os.close(end)
        self.ends, self._armed = (), False
