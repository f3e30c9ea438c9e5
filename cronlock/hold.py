"""Holding on: wait for the command's end, and meanwhile keep its lease, its time limit and its guard."""

from cronlock.child.guard import NEVER
from cronlock.options import spell
from cronlock.schedule import STOP_MARGIN
from cronlock.system import signal

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from cronlock.child.command import Command
    from cronlock.child.guard import Guard
    from cronlock.lock.holder import Holder
    from cronlock.lock.seats import Voters
    from cronlock.plan import Plan

LOST, TIMED_OUT = 123, 124
STOPPED = {LOST: "lost", TIMED_OUT: "timed out"}  # the outcome of a run that was stopped
TYPED = {signal.SIGINT, signal.SIGQUIT}  # what a terminal sends to end what is in its foreground
GUARD_MARGIN = STOP_MARGIN // 2  # ms by which the guard comes after this process: when all is well it never has to
LOOK_MIN, LOOK_MAX = 20, 100  # ms between two looks at whether a group that was told to end has done so


def guard_times(holder: "Holder | None") -> tuple[int, int]:
    """When the guard is to send SIGTERM and SIGKILL for this lease; never without one."""
    if not holder:
        return NEVER, NEVER
    return holder.stop_at + GUARD_MARGIN, holder.validity - GUARD_MARGIN


def ending(plan: "Plan", status: int, cause: int, *, broken_off: bool = False) -> tuple[str, str]:
    """State and outcome for the record. A run that somebody broke off is given back, one that failed may be taken over.

    Lost is what becomes of a node that is cut off: to --failover a death.
    """
    if broken_off and not cause:
        return "back", "given back"
    failed = (cause == LOST and plan.failover) or (plan.retry_failed and bool(cause or status))
    return "failed" if failed else "done", STOPPED.get(cause, "ran")


class Hold:
    """One command under way. `cause` is LOST or TIMED_OUT once it is to be stopped, and `why`; the first one stays.

    Without a `holder` there is no lease. `max_runtime` and `kill_after` are ms.
    """

    def __init__(
        self,
        command: "Command",
        guard: "Guard",
        voters: "Voters",
        holder: "Holder | None",
        kill_after: int,
        max_runtime: int | None,
    ) -> None:
        self.cause = 0
        self.why = ""
        self.keyed = False  # what ended the command was typed at the terminal
        self._command = command
        self._guard = guard
        self._voters = voters
        self._clock = voters.clock
        self._holder = holder
        self._kill_after = kill_after
        self._max_runtime = max_runtime or 0
        self._end_at = NEVER if max_runtime is None else self._clock() + max_runtime
        self._kill_at = NEVER
        self._killed = False

    @property
    def _lease_left(self) -> bool:
        """Whether the lease still lets the command run."""
        return not self._holder or self._clock() < self._holder.stop_at

    def wait(self) -> int:
        """The command's exit status. When there is a `cause`, nothing else of its group is left either."""
        while True:
            status = self._command.look()
            if not self.cause:
                self._judge(ended=status is not None)
            if self.cause:
                self._press()
                if status is not None and (self._killed or not self._guard.company(self._kill_at)):
                    break
            elif status is not None:
                break
            elif self._command.stopped_by:
                self._command.stop_with_it()
            self._step()
        if self.cause and not self._killed:
            self._command.signal(signal.SIGKILL)  # whoever was forked behind the last look
        self.keyed = self._command.killed_by in TYPED and self._guard.got(self._command.killed_by)
        self._guard.let_go()
        self._command.reap()
        return status

    def forward(self, number: int) -> bool:
        """Pass a signal on; whether the command was there to get it.

        A job that was stopped past its lease does not go on, it is ended.
        """
        if self._killed or self._command.look() is not None:
            return False
        if number != signal.SIGCONT:
            self._command.told_to_stop = number == signal.SIGTSTP
            self._command.signal(number)
        elif self._lease_left:
            self._command.go_on()
        return True

    def _judge(self, ended: bool) -> None:
        now = self._clock()
        if now >= self._guard.begin_at:
            self._stop(LOST, "cronlock itself was stopped, or held up, until the lease was nearly over")
        elif ended:
            return
        elif not self._lease_left:
            self._stop(LOST, "no quorum extended the lease")
        elif now >= self._end_at:
            self._stop(TIMED_OUT, f"it ran for longer than {spell(self._max_runtime)}")

    def _stop(self, cause: int, why: str) -> None:
        self.cause, self.why = cause, why
        self._kill_at = self._clock() + self._kill_after
        self._command.signal(signal.SIGTERM)
        self._command.signal(signal.SIGCONT)

    def _press(self) -> None:
        """SIGKILL when it is time, which is never after the lease."""
        if self._killed:
            return
        now = self._clock()
        if self._holder:
            self._kill_at = min(self._kill_at, max(now, self._holder.validity - STOP_MARGIN))
        if now < self._kill_at:
            self._guard.announce(self._kill_at + GUARD_MARGIN, self._kill_at + GUARD_MARGIN)
        else:
            self._command.signal(signal.SIGKILL)  # ends the guard as well
            self._guard.let_go()
            self._killed = True

    def _step(self) -> None:
        """Wait for whatever comes first; a lease that is good still is extended."""
        now = self._clock()
        wait = self._end_at - now
        self._guard.keep_awake()
        if self._lease_left:
            if self._holder:
                self._holder.tend()
            if not self.cause:
                self._guard.announce(*guard_times(self._holder))
        if self._holder:
            wait = min(wait, self._holder.due - now, self._holder.stop_at - now)
        if self.cause:
            wait = LOOK_MAX if self._killed else min(max(self._kill_at - now, LOOK_MIN), LOOK_MAX)
        self._voters.step(wait)
