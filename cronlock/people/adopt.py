"""`cronlock adopt`: a person says that what the voters answer now is the truth, and all who answer are told so."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from cronlock.config import Settings
from cronlock.errors import Refused, Unreachable
from cronlock.lock.candidate import ANSWER_WAIT, Candidate
from cronlock.lock.holder import Holder
from cronlock.lock.quorum import REFUSED, WON, Failure, Verdict, judge_adoption
from cronlock.lock.terms import BUSY
from cronlock.people.call import DECLINED, Call, tell
from cronlock.say import instant, outcome, printable, refusal

if TYPE_CHECKING:
    from cronlock.lock.candidate import Voters

LEASE = 10_000  # ms: nothing runs under it
RETENTION = 3 * 366 * 86_400_000  # ms: a person does not tell how rare the schedule is


def adopt(call: Call) -> int:
    """Adopt each key, after showing what the voters have, when a person says yes to a question; the exit status."""
    return call.for_each(lambda settings, voters: _adopt(settings, voters, call.confirm))


def _adopt(settings: Settings, voters: Voters, confirm: Callable[[str], bool]) -> int:
    key = settings.key
    candidate = _ask(voters, settings, key)
    for line in _seen(voters, candidate):
        tell(key, line)
    if candidate.seats:  # nobody waits for a person to answer
        candidate.seats.release(voters.clock() + ANSWER_WAIT)
    if not confirm(f"Is that the truth about {printable(key)} from now on?"):
        return DECLINED
    _write(voters, _ask(voters, settings, key), settings)
    tell(key, "adopted")
    return 0


def _ask(voters: Voters, settings: Settings, key: str) -> Candidate:
    candidate = Candidate(voters, ANSWER_WAIT, judge_adoption)
    ask = {"time": int(time.time() * 1000), "tick": 0, "late_at": 0, "over_at": 0, "attempts": 1}
    ask |= {"again": 0, "fair": 0, "counts": 0, "adopt": 1}
    verdict: Verdict = candidate.run({**ask, "node": settings.node, "job": ""}, voters.clock() + 2 * ANSWER_WAIT)
    if verdict.kind == WON:
        return candidate
    if verdict.kind == REFUSED:
        raise Refused(refusal(verdict, voters.settings, key))
    if verdict.kind == BUSY:
        raise Refused("another node asks for it at this moment: nothing is adopted meanwhile: try again")
    if verdict.answer:
        raise Refused(f"{outcome(verdict.kind, verdict.answer, 0)}: nothing is adopted meanwhile")
    raise Unreachable(f"no quorum of {voters.count} voters{': ' + verdict.text if verdict.text else ''}")


def _seen(voters: Voters, candidate: Candidate) -> list[str]:
    """What each voter has, a line each."""
    lines = []
    for seat in candidate.seats.all if candidate.seats else ():
        reply = seat.reply
        if isinstance(reply, dict):
            last = f"tick {instant(reply['tick'])}, {reply['state']}" if reply["tick"] else "no tick"
            known = f"{last}, last run on {reply['node']}, settings {reply['settings']}"
            lines.append(f"{voters.label(seat.voter)}: {known if reply['token'] else 'knows nothing'}")
        elif isinstance(reply, Failure):
            lines.append(f"left out: {reply.text}")
    return [*lines, f"settings here: {voters.settings}"]


def _write(voters: Voters, candidate: Candidate, settings: Settings) -> None:
    assert candidate.seats is not None  # noqa: S101 - it has won
    run = {"node": settings.node, "pid": os.getpid(), "command": "cronlock adopt", "retention": RETENTION}
    run |= {"schedule": "", "zone": "", "next": 0}
    holder = Holder(candidate, candidate.seats, run, (0, False), lambda _time: LEASE, 0)
    if holder.commit(voters.clock() + 2 * ANSWER_WAIT) != WON or not holder.finish("done", "adopted", 0):
        raise Unreachable("the voters did not confirm it: try again")
