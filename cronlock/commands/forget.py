"""`cronlock forget`: a person wants the voters to know nothing of a key any more but its fencing token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cronlock.commands.invocation import DECLINED, Invocation, tell
from cronlock.config.settings import Settings
from cronlock.errors import Refused, Unreachable
from cronlock.lock.protocol import HELD, OK, RETENTION
from cronlock.messages import instant, outcome, printable
from cronlock.survey.broadcast import Broadcast

if TYPE_CHECKING:
    from cronlock.lock.voters import Voters


def forget(invocation: Invocation) -> int:
    """Erase each key's record, after showing it, when a person says yes; 122 unless all voters have erased it."""

    def work(settings: Settings, voters: Voters) -> int:
        seen = Broadcast(voters, "look", {})
        _refuse_if_held(seen)
        for voter, answer in seen.answers.items():
            tell(settings.key, f"{voters.label(voter)}: {_known(answer)}")
        if not invocation.confirm(f"Erase that, and the counts and the history of {printable(settings.key or '')}?"):
            return DECLINED
        done = Broadcast(voters, "forget", {"node": settings.node, "retention": RETENTION})
        _refuse_if_held(done)
        if any(answer["answer"] != OK for answer in done.answers.values()):
            raise Refused("another run asks for it at this moment: try again")
        tell(settings.key, f"forgotten{done.everywhere}")
        return Unreachable.status if done.missing else 0

    return invocation.for_each(work)


def _refuse_if_held(poll: Broadcast) -> None:
    for run in poll.runs:
        raise Refused(f"{outcome(HELD, run, 0)}: nothing is forgotten meanwhile; if that node is dead: cronlock unlock")


def _known(answer: dict[str, Any]) -> str:
    if not answer["token"]:
        return "knows nothing" + (", but a pause" if answer["paused_until"] else "")
    last = f"tick {instant(answer['tick'])}, {answer['state']}" if answer["tick"] else "no tick"
    paused = outcome("paused", answer, 0) + ", " if answer["paused_until"] else ""
    return f"{paused}{last}, last run on {answer['node']}, token {answer['token']}"
