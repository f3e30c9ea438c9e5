"""What one call is to do, before anything is asked: tick, next tick, lease, time limits. Reads crontabs, no network."""

import time

from cronlock.config import COMMAND_LINE
from cronlock.errors import Refused
from cronlock.lock.record import RETENTION
from cronlock.options import spell
from cronlock.schedule import (
    LEASE_FAILOVER,
    STOP_MARGIN,
    Schedule,
    check_lease,
    kill_after_default,
    lease_length,
    load_zone,
    outage_window,
    parse_tick,
    shortest_lease,
)

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from cronlock.config import Settings

NONE = "none"
ATTEMPTS = 3  # of one tick over all nodes, with --failover: what kills three nodes will kill the next one
FUTURE = 65  # s: a tick further ahead than clocks may differ would stop all real ticks until it comes
NO_SCHEDULE = (
    "no crontab line with this key was found: only overlap is prevented; give --schedule, or --schedule none if meant"
)
NAMELESS = (
    "--each needs a name for this node: give --node; in Kubernetes: "
    "env: [{name: CRONLOCK_NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}]"
)


class Blame:
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
    """The decisions of one call. Ticks are epoch seconds, 0 for none; lengths, `late_at` and `over_at` are ms."""

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
        with Blame(settings, "ttl", "kill-after"):
            check_lease(shortest, None if settings.kill_after is None else self.kill_after)
        self.spare = self.kill_after + STOP_MARGIN
        period = self.next - self.tick if self.next else None
        self.outage_wait = outage_window(period) if settings.outage_wait is None else settings.outage_wait
        ends = [self.next * 1000] if self.next else []
        within = [self.tick * 1000 + settings.start_within] if self.tick and settings.start_within else []
        self.late_at = min([*ends, *within], default=0)
        self.over_at = self.next * 1000 if self.failover else self.late_at  # for a run that takes a tick over
        with Blame(settings, "splay", "start-within"):
            self._check_splay()
        self.retention = max(RETENTION, 3000 * (period or 0))

    def _find_schedule(self, settings: "Settings") -> Schedule | None:
        if settings.schedule == NONE:
            self.schedule_source = settings.source("schedule")
            return None
        if settings.schedule:
            self.schedule_source = settings.source("schedule")
            with Blame(settings, "schedule", "tz"):
                return Schedule([settings.schedule], settings.tz or "")
        if settings.tick:
            return None
        from cronlock.crontab import own_lines

        by_hand = settings.source("each") == COMMAND_LINE
        lines = own_lines(settings.key, settings.mode, default_mode="once" if by_hand else settings.mode)
        if not lines:
            if settings.tz:
                with Blame(settings, "tz"):
                    load_zone(settings.tz)
            if settings.once or settings.each or settings.again or settings.start_within:
                self.note = NO_SCHEDULE
            return None
        self.schedule_source = ", ".join(line.place for line in lines)
        with Blame(settings, "tz"):
            return Schedule([line.fields for line in lines], settings.tz or lines[0].zone)

    def _find_tick(self, settings: "Settings", now: float) -> tuple[int, int]:
        if not settings.tick:
            if not self.schedule:
                return 0, 0
            tick = self.schedule.tick(now)
            return tick, self.schedule.after(tick)
        with Blame(settings, "tick", "tz"):
            tick = parse_tick(settings.tick, settings.tz or "")
        if tick > now + FUTURE:
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
        if self.late_at and self.splay > self.late_at - self.tick * 1000:
            longest = spell(self.late_at - self.tick * 1000)
            raise Refused(f"--splay {spell(self.splay)} is too long: the run must start within {longest} of its tick")

    def lease_at(self, voter_time: int) -> int:
        """The length of a lease that is taken or extended at this time of the voters' wall clock."""
        return lease_length(self.next or None, voter_time, self.ttl)

    def left(self, *, started: bool = False) -> int | None:
        """How many ms from now the tick will be late, by this node's clock; None is never. `started`: to be taken over
        from another node.
        """
        late_at = self.over_at if started else self.late_at
        return late_at - int(self.wall_clock() * 1000) if late_at else None

    def too_late(self, ahead: int = 0, *, started: bool = False) -> bool:
        """Whether the tick will be late so many ms from now."""
        left = self.left(started=started)
        return left is not None and left <= ahead

    def ask(self, command: str, *, fair: bool, first: bool) -> "dict[str, Any]":
        """What prepare asks with. `first`: the answer counts, as later ones of the same call do not."""
        return {
            "node": self.node,
            "time": int(self.wall_clock() * 1000),
            "tick": self.tick,
            "late_at": self.late_at,
            "over_at": self.over_at,
            "attempts": self.attempts,
            "again": int(self.again),
            "fair": int(fair),
            "counts": int(first),
            "job": "\t".join((*self._when(), command)),
        }

    def _when(self) -> tuple[str, str]:
        """Schedule and zone, as the record has them."""
        return (self.schedule.text, self.schedule.zone) if self.schedule else ("", "")

    def run(self, pid: int, command: str) -> "dict[str, Any]":
        """What the record tells of the run."""
        return {
            "node": self.node,
            "pid": pid,
            "command": command,
            **dict(zip(("schedule", "zone"), self._when(), strict=True)),
            "next": self.next,
            "retention": self.retention,
        }
