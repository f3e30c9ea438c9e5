"""The status of every key, computed from the voters' copies of its record."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from cronlock.config.suggested_command import suggested_command
from cronlock.cron.schedule import EVERY, Schedule
from cronlock.errors import Refused
from cronlock.lock.quorum import quorum
from cronlock.lock.voter_set import spelled
from cronlock.survey.copies import copies_with_impossible_token, newest_copy, outcome_of_last_run
from cronlock.survey.key_status import DIED, IDLE, NEW, RUNNING, UNCERTAIN, KeyStatus
from cronlock.survey.node_status import job_differences, node_statuses
from cronlock.survey.snapshot import Snapshot
from cronlock.survey.survey import Survey

FORGOTTEN = "forgotten"  # the outcome that forget writes
TOO_MANY_TICKS = 3  # without a run: a clock or an outage explains one, not three
UNNOTICED = TOO_MANY_TICKS * 60  # s since the last run by an interval, which may be shorter than a minute, cron's own
COPIED = "node pid start end token status missed next command schedule zone voter_set voter_set_by".split()


def all_statuses(survey: Survey) -> list[KeyStatus]:
    """Return the status of every record of a survey, in the order of the keys."""
    found = [
        key_status(
            record,
            copies,
            survey.voters,
            survey.records.get((record[0], "")),
            sure=not survey.missing,
            flags=survey.location_flags,
        )
        for record, copies in sorted(survey.records.items())
    ]
    of_nodes: dict[str, list[KeyStatus]] = {}
    for status in found:
        if survey.voter_set and status.voter_set not in ("", survey.voter_set):
            status.foreign_voters = (
                f"{status.voter_set_by} has other voters: {spelled(status.voter_set)}; here {spelled(survey.voter_set)}"
            )
            status.problems.append(status.foreign_voters)
        if status.each:
            of_nodes.setdefault(status.key, []).append(status)
    for key, rows in of_nodes.items():  # with --each, each node has a record of its own
        since = max(newest_copy(survey.records[key, row.each]).get("tick2") for row in rows)
        differences = job_differences([node for row in rows for node in row.nodes], since)
        rows[0].differences += differences
        rows[0].problems += differences
    return found


def key_status(
    record: tuple[str, str],
    copies: Sequence[Snapshot],
    voters: int,
    main: Sequence[Snapshot] | None = None,
    sure: bool = True,
    flags: str = "",
) -> KeyStatus:
    """Return the status of one record; its nodes as far as they were read.

    `main` are the copies of the key's main record, which has the pause, when this record belongs to one node. `sure`:
    no voter is missing, so fewer copies than a quorum are all that there are. `flags`: those that name the voters
    on a command line.
    """
    status = _of_copies(record, copies, voters, _paused_by_quorum(main or copies, voters))
    status.next = _next_tick(status)
    if impossible := copies_with_impossible_token(copies):
        tokens = ", ".join(f"{snapshot.newness[0]} at {snapshot.voter}" for snapshot in impossible)
        status.impossible_token = f"a fencing token is far beyond every clock: {tokens}: that voter does not count"
    status.nodes = node_statuses(copies, record[1], quorum(voters))
    if not sure and len(copies) < quorum(voters):
        status.state = UNCERTAIN
        return status
    status.differences = job_differences(status.nodes, newest_copy(copies).get("tick2"))
    status.problems = [status.impossible_token] if status.impossible_token else []
    status.failure = _failure(status)
    status.problems += [text for text in (_death(status), status.failure, _silence(status, flags)) if text]
    status.problems += status.differences
    return status


def _of_copies(record: tuple[str, str], copies: Sequence[Snapshot], voters: int, pause: Snapshot) -> KeyStatus:
    best = newest_copy(copies)
    copy = best.copy
    outcome = outcome_of_last_run(copy)
    ended = bool(outcome)
    agreeing = [] if ended else [snapshot for snapshot in copies if snapshot.newness == best.newness]
    lefts = sorted((snapshot.left for snapshot in agreeing), reverse=True)
    running = bool(lefts and lefts[0])
    began = bool(copy.get("token") and copy.get("node"))
    until = pause.get("paused_until")
    fields = {name: copy.get(name) for name in COPIED}
    fields["missed"] = max(snapshot.get("missed") for snapshot in copies)
    return KeyStatus(
        key=record[0],
        each=record[1],
        state=RUNNING if running else NEW if not began else IDLE if ended else DIED,
        missed_pending=copy.get("missed_tick") > copy.get("tick"),
        left=lefts[quorum(voters) - 1] if running and len(lefts) >= quorum(voters) else 0,
        attempt=copy.get("run_attempt"),
        tick=copy.get("run_tick"),
        paused=until == -1 or until > best.time,
        paused_until=until,
        pause_reason=pause.get("pause_reason"),
        pause_by=pause.get("pause_by"),
        voters_answered=len(copies),
        voters=voters,
        time=best.time,
        outcome=outcome,
        **fields,
    )


def _paused_by_quorum(copies: Sequence[Snapshot], voters: int) -> Snapshot:
    """Return a copy with the pause that a quorum has: a pause, or its end, that fewer voters know does not count."""

    def until(snapshot: Snapshot) -> float:
        paused_until = snapshot.get("paused_until")
        return float("inf") if paused_until == -1 else float(paused_until)

    if all(not snapshot.get("paused_until") for snapshot in copies):
        return copies[0]
    return sorted(copies, key=until, reverse=True)[min(quorum(voters), len(copies)) - 1]


@cache
def _schedule(text: str, zone: str) -> Schedule | None:
    """Return the schedule that a node ran by; None when this machine does not understand it."""
    try:
        return Schedule(text.split("; "), zone) if text else None
    except Refused:
        return None


@cache
def _tick_after(text: str, zone: str, tick: int) -> int:
    """Return the tick of a schedule that follows `tick`; 0 when it has none that this machine understands."""
    schedule = _schedule(text, zone)
    try:
        return schedule.after(tick) if schedule else 0
    except Refused:
        return 0


def _next_tick(status: KeyStatus) -> int:
    """Return the next tick: the recorded one, or, when that has passed, the schedule's next after now."""
    now = status.time // 1000
    if status.next > now:
        return status.next
    known = now if EVERY in status.schedule else now // 60 * 60  # one answer for all keys of a schedule
    return _tick_after(status.schedule, status.zone, known)


def _ticks_without_run(status: KeyStatus) -> int:
    """Return how many ticks have passed since the last run, at most TOO_MANY_TICKS.

    Those that passed during a run that has ended count as missed; they do not add up with later ones.
    """
    now = status.time // 1000
    tick = max(status.tick, status.end // 1000) if status.outcome and status.end // 1000 <= now else status.tick
    if EVERY in status.schedule and now - tick < UNNOTICED:
        return 0
    for count in range(TOO_MANY_TICKS):
        tick = _tick_after(status.schedule, status.zone, tick)
        if not 0 < tick <= now:
            return count
    return TOO_MANY_TICKS


def _death(status: KeyStatus) -> str:
    if status.state != DIED:
        return ""
    return f"the run on {status.node} never ended: check there whether cronlock was killed or the machine crashed"


def _failure(status: KeyStatus) -> str:
    """Return the text about a last run that failed; empty if it succeeded, or is not over."""
    if status.state != IDLE:
        return ""
    if status.outcome == "ran" and status.status:
        return f"failed with status {status.status} on {status.node}: read what the command printed there"
    if status.outcome == "timed out":
        return f"timed out on {status.node}: find out why it took so long, or raise --max-runtime"
    if status.outcome == "lost":
        return f"lost its lease on {status.node}, and was stopped: check that machine, and its way to the voters"
    return ""


def _silence(status: KeyStatus, flags: str) -> str:
    """Return the text about too many ticks during one run, or without a run."""
    if not status.tick or status.state == NEW or status.paused or _ticks_without_run(status) < TOO_MANY_TICKS:
        return ""
    if status.state == RUNNING:
        return f"still runs after {TOO_MANY_TICKS} more ticks: check what keeps its command on {status.node}"
    requests = max((node.newest_tick for node in status.nodes), default=0)
    if requests > _tick_after(status.schedule, status.zone, status.tick):
        return f"no run after {TOO_MANY_TICKS} more ticks, but nodes asked for them: read what cronlock logged there"
    forget = suggested_command("forget", flags, status.key, status.each)
    return (
        f"no run after {TOO_MANY_TICKS} more ticks: check that cron runs there; if the line was taken out of the "
        f"crontab: {forget}"
    )


def known_statuses(found: Sequence[KeyStatus]) -> list[KeyStatus]:
    """Return the statuses without records of keys that never ran, or were forgotten, and are not paused.

    A resume, a refused first run and forget leave such records; so does the pause of a key of --each, which the rows of
    its nodes show.
    """
    owned = {status.key for status in found if status.each}
    return [
        status
        for status in found
        if status.state != NEW
        or (status.token and status.outcome != FORGOTTEN)
        or (status.paused and not status.each and status.key not in owned)
    ]
