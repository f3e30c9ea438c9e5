"""The processes that a run answers for: those in its process group, and the command itself where it has left it."""

import os

PROC = "/proc"


class Group:
    """A process group by its number, and the command by its pid, 0 until it is known.

    Commands leave their group when they begin a session or do job control: setsid(1), an interactive shell.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.command = 0
        self._born = b""

    def admit(self, command: int) -> None:
        """Answer for this process as well. It is there, or nobody has waited for it yet."""
        self.command = command
        self._born = _stat(command)[2]

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

    def alive(self, *besides: int) -> bool:
        """Whether any of them lives, zombies and `besides` not counted; True also where nobody can tell."""
        if not os.path.isdir(f"{PROC}/self"):  # not Linux, or the /proc of another PID namespace
            return True
        if self._strayed() and _stat(self.command)[0] not in (b"Z", b""):
            return True
        try:
            entries = os.listdir(PROC)
        except OSError:  # no file to be had
            return True
        for entry in entries:
            if entry.isdigit() and int(entry) not in besides:
                state, group, _ = _stat(int(entry))
                if group == self.number and state != b"Z":
                    return True
        return False

    def _strayed(self) -> bool:
        """Whether the command is in another group by now, and still is the process that was admitted."""
        try:
            return bool(
                self.command and os.getpgid(self.command) != self.number and _stat(self.command)[2] == self._born
            )
        except ProcessLookupError:
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
