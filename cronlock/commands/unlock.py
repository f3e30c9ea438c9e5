"""`cronlock unlock`: a person says that the node which holds a key is dead, so its lease need not be waited for."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from cronlock.commands.invocation import DECLINED, Invocation, tell
from cronlock.config.settings import Settings
from cronlock.errors import Unreachable
from cronlock.lock.protocol import OK
from cronlock.lock.quorum import quorum
from cronlock.messages import instant, outcome, printable, since
from cronlock.survey.broadcast import Broadcast

if TYPE_CHECKING:
    from cronlock.lock.voters import Voters


def unlock(invocation: Invocation) -> int:
    """End the lease of each key, after showing whose it is, when a person says yes; the exit status."""

    def work(settings: Settings, voters: Voters) -> int:
        holds = Broadcast(voters, "look", {}).runs
        if not holds:
            tell(settings.key, "nobody holds it")
            return 0
        newest = max(holds, key=lambda answer: int(answer["token"]))
        for line in _about(newest, [answer for answer in holds if answer["token"] == newest["token"]], voters.count):
            tell(settings.key, line)
        if not invocation.confirm(
            f"Is {printable(newest['node'])} dead, so that its lease on {printable(settings.key)} may end now?"
        ):
            return DECLINED
        return _end(settings, voters, newest)

    return invocation.for_each(work)


def _about(run: dict[str, Any], copies: list[dict[str, Any]], voters: int) -> list[str]:
    """Who holds it, and until when what was started may still run."""
    left = max(int(copy["left"]) for copy in copies)
    lines = [
        f"{outcome('held', run, 0)}, as {len(copies)} of {voters} voters say" if voters > 1 else outcome("held", run, 0)
    ]
    lines.append(
        f"its command may still run until {since(int(time.time() * 1000) + left)}: a node that is only cut off "
        "stops it by then, and meanwhile another one may start beside it"
    )
    if run["run_tick"]:
        lines.append(
            f"the attempt at the tick of {instant(run['run_tick'])} stays used: cronlock run --again repeats it"
        )
    return lines


def _end(settings: Settings, voters: Voters, run: dict[str, Any]) -> int:
    done = Broadcast(voters, "unlock", {"token": run["token"]})
    ended = sum(answer["answer"] == OK for answer in done.answers.values())
    if len(done.answers) - len(done.runs) < quorum(voters.count):
        raise Unreachable(f"ended at {ended} of {voters.count} voters, which is not enough: try again")
    tell(settings.key, f"unlocked{done.everywhere}" if ended else "its run has ended meanwhile")
    return 0
