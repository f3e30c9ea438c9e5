"""The story of one run: find the tick, get the lock or say why not, run the command under it (supervisor.py).

What a command needs is imported when there is to be one, while the voters write that down: most nodes go home.
"""

import time

from cronlock.config.settings import has_password, load
from cronlock.errors import GAVE_UP, WAIT_EXPIRED, CronlockError, Interrupted, Refused, Unreachable
from cronlock.lock import protocol
from cronlock.lock.quorum import Verdict, quorum
from cronlock.messages import ELSEWHERE, IN_ARGV, Messages, gave_up, instant, nobody_ran, outcome
from cronlock.process.event_loop import Loop
from cronlock.process.signals import Signals, end_as_typed, ignore
from cronlock.run.acquire import Acquirer
from cronlock.run.plan import Plan
from cronlock.servers.voters import voters_for

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from cronlock.config.settings import Settings
    from cronlock.lock.lease import Lease
    from cronlock.run.supervisor import Work


def run(given: "Mapping[str, Any]", argv: "Sequence[str]", environ: "Mapping[str, str]") -> int:
    """`cronlock run` with the options that were given on its command line; the exit status."""
    quiet = bool(given.get("quiet")) and not given.get("verbose")
    messages = Messages(str(given.get("key", "")), quiet=quiet, syslog=bool(given.get("syslog")))
    try:
        settings = load(given, environ)
        messages = Messages(settings.key or "", settings.verbose, settings.quiet, settings.syslog)
        if has_password(given.get("redis", ())):
            messages.info(f"{IN_ARGV}: {ELSEWHERE}")
        plan = Plan(settings, time.time(), environ)
        if settings.dry_run:
            from cronlock.commands.dry_run import show

            return show(settings, plan, argv)
        if plan.note:
            messages.notice(plan.note)
        this = Run(settings, plan, messages, argv)
        try:
            status = this.story()
        finally:
            this.voters.close()
            if this.work:
                this.work.guard.reap()  # one that was not let go stays: when this process fails, it ends the command
        if this.work and this.work.keyboard_signal:
            end_as_typed(this.work.keyboard_signal, heard=this.work.keyboard_signal in this.work.forwarded)
        return status
    except Interrupted as end:
        messages.info(f"signal {end.signum}: not started")
        return end.status
    except CronlockError as error:
        messages.error(error)
        return error.status


class Run:
    """One call of cronlock that gets as far as asking for the lock."""

    def __init__(self, settings: "Settings", plan: Plan, messages: Messages, argv: "Sequence[str]") -> None:
        self.settings = settings
        self.plan = plan
        self.messages = messages
        self.argv = argv
        self.loop = Loop()
        self.signals = Signals(self.loop, self._interrupt)
        self.voters = voters_for(settings, self.loop, plan.key, plan.each_node)
        self.work: Work | None = None

    def _interrupt(self, number: int) -> None:
        self.signals.receiver = ignore  # what follows is the release, which is short
        raise Interrupted(number)

    def story(self) -> int:
        """Get the lock or say why not; then start the command, hold the lock, and tell of the end."""
        try:
            acquirer = Acquirer(self.plan, self.voters, self.messages, self.argv, while_committing=_import_supervisor)
            got = acquirer.acquire()
        except Unreachable as error:
            then = self.settings.on_outage
            if then == "fail" or not error.outage or (then == "run" and self.plan.too_late()):
                raise
            self.messages.notice(f"unreachable: {error}: " + ("skipped" if then == "skip" else "run without a lock"))
            return self.settings.conflict_exit_code if then == "skip" else self._start(None)
        if not isinstance(got, Verdict):
            return self._start(got)
        tick = got.answer["tick"] if got.kind == protocol.DONE else 0
        if tick > self.plan.tick and protocol.is_future_tick(tick, got.answer["time"]):
            raise Refused(self._of_a_future(tick, got.answer["time"]))
        line = outcome(got.kind, got.answer, self.plan.tick)
        if got.kind == protocol.HELD and acquirer.waited_in_vain:
            self.messages.notice(f"waited in vain: {line}")
            by_default = self.settings.source("conflict-exit-code") == "default"
            return WAIT_EXPIRED if by_default else self.settings.conflict_exit_code
        if got.kind == protocol.DONE and self.plan.failover and gave_up(got.answer, self.plan.tick):
            self.messages.notice(f"failed: {line}")
            return GAVE_UP
        if got.kind == protocol.DONE and nobody_ran(acquirer.answers, self.plan.tick, quorum(self.voters.count)):
            who = "this node did not run" if self.plan.each_node else "nobody ran"
            self.messages.notice(f"{line}: {who} the tick of {instant(self.plan.tick)}")
        elif got.kind == protocol.LATE:
            self.messages.notice(line)
        else:
            self.messages.info(line)
        return self.settings.conflict_exit_code

    def _of_a_future(self, tick: int, time: int) -> str:
        """Why a tick that the voters' own clock denies must not send this node home quietly."""
        from shlex import quote

        from cronlock.lock.future_ticks import distance

        why = f"a run of {distance(tick, time)} of the voters' clock, makes all ticks until then done"
        return f"{why}: set the clock that is wrong, then cronlock forget {quote(self.plan.key)}"

    def _start(self, holder: "Lease | None") -> int:
        self.work = _import_supervisor()(
            self.settings, self.plan, self.messages, self.argv, self.loop, self.signals, self.voters, holder
        )
        return self.work.story()


def _import_supervisor() -> "type[Work]":
    """What a command needs; those that go home do not pay for it. Raises Refused."""
    try:
        from cronlock.process.command import controlling_terminal
        from cronlock.run.supervisor import Work

        controlling_terminal()  # which imports more where there is one
    except Exception as error:  # an upgrade at this moment, no file to be had
        raise Refused(f"cronlock itself can't be read: {error}") from None
    return Work
