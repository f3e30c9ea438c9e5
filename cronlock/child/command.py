"""The command: started as argv in a process group of its own, waited for, ended."""

import errno
import os
import time

from cronlock.child.terminal import Foreground
from cronlock.system import signal

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

SHELL = "/bin/sh"
CANNOT_EXECUTE, NOT_FOUND = 126, 127  # as the shell and env(1)
SIGNALLED = 128  # plus the number of the signal
PYTHON_IGNORES = (signal.SIGPIPE, signal.SIGXFSZ)  # before any code of ours runs; the command gets the default back


class CannotStartError(Exception):
    """The command was not found or can't be executed; `status` is what a shell would exit with."""

    def __init__(self, name: str, error: OSError) -> None:
        super().__init__(f"{name}: {(error.strerror or str(error)).lower()}")
        self.status = NOT_FOUND if error.errno == errno.ENOENT else CANNOT_EXECUTE


class Command:
    """One process group. `pid` is its leader, which stays unreaped, and so pins the number, until `reap`."""

    def __init__(self, argv: "Sequence[str]", env: "Mapping[bytes, bytes]", mask: "Iterable[int]") -> None:
        self.stopped = False
        self._foreground = Foreground()
        try:
            self.pid = _start(argv, env, mask)
        except OSError as error:
            raise CannotStartError(argv[0], error) from None
        self._foreground.lend(self.pid)

    def look(self) -> int | None:
        """The exit status when the command has ended, 128+n for signal n; None while it runs. Notes a stop."""
        info = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WSTOPPED | os.WNOHANG | os.WNOWAIT)
        if info is None:
            return None
        if info.si_code == os.CLD_EXITED:
            return int(info.si_status)
        if info.si_code != os.CLD_STOPPED:
            return SIGNALLED + int(info.si_status)
        self._note_stop(int(info.si_status))
        return None

    def _note_stop(self, number: int) -> None:
        try:
            os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WNOHANG)
        except ChildProcessError:  # it has ended meanwhile
            return
        if number in (signal.SIGTTIN, signal.SIGTTOU) and self._foreground.lend(self.pid):
            self.signal(signal.SIGCONT)
        else:
            self.stopped = True

    def signal(self, number: int) -> None:
        """Send a signal to the whole group."""
        try:
            os.killpg(self.pid, number)
        except (ProcessLookupError, PermissionError):  # it has gone, or has become another user
            pass

    def alone(self) -> bool:
        """Whether nothing of the group lives but, at most, its unreaped leader."""
        mine = str(self.pid)
        for entry in os.listdir("/proc") if os.path.isdir("/proc/self") else ():
            if entry.isdigit():
                try:
                    with open(f"/proc/{entry}/stat", encoding="ascii", errors="replace") as file:
                        state, _, group = file.read().rpartition(")")[2].split()[:3]
                except (OSError, ValueError):
                    continue
                if group == mine and state != "Z":
                    return False
        return True

    def stop_with_it(self) -> None:
        """The command has stopped: at a terminal stop as well, as a job does. Elsewhere nobody would continue us."""
        self.stopped = False
        if self._foreground.take_back():
            os.kill(os.getpid(), signal.SIGSTOP)

    def go_on(self) -> None:
        """Continue the group, in the foreground when cronlock was put there."""
        self._foreground.lend(self.pid)
        self.signal(signal.SIGCONT)

    def end(self, kill_after: int) -> None:
        """Stop the group without a loop: SIGTERM, and SIGKILL after so many ms."""
        self.signal(signal.SIGTERM)
        self.signal(signal.SIGCONT)
        until = time.monotonic() + kill_after / 1000
        while self.look() is None and time.monotonic() < until:
            time.sleep(0.02)
        self.signal(signal.SIGKILL)
        self.reap()

    def reap(self) -> None:
        """Let go of the process that has ended, and of the terminal."""
        self._foreground.take_back()
        os.waitpid(self.pid, 0)


def _start(argv: "Sequence[str]", env: "Mapping[bytes, bytes]", mask: "Iterable[int]") -> int:
    try:
        return _spawn(argv, env, mask)
    except OSError as error:
        if error.errno != errno.ENOEXEC:
            raise
        return _spawn([SHELL, _path_of(argv[0]), *argv[1:]], env, mask)  # a script without #!


def _spawn(argv: "Sequence[str]", env: "Mapping[bytes, bytes]", mask: "Iterable[int]") -> int:
    return os.posix_spawnp(argv[0], list(argv), env, setpgroup=0, setsigmask=mask, setsigdef=PYTHON_IGNORES)


def _path_of(name: str) -> str:
    """The file that the search along PATH has found to be no program."""
    if "/" in name:
        return name
    for folder in os.get_exec_path():
        path = os.path.join(folder, name)
        if os.access(path, os.X_OK):
            return path
    return name


def environment(extra: "Mapping[str, str]", removed: "Iterable[str]") -> dict[bytes, bytes]:
    """The command's environment: cronlock's own as it was given, less the options of this run, plus `extra`.

    Python may add LC_CTYPE to its environment (PEP 538); the kernel still knows what was given.
    """
    env = dict(os.environb)
    for name in removed:
        env.pop(name.encode(), None)
    try:
        with open("/proc/self/environ", "rb") as file:
            given = b"\0" + file.read()
        if b"\0LC_CTYPE=" not in given:
            env.pop(b"LC_CTYPE", None)
    except OSError:  # not Linux
        pass
    return env | {os.fsencode(name): os.fsencode(value) for name, value in extra.items()}
