"""`cronlock adopt`: make what the voters answer now the authoritative state of a key."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from cronlock.commands.invocation import DECLINED, Invocation, print_line
from cronlock.config.settings import Settings
from cronlock.errors import CronlockError, Refused, Unreachable
from cronlock.lock.adoption import Adoption
from cronlock.lock.copy import Copy
from cronlock.lock.protocol import BUSY
from cronlock.lock.quorum import REFUSED, WON
from cronlock.lock.refusals import refusal
from cronlock.lock.voter_set import spelled
from cronlock.messages import instant, printable
from cronlock.run.outcome import outcome
from cronlock.survey.copies import newest_copy
from cronlock.survey.survey import Survey

if TYPE_CHECKING:
    from cronlock.lock.voters import Voters


def adopt(invocation: Invocation) -> int:
    """Show what the voters have of each key, ask for confirmation, and adopt it; return the exit status.

    Where all voters already agree with this node there is nothing to confirm.
    """
    return invocation.for_each(lambda settings, voters: _adopt(invocation, settings, voters), records=True)


def _adopt(invocation: Invocation, settings: Settings, voters: Voters) -> int:
    leave_out = bool(invocation.command_options.get("leave-out"))
    name = f"{settings.key} on {settings.node}" if settings.each else settings.key
    adoption = _attempt(settings, voters)
    if adoption.settled or adoption.new:
        adoption.release()
        why = "no voter has a record" if adoption.new else "all voters have the record with this node's voters"
        print_line(name, f"nothing to adopt: {why}")
        return 0
    try:
        _require_free_key(adoption, settings, voters)
        for line in _copy_lines(adoption, voters):
            print_line(name, line)
        _require_all_voters(adoption, voters, leave_out=leave_out)
    finally:
        adoption.release()  # other nodes must not wait for the operator
    if not invocation.confirm(f"Make this the authoritative state of {printable(name or '')}?"):
        return DECLINED
    last = _last_run(settings)  # before the second attempt, whose lease is short
    adoption = _attempt(settings, voters)
    try:
        _require_free_key(adoption, settings, voters)
        _require_all_voters(adoption, voters, leave_out=leave_out)
    except BaseException:
        adoption.release()
        raise
    unconfirmed = adoption.write(os.getpid(), last if last.get("token") == adoption.token else None)
    if unconfirmed:
        raise Unreachable(f"{', '.join(unconfirmed)} did not confirm the adoption: run the command again")
    without = f" without {len(adoption.missing)} of {voters.count} voters: run the command again when they are back"
    print_line(name, f"adopted{without if adoption.missing else ''}")
    return 0


def _attempt(settings: Settings, voters: Voters) -> Adoption:
    return Adoption(voters, settings.node, int(time.time() * 1000))


def _last_run(settings: Settings) -> dict[str, Any]:
    """Return the newest copy's record of the last run; empty before the first run."""
    key = settings.key or ""
    try:
        copies = Survey(settings, [key]).records.get((key, settings.node if settings.each else ""), [])
    except CronlockError:  # the adoption does not depend on the last run
        return {}
    copy = newest_copy(copies).copy if copies else Copy()
    return copy.record if copy.get("node") else {}


def _require_free_key(adoption: Adoption, settings: Settings, voters: Voters) -> None:
    """Raise CronlockError unless the key is free: not held, and not being acquired by another node."""
    verdict = adoption.verdict
    if verdict.kind == WON:
        return
    if verdict.kind == REFUSED:
        raise Refused(refusal(verdict, voters))
    if verdict.kind == BUSY:
        raise Refused("another node is acquiring the lock: nothing was adopted: run the command again")
    if verdict.answer:
        raise Refused(f"{outcome(verdict.kind, verdict.answer, 0)}: nothing was adopted: run the command again later")
    raise Unreachable(f"no quorum of the voters{': ' + verdict.text if verdict.text else ''}")


def _require_all_voters(adoption: Adoption, voters: Voters, *, leave_out: bool) -> None:
    """Raise CronlockError when other voters may know more, and nodes could continue to run with those voters."""
    if leave_out:
        return
    if adoption.missing:
        raise Unreachable(
            f"{'; '.join(adoption.missing)}: all {voters.count} voters have to answer: bring them back, or pass "
            "--leave-out: what only they know is lost"
        )
    if adoption.hindrance:
        raise Refused(
            f"{adoption.hindrance}: keep more of these voters and change the others later; or remove that list from "
            "every node, and pass --leave-out"
        )


def _copy_lines(adoption: Adoption, voters: Voters) -> list[str]:
    """Return one line for each voter, and one for this node's voters."""
    lines = []
    for label, answer in adoption.answers:
        last = f"tick {instant(answer['tick'])}, {answer['state']}" if answer["tick"] else "no tick"
        known = f"{last}, last run on {answer['node']}, with {spelled(answer['voter_set'])}"
        known += ", may be old: restarted or promoted since" if answer["restarted"] else ""
        known = known if answer["token"] else "no record"
        if "impossible_token" in answer:
            known = f"its fencing token {answer['impossible_token']} is far beyond every clock and will not be kept"
        lines.append(f"{label}: {known}")
    lines += [f"left out: {text}" for text in adoption.missing]
    return [*lines, f"here: {spelled(voters.voter_set)}"]
