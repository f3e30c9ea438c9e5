"""The story of one run: find the tick, get the lock, start the command, extend while it runs, tell of its end."""

import os
import time

from cronlock.child.command import SIGNALLED, CannotStartError, Command, environment
from cronlock.child.guard import Guard
from cronlock.child.signals import Signals, end_as_typed
from cronlock.child.terminal import Terminal
from cronlock.config import load
from cronlock.contender import Contender
from cronlock.errors import CronlockError, Interrupted, Refused, Unreachable
from cronlock.hold import LOST, STOPPED, Hold, ending, guard_times
from cronlock.lock import record
from cronlock.lock.holder import Holder
from cronlock.loop import Loop
from cronlock.options import OPTIONS
from cronlock.plan import Plan
from cronlock.say import Say, gave_up, instant, outcome, since
from cronlock.system import let_go_of_standard_streams, signal
from cronlock.voters import voters_for

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from cronlock.config import Settings

GAVE_UP = 121  # nobody will do this tick's work any more: whoever looks at the status has to hear of it
WAITED = 75  # EX_TEMPFAIL of sysexits.h: flock's users take it for "try again"
SAME_SIGNAL = 20  # ms between a signal to the command and the same one to this process
GIVE_BACK = {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT}  # and SIGHUP when it was the end: daemons read files on it


def run(given: "Mapping[str, Any]", argv: "Sequence[str]", environ: "Mapping[str, str]") -> int:
    """`cronlock run` with the options that were given on its command line; the exit status."""
    quiet = bool(given.get("quiet")) and not given.get("verbose")
    say = Say(str(given.get("key", "")), quiet=quiet, syslog=bool(given.get("syslog")))
    try:
        settings = load(given, environ)
        say = Say(settings.key or "", settings.verbose, settings.quiet, settings.syslog)
        plan = Plan(settings, time.time(), environ)
        if settings.dry_run:
            from cronlock.people.dryrun import show

            return show(settings, plan, argv)
        if plan.note:
            say.always(plan.note)
        this = Run(settings, plan, say, argv)
        try:
            status = this.story()
        finally:
            this.voters.close()
            this.guard.bury()  # one that was not let go stays: when this process fails, it has to end the command
        if this.typed:
            end_as_typed(this.typed, heard=this.typed in this.forwarded)
        return status
    except Interrupted as end:
        say.told(f"signal {end.signum}: not started")
        return end.status
    except CronlockError as error:
        say.failed(error)
        return error.status


class Run:
    """One call of cronlock that gets as far as asking for the lock."""

    def __init__(self, settings: "Settings", plan: Plan, say: Say, argv: "Sequence[str]") -> None:
        self.settings = settings
        self.plan = plan
        self.say = say
        self.argv = argv
        self.loop = Loop()
        self.signals = Signals(self.loop, self._interrupt)
        self.voters = voters_for(settings, self.loop, plan.key, plan.each_node)
        self.clock = self.voters.clock
        self.guard = Guard(self.loop, self.clock, plan.kill_after)
        self.forwarded: set[int] = set()  # signals that reached the command through this process
        self.too_late_for: set[int] = set()  # signals that came when it had ended
        self.typed = 0  # the signal of a key that ended the command

    def _interrupt(self, number: int) -> None:
        self.signals.receiver = _ignore  # what follows is the release, which is short
        raise Interrupted(number)

    def story(self) -> int:
        """Get the lock or say why not; then start the command, hold the lock, and tell of the end."""
        try:
            contender = Contender(self.plan, self.voters, self.say, self.argv)
            got = contender.contend()
        except Unreachable as error:
            then = self.settings.on_outage
            if then == "fail" or not error.outage or (then == "run" and self.plan.too_late()):
                raise
            self.say.always(f"unreachable: {error}: " + ("skipped" if then == "skip" else "run without a lock"))
            return self.settings.conflict_exit_code if then == "skip" else self._start(None)
        if isinstance(got, Holder):
            return self._start(got)
        line = outcome(got.kind, got.answer, self.plan.tick)
        if got.kind == record.HELD and contender.waited_in_vain:
            self.say.always(f"waited in vain: {line}")
            by_default = self.settings.source("conflict-exit-code") == "default"
            return WAITED if by_default else self.settings.conflict_exit_code
        if got.kind == record.DONE and self.plan.failover and gave_up(got.answer, self.plan.tick):
            self.say.always(f"failed: {line}")
            return GAVE_UP
        if got.kind == record.LATE:
            self.say.always(line)
        else:
            self.say.told(line)
        return self.settings.conflict_exit_code

    def _start(self, holder: Holder | None) -> int:
        if holder and holder.unended:
            self._tell_of_the_last(holder.unended)
        terminal = Terminal()
        try:
            command = self._launch(holder, terminal)
        except CannotStartError as error:
            self.guard.let_go()
            self.say.always(f"can't start: {error}")
            if holder:
                holder.finish(*ending(self.plan, error.status, 0), error.status)
            return error.status
        except BaseException:
            self.guard.let_go()
            if holder:
                holder.release()
            raise
        hold = Hold(command, self.guard, self.voters, holder, self.plan.kill_after, self.settings.max_runtime)
        self.signals.receiver = lambda number: self._forward(hold, number)
        let_go_of_standard_streams()
        status = hold.wait()
        self.signals.receiver = self.too_late_for.add  # there is nobody left to forward to
        if not hold.cause and command.killed_by in GIVE_BACK - self.forwarded:
            self._listen_once_more(command.killed_by)
        self.signals.receiver = _ignore
        if hold.keyed and terminal.there and (command.had_terminal or command.killed_by in self.forwarded):
            self.typed = command.killed_by
        if hold.cause:  # said when it is over: whoever reads may be slow, and the lease does not wait
            self.say.always(f"{STOPPED[hold.cause]}: {hold.why}: the command was stopped (status {hold.cause})")
        return self._tell(holder, status, hold.cause)

    def _launch(self, holder: Holder | None, terminal: Terminal) -> Command:
        """Start guard and command, after one more look at what speaks against it."""
        env = self._environment(holder)  # before the fork: what is written to after it is memory for two
        too_late = Unreachable("the lease was over before the command could start")
        try:
            self.guard.announce(*guard_times(holder))
            self.signals.deliver()  # what came until now came before the command
            self.signals.receiver = _ignore
            if holder and holder.stop_at <= self.clock():
                raise too_late
            self.signals.catch_job_control()  # from here on the job is the command
            return Command(self.argv, env, self.signals.mask, self.guard, terminal)
        except CannotStartError:
            if holder and self.clock() >= self.guard.begin_at:  # stopped in between: the group was closed
                raise too_late from None
            raise
        except OSError as error:
            raise Refused(f"no process can be started here: {(error.strerror or str(error)).lower()}") from None

    def _tell_of_the_last(self, last: "dict[str, Any]") -> None:
        tick = last["run_tick"]
        which = f"the run of {instant(tick)}" if tick else f"a run since {since(last['start'])}"
        self.say.always(f"{which} on {last['node']} never ended")

    def _forward(self, hold: Hold, number: int) -> None:
        (self.forwarded if hold.forward(number) else self.too_late_for).add(number)

    def _listen_once_more(self, ended_by: int) -> None:
        """Whoever ended the command may have meant this process too: systemd signals a whole control group."""
        until = self.clock() + SAME_SIGNAL
        while ended_by not in self.too_late_for and self.clock() < until:
            self.voters.step(until - self.clock())
        if ended_by in self.too_late_for:
            self.forwarded.add(ended_by)

    def _tell(self, holder: Holder | None, status: int, cause: int) -> int:
        """Tell the voters and the operator of the end; the exit status."""
        result = cause or status
        if holder:
            end = ending(self.plan, status, cause, broken_off=self._broken_off(status))
            if not holder.finish(*end, result) and cause != LOST:
                self.say.always(f"ended with status {result}, but no quorum heard of it: the lease runs out by itself")
            for text in holder.missing:
                self.say.told(f"a voter is missing: {text}")
        if not cause:
            self.say.told(f"ran: status {status}")
        return result

    def _broken_off(self, status: int) -> bool:
        """Whether somebody ended the command through this process."""
        hung_up = signal.SIGHUP in self.forwarded and status == SIGNALLED + signal.SIGHUP
        return bool(hung_up or self.typed or self.forwarded & GIVE_BACK)

    def _environment(self, holder: Holder | None) -> dict[bytes, bytes]:
        extra = {"CRONLOCK_RUN_KEY": self.plan.key, "CRONLOCK_RUN_NODE": self.plan.node}
        if holder:
            extra |= {"CRONLOCK_RUN_TOKEN": str(holder.token), "CRONLOCK_RUN_ATTEMPT": str(holder.attempt)}
            if self.plan.tick:
                extra["CRONLOCK_RUN_TICK"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.plan.tick))
        outer = [name for name in os.environ if name.startswith("CRONLOCK_RUN_")]
        return environment(extra, outer + [option.variable for option in OPTIONS if not option.where])


def _ignore(_number: int) -> None:
    """For signals that come when all is decided."""
