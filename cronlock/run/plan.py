"""What one call is to do, before anything is asked: tick, next tick, lease, time limits. Reads crontabs, no network."""

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
LEASE_PLAIN = 60_000  # ms: without a next tick nothing but a dead node waits for its end
LEASE_FAILOVER = 30_000  # ms: a dead node's tick goes on elsewhere so much later
LEASE_MARGIN = 2_000  # ms: a lease ends so long before the next tick, so that a dead node's does not cost that tick
KILL_AFTER = 10_000  # ms: docker stop and supervisord wait as long
STOP_MARGIN = 1_000  # ms: to notice that the command must stop, and to reap it
OUTAGE_MIN = 30_000  # ms: a failover of sentinels or of a cluster is over by then
OUTAGE_MAX = 900_000  # ms: a person should hear about it after that
NONE = "none"
ATTEMPTS = 3  # of one tick over all nodes, with --failover: what kills three nodes will kill the next one
NO_SCHEDULE = (
    "no crontab line with this key was found: only overlap is prevented; give --schedule, or --schedule none if meant"
)
NAMELESS = (
    "--each needs a name for this node: give --node; in Kubernetes: "
    "env: [{name: CRONLOCK_NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}]"
)


class NamingSources:
    """Names the sources of the values that are judged inside it, when one is refused and stands elsewhere."""

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
    """The decisions of one call. Ticks are epoch seconds, 0 for none; lengths and deadlines are ms."""

    wall_clock = staticmethod(time.time)

    def __init__(self, settings: "Settings", now: float, environ: "Mapping[str, str]") -> None:
        if not settings.key:
            raise Refused("no key: give --key NAME, the same on every node")
        if environ.get("CRONLOCK_RUN_KEY") == settings.key:
            raise Refused("a run inside a run of the same key would wait for itself: give it another --key")
        self.key = settings.key
        self.again = settings.again
        self.node = settings.node
        self.each_node = settings.node if settings.each else ""
        named_by_host = settings.source("node") == "host name"
        if settings.each and named_by_host and (settings.node == "localhost" or "KUBERNETES_SERVICE_HOST" in environ):
            raise Refused(NAMELESS)
        self.note = ""
        self.schedule_source = "default"
        self.schedule = self._find_schedule(settings)
        self.tick, self.next = self._find_tick(settings, now)
        self.failover, self.retry_failed = settings.failover, settings.retry_failed
        self._check_failover(settings)
        self.attempts = ATTEMPTS if self.failover else 1
        self.fair = bool(self.tick) and not (settings.each or settings.no_fair or settings.again)
        self.wait, self.splay = settings.wait, settings.splay
        self.ttl = LEASE_FAILOVER if self.failover and settings.ttl is None else settings.ttl
        shortest = shortest_lease(self.next or None, self.ttl)
        self.kill_after = kill_after_default(shortest) if settings.kill_after is None else settings.kill_after
        with NamingSources(settings, "ttl", "kill-after"):
            check_lease(shortest, None if settings.kill_after is None else self.kill_after)
        self.stop_margin = self.kill_after + STOP_MARGIN
        period = self.next - self.tick if self.next else None
        self.outage_wait = outage_window(period) if settings.outage_wait is None else settings.outage_wait
        ends = [self.next * 1000] if self.next else []
        within = [self.tick * 1000 + settings.start_within] if self.tick and settings.start_within else []
        self.start_deadline = min([*ends, *within], default=0)
        self.takeover_deadline = (
            self.next * 1000 if self.failover else self.start_deadline
        )  # for a run that takes a tick over
        with NamingSources(settings, "splay", "start-within"):
            self._check_splay()
        self.retention = max(RETENTION, 3000 * (period or 0))

    def _find_schedule(self, settings: "Settings") -> "Schedule | None":
        if settings.schedule == NONE:
            self.schedule_source = settings.source("schedule")
            return None
        if settings.schedule:
            from cronlock.cron.schedule import Schedule

            self.schedule_source = settings.source("schedule")
            with NamingSources(settings, "schedule", "tz"):
                return Schedule([settings.schedule], settings.tz or "")
        if settings.tick:
            return None
        from cronlock.cron.crontab import own_lines

        by_hand = settings.source("each") == COMMAND_LINE
        lines = own_lines(settings.key, settings.mode, default_mode="once" if by_hand else settings.mode)
        if not lines:
            if settings.tz:
                from cronlock.cron.schedule import load_zone

                with NamingSources(settings, "tz"):
                    load_zone(settings.tz)
            if settings.once or settings.each or settings.again or settings.start_within:
                self.note = NO_SCHEDULE
            return None
        from cronlock.cron.schedule import Schedule

        self.schedule_source = ", ".join(line.place for line in lines)
        with NamingSources(settings, "tz"):
            return Schedule([line.fields for line in lines], settings.tz or lines[0].zone)

    def _find_tick(self, settings: "Settings", now: float) -> tuple[int, int]:
        if not settings.tick:
            if not self.schedule:
                return 0, 0
            tick = self.schedule.tick(now)
            return tick, self.schedule.after(tick)
        from cronlock.cron.schedule import parse_tick

        with NamingSources(settings, "tick", "tz"):
            tick = parse_tick(settings.tick, settings.tz or "")
        if tick > now + TICK_AHEAD_MAX:
            raise Refused(f"the tick {settings.tick!r} lies in the future: it would stop all ticks until then")
        if not self.schedule:
            return tick, 0
        if not self.schedule.has(tick):
            raise Refused(f"the tick {settings.tick!r} is no instant of the schedule {self.schedule.text!r}")
        return tick, self.schedule.after(tick)

    def _check_failover(self, settings: "Settings") -> None:
        if self.retry_failed and not self.failover:
            raise Refused("--retry-failed goes with --failover: give both")
        if self.failover and settings.each:
            raise Refused("--failover goes with --once: with --each no other node does this node's work")
        if self.failover and not self.tick:
            raise Refused("--failover needs a tick: give --schedule or --tick, or without ticks --wait forever")

    def _check_splay(self) -> None:
        if self.start_deadline and self.splay > self.start_deadline - self.tick * 1000:
            longest = spell(self.start_deadline - self.tick * 1000)
            raise Refused(f"--splay {spell(self.splay)} is too long: the run must start within {longest} of its tick")

    def lease_at(self, voter_time: int) -> int:
        """The length of a lease that is taken or extended at this time of the voters' wall clock."""
        return lease_length(self.next or None, voter_time, self.ttl)

    def left(self, *, started: bool = False) -> int | None:
        """How many ms from now the tick will be late, by this node's clock; None is never. `started`: to be taken over
        from another node.
        """
        start_deadline = self.takeover_deadline if started else self.start_deadline
        return start_deadline - int(self.wall_clock() * 1000) if start_deadline else None

    def too_late(self, ahead: int = 0, *, started: bool = False) -> bool:
        """Whether the tick will be late so many ms from now."""
        left = self.left(started=started)
        return left is not None and left <= ahead

    def ask(self, command: str, *, fair: bool, first: bool) -> "Prepare":
        """What prepare asks with. `first`: the answer counts, as later ones of the same call do not."""
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
            "job": "\t".join((*self._when(), command)),
        }

    def _when(self) -> tuple[str, str]:
        """Schedule and zone, as the record has them."""
        return (self.schedule.text, self.schedule.zone) if self.schedule else ("", "")

    def run(self, pid: int, command: str) -> "RunFields":
        """What the record tells of the run."""
        schedule, zone = self._when()
        return {
            "node": self.node,
            "pid": pid,
            "command": command,
            "schedule": schedule,
            "zone": zone,
            "next": self.next,
            "retention": self.retention,
        }


def lease_length(next_tick: int | None, voter_now_ms: int, ttl_ms: int | None) -> int:
    """The length of a lease that is taken or extended now, by the voters' clocks.

    `next_tick` is None for a run without a tick, and for a tick without a schedule.
    """
    if ttl_ms is not None:
        return ttl_ms
    if next_tick is None:
        return LEASE_PLAIN
    return min(max(next_tick * 1000 - LEASE_MARGIN - voter_now_ms, LEASE_MIN), LEASE_MAX)


def shortest_lease(next_tick: int | None, ttl_ms: int | None) -> int:
    """The shortest lease that a run can come to when it is extended: the one that must pass check_lease."""
    return lease_length(next_tick, (next_tick or 0) * 1000, ttl_ms)


def kill_after_default(lease_ms: int) -> int:
    """The time between SIGTERM and SIGKILL when none was given."""
    return min(KILL_AFTER, lease_ms // 3)


def check_lease(lease_ms: int, kill_after_ms: int | None) -> None:
    """Refuse a lease that is over an hour, or of which stopping the command takes about half or more.

    It is extended when a third has gone, and a late answer must still find it valid: what remains after drift (1 %)
    and stopping has to be more than half. `kill_after_ms` is None for the default, which grows with the lease.
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
    raise Refused(f"a lease of {spell(lease_ms)} is too short {what}: give {advice}")


def _leaves_half(lease_ms: int, kill_after_ms: int | None) -> bool:
    kill_after = kill_after_default(lease_ms) if kill_after_ms is None else kill_after_ms
    return 49 * lease_ms > 100 * (kill_after + STOP_MARGIN)  # 0.99 - 0.5 of it, in whole numbers


def outage_window(period_s: int | None) -> int:
    """How long to keep trying while no quorum answers: a tenth of the period; None is a run without ticks."""
    if period_s is None:
        return OUTAGE_MIN
    return min(max(period_s * 100, OUTAGE_MIN), OUTAGE_MAX)
