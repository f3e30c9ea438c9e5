"""The command under its lease: its start, its end, and what keeps lease, time limit and guard in between."""

import os
import time

from cronlock.config.options import OPTIONS, spell
from cronlock.errors import LOST, SIGNALLED, TIMED_OUT, Refused, Unreachable
from cronlock.lock.protocol import ADOPTED
from cronlock.messages import instant, since
from cronlock.process.command import CannotStartError, Command, controlling_terminal, environment
from cronlock.process.event_loop import let_go_of_standard_streams, let_go_of_what_is_the_commands, signal
from cronlock.process.guard import NEVER, Guard
from cronlock.process.signals import ignore
from cronlock.run.plan import STOP_MARGIN

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cronlock.config.settings import Settings
    from cronlock.lock.lease import Lease
    from cronlock.lock.requests import Answer
    from cronlock.lock.voters import Voters
    from cronlock.messages import Messages
    from cronlock.process.command import NoTerminal
    from cronlock.process.event_loop import Loop
    from cronlock.process.signals import Signals
    from cronlock.process.terminal import Terminal
    from cronlock.run.plan import Plan

STOPPED = {LOST: "lost", TIMED_OUT: "timed out"}  # the outcome of a run that was stopped
TIE_AFTER = 20  # ms from a command's start: to tie the guard costs half a millisecond, most of it an import
SAME_SIGNAL = 20  # ms between a signal to the command and the same one to this process
RELEASING_SIGNALS = {
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGQUIT,
}  # and SIGHUP when it was the end: daemons read files on it
TYPED = {signal.SIGINT, signal.SIGQUIT}  # what a terminal sends to end what is in its foreground
GUARD_MARGIN = STOP_MARGIN // 2  # ms by which the guard comes after this process: when all is well it never has to
CONTINUED_SOON = 20  # ms in which a program that watches the command's state answers a stop
GAP = 1_000  # ms by which the wall clock jumped: more than a clock is slewed by between two looks, which is 1 s at most
LOOK_MIN, LOOK_MAX = 20, 100  # ms between two looks at whether a group that was told to end has done so


def guard_times(holder: "Lease | None") -> tuple[int, int]:
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


def disowned(answers: "Sequence[Answer]", token: int) -> str:
    """Why a quorum does not know the run with this token any more, as the newest of its answers to the end tells."""
    newest = max(answers, key=lambda answer: answer["token"])
    if newest["outcome"] == ADOPTED:
        return f"its record had been replaced before, by cronlock adopt on {newest['voter_set_by']}"
    if newest["token"] > token:
        return f"another run took the key before, on {newest['node']}"
    if not newest["token"]:
        return "the voters forgot its record: they were emptied, or restarted without their data"
    if newest["token"] < token:
        return "the voters went back to older data: they were restarted, or a replica was promoted"
    if newest["outcome"] == "forgotten":
        return "its record had been erased before, by cronlock forget"
    return "its lease had been ended before, by cronlock unlock"


class Supervisor:
    """One command under way. `cause` is LOST or TIMED_OUT once it is to be stopped, and `why`; the first one stays.

    Without a `holder` there is no lease. `max_runtime` and `kill_after` are ms, `wall_clock` tells seconds.
    """

    def __init__(
        self,
        command: "Command",
        guard: "Guard",
        voters: "Voters",
        holder: "Lease | None",
        kill_after: int,
        max_runtime: int | None,
        wall_clock: "Callable[[], float]",
    ) -> None:
        self.cause = 0
        self.why = ""
        self.ended_by_keyboard = False  # what ended the command was typed at the terminal
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
        self._wall_clock = wall_clock
        self._ahead = holder.wall_ahead if holder else 0

    def _wall_ahead(self) -> int:
        """How far the wall clock is ahead of the one that leases are measured by, in ms."""
        return int(self._wall_clock() * 1000) - self._clock()

    @property
    def _lease_left(self) -> bool:
        """Whether the lease still lets the command run."""
        return not self._holder or self._clock() < self._holder.stop_at

    def wait(self) -> int:
        """The command's exit status. When there is a `cause`, nothing else of its group is left either."""
        while True:
            status = self._command.look()
            if not self.cause:
                self._check_deadlines(ended=status is not None)
            if self.cause:
                self._escalate_to_sigkill()
                if status is not None and (self._killed or not self._guard.group_alive(self._kill_at)):
                    break
            elif status is not None:
                break
            elif self._command.stopped_by:
                self._stop_with_the_command()
            self._wait_and_extend()
        if self.cause and not self._killed:
            self._command.signal(signal.SIGKILL)  # whoever was forked behind the last look
        self.ended_by_keyboard = self._command.killed_by in TYPED and self._guard.pending_signal(
            self._command.killed_by
        )
        self._guard.dismiss()
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

    def _stop_with_the_command(self) -> None:
        """Stop this process as well, unless a program that saw the command stop sends SIGCONT at once.

        A SIGSTOP erases a SIGCONT that was sent just before: without the pause, both would stay stopped for ever.
        """
        until = self._clock() + CONTINUED_SOON
        while self._command.stopped_by and self._clock() < until:
            self._voters.step(until - self._clock())
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCONT])
        try:
            self._voters.step(0)  # a SIGCONT that came before it was blocked
            self._command.stop_with_it()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def _check_deadlines(self, ended: bool) -> None:
        now = self._clock()
        if now >= self._guard.begin_at:
            self._stop(LOST, "cronlock itself was stopped, or held up, until the lease was nearly over")
        elif ended:
            return
        elif not self._lease_left:
            replaced = self._holder and not self._holder.stop_at
            newer = "the voters have a newer run of this key, or other settings"
            self._stop(LOST, newer if replaced else "no quorum extended the lease")
        elif now >= self._end_at:
            self._stop(TIMED_OUT, f"it ran for longer than {spell(self._max_runtime)}")

    def _stop(self, cause: int, why: str) -> None:
        self.cause, self.why = cause, why
        self._kill_at = self._clock() + self._kill_after
        self._command.signal(signal.SIGTERM)
        self._command.signal(signal.SIGCONT)

    def _escalate_to_sigkill(self) -> None:
        """SIGKILL when it is time, which is never after the lease."""
        if self._killed:
            return
        now = self._clock()
        if self._holder:
            self._kill_at = min(self._kill_at, max(now, self._holder.validity - STOP_MARGIN))
        if now < self._kill_at:
            self._guard.set_deadlines(self._kill_at + GUARD_MARGIN, self._kill_at + GUARD_MARGIN)
        else:
            self._command.signal(signal.SIGKILL)  # ends the guard as well
            self._guard.dismiss()
            self._killed = True

    def _wait_and_extend(self) -> None:
        """Wait for whatever comes first; a lease that is good still is extended."""
        now = self._clock()
        wait = self._end_at - now
        self._guard.keep_awake()
        if self._lease_left:
            if self._holder:
                self._look_for_a_gap(self._holder)
                self._holder.tend()
            if not self.cause:
                self._guard.set_deadlines(*guard_times(self._holder))
        if self._holder:
            wait = min(wait, self._holder.due - now, self._holder.stop_at - now)
        if self.cause:
            wait = LOOK_MAX if self._killed else min(max(self._kill_at - now, LOOK_MIN), LOOK_MAX)
        self._voters.step(wait)

    def _look_for_a_gap(self, holder: "Lease") -> None:
        """A host that pauses its machine may stop all clocks of the machine but the wall clock, which is set later.

        The voters' leases went on: only they know whether the run still holds the key.
        """
        before, self._ahead = self._ahead, self._wall_ahead()
        if self._ahead - before > GAP:
            holder.ask_now()


class Work:
    """The command of one call, with the lock or, without a `holder`, in spite of an outage."""

    def __init__(
        self,
        settings: "Settings",
        plan: "Plan",
        messages: "Messages",
        argv: "Sequence[str]",
        loop: "Loop",
        signals: "Signals",
        voters: "Voters",
        holder: "Lease | None",
    ) -> None:
        self.settings = settings
        self.plan = plan
        self.messages = messages
        self.argv = argv
        self.signals = signals
        self.voters = voters
        self.clock = voters.clock
        self.holder = holder
        self.guard = Guard(loop, self.clock, plan.kill_after, voters.witness)
        self.forwarded: set[int] = set()  # signals that reached the command through this process
        self.signals_after_exit: set[int] = set()  # signals that came when it had ended
        self.keyboard_signal = 0  # the signal of a key that ended the command

    def story(self) -> int:
        """From the start to the end; the exit status. Raises Unreachable, Refused, Interrupted."""
        holder = self.holder
        if holder and holder.unfinished_run:
            self._tell_of_the_last(holder.unfinished_run)
        try:
            terminal = controlling_terminal()
            command = self._launch(terminal)
        except CannotStartError as error:
            self.guard.dismiss()
            self.messages.notice(f"can't start: {error}")
            if holder:
                holder.finish(*ending(self.plan, error.status, 0), error.status)
            return error.status
        except BaseException:
            self.guard.dismiss()
            if holder:
                holder.release()
            raise
        kill_after, max_runtime = self.plan.kill_after, self.settings.max_runtime
        hold = Supervisor(command, self.guard, self.voters, holder, kill_after, max_runtime, self.plan.wall_clock)
        self.signals.receiver = lambda number: self._forward(hold, number)
        let_go_of_what_is_the_commands(stderr=self.messages.off_stderr)
        self._tie_if_it_lasts(command)
        status = hold.wait()
        self.signals.receiver = self.signals_after_exit.add  # there is nobody left to forward to
        if not hold.cause and command.killed_by in RELEASING_SIGNALS - self.forwarded:
            self._listen_once_more(command.killed_by)
        self.signals.receiver = ignore
        if hold.ended_by_keyboard and terminal.there and (command.had_terminal or command.killed_by in self.forwarded):
            self.keyboard_signal = command.killed_by
        if hold.cause:  # said when it is over: whoever reads may be slow, and the lease does not wait
            self.messages.notice(f"{STOPPED[hold.cause]}: {hold.why}: the command was stopped (status {hold.cause})")
        if hold.cause == LOST and not self.messages.shows_info:  # all is said, and voters that do not answer take 3 s
            let_go_of_standard_streams((2,))
        return self._tell(status, hold.cause)

    def _launch(self, terminal: "Terminal | NoTerminal") -> Command:
        """Start guard and command, after one more look at what speaks against it."""
        holder = self.holder
        env = self._environment()  # before the fork: what is written to after it is memory for two
        too_late = Unreachable("the lease was over before the command could start")
        try:
            self.guard.set_deadlines(*guard_times(holder))
            self.signals.deliver()  # what came until now came before the command
            self.signals.receiver = ignore
            if holder and holder.stop_at <= self.clock():
                raise too_late
            self.signals.catch_job_control()  # from here on the job is the command
            return Command(self.argv, env, self.signals.mask, self.guard, terminal, self.signals.ignored)
        except CannotStartError:
            if holder and self.clock() >= self.guard.begin_at:  # stopped in between: the group was closed
                raise too_late from None
            raise
        except OSError as error:
            raise Refused(f"no process can be started here: {(error.strerror or str(error)).lower()}") from None

    def _tie_if_it_lasts(self, command: Command) -> None:
        """Short commands come by the hundred in the same second, and do not pay for it."""
        until = self.clock() + TIE_AFTER
        while command.look() is None:
            if self.clock() >= until:
                self.guard.tie()
                return
            self.voters.step(until - self.clock())

    def _tell_of_the_last(self, last: "Answer") -> None:
        tick = last["run_tick"]
        which = f"the run of {instant(tick)}" if tick else f"a run since {since(last['start'])}"
        self.messages.notice(f"{which} on {last['node']} never ended")

    def _forward(self, hold: Supervisor, number: int) -> None:
        (self.forwarded if hold.forward(number) else self.signals_after_exit).add(number)

    def _listen_once_more(self, ended_by: int) -> None:
        """Whoever ended the command may have meant this process too: systemd signals a whole control group."""
        until = self.clock() + SAME_SIGNAL
        while ended_by not in self.signals_after_exit and self.clock() < until:
            self.voters.step(until - self.clock())
        if ended_by in self.signals_after_exit:
            self.forwarded.add(ended_by)

    def _tell(self, status: int, cause: int) -> int:
        """Tell the voters and the operator of the end; the exit status."""
        result = cause or status
        holder = self.holder
        if holder:
            end = ending(self.plan, status, cause, broken_off=self._broken_off(status))
            if not holder.finish(*end, result) and cause != LOST:
                why = "no quorum heard of it: the lease runs out by itself"
                if holder.disowned:
                    why = disowned(holder.disowned, holder.token)
                self.messages.notice(f"ended with status {result}, but {why}")
            for text in holder.missing:
                self.messages.info(f"a voter is missing: {text}")
        if not cause:
            self.messages.info(f"ran: status {status}")
        return result

    def _broken_off(self, status: int) -> bool:
        """Whether somebody ended the command through this process."""
        hung_up = signal.SIGHUP in self.forwarded and status == SIGNALLED + signal.SIGHUP
        return bool(hung_up or self.keyboard_signal or self.forwarded & RELEASING_SIGNALS)

    def _environment(self) -> dict[bytes, bytes]:
        holder = self.holder
        extra = {"CRONLOCK_RUN_KEY": self.plan.key, "CRONLOCK_RUN_NODE": self.plan.node}
        if holder:
            extra |= {"CRONLOCK_RUN_TOKEN": str(holder.token), "CRONLOCK_RUN_ATTEMPT": str(holder.attempt)}
            if self.plan.tick:
                extra["CRONLOCK_RUN_TICK"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.plan.tick))
        outer = [name for name in os.environ if name.startswith("CRONLOCK_")]
        of_one_run = {option.variable for option in OPTIONS if not option.where} if outer else ()
        return environment(extra, [name for name in outer if name in of_one_run or name.startswith("CRONLOCK_RUN_")])
