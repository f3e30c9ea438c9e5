"""Signals through a wake-up pipe: they end a poll, and are handled between two steps of the loop."""

import os

from cronlock.process.event_loop import CHILDREN, READ, signal

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from collections.abc import Callable

    from cronlock.process.event_loop import Loop

ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)
OTHERS = (signal.SIGUSR1, signal.SIGUSR2)
JOB_CONTROL = (signal.SIGTSTP, signal.SIGCONT)


class Signals:
    """Catches what ends a program, from the start on; `mask` is the signal mask that cronlock was started with.

    What was ignored when cronlock started stays ignored; `ignored` is what the command alone can still ignore, since
    cronlock needs it. `receiver` gets the number of each signal, SIGCHLD aside.
    """

    def __init__(self, loop: "Loop", receiver: "Callable[[int], None]") -> None:
        self.receiver = receiver
        self._reaps = os.getpid() == 1
        self._pipe, wake = os.pipe()
        os.set_blocking(self._pipe, False)
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        self._catch(ENDING + OTHERS)
        before = signal.signal(signal.SIGCHLD, _nothing)
        self.ignored = (signal.SIGCHLD,) if before == signal.SIG_IGN else ()
        self.mask = signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])  # a blocked one never wakes the poll
        loop.watch(self._pipe, READ, self.deliver)

    def catch_job_control(self) -> None:
        """From now on also what stops and continues a job; before that, cronlock itself is the job."""
        self._catch(JOB_CONTROL)

    def _catch(self, numbers: tuple[int, ...]) -> None:
        for number in numbers:
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, _nothing)

    def deliver(self, _events: int = 0) -> None:
        """Give the signals that have come to the receiver."""
        try:
            numbers = os.read(self._pipe, 512)
        except BlockingIOError:
            return
        for number in numbers:
            if number != signal.SIGCHLD:
                self.receiver(number)
            elif self._reaps:
                _reap_others()


def end_as_typed(number: int, heard: bool) -> None:
    """End as a program does that got this signal from the keyboard, together with its command.

    Unless this process has `heard` of it, the rest of its own group has not either, and gets it now. A shell ends its
    script or loop only when it sees that its command was ended by SIGINT.
    """
    if not heard:
        os.killpg(os.getpgrp(), number)
    if number == signal.SIGINT:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)


def _reap_others() -> None:
    """As PID 1: wait for orphans that have ended. Children of our own are waited for where they were started."""
    while hasattr(os, "waitid"):  # on macOS nobody is PID 1
        try:
            info = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if info is None or info.si_pid in CHILDREN:
            return
        os.waitpid(info.si_pid, 0)


def _nothing(_number: int, _frame: object) -> None:
    """The number comes through the pipe."""


def ignore(_number: int) -> None:
    """A receiver of signals that come when all is decided."""
