"""One `cronlock run`: acquire the lock or report why not, run the command under it (supervisor.py), report its end.

Modules needed to run a command are imported only after the lock is won, while the commit is in flight: most invocations
exit without running anything.
"""

import time

from cronlock.config.settings import has_password, load
from cronlock.errors import GAVE_UP, LOST, WAIT_EXPIRED, CronlockError, Interrupted, Refused, Unreachable
from cronlock.lock import protocol
from cronlock.lock.quorum import Verdict, quorum
from cronlock.messages import MOVE_OUT_OF_ARGV, VISIBLE_IN_PS, Messages, instant, since
from cronlock.process.event_loop import Loop, close_inherited_files, redirect_to_null
from cronlock.process.signals import Signals, discard_signal, end_by_keyboard_signal
from cronlock.run.acquire import Acquirer, cannot_import
from cronlock.run.plan import make_plan
from cronlock.servers import voters_for

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from cronlock.config.settings import Settings
    from cronlock.lock.lease import Lease
    from cronlock.lock.requests import Answer
    from cronlock.run.plan import Plan
    from cronlock.run.supervisor import Supervisor
    from cronlock.run.waiting import Progress

    ShowPlan = Callable[[Settings, Plan, Sequence[str]], int]


def run(
    given: "Mapping[str, Any]",
    argv: "Sequence[str]",
    environ: "Mapping[str, str]",
    show_plan: "ShowPlan",
    progress: "Progress",
) -> int:
    """Do `cronlock run` with the options `given` on its command line; return the exit status.

    `show_plan` does --dry-run. `progress` displays a wait at a terminal.
    """
    quiet = bool(given.get("quiet")) and not given.get("verbose")
    messages = Messages(str(given.get("key", "")), quiet=quiet, syslog=bool(given.get("syslog")))
    try:
        settings = load(given, environ)
        messages = Messages(settings.key or "", settings.verbose, settings.quiet, settings.syslog)
        if has_password(given.get("redis", ())):
            messages.info(f"{VISIBLE_IN_PS}: {MOVE_OUT_OF_ARGV}")
        plan = make_plan(settings, time.time(), environ)
        if settings.dry_run:
            return show_plan(settings, plan, argv)
        if plan.note:
            messages.notice(plan.note)
        if plan.unread:
            messages.info(f"can't read {', '.join(plan.unread)}: using the lines with this key in other crontabs")
        session = Session(settings, plan, messages, argv, progress)
        if messages.at_terminal:
            from cronlock.run.new_key import has_no_crontab_line

            session.no_crontab_line = has_no_crontab_line(settings, plan)
        return session.run()
    except Interrupted as end:
        messages.info(f"signal {end.signum}: not started")
        return end.status
    except CronlockError as error:
        messages.error(error)
        return error.status


class Session:
    """The life of one `cronlock run` that gets as far as asking the voters."""

    def __init__(
        self, settings: "Settings", plan: "Plan", messages: Messages, argv: "Sequence[str]", progress: "Progress"
    ) -> None:
        self.settings = settings
        self.plan = plan
        self.messages = messages
        self.argv = argv
        self.progress = progress
        self.loop = Loop()
        self.signals = Signals(self.loop, self._interrupt)
        self.voters = voters_for(settings, self.loop, plan.key, plan.each_node)
        self.supervisor: Supervisor | None = None
        self.no_crontab_line = False  # of this key; known at a terminal only

    def run(self) -> int:
        """Return the exit status. Raises CronlockError."""
        try:
            status = self._acquire_and_run()
        finally:
            self.voters.close()
            if self.supervisor:  # a guard that is not dismissed stays: if this process fails, it ends the command
                self.supervisor.guard.reap()
        if self.supervisor and self.supervisor.keyboard_signal:
            number = self.supervisor.keyboard_signal
            end_by_keyboard_signal(number, received=number in self.supervisor.forwarded)
        return status

    def _interrupt(self, number: int) -> None:
        self.signals.receiver = discard_signal  # only the release follows, which is short
        raise Interrupted(number)

    def _acquire_and_run(self) -> int:
        acquirer = Acquirer(
            self.plan, self.voters, self.messages, self.argv, self.progress, while_committing=_import_supervisor
        )
        try:
            got = acquirer.acquire()
        except Unreachable as error:
            return self._apply_on_outage(error)
        if isinstance(got, Verdict):
            return self._report_not_started(got, acquirer)
        if self.no_crontab_line and not any(answer["token"] for answer in acquirer.answers):
            from cronlock.run.new_key import NEW_KEY

            self.messages.info(NEW_KEY)
        return self._run_command(got)

    def _apply_on_outage(self, error: Unreachable) -> int:
        then = self.settings.on_outage
        if then == "fail" or not error.outage or (then == "run" and self.plan.too_late()):
            raise error
        if then == "skip":
            self.messages.notice(f"unreachable: {error}: skipped")
            return self.settings.conflict_exit_code
        self.messages.notice(f"unreachable: {error}: running without a lock")
        return self._run_command(None)

    def _report_not_started(self, got: Verdict, acquirer: Acquirer) -> int:
        """Report the verdict of the voters; return the exit status. Raises Refused."""
        if got.kind == protocol.HELD and not acquirer.wait_expired and not self.messages.shows_info:
            return self.settings.conflict_exit_code  # silently, as most nodes end: nothing is imported for them
        from cronlock.run.outcome import gave_up, no_node_ran, outcome

        tick = got.answer["tick"] if got.kind == protocol.DONE else 0
        if tick > self.plan.tick and protocol.is_future_tick(tick, got.answer["time"]):
            raise Refused(self._future_tick_recorded(tick, got.answer["time"]))
        line = outcome(got.kind, got.answer, self.plan.tick)
        if got.kind == protocol.HELD and acquirer.wait_expired:
            self.messages.notice(f"gave up waiting: {line}")
            by_default = self.settings.source("conflict-exit-code") == "default"
            return WAIT_EXPIRED if by_default else self.settings.conflict_exit_code
        if got.kind == protocol.DONE and self.plan.failover and gave_up(got.answer, self.plan.tick):
            self.messages.notice(f"failed: {line}")
            return GAVE_UP
        if got.kind == protocol.DONE and no_node_ran(acquirer.answers, self.plan.tick, quorum(self.voters.count)):
            who = "this node did not run" if self.plan.each_node else "no node ran"
            self.messages.notice(f"{line}: {who} the tick of {instant(self.plan.tick)}")
        elif got.kind == protocol.LATE:
            self.messages.notice(line)
        else:
            self.messages.info(line)
        return self.settings.conflict_exit_code

    def _future_tick_recorded(self, tick: int, time: int) -> str:
        """Return the refusal for a recorded tick that is ahead of the voters' clock.

        Without it, a single run with a wrong clock would make every node skip its ticks silently until that tick.
        """
        from cronlock.config.suggested_command import suggested_command
        from cronlock.lock.future_ticks import distance

        forget = suggested_command("forget", self.voters.location_flags(), self.plan.key, self.plan.each_node)
        why = f"a recorded run of {distance(tick, time)} of the voters' clock, blocks every earlier tick"
        return f"{why}: set the clock that is wrong, then run {forget}"

    # -- with the lock -----------------------------------------------------------------------------------------------

    def _run_command(self, lease: "Lease | None") -> int:
        """Run the command, under the lease or, after an outage, without one; return the exit status."""
        new_supervisor = _import_supervisor()
        from cronlock.process.command import CannotStartError
        from cronlock.process.guard import Guard
        from cronlock.run.supervisor import state_and_outcome

        if lease and lease.unfinished_run:
            self._report_unfinished(lease.unfinished_run)
        guard = Guard(self.loop, self.voters.clock, self.plan.kill_after, self.voters.witness)
        supervisor = self.supervisor = new_supervisor(self.plan, self.voters, lease, guard)
        try:
            supervisor.start(self.argv, self.signals)
        except CannotStartError as error:
            self.messages.notice(f"can't start: {error}")
            if lease:
                lease.finish(*state_and_outcome(self.plan, error.status, 0), error.status)
            return error.status
        except BaseException:
            if lease:
                lease.release()
            raise
        close_inherited_files(stderr=self.messages.off_stderr)
        status = supervisor.supervise()
        if supervisor.cause:  # reported only now: the reader of standard error may be slow, and the lease does not wait
            self.messages.notice(
                f"{supervisor.word}: {supervisor.why}: the command was stopped (status {supervisor.cause})"
            )
        if supervisor.cause == LOST and not self.messages.shows_info:  # nothing more to say, and silent voters take 3 s
            redirect_to_null((2,))
        if lease:
            self._report_end(supervisor, lease, status)
        if not supervisor.cause:
            self.messages.info(f"ran: status {status}")
        return supervisor.cause or status

    def _report_unfinished(self, last: "Answer") -> None:
        tick = last["run_tick"]
        which = f"the run of {instant(tick)}" if tick else f"a run since {since(last['start'])}"
        self.messages.notice(f"{which} on {last['node']} never ended")

    def _report_end(self, supervisor: "Supervisor", lease: "Lease", status: int) -> None:
        """Record the end of the run at the voters; report voters that did not accept it."""
        from cronlock.run.supervisor import state_and_outcome

        result = supervisor.cause or status
        released = supervisor.ended_by_operator(status)
        end = state_and_outcome(self.plan, status, supervisor.cause, released=released)
        if not lease.finish(*end, result) and supervisor.cause != LOST:
            why = "the end could not be recorded by a quorum: the lease will expire"
            if lease.superseded_by:
                why = superseded(lease.superseded_by, lease.token)
            self.messages.notice(f"ended with status {result}, but {why}")
        for text in lease.missing:
            self.messages.info(f"voter unreachable: {text}")


def superseded(answers: "Sequence[Answer]", token: int) -> str:
    """Return why a quorum no longer knows the run with this token, by the newest of its answers to `finish`."""
    newest = max(answers, key=lambda answer: answer["token"])
    if newest["outcome"] == protocol.ADOPTED:
        return f"its record had been replaced by cronlock adopt on {newest['voter_set_by']}"
    if newest["token"] > token:
        return f"another run had taken the key, on {newest['node']}"
    if not newest["token"]:
        return "the voters lost its record: they were emptied, or restarted without their data"
    if newest["token"] < token:
        return "the voters returned to older data: they were restarted, or a replica was promoted"
    if newest["outcome"] == "forgotten":
        return "its record had been erased by cronlock forget"
    return "its lease had been ended by cronlock unlock"


def _import_supervisor() -> "type[Supervisor]":
    """Import what a command needs, so that later nothing has to be read from disk. Raises Refused."""
    try:
        from cronlock.process.command import controlling_terminal
        from cronlock.run.supervisor import Supervisor

        controlling_terminal()  # which imports more where there is a terminal
    except Exception as error:
        raise cannot_import(error) from None
    return Supervisor
