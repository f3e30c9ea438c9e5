"""`cronlock pause` and `resume`: no run of a key starts, on no node, for a while or until somebody says so."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from cronlock.commands.invocation import Invocation, tell
from cronlock.config.settings import Settings
from cronlock.cron.schedule import TICK_MAX
from cronlock.errors import Refused, Unreachable
from cronlock.lock.protocol import RETENTION
from cronlock.lock.voter_set import other_voters
from cronlock.messages import outcome, since
from cronlock.survey.broadcast import Broadcast

if TYPE_CHECKING:
    from cronlock.lock.voters import Voters

FOR_GOOD, OVER = -1, 0


def pause(invocation: Invocation) -> int:
    """Pause each key; 122 unless all voters of all keys have heard of it."""
    until = _until(invocation.command_options)
    reason = invocation.command_options.get("reason", "")
    how = "until resumed" if until == FOR_GOOD else f"until {since(until)}"

    def work(settings: Settings, voters: Voters) -> int:
        poll = _tell_all(settings, voters, until, reason)
        tell(settings.key, f"paused {how}{poll.everywhere}{_never_ran(poll)}")
        _insist_on_same_list(poll, voters, settings)
        if poll.runs:
            tell(settings.key, f"{outcome('held', poll.runs[0], 0)}: that run goes on")
        return Unreachable.status if poll.missing else 0

    return invocation.for_each(work)


def resume(invocation: Invocation) -> int:
    """Take the pause of each key back; 122 unless all voters of all keys have heard of it."""

    def work(settings: Settings, voters: Voters) -> int:
        poll = _tell_all(settings, voters, OVER, "")
        tell(settings.key, f"resumed{poll.everywhere}{_never_ran(poll)}")
        _insist_on_same_list(poll, voters, settings)
        return Unreachable.status if poll.missing else 0

    return invocation.for_each(work)


def _never_ran(poll: Broadcast) -> str:
    """A key may be paused before its first run; more often it is mistyped."""
    return "" if any(answer["token"] for answer in poll.answers.values()) else "; no voter knows of a run of it"


def _insist_on_same_list(poll: Broadcast, voters: Voters, settings: Settings) -> None:
    """Nodes with other voters may not have to heed what was told to these."""
    for answer in poll.answers.values():
        if answer["voter_set"] not in ("", voters.voter_set):
            reason = other_voters(answer, voters.voter_set, settings.key or "")
            raise Refused(f"only at this node's voters, and nodes have others: {reason}")


def _tell_all(settings: Settings, voters: Voters, until: int, reason: str) -> Broadcast:
    return Broadcast(voters, "pause", {"node": settings.node, "until": until, "reason": reason, "retention": RETENTION})


def _until(options: Mapping[str, Any]) -> int:
    """Milliseconds of the wall clock."""
    if "for" in options and "until" in options:
        raise Refused("--for and --until: give one of them")
    if "for" in options:
        return int(time.time() * 1000) + int(options["for"])
    if "until" not in options:
        return FOR_GOOD
    return _moment(options["until"])


def _moment(text: str) -> int:
    """A time that is still to come, in the person's own zone when it has none."""
    try:
        seconds = int(text) if text.isascii() and text.isdigit() else datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        raise Refused(f"--until {text!r} is no time: give ISO 8601, as 2026-11-20T06:00, or epoch seconds") from None
    if not time.time() < seconds < TICK_MAX:
        raise Refused(f"--until {text!r} is no time to come")
    return int(seconds * 1000)
