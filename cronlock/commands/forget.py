"""`cronlock forget`: erase what the voters know of a key, except its fencing token."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cronlock.commands.invocation import DECLINED, Invocation, print_line
from cronlock.config.settings import Settings
from cronlock.config.suggested_command import suggested_command
from cronlock.errors import Refused, Unreachable
from cronlock.lock.protocol import HELD, OK, RETENTION
from cronlock.messages import instant, printable
from cronlock.run.outcome import outcome
from cronlock.survey.broadcast import Broadcast

if TYPE_CHECKING:
    from cronlock.lock.requests import Answer
    from cronlock.lock.voters import Voters


def forget(invocation: Invocation) -> int:
    """Show each key's record, ask for confirmation, and erase the record; 122 unless all voters have erased it."""

    def forget_key(settings: Settings, voters: Voters) -> int:
        present = Broadcast(voters, "read", {})
        _refuse_if_held(present, voters)
        for voter, answer in present.answers.items():
            print_line(settings.key, f"{voters.label(voter)}: {_record_text(answer)}")
        if not invocation.confirm(f"Erase the record of {printable(settings.key or '')}, its counts and its history?"):
            return DECLINED
        broadcast = Broadcast(voters, "forget", {"node": settings.node, "retention": RETENTION})
        _refuse_if_held(broadcast, voters)
        if any(answer["answer"] != OK for answer in broadcast.answers.values()):
            raise Refused("another node is acquiring the lock: run the command again")
        print_line(settings.key, f"forgotten{broadcast.reach}")
        return Unreachable.status if broadcast.failures else 0

    return invocation.for_each(forget_key)


def _refuse_if_held(broadcast: Broadcast, voters: Voters) -> None:
    for run in broadcast.live_runs:
        unlock = suggested_command("unlock", voters.location_flags(), voters.key, voters.node)
        raise Refused(f"{outcome(HELD, run, 0)}: nothing was forgotten: if that node is dead, run {unlock} first")


def _record_text(answer: Answer) -> str:
    if not answer["token"]:
        return "no record" + (", but a pause" if answer["paused_until"] else "")
    last = f"tick {instant(answer['tick'])}, {answer['state']}" if answer["tick"] else "no tick"
    paused = outcome("paused", answer, 0) + ", " if answer["paused_until"] else ""
    return f"{paused}{last}, last run on {answer['node']}, token {answer['token']}"
