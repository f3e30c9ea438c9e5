"""The command: started in the guard's process group, waited for, stopped and continued with its job."""

import os
import select

from cronlock.config.options import OPTIONS
from cronlock.errors import CANNOT_EXECUTE, NOT_FOUND, SIGNALLED
from cronlock.process.event_loop import (
    CHILDREN,
    EXITED,
    KILLED,
    STOPPED,
    Child,
    continue_if_stopped,
    read_file,
    signal,
)

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cronlock.process.guard import Guard
    from cronlock.process.terminal import Terminal

SHELL = b"/bin/sh"
STOPPED_EARLY = 50  # ms without an exec, after which the forked process may have been stopped
TERMINAL_STOPS = (signal.SIGTTIN, signal.SIGTTOU)  # stop a background group that uses the terminal
TERMINAL = "/dev/tty"
NO_SUCH_FILE = 2  # ENOENT, without importing errno: the error of an empty name
PYTHON_IGNORES = (signal.SIGPIPE, signal.SIGXFSZ)  # before cronlock's code runs; their former disposition is unknown


class CannotStartError(Exception):
    """Raised when the command was not found or can't be executed; `status` is the exit status, as of a shell."""

    def __init__(self, name: str, number: int) -> None:
        import errno

        from cronlock.process.start_advice import shown_name_and_advice

        shown, advice = shown_name_and_advice(name) if number == errno.ENOENT else (name, "")
        super().__init__(f"{shown}: {os.strerror(number).lower()}{f': {advice}' if advice else ''}")
        self.status = NOT_FOUND if number == errno.ENOENT else CANNOT_EXECUTE


class NoTerminal:
    """The absence of a terminal, as under cron: nothing to lend."""

    there = False

    def lend(self, _group: int, requested: bool = False) -> bool:
        return False

    def take_back(self, restore_modes: bool = False) -> bool:
        return False

    def stop_with(self, _number: int) -> bool:
        return False


def controlling_terminal() -> "Terminal | NoTerminal":
    """Return the terminal of this process."""
    try:
        os.close(os.open(TERMINAL, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return NoTerminal()
    from cronlock.process.terminal import Terminal

    return Terminal()


class Command:
    """The process of the command. It is not reaped, and so keeps its pid, until `reap`.

    The constructor starts it. Raises CannotStartError, and OSError if the system can't create a process.
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
        self.stopped_by = 0  # the signal, until `stop_this_process_too`
        self.stop_requested = False  # by a SIGTSTP that this process forwarded
        self.killed_by = 0
        self.had_terminal = False  # the command had the foreground when it ended
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

    def poll(self) -> int | None:
        """Return the exit status of an ended command, 128+n for signal n; None while it runs. Notes a stop."""
        state, number = self._child.state()
        if self._child.gone:
            self._group.dismiss()
        if state == EXITED:
            return number
        if state == KILLED:
            self.killed_by = number
            return SIGNALLED + number
        if state == STOPPED:
            self._note_stop(number)
        return None

    def _note_stop(self, number: int) -> None:
        try:
            self._child.consume_stop()
        except ChildProcessError:  # the command has ended meanwhile
            return
        if number in TERMINAL_STOPS and self._terminal.lend(self._group.number, requested=True):
            self.signal(signal.SIGCONT)
        else:
            self.stopped_by = number

    def signal(self, number: int) -> None:
        """Send a signal to the whole group."""
        self._group.signal(number)

    def stop_this_process_too(self) -> None:
        """Stop this process after a stop of the command, if a shell or the sender of SIGTSTP can continue the job.

        Without a terminal, a command that was stopped by another signal is continued by the sender of that signal, and
        cronlock extends the lease until then.
        """
        number, self.stopped_by = self.stopped_by, 0
        requested, self.stop_requested = self.stop_requested, False
        if not number or signal.SIGCONT in signal.sigpending():  # continued since
            return
        if not self._terminal.there:
            if requested and number == signal.SIGTSTP:
                os.kill(os.getpid(), signal.SIGSTOP)
        elif not self._terminal.stop_with(number) and number != signal.SIGSTOP:
            if number in TERMINAL_STOPS:  # as the kernel does with an orphaned group
                self.signal(signal.SIGHUP)
            self.signal(signal.SIGCONT)

    def resume(self) -> None:
        """Continue the group, in the foreground if cronlock has it."""
        self.stopped_by, self.stop_requested = 0, False
        self._terminal.lend(self._group.number)
        self.signal(signal.SIGCONT)

    def reap(self) -> None:
        """Reap the ended process, and take the terminal back."""
        self._child.reap()
        CHILDREN.discard(self._child.pid)
        self.had_terminal = self._terminal.take_back(restore_modes=bool(self.killed_by))


def _start(
    argv: "Sequence[str]", env: "Mapping[bytes, bytes]", mask: "Iterable[int]", guard: "Guard", ignored: "Iterable[int]"
) -> int:
    """Fork and execute; return the pid.

    posix_spawn does not serve: the guard has to know the process before the command can leave the group.
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
    """Wait until the command is executed, which closes the pipe; return the errno if it can't be."""
    poll = select.poll()
    poll.register(read, select.POLLIN)
    while not poll.poll(STOPPED_EARLY):
        try:
            continue_if_stopped(pid)  # after a Ctrl-Z before the exec
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
    """Become the command, in the forked process."""
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
    """Execute as execvp(3): search PATH, and run a file of unknown format with the shell. Return the errno."""
    name = argv[0]
    folders = [b""] if b"/" in name else env.get(b"PATH", os.defpath.encode()).split(b":")
    denied = number = 0
    for folder in folders if name else ():
        path = os.path.join(folder, name)
        number = _try(path, argv, env)
        import errno  # only after a failure: an import is expensive in a forked process

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


def environment(added: "Mapping[str, str]") -> dict[bytes, bytes]:
    """Return the command's environment: cronlock's own as it was given, less the options of this run, plus `added`.

    Python may set LC_CTYPE (PEP 538); the kernel still knows the given value.
    """
    env = dict(os.environb)
    env.pop(b"", None)  # an entry without a name, which execve does not accept
    ours = [name for name in os.environ if name.startswith("CRONLOCK_")]
    of_one_run = {option.variable for option in OPTIONS if not option.where} if ours else ()
    for name in ours:
        if name in of_one_run or name.startswith("CRONLOCK_RUN_"):
            env.pop(name.encode(), None)
    try:
        given = read_file("/proc/self/environ").split(b"\0")
        env.pop(b"LC_CTYPE", None)
        for entry in reversed(given):  # the first of several entries counts
            if entry.startswith(b"LC_CTYPE="):
                env[b"LC_CTYPE"] = entry[9:]
    except OSError:  # not Linux
        pass
    return env | {os.fsencode(name): os.fsencode(value) for name, value in added.items()}
