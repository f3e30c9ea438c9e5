"""Supervises the command of a run: keeps its lease extended, forwards signals, enforces deadlines, ends its group."""

import time

from cronlock.config.options import spell
from cronlock.errors import LOST, SIGNALLED, TIMED_OUT, Refused, Unreachable
from cronlock.process.command import CannotStartError, Command, controlling_terminal, environment
from cronlock.process.event_loop import signal
from cronlock.process.guard import NEVER
from cronlock.process.signals import discard_signal
from cronlock.run.plan import STOP_MARGIN

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from collections.abc import Sequence

    from cronlock.lock.lease import Lease
    from cronlock.lock.voters import Voters
    from cronlock.process.command import NoTerminal
    from cronlock.process.guard import Guard
    from cronlock.process.signals import Signals
    from cronlock.process.terminal import Terminal
    from cronlock.run.plan import Plan

STOPPED = {LOST: "lost", TIMED_OUT: "timed out"}  # the outcome of a run that cronlock stopped
TETHER_AFTER = 20  # ms from a command's start: arming the tether costs half a millisecond, most of it an import
SAME_SIGNAL = 20  # ms between a signal to the command and the same one to this process
RELEASING_SIGNALS = {  # and SIGHUP if the command ended by it: daemons reload their files on SIGHUP
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGQUIT,
}
KEYBOARD_SIGNALS = {signal.SIGINT, signal.SIGQUIT}  # sent by a terminal to end its foreground job
GUARD_MARGIN = STOP_MARGIN // 2  # ms by which the guard acts later than this process: usually it never has to
CONTINUED_SOON = 20  # ms in which a program that watches the command's state answers a stop
CLOCK_GAP = 1_000  # ms of a jump of the wall clock: slewing moves it by less than 1 s between two steps
GROUP_POLL_MIN, GROUP_POLL_MAX = 20, 100  # ms between two checks of whether a group that was sent SIGTERM has ended


def guard_deadlines(lease: "Lease | None") -> tuple[int, int]:
    """Return when the guard is to send SIGTERM and SIGKILL for this lease; never without a lease."""
    if not lease:
        return NEVER, NEVER
    return lease.stop_at + GUARD_MARGIN, lease.validity - GUARD_MARGIN


def state_and_outcome(plan: "Plan", status: int, cause: int, *, released: bool = False) -> tuple[str, str]:
    """Return state and outcome for the record.

    A run that an operator ended is `released`: its attempt is given back. A failed run may be taken over. A partitioned
    node's run ends as "lost", which --failover treats as a death.
    """
    if released and not cause:
        return "back", "given back"
    failed = (cause == LOST and plan.failover) or (plan.retry_failed and bool(cause or status))
    return "failed" if failed else "done", STOPPED.get(cause, "ran")


class Supervisor:
    """One command from its start to the end of its group.

    `cause` is LOST or TIMED_OUT once the command has to stop, and `why` the reason; the first cause stays. `lease` is
    None when the command runs without a lock. `keyboard_signal` is the signal of a key that ended the command.
    """

    def __init__(self, plan: "Plan", voters: "Voters", lease: "Lease | None", guard: "Guard") -> None:
        self.guard = guard
        self.cause = 0
        self.why = ""
        self.keyboard_signal = 0
        self.forwarded: set[int] = set()  # signals that reached the command through this process
        self.signals_after_exit: set[int] = set()  # signals that came after the command had ended
        self._plan = plan
        self._voters = voters
        self._clock = voters.clock
        self._lease = lease
        self._end_at = NEVER
        self._kill_at = NEVER
        self._killed = False
        self._typed = False  # the signal that ended the command was sent to its whole group, as a terminal does
        self._wall_ahead = lease.wall_ahead if lease else 0
        self._command: Command
        self._signals: Signals
        self._terminal: Terminal | NoTerminal

    @property
    def word(self) -> str:
        """The outcome that messages and the record have for the cause."""
        return STOPPED[self.cause]

    # -- start -------------------------------------------------------------------------------------------------------

    def start(self, argv: "Sequence[str]", signals: "Signals") -> None:
        """Start guard and command. Raises CannotStartError, Unreachable, Refused, Interrupted without a guard."""
        try:
            self._signals = signals
            self._terminal = controlling_terminal()
            self.watch(self._launch(argv, signals))
        except BaseException:
            self.guard.dismiss()
            raise

    def watch(self, command: Command) -> None:
        """Supervise this command, which has just started."""
        self._command = command
        if self._plan.max_runtime is not None:
            self._end_at = self._clock() + self._plan.max_runtime

    def _launch(self, argv: "Sequence[str]", signals: "Signals") -> Command:
        lease = self._lease
        env = self._environment()  # before the fork: memory that is written to after a fork is needed twice
        too_late = Unreachable("the lease expired before the command could start: pass a longer --ttl")
        try:
            self.guard.set_deadlines(*guard_deadlines(lease))
            signals.deliver()  # signals until now came before the command
            signals.receiver = discard_signal
            if lease and lease.stop_at <= self._clock():
                raise too_late
            signals.catch_job_control()  # from here on the command is the job
            return Command(argv, env, signals.mask, self.guard, self._terminal, signals.ignored)
        except CannotStartError:
            if lease and self._clock() >= self.guard.begin_at:  # stopped in between: the guard has closed the group
                raise too_late from None
            raise
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise Refused(f"can't start a process: {reason}: check this user's limits, and memory") from None

    def _environment(self) -> dict[bytes, bytes]:
        plan, lease = self._plan, self._lease
        added = {"CRONLOCK_RUN_KEY": plan.key, "CRONLOCK_RUN_NODE": plan.node}
        if lease:
            added |= {"CRONLOCK_RUN_TOKEN": str(lease.token), "CRONLOCK_RUN_ATTEMPT": str(lease.attempt)}
            if plan.tick:
                added["CRONLOCK_RUN_TICK"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(plan.tick))
        return environment(added)

    # -- until the command has ended ---------------------------------------------------------------------------------

    def supervise(self) -> int:
        """Supervise the started command until it has ended; return its exit status."""
        command, signals = self._command, self._signals
        signals.receiver = self._forward
        self._arm_tether_if_it_lasts()
        status = self.wait()
        signals.receiver = self.signals_after_exit.add
        if not self.cause and command.killed_by in RELEASING_SIGNALS - self.forwarded:
            self._await_same_signal(command.killed_by)
        signals.receiver = discard_signal
        in_foreground = command.had_terminal or command.killed_by in self.forwarded
        if self._typed and self._terminal.there and in_foreground:
            self.keyboard_signal = command.killed_by
        return status

    def wait(self) -> int:
        """Return the command's exit status. If there is a `cause`, no other process of its group is left either."""
        while True:
            status = self._command.poll()
            if not self.cause:
                self._check_deadlines(ended=status is not None)
            if self.cause:
                self._escalate_to_sigkill()
                if status is not None and (self._killed or not self.guard.group_alive(self._kill_at)):
                    break
            elif status is not None:
                break
            elif self._command.stopped_by:
                self._stop_with_the_command()
            self._wait_and_extend()
        if self.cause and not self._killed:
            self._command.signal(signal.SIGKILL)  # a process that was forked after the last check
        killed_by = self._command.killed_by
        self._typed = killed_by in KEYBOARD_SIGNALS and self.guard.pending_signal(killed_by)
        self.guard.dismiss()
        self._command.reap()
        return status

    def ended_by_operator(self, status: int) -> bool:
        """Return whether an operator ended the command through this process."""
        hung_up = signal.SIGHUP in self.forwarded and status == SIGNALLED + signal.SIGHUP
        return bool(hung_up or self.keyboard_signal or self.forwarded & RELEASING_SIGNALS)

    def _arm_tether_if_it_lasts(self) -> None:
        """Arm the guard's tether after TETHER_AFTER: short commands start by the hundred in the same second."""
        until = self._clock() + TETHER_AFTER
        while self._command.poll() is None:
            if self._clock() >= until:
                self.guard.arm_tether()
                return
            self._voters.step(until - self._clock())

    def _forward(self, number: int) -> None:
        """Forward a signal to the command. A job that stays stopped past its lease is killed, not resumed."""
        if self._killed or self._command.poll() is not None:
            self.signals_after_exit.add(number)
            return
        self.forwarded.add(number)
        if number != signal.SIGCONT:
            self._command.stop_requested = number == signal.SIGTSTP
            self._command.signal(number)
        elif self._lease_lets_run:
            self._command.resume()

    def _await_same_signal(self, ended_by: int) -> None:
        """Wait for the signal that ended the command to come here too: systemd signals whole control groups."""
        until = self._clock() + SAME_SIGNAL
        while ended_by not in self.signals_after_exit and self._clock() < until:
            self._voters.step(until - self._clock())
        if ended_by in self.signals_after_exit:
            self.forwarded.add(ended_by)

    def _stop_with_the_command(self) -> None:
        """Stop this process as well, unless a program that saw the command stop sends SIGCONT at once.

        A SIGSTOP erases a SIGCONT that was sent just before: without the pause, both would stay stopped for ever.
        """
        until = self._clock() + CONTINUED_SOON
        while self._command.stopped_by and self._clock() < until:
            self._voters.step(until - self._clock())
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCONT])
        try:
            self._voters.step(0)  # a SIGCONT that came before SIGCONT was blocked
            self._command.stop_this_process_too()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    # -- deadlines ---------------------------------------------------------------------------------------------------

    @property
    def _lease_lets_run(self) -> bool:
        return not self._lease or self._clock() < self._lease.stop_at

    def _check_deadlines(self, ended: bool) -> None:
        now = self._clock()
        if now >= self.guard.begin_at:
            self._stop(LOST, "cronlock itself was stopped or delayed until its lease had nearly expired")
        elif ended:
            return
        elif not self._lease_lets_run:
            replaced = self._lease and not self._lease.stop_at
            newer = "the voters have recorded a newer run of this key, or a different voter set"
            self._stop(LOST, newer if replaced else "no quorum extended the lease")
        elif now >= self._end_at:
            self._stop(TIMED_OUT, f"it ran for longer than {spell(self._plan.max_runtime or 0)}")

    def _stop(self, cause: int, why: str) -> None:
        self.cause, self.why = cause, why
        self._kill_at = self._clock() + self._plan.kill_after
        self._command.signal(signal.SIGTERM)
        self._command.signal(signal.SIGCONT)

    def _escalate_to_sigkill(self) -> None:
        """Send SIGKILL when --kill-after is over, and never later than the end of the lease."""
        if self._killed:
            return
        now = self._clock()
        if self._lease:
            self._kill_at = min(self._kill_at, max(now, self._lease.validity - STOP_MARGIN))
        if now < self._kill_at:
            self.guard.set_deadlines(self._kill_at + GUARD_MARGIN, self._kill_at + GUARD_MARGIN)
        else:
            self._command.signal(signal.SIGKILL)  # ends the guard as well
            self.guard.dismiss()
            self._killed = True

    def _wait_and_extend(self) -> None:
        """Extend a lease that is still valid, and wait for the first event or deadline."""
        lease, now = self._lease, self._clock()
        wait = self._end_at - now
        self.guard.keep_awake()
        if self._lease_lets_run:
            if lease:
                self._extend_after_a_clock_gap(lease)
                lease.extend_if_due()
            if not self.cause:
                self.guard.set_deadlines(*guard_deadlines(lease))
        if lease:
            wait = min(wait, lease.due - now, lease.stop_at - now)
        if self.cause:
            wait = GROUP_POLL_MAX if self._killed else min(max(self._kill_at - now, GROUP_POLL_MIN), GROUP_POLL_MAX)
        self._voters.step(wait)

    def _extend_after_a_clock_gap(self, lease: "Lease") -> None:
        """Ask the voters at once after a jump of the wall clock.

        A host that pauses its virtual machine may stop all clocks of the machine except the wall clock, which is set
        later. The voters' leases ran on meanwhile: only the voters know whether the run still holds the key.
        """
        before = self._wall_ahead
        self._wall_ahead = int(self._plan.wall_clock() * 1000) - self._clock()
        if self._wall_ahead - before > CLOCK_GAP:
            lease.extend_at_once()
