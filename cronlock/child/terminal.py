"""The terminal's foreground, lent to the command while cronlock's own group has it."""

import os

from cronlock.system import signal

TERMINAL = 0  # stdin


class Foreground:
    """Gives the foreground to the command's process group and takes it back; does nothing away from a terminal."""

    def __init__(self) -> None:
        self._group = 0

    def lend(self, group: int) -> bool:
        """Let `group` read from the terminal, when it is ours to give; whether the group has it now."""
        try:
            owner = os.tcgetpgrp(TERMINAL) if os.isatty(TERMINAL) and os.isatty(1) else 0
        except OSError:  # no controlling terminal
            return False
        if owner == os.getpgrp():
            self._set(group)
            self._group = group
        return owner in (os.getpgrp(), group)

    def take_back(self) -> bool:
        """Be the foreground again, unless somebody else is by now; whether it was lent."""
        group, self._group = self._group, 0
        try:
            if group and os.tcgetpgrp(TERMINAL) == group:
                self._set(os.getpgrp())
        except OSError:  # the terminal is gone
            pass
        return bool(group)

    def _set(self, group: int) -> None:
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTTOU])  # a background group may ask only so
        try:
            os.tcsetpgrp(TERMINAL, group)
        except OSError:  # the group has gone already
            pass
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
