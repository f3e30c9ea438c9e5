"""The controlling terminal: its foreground, lent to the command while cronlock's own group has it, and job control.

The rules are those of a job-control shell, see "The GNU C Library: Job Control". The difference: the shell does not
know that the command's group belongs to its job.
"""

import os
import termios  # only with a terminal; imported now, since an upgrade may replace it later

from cronlock.process.event_loop import signal

PATH = "/dev/tty"
STDIN, STDOUT = 0, 1  # both are terminals if an operator started the command by itself, not in a pipe


class Terminal:
    """The controlling terminal of this process; without one, each method does nothing."""

    def __init__(self) -> None:
        self._fd = -1
        self._group = 0  # that has the foreground
        self._modes: list[object] | None = None  # before the command could change the modes

    def lend(self, group: int, requested: bool = False) -> bool:
        """Put `group` into the foreground if this process's group is there; return whether `group` is there now.

        Unless `requested`, only if standard input and output are both terminals: a pager behind a pipe is in this
        process's group and needs the foreground too. Also if SIGTTIN is ignored, as by bash(1) for `x=$(...)` at its
        prompt: there a command never stops to request the foreground.
        """
        if not requested and not (os.isatty(STDIN) and (os.isatty(STDOUT) or _ignores_sigttin())):
            return False
        owner = self._owner()
        if owner == os.getpgrp():
            self._keep_modes()
            self._set(group)
            self._group = group
        return owner in (os.getpgrp(), group)

    def take_back(self, restore_modes: bool = False) -> bool:
        """Return to the foreground, unless a living group other than the command's has it; return whether it was lent.

        `restore_modes`: also reset the modes, as after a command that a signal ended before it could do so.
        """
        group, self._group = self._group, 0
        if not group:
            return False
        owner = self._owner()
        if owner == group or not _alive(owner):
            self._set(os.getpgrp())
        if restore_modes and self._owner() == os.getpgrp():
            self._restore_modes()
        return True

    def stop_with(self, number: int) -> bool:
        """Stop the whole job by the signal that stopped the command. Return True once the job is continued.

        Return False if the kernel did not stop the job because its group is orphaned: no shell could continue it.
        """
        self.take_back()
        number = signal.SIGTSTP if number == signal.SIGSTOP else number
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCONT])  # still continues the job, and stays pending
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
        """True if this process has a controlling terminal."""
        return self._owner() > 0

    def _owner(self) -> int:
        """Return the group in the foreground; 0 without a terminal."""
        try:
            if self._fd < 0:
                self._fd = os.open(PATH, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
            return os.tcgetpgrp(self._fd)
        except OSError:
            return 0

    def _set(self, group: int) -> None:
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTTOU])  # which would stop a background group here
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

    def _restore_modes(self) -> None:
        try:
            if self._modes:
                termios.tcsetattr(self._fd, termios.TCSANOW, self._modes)  # type: ignore[arg-type]
        except termios.error:
            pass


def _ignores_sigttin() -> bool:
    return bool(signal.getsignal(signal.SIGTTIN) == signal.SIG_IGN)


def _alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return group > 0
