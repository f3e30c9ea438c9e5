"""The promises that a round broke, by the journal, the nodes' exit statuses and the voters. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from cronlock.errors import GAVE_UP, LOST, WAIT_EXPIRED
from tests.nemesis.journal import Attempt, Pause, Run

QUIET = 0  # the status of held, done, and of a command that succeeds
# as good as a dead node there: it may cost the tick, and was reported
CUT_INSIDE_COMMIT = "the commit was not confirmed"
KILLED = 10.0  # s at most until a killed run, which wrote no end, has ended
BUSY = 1.5  # s of work in one attempt: more is a busy loop
END_MAX = 3.0 + 3.0  # s from the command's end to cronlock's: three for finish, three for a slow machine


@dataclass(frozen=True)
class Rules:
    """The outcomes that a fault permits: `loud` exit statuses, and missed ticks if a node reported them.

    `lease` is in seconds. `attempts` of one tick: several with --failover, each after a run that failed or whose end no
    quorum recorded. `gives_back`: a signal that ended a command came from an operator, so the run does not count.
    `each`: every node has a record of its own. `wait`: there are no ticks, and every node waits this many seconds for
    the lock. `calm`: numbers of the ticks without faults. `pauses`: the operator's pauses of the key.
    """

    loud: frozenset[int] = frozenset()
    may_miss: bool = False
    lease: float = 3.0
    attempts: int = 1
    gives_back: bool = True
    each: bool = False
    wait: float = 0
    calm: frozenset[int] = frozenset()
    pauses: tuple[Pause, ...] = ()
    stopped_holds: bool = False  # by other clocks a stopped wrapper holds the key until it continues


@dataclass(frozen=True)
class Violation:
    """A broken promise.

    Overlap, twice, token, missed, silent, abandoned, unserved, paused, status, slow, or left over.
    """

    kind: str
    text: str


def find_violations(runs: Sequence[Run], attempts: Sequence[Attempt], rules: Rules) -> list[Violation]:
    """Return all violations of one round."""
    if rules.each:
        alone, found = replace(rules, each=False), []
        for node in sorted({run.node for run in runs} | {attempt.node for attempt in attempts}):
            own = [attempt for attempt in attempts if attempt.node == node]
            found += find_violations([run for run in runs if run.node == node], own, alone)
        return found
    found = [*_overlaps(runs), *_tokens(runs), *_statuses(attempts, rules), *_slow(runs, attempts)]
    if rules.wait:
        return [*found, *_unserved(runs, attempts, rules)]
    found += [*_twice(runs, rules), *_missed(runs, attempts, rules), *_paused(runs, rules)]
    return [*found, *_abandoned(runs, attempts, rules)]


def _overlaps(runs: Sequence[Run]) -> Iterable[Violation]:
    for run in runs:
        if run.beside:
            yield Violation("overlap", f"tick {run.tick} on {run.node} began beside a living run, at {run.start:.3f}")
    ended = [run for run in runs if run.end is not None]
    for first in ended:
        for second in runs:
            if first is not second and first.start <= second.start < (first.end or 0) and not second.beside:
                yield Violation("overlap", f"tick {first.tick} on {first.node} and tick {second.tick} on {second.node}")


def _twice(runs: Sequence[Run], rules: Rules) -> Iterable[Violation]:
    by_tick: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        earlier = by_tick[run.tick]
        used = [other for other in earlier if not (other.signal and rules.gives_back)]
        if len(used) >= rules.attempts or not all(other.open for other in used):
            yield Violation("twice", f"tick {run.tick} ran on {earlier[-1].node} and again on {run.node}")
        earlier.append(run)


def _tokens(runs: Sequence[Run]) -> Iterable[Violation]:
    for before, run in pairwise(runs):
        if run.token <= before.token:
            yield Violation("token", f"token {run.token} of tick {run.tick} came after {before.token} of {before.tick}")


def _statuses(attempts: Sequence[Attempt], rules: Rules) -> Iterable[Violation]:
    for attempt in attempts:
        who = f"{attempt.node}, tick {attempt.tick}"
        if attempt.status is None:
            yield Violation("left over", f"{who}: it did not end")
        elif attempt.status not in {QUIET, *rules.loud} and not attempt.disturbed:
            yield Violation("status", f"{who}: status {attempt.status}: {attempt.said}")
        if "Traceback" in attempt.said:
            yield Violation("status", f"{who}: {attempt.said}")


def _slow(runs: Sequence[Run], attempts: Sequence[Attempt]) -> Iterable[Violation]:
    ends = {(run.node, run.tick): run.end for run in runs if run.end is not None}
    for attempt in attempts:
        who = f"{attempt.node}, tick {attempt.tick}"
        if attempt.cpu > BUSY:
            yield Violation("slow", f"{who}: it worked for {attempt.cpu:.1f} s")
        end = ends.get((attempt.node, attempt.tick))
        if end and not attempt.disturbed and attempt.end > end + END_MAX:
            yield Violation("slow", f"{who}: it ended {attempt.end - end:.1f} s after its command")


def _missed(runs: Sequence[Run], attempts: Sequence[Attempt], rules: Rules) -> Iterable[Violation]:
    """Yield ticks that no node ran although no run of another tick was in the way and no node died of the fault."""
    ran = {run.tick for run in runs} | {attempt.tick for attempt in attempts if attempt.status == LOST}
    by_tick: dict[str, list[Attempt]] = defaultdict(list)
    for attempt in attempts:
        by_tick[attempt.tick].append(attempt)
    for tick, tried in by_tick.items():
        if tick in ran or any(_may_cost_the_tick(attempt) for attempt in tried):
            continue
        quiet = [attempt for attempt in tried if attempt.status == QUIET]
        loud = [attempt for attempt in tried if attempt.status != QUIET and not attempt.disturbed]
        without = [attempt for attempt in quiet if not _excused(runs, attempts, attempt, rules)]
        if loud and rules.may_miss:
            continue
        if without and not loud:
            yield Violation("silent", f"tick {tick}: no node ran it or reported it: {without[0].said}")
        elif without or not quiet:
            yield Violation("missed", f"tick {tick}: no node ran it: {loud[0].said if loud else without[0].said}")


def _may_cost_the_tick(attempt: Attempt) -> bool:
    return (attempt.disturbed and attempt.spent) or CUT_INSIDE_COMMIT in attempt.said


def _excused(runs: Sequence[Run], attempts: Sequence[Attempt], attempt: Attempt, rules: Rules) -> bool:
    """Return whether another run was in its way, or an operator had paused the key."""
    stopped = (other for other in attempts if other.disturbed and other is not attempt)
    if rules.stopped_holds and any(one.start <= attempt.end and attempt.start <= one.end for one in stopped):
        return True
    paused = any(pause.begin <= attempt.end and attempt.start <= pause.over for pause in rules.pauses)
    return paused or _in_the_way(runs, attempt, rules.lease)


def _in_the_way(runs: Sequence[Run], attempt: Attempt, lease: float) -> bool:
    """Return whether a newer tick started before this attempt's end, or an older run or its lease lasted into it."""
    for run in runs:
        over = run.end if run.end is not None else run.start + KILLED
        if run.won <= attempt.end and (run.tick > attempt.tick or over + lease >= attempt.start):
            return True
    return False


def _abandoned(runs: Sequence[Run], attempts: Sequence[Attempt], rules: Rules) -> Iterable[Violation]:
    """Yield nodes that gave up while attempts at their tick were left, or without a report when none was left."""
    if rules.attempts == 1:
        return
    for tick in dict.fromkeys(run.tick for run in runs):
        tried = [run for run in runs if run.tick == tick]
        ran = {run.node for run in tried}
        others = [attempt for attempt in attempts if attempt.tick == tick and attempt.node not in ran]
        used_up = len(tried) + sum(map(_may_have_begun, others)) >= rules.attempts
        for attempt in others:
            if attempt.disturbed:
                continue
            if attempt.status == GAVE_UP and not (used_up and all(run.open for run in tried)):
                yield Violation("abandoned", f"tick {tick}: {attempt.node} gave up too early: {attempt.said}")
            newer = any(run.tick > tick and run.won <= attempt.end for run in runs)
            stayed = attempt.status == QUIET and attempt.end > tried[-1].won and not newer
            known = len(tried) == rules.attempts or not used_up  # there is something to report, or a run to start
            if stayed and known and all(run.died for run in tried):
                yield Violation("abandoned", f"tick {tick}: its run on {tried[-1].node} died: {attempt.said}")
                break


def _may_have_begun(attempt: Attempt) -> bool:
    """Return whether a node without a line in the journal may have used up an attempt."""
    return attempt.disturbed or attempt.status == LOST or CUT_INSIDE_COMMIT in attempt.said


def _paused(runs: Sequence[Run], rules: Rules) -> Iterable[Violation]:
    """Yield runs whose voters were asked after all of them had recorded a pause."""
    for run in runs:
        if any(pause.done < run.won < pause.resume for pause in rules.pauses):
            yield Violation("paused", f"tick {run.tick} on {run.node} began at {run.start:.3f}")


def _unserved(runs: Sequence[Run], attempts: Sequence[Attempt], rules: Rules) -> Iterable[Violation]:
    """Yield waiting nodes that neither ran nor reported a failure.

    A node may give up only when its wait is over, and without faults it has to run.
    """
    ran = {(run.node, run.tick) for run in runs}
    for attempt in attempts:
        who = f"{attempt.node}, {attempt.tick}"
        if (attempt.node, attempt.tick) in ran or attempt.disturbed:
            continue
        if attempt.status == QUIET or attempt.number in rules.calm:
            yield Violation("unserved", f"{who}: it did not run: {attempt.status}, {attempt.said}")
        elif attempt.status == WAIT_EXPIRED and attempt.end < attempt.start + rules.wait:
            yield Violation("unserved", f"{who}: after {attempt.end - attempt.start:.1f} s only: {attempt.said}")


def stale(runs: Sequence[Run]) -> int:
    """Return the number of runs that ended after a run with a newer token had started: a resource would refuse them."""
    return sum(
        any(other.token > run.token and other.start < run.end for other in runs) for run in runs if run.end is not None
    )
