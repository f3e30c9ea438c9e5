"""What the copies of a record amount to: who runs, how the last run ended, and what is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from cronlock.cron.schedule import TICK_MAX, Schedule
from cronlock.errors import Refused
from cronlock.lock.adoption import spelled
from cronlock.lock.node_stats import JOB, RESULT
from cronlock.lock.protocol import ADOPTED, TIME_MAX
from cronlock.lock.quorum import quorum
from cronlock.lock.state_machine import Copy
from cronlock.messages import since
from cronlock.survey.snapshot import Seen
from cronlock.survey.survey import Survey

MANY = 3  # ticks without a run: one may be a clock or an outage, this is no accident
RUNNING, DIED, IDLE, NEW = "running", "died", "idle", "new"
UNKNOWN = "unknown"  # those who know are missing
NAMED = 3  # nodes, before a line says how many more there are
VARYING = ("lease_end", "lease", "run_id", "holder")  # between copies that agree all the same
KINDS = frozenset("job result seen asked last".split())  # of what nodes tell; all else are counts
IN_TOUCH = 86_400  # s: without ticks a node counts as gone when it asked so much longer ago than another


@dataclass
class NodeStatus:
    """What the voters know of one node. Ticks are epoch seconds, other times ms; 0 is never."""

    node: str
    seen: int = 0
    asked: int = 0
    last: int = 0
    schedule: str = ""
    zone: str = ""
    command: str = ""
    start: int = 0
    end: int = 0
    outcome: str = ""
    status: int = 0
    success: int = 0
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def job(self) -> tuple[str, str, str]:
        return self.schedule, self.zone, self.command


@dataclass
class KeyStatus:
    """What is known of a key; with --each, of one node's record. Ticks are epoch seconds, other times ms; 0 is never.

    `outcome` is empty while the run goes on, and when it never ended. `told` are the voters that know of it.
    """

    key: str
    each: str  # the node whose record it is
    state: str
    node: str
    pid: int
    start: int
    end: int
    left: int
    token: int
    tick: int
    attempt: int
    outcome: str
    status: int
    missed: int
    pending: bool  # the last one missed may still run
    next: int
    paused: bool
    paused_until: int  # -1: until resumed
    pause_reason: str
    pause_by: str
    command: str
    schedule: str
    zone: str
    voter_set: str
    voter_set_by: str
    told: int
    voters: int
    time: int
    nodes: list[NodeStatus] = field(default_factory=list)
    differ: list[str] = field(default_factory=list)  # how schedules and commands do between nodes
    wrong: list[str] = field(default_factory=list)  # that too
    foreign: str = ""  # that its nodes have other voters than this one; that too
    impossible: str = ""  # which voters have a fencing token that can't be; that too

    @property
    def name(self) -> str:
        """The key, and with --each the node whose record it is."""
        return f"{self.key} on {self.each}" if self.each else self.key

    @property
    def pause(self) -> str:
        """How long it is paused, and why."""
        until = "until resumed" if self.paused_until == -1 else f"until {since(self.paused_until)}"
        return until + (f": {self.pause_reason}" if self.pause_reason else "")

    @property
    def took(self) -> int | None:
        """ms from the start of the last run to its end, or to now; None when that is not known."""
        if self.state == RUNNING:
            return max(0, self.time - self.start)
        return max(0, self.end - self.start) if self.outcome and self.start else None


def newest(copies: Iterable[Seen]) -> Seen:
    """The copy that knows most, of those that a run would believe."""
    of = list(copies)
    unbelieved = overreaching(of)
    return max((seen for seen in of if seen not in unbelieved or len(unbelieved) == len(of)), key=_newness)


def _newness(seen: Seen) -> tuple[int, bool]:
    return seen.newness


def overreaching(copies: Sequence[Seen]) -> list[Seen]:
    """Those with a fencing token far beyond every clock, as quorum.py has it: unless most have such a token."""
    ahead = [seen for seen in copies if seen.overreaches]
    if len(ahead) > len(copies) // 2:
        return [seen for seen in ahead if seen.newness[0] > TIME_MAX]
    return ahead


def last_outcome(copy: Copy) -> str:
    """How the last run ended, whatever was adopted since; empty when it did not."""
    outcome: str = copy.get("outcome")
    return str(copy.record.get("last_outcome", outcome)) if outcome == ADOPTED else outcome


def differing(copies: Sequence[Seen]) -> list[str]:
    """The fields that are not the same in all copies, but for those that each voter has for itself."""
    names = sorted({name for seen in copies for name in seen.copy.record} - {*VARYING})
    return [name for name in names if len({seen.copy.get(name) for seen in copies}) > 1]


def statuses(survey: Survey) -> list[KeyStatus]:
    """All records of a survey, in the order of their keys."""
    found = [
        key_status(record, copies, survey.voters, survey.records.get((record[0], "")), sure=not survey.missing)
        for record, copies in sorted(survey.records.items())
    ]
    of_nodes: dict[str, list[KeyStatus]] = {}
    for one in found:
        if survey.voter_set and one.voter_set not in ("", survey.voter_set):
            one.foreign = (
                f"{one.voter_set_by} has other voters: {spelled(one.voter_set)}; here {spelled(survey.voter_set)}"
            )
            one.wrong.append(one.foreign)
        if one.each:
            of_nodes.setdefault(one.key, []).append(one)
    for key, rows in of_nodes.items():  # with --each: each node has a record of its own
        since = max(newest(survey.records[key, row.each]).get("tick2") for row in rows)
        differ = _differences([node for row in rows for node in row.nodes], since)
        rows[0].differ += differ
        rows[0].wrong += differ
    return found


def key_status(
    record: tuple[str, str],
    copies: Sequence[Seen],
    voters: int,
    main: Sequence[Seen] | None = None,
    sure: bool = True,
) -> KeyStatus:
    """What these copies of a record say together; the nodes as far as they were read.

    `main` are the copies of the key's main record, where the pause stands, when this one is of one node. `sure`: no
    voter is missing, so that fewer copies than a quorum are all that there are.
    """
    best = newest(copies)
    copy = best.copy
    outcome = last_outcome(copy)
    ended = bool(outcome)
    lefts = [] if ended else sorted((seen.left for seen in copies if seen.newness == best.newness), reverse=True)
    running = bool(lefts and lefts[0])
    began = bool(copy.get("token") and copy.get("node"))
    paused = _paused(main or copies, voters)
    until = paused.get("paused_until")
    status = KeyStatus(
        key=record[0],
        each=record[1],
        state=RUNNING if running else NEW if not began else IDLE if ended else DIED,
        pending=copy.get("missed_tick") > copy.get("tick"),
        left=lefts[quorum(voters) - 1] if running and len(lefts) >= quorum(voters) else 0,
        attempt=copy.get("run_attempt"),
        tick=copy.get("run_tick"),
        paused=until == -1 or until > best.time,
        paused_until=until,
        pause_reason=paused.get("pause_reason"),
        pause_by=paused.get("pause_by"),
        told=len(copies),
        voters=voters,
        time=best.time,
        outcome=outcome,
        **{name: copy.get(name) for name in _AS_THEY_ARE},
    )
    status.next = _next(status)
    status.missed = max(seen.get("missed") for seen in copies)
    if unbelieved := overreaching(copies):
        tokens = ", ".join(f"{seen.newness[0]} at {seen.voter}" for seen in unbelieved)
        status.impossible = f"a fencing token is far beyond every clock: {tokens}: that voter does not count"
    status.nodes = _nodes(copies, record[1], quorum(voters))
    if not sure and len(copies) < quorum(voters):
        status.state = UNKNOWN
        return status
    status.differ = _differences(status.nodes, copy.get("tick2"))
    status.wrong = [*([status.impossible] if status.impossible else []), *_wrong_run(status), *status.differ]
    return status


_AS_THEY_ARE = "node pid start end token status missed next command schedule zone voter_set voter_set_by".split()


def _paused(copies: Sequence[Seen], voters: int) -> Seen:
    """The copy whose pause a quorum bears: one that only some voters have heard of, or not yet of its end, is none."""

    def until(seen: Seen) -> float:
        told = seen.get("paused_until")
        return float("inf") if told == -1 else float(told)

    if all(not seen.get("paused_until") for seen in copies):
        return copies[0]
    return sorted(copies, key=until, reverse=True)[min(quorum(voters), len(copies)) - 1]


# -- time --------------------------------------------------------------------------------------------------------------


@cache
def _schedule(text: str, zone: str) -> Schedule | None:
    """The schedule that a node ran by; None when this machine does not understand it."""
    try:
        return Schedule(text.split("; "), zone) if text else None
    except Refused:
        return None


@cache
def _after(text: str, zone: str, tick: int) -> int:
    """The next tick after this one; 0 when that can't be told."""
    schedule = _schedule(text, zone)
    try:
        return schedule.after(tick) if schedule else 0
    except Refused:
        return 0


def _next(status: KeyStatus) -> int:
    """The tick to come: the one after the last run's, unless its time has passed."""
    now = status.time // 1000
    if status.next > now:
        return status.next
    return _after(status.schedule, status.zone, now // 60 * 60)


def _passed(status: KeyStatus) -> int:
    """How many ticks have come since the last one that ran, MANY at most."""
    tick, now = status.tick, status.time // 1000
    for count in range(MANY):
        tick = _after(status.schedule, status.zone, tick)
        if not 0 < tick <= now:
            return count
    return MANY


# -- what is wrong -----------------------------------------------------------------------------------------------------


def _wrong_run(status: KeyStatus) -> list[str]:
    wrong = []
    if status.state == DIED:
        wrong.append(
            f"the run on {status.node} never ended: look for cronlock, or the machine, having been killed there"
        )
    if status.tick and status.state != NEW and not status.paused and _passed(status) == MANY:
        what = "still runs" if status.state == RUNNING else "no run"
        wrong.append(f"{what} after {MANY} more ticks or longer: is cron running, and what does cronlock say there?")
    return wrong


def _differences(nodes: Sequence[NodeStatus], since: int) -> list[str]:
    """Schedules and commands that differ between the nodes that are in touch."""
    asked = max((node.asked for node in nodes), default=0)
    jobs: dict[tuple[str, str, str], list[str]] = {}
    for node in nodes:
        if any(node.job) and (node.seen >= since if node.seen else node.asked >= asked - IN_TOUCH):
            jobs.setdefault(node.job, []).append(node.node)
    wrong = []
    for what, parts in (("schedules", (0, 1)), ("commands", (2,))):
        kinds: dict[str, list[str]] = {}
        for job, names in jobs.items():
            kinds.setdefault(" ".join(job[part] for part in parts).strip() or "none", []).extend(names)
        if len(kinds) > 1:
            each = "; ".join(f"{text} on {_named(names)}" for text, names in sorted(kinds.items()))
            wrong.append(f"{what} differ: {each}")
    return wrong


def _named(nodes: list[str]) -> str:
    more = f" and {len(nodes) - NAMED} more" if len(nodes) > NAMED else ""
    return ", ".join(sorted(nodes)[:NAMED]) + more


# -- nodes -------------------------------------------------------------------------------------------------------------


def _nodes(copies: Sequence[Seen], only: str, enough: int) -> list[NodeStatus]:
    """The nodes, by what the voters know; a count is what a quorum has: one that missed an end counts a death."""
    found: dict[str, NodeStatus] = {}
    counts: dict[tuple[str, str], list[int]] = {}
    for seen in copies:
        for name, value in seen.copy.nodes.items():
            kind, _, node = name.partition(":")
            if only and node != only:
                continue
            status = found.setdefault(node, NodeStatus(node))
            if kind in KINDS:
                _take(status, kind, value)
            else:
                counts.setdefault((node, kind), []).append(value)
    for (node, kind), values in counts.items():
        if len(values) >= min(enough, len(copies)):
            found[node].counts[kind] = sorted(values, reverse=True)[min(enough, len(values)) - 1]
    return sorted(found.values(), key=lambda status: status.node)


def _take(status: NodeStatus, kind: str, value: Any) -> None:
    if kind == "job":
        job = value.split("\t", len(JOB) - 1)
        if len(job) == len(JOB):
            status.schedule, status.zone, status.command = job
    elif kind == "result":
        result = dict(zip(RESULT, value.split("\t"), strict=False))
        numbers = {name: whole(result.get(name, "")) for name in RESULT if name != "outcome"}
        status.success = max(status.success, numbers["success"])
        if numbers["end"] >= status.end:
            status.start, status.end, status.status = numbers["start"], numbers["end"], numbers["status"]
            status.outcome = result.get("outcome", "")
    else:
        setattr(status, kind, max(getattr(status, kind), value))


def whole(text: str) -> int:
    """A number of ms or an exit status; 0 for what somebody else's hand has made of it."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < len(str(1000 * TICK_MAX)) else 0
