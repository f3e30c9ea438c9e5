"""The plan of one call, made before a voter is asked: tick, next tick, length of leases, time limits."""

import time

from cronlock.config.options import spell
from cronlock.config.settings import COMMAND_LINE
from cronlock.errors import Refused
from cronlock.lock.protocol import RETENTION, TICK_AHEAD_MAX

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from collections.abc import Mapping

    from cronlock.config.settings import Settings
    from cronlock.cron.schedule import Schedule
    from cronlock.lock.requests import Prepare, RunFields

LEASE_MIN = 30_000  # ms: leaves 18.7 s to extend in when the command needs its 10 s to stop
LEASE_MAX = 3_600_000  # ms: an outage may last so long, and a crash may block the work for so long
LEASE_PLAIN = 60_000  # ms: without a next tick only a dead node's key waits for the end of the lease
LEASE_FAILOVER = 30_000  # ms: another node starts a dead node's tick so much later
LEASE_MARGIN = 2_000  # ms: a lease ends so long before the next tick, so that a dead node does not cost that tick
KILL_AFTER = 10_000  # ms: docker stop and supervisord wait as long
STOP_MARGIN = 1_000  # ms: to notice that the command must stop, and to reap it
OUTAGE_MIN = 30_000  # ms: a failover of Sentinel or of a cluster takes less
OUTAGE_MAX = 900_000  # ms: an operator should read about a longer outage
NONE = "none"
ATTEMPTS = 3  # of one tick over all nodes, with --failover: a job that kills three nodes will kill the next one
NO_SCHEDULE = (
    "no crontab line with this key was found: only overlap is prevented; "
    "pass --schedule, or --schedule none if this is intentional"
)
NAMELESS = (
    "--each needs a name for this node: pass --node; in Kubernetes: "
    "env: [{name: CRONLOCK_NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}]"
)


class NamingSources:
    """A context that adds the sources of the values checked inside to a refusal, unless the command line gave them."""

    def __init__(self, settings: "Settings", *names: str) -> None:
        self._sources = [
            settings.source(name) for name in names if settings.source(name) not in (COMMAND_LINE, "default")
        ]

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if isinstance(error, Refused) and self._sources:
            raise Refused(f"{', '.join(self._sources)}: {error}") from None


class Plan:
    """The decisions of one call. Ticks are epoch seconds, 0 for none; lengths and deadlines are ms.

    `each_node` is empty unless this node has a record of its own. `takeover_deadline` is the start deadline of a run
    that takes the tick over from another node.
    """

    wall_clock = staticmethod(time.time)
    key: str
    node: str
    each_node: str
    again: bool
    schedule: "Schedule | None"
    schedule_source: str
    note: str
    unread: list[str]
    tick: int
    next: int
    failover: bool
    retry_failed: bool
    attempts: int
    fair: bool
    wait: int
    splay: int
    ttl: "int | None"
    kill_after: int
    stop_margin: int
    max_runtime: "int | None"
    outage_wait: int
    start_deadline: int
    takeover_deadline: int
    retention: int

    def lease_at(self, voter_time: int) -> int:
        """Return the length of a lease that is acquired or extended at this time of the voters' wall clock."""
        return lease_length(self.next or None, voter_time, self.ttl)

    def time_left(self, *, takeover: bool = False) -> int | None:
        """Return the ms until the tick is late, by this node's clock; None if the tick can't be late."""
        deadline = self.takeover_deadline if takeover else self.start_deadline
        return deadline - int(self.wall_clock() * 1000) if deadline else None

    def too_late(self, ahead: int = 0, *, takeover: bool = False) -> bool:
        """Return whether the tick is late `ahead` ms from now."""
        left = self.time_left(takeover=takeover)
        return left is not None and left <= ahead

    def prepare_request(self, command: str, *, fair: bool, first: bool) -> "Prepare":
        """Return the fields of a prepare. `first`: the voters count this answer; later ones of the call don't count."""
        return {
            "node": self.node,
            "time": int(self.wall_clock() * 1000),
            "tick": self.tick,
            "start_deadline": self.start_deadline,
            "takeover_deadline": self.takeover_deadline,
            "attempts": self.attempts,
            "again": int(self.again),
            "fair": int(fair),
            "counts": int(first),
            "job": "\t".join((*self._schedule_fields(), command)),
        }

    def run_fields(self, pid: int, command: str) -> "RunFields":
        """Return the fields of the record that describe this run."""
        schedule, zone = self._schedule_fields()
        return {
            "node": self.node,
            "pid": pid,
            "command": command,
            "schedule": schedule,
            "zone": zone,
            "next": self.next,
            "retention": self.retention,
        }

    def _schedule_fields(self) -> tuple[str, str]:
        return (self.schedule.text, self.schedule.zone) if self.schedule else ("", "")


def make_plan(settings: "Settings", now: float, environ: "Mapping[str, str]") -> Plan:
    """Return the decisions for these settings at the wall-clock time `now`. Raises Refused."""
    plan = Plan()
    plan.key = _key(settings, environ)
    plan.node = settings.node
    plan.each_node = settings.node if settings.each else ""
    plan.again = settings.again
    plan.schedule, plan.schedule_source, plan.note, plan.unread = _find_schedule(settings)
    plan.tick, plan.next = _find_tick(settings, plan.schedule, now)
    _check_failover(settings, plan.tick)
    plan.failover, plan.retry_failed = settings.failover, settings.retry_failed
    plan.attempts = ATTEMPTS if plan.failover else 1
    plan.fair = bool(plan.tick) and not (settings.each or settings.no_fair or settings.again)
    plan.wait, plan.splay, plan.max_runtime = settings.wait, settings.splay, settings.max_runtime
    plan.ttl = LEASE_FAILOVER if plan.failover and settings.ttl is None else settings.ttl
    shortest = shortest_lease(plan.next or None, plan.ttl)
    plan.kill_after = kill_after_default(shortest) if settings.kill_after is None else settings.kill_after
    with NamingSources(settings, "ttl", "kill-after"):
        check_lease(shortest, None if settings.kill_after is None else plan.kill_after)
    plan.stop_margin = plan.kill_after + STOP_MARGIN
    period = plan.next - plan.tick if plan.next else None
    plan.outage_wait = outage_window(period) if settings.outage_wait is None else settings.outage_wait
    plan.retention = max(RETENTION, 3000 * (period or 0))
    ends = [plan.next * 1000] if plan.next else []
    within = [plan.tick * 1000 + settings.start_within] if plan.tick and settings.start_within else []
    plan.start_deadline = min([*ends, *within], default=0)
    plan.takeover_deadline = plan.next * 1000 if plan.failover else plan.start_deadline
    with NamingSources(settings, "splay", "start-within"):
        _check_splay(plan)
    return plan


def _key(settings: "Settings", environ: "Mapping[str, str]") -> str:
    if not settings.key:
        raise Refused("no key: pass --key NAME, the same on every node")
    if environ.get("CRONLOCK_RUN_KEY") == settings.key:
        raise Refused("a run inside a run of the same key would wait for itself: pass a different --key")
    named_by_host = settings.source("node") == "host name"
    if settings.each and named_by_host and (settings.node == "localhost" or "KUBERNETES_SERVICE_HOST" in environ):
        raise Refused(NAMELESS)
    return settings.key


def _find_schedule(settings: "Settings") -> "tuple[Schedule | None, str, str, list[str]]":
    """Return the schedule, its source, a note where a schedule is missing, and the crontabs that can't be read."""
    if settings.schedule == NONE:
        return None, settings.source("schedule"), "", []
    if settings.schedule:
        from cronlock.cron.schedule import Schedule

        with NamingSources(settings, "schedule", "tz"):
            return Schedule([settings.schedule], settings.tz or ""), settings.source("schedule"), "", []
    if settings.tick:
        return None, "default", "", []
    from cronlock.cron.crontab import Sources, own_lines

    by_hand = settings.source("each") == COMMAND_LINE
    sources = Sources()
    lines = own_lines(settings.key, settings.mode, sources, "once" if by_hand else settings.mode)
    if not lines:
        if settings.tz:
            from cronlock.cron.schedule import load_zone

            with NamingSources(settings, "tz"):
                load_zone(settings.tz)
        expected = settings.once or settings.each or settings.again or settings.start_within
        return None, "default", NO_SCHEDULE if expected else "", []
    from cronlock.cron.schedule import Schedule

    with NamingSources(settings, "tz"):
        schedule = Schedule([line.fields for line in lines], settings.tz or lines[0].zone)
    return schedule, ", ".join(line.place for line in lines), "", sources.unread


def _find_tick(settings: "Settings", schedule: "Schedule | None", now: float) -> tuple[int, int]:
    """Return this run's tick and the next tick."""
    if not settings.tick:
        if not schedule:
            return 0, 0
        tick = schedule.tick(now)
        return tick, schedule.after(tick)
    from cronlock.cron.schedule import parse_tick

    with NamingSources(settings, "tick", "tz"):
        tick = parse_tick(settings.tick, settings.tz or "")
    if tick > now + TICK_AHEAD_MAX:
        raise Refused(
            f"the tick {settings.tick!r} would block every tick until then: pass a tick that is not in the future"
        )
    if not schedule:
        return tick, 0
    if not schedule.has(tick):
        what = f"the tick {settings.tick!r} is not an instant of the schedule {schedule.text!r}"
        raise Refused(f"{what}: correct --tick or --schedule")
    return tick, schedule.after(tick)


def _check_failover(settings: "Settings", tick: int) -> None:
    if settings.retry_failed and not settings.failover:
        raise Refused("--retry-failed requires --failover: pass both")
    if settings.failover and settings.each:
        raise Refused("--failover requires --once: with --each, no other node does this node's work")
    if settings.failover and not tick:
        raise Refused("--failover needs a tick: pass --schedule or --tick; without ticks, use --wait forever")


def _check_splay(plan: Plan) -> None:
    if plan.start_deadline and plan.splay > plan.start_deadline - plan.tick * 1000:
        longest = spell(plan.start_deadline - plan.tick * 1000)
        raise Refused(
            f"--splay {spell(plan.splay)} is too long: the run must start within {longest} of its tick: pass less"
        )


def lease_length(next_tick: int | None, voter_now_ms: int, ttl_ms: int | None) -> int:
    """Return the length of a lease that is acquired or extended now, by the voters' clocks.

    `next_tick` is None for a run without a tick, and for a tick without a schedule.
    """
    if ttl_ms is not None:
        return ttl_ms
    if next_tick is None:
        return LEASE_PLAIN
    return min(max(next_tick * 1000 - LEASE_MARGIN - voter_now_ms, LEASE_MIN), LEASE_MAX)


def shortest_lease(next_tick: int | None, ttl_ms: int | None) -> int:
    """Return the shortest lease that an extension of the run can get, for check_lease."""
    return lease_length(next_tick, (next_tick or 0) * 1000, ttl_ms)


def kill_after_default(lease_ms: int) -> int:
    """Return the time between SIGTERM and SIGKILL without --kill-after."""
    return min(KILL_AFTER, lease_ms // 3)


def check_lease(lease_ms: int, kill_after_ms: int | None) -> None:
    """Refuse a lease of more than an hour, and one of which stopping the command takes about half or more.

    A lease is extended after a third of it, and must still be valid when an answer comes late: more than half of it
    has to remain after drift (1 %) and stopping. `kill_after_ms` is None for the default, which grows with the lease.
    """
    if lease_ms > LEASE_MAX:
        raise Refused(f"--ttl {spell(lease_ms)} is too long: at most {spell(LEASE_MAX)}")
    if _leaves_half(lease_ms, kill_after_ms):
        return
    longer = range(lease_ms // 1000 * 1000 + 1000, LEASE_MAX + 1, 1000)
    enough = next((length for length in longer if _leaves_half(length, kill_after_ms)), None)
    shorter = (49 * lease_ms - 1) // 100 - STOP_MARGIN
    ways = [f"--ttl {spell(enough)}"] if enough else []
    ways += [f"--kill-after {spell(shorter)}"] if shorter >= 0 else []
    advice = " or ".join(ways) or f"--ttl {spell(LEASE_PLAIN)} and --kill-after {spell(KILL_AFTER)}"
    what = "to stop a command in" if kill_after_ms is None else f"for --kill-after {spell(kill_after_ms)}"
    raise Refused(f"a lease of {spell(lease_ms)} is too short {what}: pass {advice}")


def _leaves_half(lease_ms: int, kill_after_ms: int | None) -> bool:
    kill_after = kill_after_default(lease_ms) if kill_after_ms is None else kill_after_ms
    return 49 * lease_ms > 100 * (kill_after + STOP_MARGIN)  # 0.99 - 0.5 of the lease, in whole numbers


def outage_window(period_s: int | None) -> int:
    """Return how long to retry while no quorum answers: a tenth of the period; None is a run without ticks."""
    if period_s is None:
        return OUTAGE_MIN
    return min(max(period_s * 100, OUTAGE_MIN), OUTAGE_MAX)
