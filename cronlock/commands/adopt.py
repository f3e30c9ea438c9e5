"""`cronlock adopt`: a person says that what the voters answer now is the truth, and all who answer are told so."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from cronlock.commands.invocation import DECLINED, Invocation, tell
from cronlock.config.settings import Settings
from cronlock.errors import CronlockError, Refused, Unreachable
from cronlock.lock.adoption import IMPOSSIBLE, Adoption
from cronlock.lock.copy import Copy
from cronlock.lock.protocol import BUSY
from cronlock.lock.quorum import REFUSED, WON
from cronlock.lock.refusals import refusal
from cronlock.lock.voter_set import spelled
from cronlock.messages import instant, outcome, printable
from cronlock.survey.copies import newest_copy
from cronlock.survey.survey import Survey

if TYPE_CHECKING:
    from cronlock.lock.voters import Voters


def adopt(invocation: Invocation) -> int:
    """Adopt each key, after showing what the voters have, when a person says yes to a question; the exit status.

    Where all voters have it so already nothing is asked and nothing is done.
    """
    return invocation.for_each(lambda settings, voters: _adopt(invocation, settings, voters), records=True)


def _adopt(invocation: Invocation, settings: Settings, voters: Voters) -> int:
    leave_out = bool(invocation.command_options.get("leave-out"))
    name = f"{settings.key} on {settings.node}" if settings.each else settings.key
    adoption = _ask(settings, voters)
    if adoption.settled or adoption.new:
        adoption.release()
        tell(name, f"nothing to adopt: {'no voter knows it' if adoption.new else 'all voters have it as here'}")
        return 0
    try:
        _insist_on_leave(adoption, settings, voters)
        for line in _seen(adoption, voters):
            tell(name, line)
        _insist_on_all(adoption, voters, leave_out=leave_out)
    finally:
        adoption.release()  # nobody waits for a person to answer
    if not invocation.confirm(f"Is that the truth about {printable(name or '')} from now on?"):
        return DECLINED
    last = _last_run(settings)  # before the key is asked for: that lease is short
    adoption = _ask(settings, voters)
    try:
        _insist_on_leave(adoption, settings, voters)
        _insist_on_all(adoption, voters, leave_out=leave_out)
    except BaseException:
        adoption.release()
        raise
    left = adoption.write(os.getpid(), last if last.get("token") == adoption.token else None)
    if left:
        raise Unreachable(f"{', '.join(left)} did not confirm it: give the command again")
    later = f" without {len(adoption.missing)} of {voters.count} voters: again when they are back"
    tell(name, f"adopted{later if adoption.missing else ''}")
    return 0


def _ask(settings: Settings, voters: Voters) -> Adoption:
    return Adoption(voters, settings.node, int(time.time() * 1000))


def _last_run(settings: Settings) -> dict[str, Any]:
    """The record of the last run, as the voter has it that knows most; nothing when there was none."""
    key = settings.key or ""
    try:
        copies = Survey(settings, [key]).records.get((key, settings.node if settings.each else ""), [])
    except CronlockError:  # what is adopted does not depend on it
        return {}
    copy = newest_copy(copies).copy if copies else Copy()
    return copy.record if copy.get("node") else {}


def _insist_on_leave(adoption: Adoption, settings: Settings, voters: Voters) -> None:
    """Nobody holds the key, and nobody asks for it."""
    verdict = adoption.verdict
    if verdict.kind == WON:
        return
    if verdict.kind == REFUSED:
        raise Refused(refusal(verdict, "", settings.key or "", alone=voters.count == 1))
    if verdict.kind == BUSY:
        raise Refused("another run asks for it at this moment: nothing is adopted meanwhile: try again")
    if verdict.answer:
        raise Refused(f"{outcome(verdict.kind, verdict.answer, 0)}: nothing is adopted meanwhile")
    raise Unreachable(f"no quorum of the voters{': ' + verdict.text if verdict.text else ''}")


def _insist_on_all(adoption: Adoption, voters: Voters, *, leave_out: bool) -> None:
    """Whoever does not answer may know more, and nodes may go on with it."""
    if leave_out:
        return
    if adoption.missing:
        raise Unreachable(
            f"{'; '.join(adoption.missing)}: all {voters.count} voters have to answer; --leave-out does without, "
            "and what they know is lost"
        )
    if adoption.hindrance:
        raise Refused(
            f"{adoption.hindrance}: keep more of these voters, and change the others later; "
            "or make sure that no node has that list any more: --leave-out"
        )


def _seen(adoption: Adoption, voters: Voters) -> list[str]:
    """What each voter has, a line each."""
    lines = []
    for label, answer in adoption.answers:
        last = f"tick {instant(answer['tick'])}, {answer['state']}" if answer["tick"] else "no tick"
        known = f"{last}, last run on {answer['node']}, with {spelled(answer['voter_set'])}"
        known += ", may be old: restarted or promoted since" if answer["restarted"] else ""
        known = known if answer["token"] else "knows nothing"
        if IMPOSSIBLE in answer:
            known = f"its fencing token {answer[IMPOSSIBLE]} is far beyond every clock, and is not kept"
        lines.append(f"{label}: {known}")
    lines += [f"left out: {text}" for text in adoption.missing]
    return [*lines, f"here: {spelled(voters.voter_set)}"]
