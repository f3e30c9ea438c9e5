"""Signals through a wake-up pipe: they end a poll, and are handled between two steps of the loop."""

import os

from cronlock.loop import READ
from cronlock.system import signal

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from collections.abc import Callable

    from cronlock.loop import Loop

ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)
OTHERS = (signal.SIGUSR1, signal.SIGUSR2)
JOB_CONTROL = (signal.SIGTSTP, signal.SIGCONT)


class Signals:
    """Catches what ends a program, from the start on; `mask` is the signal mask that cronlock was started with.

    What was ignored when cronlock started stays ignored. `receiver` gets the number of each signal, SIGCHLD aside.
    """

    def __init__(self, loop: "Loop", receiver: "Callable[[int], None]") -> None:
        self.receiver = receiver
        self._pipe, wake = os.pipe()
        os.set_blocking(self._pipe, False)
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        self._catch(ENDING + OTHERS)
        signal.signal(signal.SIGCHLD, _nothing)
        self.mask = signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])  # a blocked one never wakes the poll
        loop.watch(self._pipe, READ, self._wake)

    def catch_job_control(self) -> None:
        """From now on also what stops and continues a job; before that, cronlock itself is the job."""
        self._catch(JOB_CONTROL)

    def _catch(self, numbers: tuple[int, ...]) -> None:
        for number in numbers:
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, _nothing)

    def _wake(self, _events: int) -> None:
        try:
            numbers = os.read(self._pipe, 512)
        except BlockingIOError:
            return
        for number in numbers:
            if number != signal.SIGCHLD:
                self.receiver(number)


def _nothing(_number: int, _frame: object) -> None:
    """The number comes through the pipe."""
