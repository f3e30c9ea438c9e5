"""`cronlock pause` and `resume`: stop a key's runs from starting on every node, for a while or until resumed."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from cronlock.commands.invocation import Invocation, nodes_with_records, print_line
from cronlock.config.settings import Settings
from cronlock.cron.schedule import TICK_MAX
from cronlock.errors import Refused, Unreachable
from cronlock.lock.protocol import RETENTION
from cronlock.lock.voter_set import other_voters
from cronlock.messages import since
from cronlock.run.outcome import outcome
from cronlock.survey.broadcast import Broadcast

if TYPE_CHECKING:
    from cronlock.lock.requests import Answer
    from cronlock.lock.voters import Voters

UNTIL_RESUMED, NOT_PAUSED = -1, 0  # values of paused_until


def pause(invocation: Invocation) -> int:
    """Pause each key; return 122 unless all voters of all keys have recorded the pause."""
    until = _end_of_pause(invocation.command_options)
    reason = invocation.command_options.get("reason", "")
    how = "until resumed" if until == UNTIL_RESUMED else f"until {since(until)}"

    def pause_key(settings: Settings, voters: Voters) -> int:
        broadcast = _send(settings, voters, until, reason)
        print_line(settings.key, f"paused {how}{broadcast.reach}{_no_run_yet(broadcast, settings)}")
        _require_same_voter_set(broadcast, voters)
        if broadcast.live_runs:
            print_line(settings.key, f"{outcome('held', broadcast.live_runs[0], 0)}: that run continues")
        return Unreachable.status if broadcast.failures else 0

    return invocation.for_each(pause_key, whole="pause")


def resume(invocation: Invocation) -> int:
    """End the pause of each key; return 122 unless all voters of all keys have recorded the end.

    A key that is not paused at any voter is left alone: a record of a key without a run would be shown by status.
    """

    def resume_key(settings: Settings, voters: Voters) -> int:
        before = _read(voters)
        if before and not any(_may_be_paused(answer, voters) for answer in before.answers.values()):
            print_line(settings.key, f"not paused{before.reach}: nothing to resume{_no_run_yet(before, settings)}")
            return 0
        broadcast = _send(settings, voters, NOT_PAUSED, "")
        print_line(settings.key, f"resumed{broadcast.reach}{_no_run_yet(broadcast, settings)}")
        _require_same_voter_set(broadcast, voters)
        return Unreachable.status if broadcast.failures else 0

    return invocation.for_each(resume_key, whole="resume")


def _read(voters: Voters) -> Broadcast | None:
    """Return all voters' answers; None if one does not answer, because it may have a pause."""
    try:
        answered = Broadcast(voters, "read", {})
    except Unreachable:
        return None
    return None if answered.failures else answered


def _may_be_paused(answer: Answer, voters: Voters) -> bool:
    """Return whether a voter has a pause that has not ended, or other nodes use other voters, which may have one."""
    until = answer["paused_until"]
    return until == UNTIL_RESUMED or until > answer["time"] or answer["voter_set"] not in ("", voters.voter_set)


def _send(settings: Settings, voters: Voters, until: int, reason: str) -> Broadcast:
    return Broadcast(voters, "pause", {"node": settings.node, "until": until, "reason": reason, "retention": RETENTION})


def _no_run_yet(broadcast: Broadcast, settings: Settings) -> str:
    """Return a hint for a key without a run: it may be paused before its first run, but more often it is mistyped."""
    if any(answer["token"] for answer in broadcast.answers.values()) or nodes_with_records(settings):
        return ""
    return "; no voter has a run of this key"


def _require_same_voter_set(broadcast: Broadcast, voters: Voters) -> None:
    """Raise Refused when nodes use other voters: these nodes do not see the pause."""
    for answer in broadcast.answers.values():
        if answer["voter_set"] not in ("", voters.voter_set):
            reason = other_voters(answer, voters)
            raise Refused(f"recorded by this node's voters only, but other nodes use other voters: {reason}")


def _end_of_pause(options: Mapping[str, Any]) -> int:
    """Return the end in ms of the wall clock, or UNTIL_RESUMED."""
    if "for" in options and "until" in options:
        raise Refused("both --for and --until are given: give one of them")
    if "for" in options:
        return int(time.time() * 1000) + int(options["for"])
    if "until" not in options:
        return UNTIL_RESUMED
    return _future_time(options["until"])


def _future_time(text: str) -> int:
    """Return a time in ms; a time without a zone is in the operator's zone."""
    try:
        seconds = int(text) if text.isascii() and text.isdigit() else datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        raise Refused(f"--until {text!r} is not a time: give ISO 8601, as 2026-11-20T06:00, or epoch seconds") from None
    if not time.time() < seconds < TICK_MAX:
        raise Refused(f"--until {text!r} is not in the future: give a later time")
    return int(seconds * 1000)
