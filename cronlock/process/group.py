"""The processes that a run answers for: those in its process group, and the command itself where it has left it."""

import os

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from collections.abc import Callable

PROC = "/proc"
NOBODY = b"nobody"  # in place of a time of birth: no process has it
AT_ONCE = 256  # processes that are looked at between two looks at the clock


class Group:
    """A process group by its number, and the command by its pid, 0 until it is known.

    Commands leave their group when they begin a session or do job control: setsid(1), an interactive shell.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.command = 0
        self._born = b""

    def register(self, command: int) -> None:
        """Answer for this process as well. It is there, or nobody has waited for it yet."""
        self.command = command
        self._born = _stat(command)[2] if _proc_is_ours() else b""

    def dismiss(self) -> None:
        """The command has ended, and its number may become another process's."""
        self._born = NOBODY

    def signal(self, number: int) -> None:
        """Send a signal to all of them, to the group last: whoever calls may be in it."""
        if self._strayed():
            try:
                if os.getpgid(self.command) == self.command:
                    os.killpg(self.command, number)
                else:
                    os.kill(self.command, number)
            except (ProcessLookupError, PermissionError):
                pass
        try:
            os.killpg(self.number, number)
        except (ProcessLookupError, PermissionError):  # it has gone, or has become another user
            pass

    def alive(self, beside: int, enough: "Callable[[], bool]") -> bool:
        """Whether any of them lives, zombies and `beside` not counted; True also where nobody can tell.

        Nor can it be told when there was `enough` looking: a busy machine has many processes.
        """
        if not _proc_is_ours():
            return True
        if self._strayed() and _stat(self.command)[0] not in (b"Z", b""):
            return True
        try:
            entries = os.listdir(PROC)
        except OSError:  # no file to be had
            return True
        for place, entry in enumerate(entries):
            if not place % AT_ONCE and enough():
                return True
            if entry.isdigit() and int(entry) != beside:
                state, group, _ = _stat(int(entry))
                if group == self.number and state != b"Z":
                    return True
        return False

    def _strayed(self) -> bool:
        """Whether the command is in another group by now, and still is the process that was admitted."""
        try:
            return bool(
                self.command
                and os.getpgid(self.command) != self.number
                and (not self._born or _stat(self.command)[2] == self._born)
            )
        except ProcessLookupError:
            return False


def _proc_is_ours() -> bool:
    """Whether /proc is there, and that of our own PID namespace."""
    try:
        return os.readlink(f"{PROC}/self") == str(os.getpid())
    except OSError:
        return False


def _stat(pid: int) -> tuple[bytes, int, bytes]:
    """State, group, and the time of birth, which tells a process from a later one with its number; empty if none."""
    try:
        fd = os.open(f"{PROC}/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
        try:
            fields = os.read(fd, 1024).rpartition(b")")[2].split()
        finally:
            os.close(fd)
    except OSError:
        return b"", 0, b""
    return fields[0], int(fields[2]), fields[19]
