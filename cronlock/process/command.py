"""The command: started as argv in the guard's process group, waited for, stopped and continued with its job."""

import os
import select

from cronlock.errors import CANNOT_EXECUTE, NOT_FOUND, SIGNALLED
from cronlock.process.event_loop import CHILDREN, EXITED, KILLED, STOPPED, Child, go_on, signal, whole

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cronlock.process.guard import Guard
    from cronlock.process.terminal import Terminal

SHELL = b"/bin/sh"
STOPPED_EARLY = 50  # ms after which it is asked whether a process that should execute the command was stopped
ASKING = (signal.SIGTTIN, signal.SIGTTOU)  # what stops a group that wants the foreground and has it not
TERMINAL = "/dev/tty"
NO_SUCH_FILE = 2  # ENOENT, without importing errno: what comes of an empty name
PYTHON_IGNORES = (signal.SIGPIPE, signal.SIGXFSZ)  # before any code of ours runs, and nothing tells what they were


class CannotStartError(Exception):
    """The command was not found or can't be executed; `status` is what a shell would exit with."""

    def __init__(self, name: str, number: int) -> None:
        import errno

        advice = ": no shell reads it: sh -c '...'" if number == errno.ENOENT and (" " in name or name == "cd") else ""
        super().__init__(f"{name or repr(name)}: {os.strerror(number).lower()}{advice}")
        self.status = NOT_FOUND if number == errno.ENOENT else CANNOT_EXECUTE


class NoTerminal:
    """Where cron starts a command: there is no foreground to lend."""

    there = False

    def lend(self, _group: int, asked: bool = False) -> bool:
        return False

    def take_back(self, sane: bool = False) -> bool:
        return False

    def stop_with(self, _number: int) -> bool:
        return False


def controlling_terminal() -> "Terminal | NoTerminal":
    """The terminal of this process."""
    try:
        os.close(os.open(TERMINAL, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return NoTerminal()
    from cronlock.process.terminal import Terminal

    return Terminal()


class Command:
    """The process that was started. It stays unreaped, and so keeps its number, until `reap`.

    Raises CannotStartError, and OSError when no process can be had.
    """

    def __init__(
        self,
        argv: "Sequence[str]",
        env: "Mapping[bytes, bytes]",
        mask: "Iterable[int]",
        guard: "Guard",
        terminal: "Terminal | NoTerminal",
        ignored: "Iterable[int]" = (),
    ) -> None:
        self.stopped_by = 0  # the signal, until `stop_with_it` has dealt with it
        self.told_to_stop = False  # by a SIGTSTP through this process
        self.killed_by = 0
        self.had_terminal = False  # its foreground, when it ended
        self._terminal = terminal
        self._group = guard.group
        terminal.lend(guard.group.number)
        try:
            self._child = Child(_start(argv, env, mask, guard, ignored))
        except BaseException:
            terminal.take_back()
            raise
        CHILDREN.add(self._child.pid)
        guard.register(self._child.pid)

    def look(self) -> int | None:
        """The exit status when the command has ended, 128+n for signal n; None while it runs. Notes a stop."""
        what, number = self._child.look()
        if self._child.gone:
            self._group.dismiss()
        if what == EXITED:
            return number
        if what == KILLED:
            self.killed_by = number
            return SIGNALLED + number
        if what == STOPPED:
            self._note_stop(number)
        return None

    def _note_stop(self, number: int) -> None:
        try:
            self._child.take_stop()
        except ChildProcessError:  # it has ended meanwhile
            return
        if number in ASKING and self._terminal.lend(self._group.number, asked=True):
            self.signal(signal.SIGCONT)
        else:
            self.stopped_by = number

    def signal(self, number: int) -> None:
        """Send a signal to the whole group."""
        self._group.signal(number)

    def stop_with_it(self) -> None:
        """The command has stopped: stop as well where somebody can continue this job.

        That is a shell at a terminal, or whoever sent SIGTSTP to this process. A command that somebody stopped away
        from a terminal is continued by that person, and its lease goes on until then.
        """
        number, self.stopped_by = self.stopped_by, 0
        told, self.told_to_stop = self.told_to_stop, False
        if not number or signal.SIGCONT in signal.sigpending():  # continued since
            return
        if not self._terminal.there:
            if told and number == signal.SIGTSTP:
                os.kill(os.getpid(), signal.SIGSTOP)
        elif not self._terminal.stop_with(number) and number != signal.SIGSTOP:
            if number in ASKING:  # do what the kernel does to an orphaned group
                self.signal(signal.SIGHUP)
            self.signal(signal.SIGCONT)

    def go_on(self) -> None:
        """Continue the group, in the foreground when cronlock was put there."""
        self.stopped_by, self.told_to_stop = 0, False
        self._terminal.lend(self._group.number)
        self.signal(signal.SIGCONT)

    def reap(self) -> None:
        """Let go of the process that has ended, and of the terminal."""
        self._child.reap()
        CHILDREN.discard(self._child.pid)
        self.had_terminal = self._terminal.take_back(sane=bool(self.killed_by))


def _start(
    argv: "Sequence[str]", env: "Mapping[bytes, bytes]", mask: "Iterable[int]", guard: "Guard", ignored: "Iterable[int]"
) -> int:
    """Fork and execute; the pid.

    No posix_spawn: the guard has to know the process before the command can leave the group.
    """
    read, write = os.pipe()
    try:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            pid = os.fork()
            if not pid:
                _become(argv, env, mask, guard, ignored, write)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            os.close(write)
        error = _failure(read, pid)
    finally:
        os.close(read)
    if error:
        os.waitpid(pid, 0)
        raise CannotStartError(argv[0], error)
    return pid


def _failure(read: int, pid: int) -> int:
    """Wait until the command is executed, which closes the pipe; the errno when it can't be."""
    poll = select.poll()
    poll.register(read, select.POLLIN)
    while not poll.poll(STOPPED_EARLY):
        try:
            go_on(pid)  # a Ctrl-Z that came too soon
        except ChildProcessError:  # executed and ended since the poll: the pipe is closed
            pass
    return int.from_bytes(os.read(read, 4), "big")


def _become(
    argv: "Sequence[str]",
    env: "Mapping[bytes, bytes]",
    mask: "Iterable[int]",
    guard: "Guard",
    ignored: "Iterable[int]",
    write: int,
) -> None:
    """In the forked process: turn into the command."""
    try:
        try:
            os.setpgid(0, guard.group.number)
            guard.register_before_exec(os.getpid())
            for number in signal.valid_signals():
                if number in PYTHON_IGNORES or callable(signal.getsignal(number)):
                    signal.signal(number, signal.SIG_IGN if number in ignored else signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            error = _execute([os.fsencode(word) for word in argv], env)
        except OSError as problem:
            error = problem.errno or CANNOT_EXECUTE
        os.write(write, error.to_bytes(4, "big"))
    finally:
        os._exit(NOT_FOUND)


def _execute(argv: list[bytes], env: "Mapping[bytes, bytes]") -> int:
    """As execvp(3): along PATH, past what can't be executed, and a file that is no program by the shell. The errno."""
    name = argv[0]
    folders = [b""] if b"/" in name else env.get(b"PATH", os.defpath.encode()).split(b":")
    denied = number = 0
    for folder in folders if name else ():
        path = os.path.join(folder, name)
        number = _try(path, argv, env)
        import errno  # after a first failure: an import costs a forked process more than another one

        if number == errno.ENOEXEC:
            number = _try(SHELL, [SHELL, path, *argv[1:]], env)
        if number == errno.EACCES:
            denied = number
        elif number not in (errno.ENOENT, errno.ENOTDIR, errno.ESTALE, errno.ENODEV, errno.ETIMEDOUT):
            return number
    return denied or number or NO_SUCH_FILE


def _try(path: bytes, argv: list[bytes], env: "Mapping[bytes, bytes]") -> int:
    try:
        os.execve(path, argv, env)
    except OSError as error:
        return error.errno or CANNOT_EXECUTE


def environment(extra: "Mapping[str, str]", removed: "Iterable[str]") -> dict[bytes, bytes]:
    """The command's environment: cronlock's own as it was given, less the options of this run, plus `extra`.

    Python may set LC_CTYPE (PEP 538); the kernel still knows what was given.
    """
    env = dict(os.environb)
    env.pop(b"", None)  # an entry without a name, which execve does not take
    for name in removed:
        env.pop(name.encode(), None)
    try:
        given = whole("/proc/self/environ").split(b"\0")
        env.pop(b"LC_CTYPE", None)
        for entry in reversed(given):  # of several the first counts
            if entry.startswith(b"LC_CTYPE="):
                env[b"LC_CTYPE"] = entry[9:]
    except OSError:  # not Linux
        pass
    return env | {os.fsencode(name): os.fsencode(value) for name, value in extra.items()}
