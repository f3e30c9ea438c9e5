"""The controlling terminal: its foreground, lent to the command while cronlock's own group has it, and job control.

The rules of a job-control shell, see "The GNU C Library: Job Control": only that the command's group is a part of the
shell's job that the shell does not know.
"""

import os
import termios  # only where there is a terminal; later an upgrade may have replaced it

from cronlock.process.event_loop import signal

PATH = "/dev/tty"
STDIN, STDOUT = 0, 1  # both are terminals where a person started the command for its own sake, not inside a pipe


class Terminal:
    """Does nothing where there is none."""

    def __init__(self) -> None:
        self._fd = -1
        self._group = 0  # whom the foreground is lent to
        self._modes: list[object] | None = None  # before the command could change them

    def lend(self, group: int, asked: bool = False) -> bool:
        """Give the foreground to `group` if it is ours to give; whether the group has it now.

        Without being `asked` only when standard input and output are both terminals: a pager behind a pipe is in our
        own group, and needs it as well. Or where SIGTTIN is ignored, as bash(1) has it for `x=$(...)` at its prompt:
        there a command never stops to ask.
        """
        if not asked and not (os.isatty(STDIN) and (os.isatty(STDOUT) or _mute())):
            return False
        owner = self._owner()
        if owner == os.getpgrp():
            self._keep_modes()
            self._set(group)
            self._group = group
        return owner in (os.getpgrp(), group)

    def take_back(self, sane: bool = False) -> bool:
        """Have the foreground again, unless somebody alive has it who is not the command; whether it was lent.

        `sane`: the modes too, which a command that a signal ended could not put back.
        """
        group, self._group = self._group, 0
        if not group:
            return False
        owner = self._owner()
        if owner == group or not _alive(owner):
            self._set(os.getpgrp())
        if sane and self._owner() == os.getpgrp():
            self._put_modes_back()
        return True

    def stop_with(self, number: int) -> bool:
        """The command was stopped by a signal: stop the whole job, as the signal would have. True once it goes on.

        False when the kernel did not stop it, since nobody could continue it: its group is orphaned.
        """
        self.take_back()
        number = signal.SIGTSTP if number == signal.SIGSTOP else number
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCONT])  # it goes on all the same, and leaves a trace
        handler = signal.getsignal(number)
        if handler != signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
        try:
            os.killpg(os.getpgrp(), number)
            return signal.SIGCONT in signal.sigpending()
        finally:
            signal.signal(number, handler)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    @property
    def there(self) -> bool:
        """Whether this process has a controlling terminal."""
        return self._owner() > 0

    def _owner(self) -> int:
        """The group in the foreground; 0 without a terminal."""
        try:
            if self._fd < 0:
                self._fd = os.open(PATH, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
            return os.tcgetpgrp(self._fd)
        except OSError:
            return 0

    def _set(self, group: int) -> None:
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTTOU])  # a background group may ask only so
        try:
            os.tcsetpgrp(self._fd, group)
        except OSError:  # the group or the terminal has gone
            pass
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def _keep_modes(self) -> None:
        if self._modes is None:
            try:
                self._modes = termios.tcgetattr(self._fd)
            except termios.error:
                pass

    def _put_modes_back(self) -> None:
        try:
            if self._modes:
                termios.tcsetattr(self._fd, termios.TCSANOW, self._modes)  # type: ignore[arg-type]
        except termios.error:
            pass


def _mute() -> bool:
    return bool(signal.getsignal(signal.SIGTTIN) == signal.SIG_IGN)


def _alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return group > 0
