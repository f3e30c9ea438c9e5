"""The promises that a simulation broke."""

from collections.abc import Iterable
from dataclasses import dataclass

from cronlock.process.event_loop import POLL_MAX
from cronlock.run.plan import ATTEMPTS
from tests.nemesis.journal import Run
from tests.nemesis.oracle import Rules, Violation, find_violations
from tests.simulation.node import Call
from tests.simulation.world import World

OUTCOMES = {"ran", "lost", "given back", "held", "done", "late", "unreachable", "interrupted", "died"}
ROUND_TRIP = 100  # ms for the voters to answer without faults
RELEASE_MAX = 3_000 + 300  # ms that releasing the lock may take


@dataclass
class Report:
    """The outcome of a simulation: `violations`, the `trace` that led there, and the number of runs."""

    violations: list[Violation]
    trace: str
    runs: int

    def __str__(self) -> str:
        return "\n".join([self.trace, *(f"{one.kind}: {one.text}" for one in self.violations)])


def violations_of(world: World) -> list[Violation]:
    """Return all violations up to now."""
    runs = sorted((call for call in world.calls if call.command), key=lambda call: (call.command.start, call.token))
    return [
        *find_violations([_run(call, world.time.now) for call in runs], [], Rules(attempts=_attempts(world))),
        *_overlaps_after_pause(world, runs),
        *_quiet_exits(world),
        *_unexpected_ends(world),
    ]


def _attempts(world: World) -> int:
    return ATTEMPTS if any(call.terms.failover for call in world.calls) else 1


def _run(call: Call, now: int) -> Run:
    start, end = call.command.start, now if call.command.end is None else call.command.end
    given_back = 15 if call.outcome in ("given back", "interrupted") else 0
    if call.machine.pauses:  # _overlaps_after_pause judges the time after a pause
        end = min(end, call.machine.pauses[0][0])
    over = max(end, start + 1)
    return Run(
        tick=str(call.tick or call.name),
        token=call.token,
        attempt=1,
        node=call.node,
        pid=0,
        won=start,
        start=start,
        beside=False,
        end=over,
        signal=given_back,
        open=call.terms.failover and not call.closed,
    )


def overlap_allowed(world: World, call: Call) -> int:
    """Return for how many ms a run may overlap another one after its machine's pause.

    If the wall clock shows the pause, the run asks the voters within a second, otherwise when an extension is due; then
    its command has to end. If answers may be lost, the run may go on as long as it believes in its lease.
    """
    if not world.steady:
        return call.terms.lease
    asks = POLL_MAX if call.machine.clock_shows_pause else call.terms.lease // 3
    return asks + ROUND_TRIP + min(call.job.sigterm_delay, call.terms.kill_after)


def _overlaps_after_pause(world: World, runs: list[Call]) -> Iterable[Violation]:
    """Yield runs that overlapped another one for longer than a pause of their machine excuses."""
    for call in runs:
        if not call.machine.pauses:
            continue
        until = call.machine.resumes_at + overlap_allowed(world, call)
        end = world.time.now if call.command.end is None else call.command.end
        for other in runs:
            over = world.time.now if other.command.end is None else other.command.end
            if other is not call and other.command.start < end and over > until and end > until:
                yield Violation("overlap", f"{call.name} ended {end - until} ms too late beside {other.name}")


def _unexpected_ends(world: World) -> Iterable[Violation]:
    for call in world.calls:
        known = OUTCOMES | ({"refused"} if world.lists else set())
        if call.ended is None or call.outcome not in known:
            yield Violation("left over", f"{call.name}: {call.outcome or 'it did not end'} {call.said}")
        elif call.command and not call.fault_injected and call.ended > (call.command.end or call.ended) + RELEASE_MAX:
            yield Violation("slow", f"{call.name}: it ended {call.ended - call.command.end} ms after its command")


def _quiet_exits(world: World) -> Iterable[Violation]:
    """Yield nodes that exited quietly without a reason.

    A run of their tick, a newer tick, or an older lease in the path.
    """
    for call in world.calls:
        if call.outcome in ("held", "done") and not _reason(world, call):
            yield Violation("silent", f"{call.name}: {call.outcome}, {call.said}, and there was no such run")


def _reason(world: World, call: Call) -> bool:
    for known in world.committed.values():
        if known.tick > call.tick and known.first <= call.ended:
            return True
        if known.quorum_at is None or known.quorum_at > call.ended:
            continue
        if known.tick == call.tick != 0 or (call.outcome == "held" and known.until >= call.begun):
            return True
    return False


def missed_last_tick(world: World, calls: list[Call]) -> Iterable[Violation]:
    """Yield violations of the last tick, which runs without faults: one node runs it, and the others exit quietly."""
    outcomes = [call.outcome for call in calls]
    if outcomes.count("ran") != 1 or any(outcome not in ("ran", "held", "done") for outcome in outcomes):
        yield Violation("missed", f"the last tick: {', '.join(f'{call.name} {call.outcome}' for call in calls)}")
    for server in world.servers:
        if server.live:
            yield Violation("left over", f"a lease at {server.name}, of {server.copy.get('node')}")
