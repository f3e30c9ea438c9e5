"""Signals through a wake-up pipe: a signal ends a poll, and is handled between two steps of the loop."""

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
    """Catcher of signals that end a program, from the start on; `mask` is the signal mask that cronlock started with.

    Signals that cronlock started with ignored stay ignored; `ignored` are those that only the command ignores, since
    cronlock needs them. `receiver` gets the number of each signal except SIGCHLD.
    """

    def __init__(self, loop: "Loop", receiver: "Callable[[int], None]") -> None:
        self.receiver = receiver
        self._reaps = os.getpid() == 1
        self._pipe, wake = os.pipe()
        os.set_blocking(self._pipe, False)
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        self._catch(ENDING + OTHERS)
        before = signal.signal(signal.SIGCHLD, _wake_only)
        self.ignored = (signal.SIGCHLD,) if before == signal.SIG_IGN else ()
        self.mask = signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])  # blocked, it would never end a poll
        loop.watch(self._pipe, READ, self.deliver)

    def catch_job_control(self) -> None:
        """Also catch signals that stop and continue a job: until now cronlock was the job, now it is the command."""
        self._catch(JOB_CONTROL)

    def _catch(self, numbers: tuple[int, ...]) -> None:
        for number in numbers:
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, _wake_only)

    def deliver(self, _events: int = 0) -> None:
        """Pass signals that have come to the receiver."""
        try:
            numbers = os.read(self._pipe, 512)
        except BlockingIOError:
            return
        for number in numbers:
            if number != signal.SIGCHLD:
                self.receiver(number)
            elif self._reaps:
                _reap_others()


def end_by_keyboard_signal(number: int, received: bool) -> None:
    """End like a program that got this signal from the keyboard together with its command.

    Unless this process has `received` the signal, the rest of its own group has not received it either, and gets it
    now. A shell ends its script or loop only if its command was ended by SIGINT.
    """
    if not received:
        os.killpg(os.getpgrp(), number)
    if number == signal.SIGINT:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)


def _reap_others() -> None:
    """Reap orphans that have ended, as PID 1. cronlock's own children are reaped where they were started."""
    while hasattr(os, "waitid"):  # macOS, where cronlock is never PID 1
        try:
            info = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if info is None or info.si_pid in CHILDREN:
            return
        os.waitpid(info.si_pid, 0)


def _wake_only(_number: int, _frame: object) -> None:
    """Do nothing: the number comes through the pipe."""


def discard_signal(_number: int) -> None:
    """Receive a signal that comes too late to change anything."""
