"""Judges time: schedule -> tick, next tick, lease; the only module that imports cronsim.

No clock is read here: times are arguments. Ticks are whole epoch seconds in UTC, lengths are milliseconds. Zone data
is the one thing read from files. Imports are late: cron starts this path, and cronsim and zoneinfo cost 12 and 4 ms.
"""

from cronlock.errors import Refused
from cronlock.options import spell

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator, Sequence

SLACK = 5  # s: cron may fire a moment before a clock steps back; still far below a minute, the smallest period
LEASE_MIN = 30_000  # ms: leaves 18.7 s to extend in when the command needs its 10 s to stop
LEASE_MAX = 3_600_000  # ms: an outage may last so long, and a crash may block the work for so long
LEASE_PLAIN = 60_000  # ms: without a next tick nothing but a dead node waits for its end
LEASE_FAILOVER = 30_000  # ms: a dead node's tick goes on elsewhere so much later
LEASE_MARGIN = 2_000  # ms: a lease ends so long before the next tick, so that a dead node's does not cost that tick
KILL_AFTER = 10_000  # ms: docker stop and supervisord wait as long
STOP_MARGIN = 1_000  # ms: to notice that the command must stop, and to reap it
OUTAGE_MIN = 30_000  # ms: a failover of sentinels or of a cluster is over by then
OUTAGE_MAX = 900_000  # ms: a person should hear about it after that
TICK_MIN = 10**9  # s: smaller numbers could be minutes or dates; this is September 2001
TICK_MAX = 10**11  # s: larger numbers are milliseconds
JOB_MIN = 26_500_000  # min, May 2020: older controllers wrote seconds, smaller numbers are dates like 20261120
LOCALTIME = "/etc/localtime"
UTC_NAMES = ("UTC", "Etc/UTC")  # need no zone data, which small images lack, and no zoneinfo

NICKNAMES = {  # as in crontab(5)
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
FIELDS = ("minute", "hour", "day of month", "month", "day of week")


class Schedule:
    """One or more expressions in one zone; an instant of any of them is an instant of the schedule.

    `zone` is an IANA name; empty, it is what cron uses: /etc/localtime, whatever the variable TZ says. Raises Refused
    for an expression or a zone that can't be understood. `text` and `zone` are for the record and for people.

    What cronsim says of aware datetimes depends on where it starts (after a change of half an hour, when midnight is
    skipped, inside a repeated hour, backwards), and all nodes must agree. So cronsim only finds matching wall times,
    and Debian's rule, cron(8), stands in `_instants`.
    """

    def __init__(self, expressions: "Sequence[str]", zone: str = "") -> None:
        self._expressions = list(dict.fromkeys(_expand(text) for text in expressions))
        self.text = "; ".join(dict.fromkeys(" ".join(text.split()) for text in expressions))
        self._zone, self.zone = load_zone(zone)

    def tick(self, now: float) -> int:
        """The newest instant that is not after now + SLACK."""
        latest = int(now // 1) + SLACK
        return max(self._nearest(expression, latest, later=False) for expression in self._expressions)

    def after(self, tick: int) -> int:
        """The next instant after this one."""
        return min(self._nearest(expression, tick, later=True) for expression in self._expressions)

    def has(self, tick: int) -> bool:
        """Whether this is an instant of the schedule."""
        return self.tick(tick - SLACK) == tick

    def upcoming(self, tick: int, count: int) -> list[int]:
        """The next `count` instants after this one."""
        ticks = [tick]
        for _ in range(count):
            ticks.append(self.after(ticks[-1]))
        return ticks[1:]

    def _nearest(self, expression: str, at: int, *, later: bool) -> int:
        """The first instant after `at`, or the last one not after it."""
        found: list[int] = []
        for wall in self._walls(expression, at, later=later):
            instants = self._instants(expression, wall)
            fitting = [instant for instant in instants if (instant > at) == later]
            found += fitting
            # A wall time that comes twice may have one instant on each side: then another may still be nearer.
            if instants and len(fitting) == len(instants):
                return min(found) if later else max(found)
        raise Refused(f"schedule {expression!r} never comes")

    def _walls(self, expression: str, at: int, *, later: bool) -> "Iterator[dt.datetime]":
        """Wall times that match, in order, from just beyond any that could be `at` or lie on its other side."""
        from datetime import datetime, timedelta

        from cronsim import CronSim

        local = datetime.fromtimestamp(at, self._zone)
        first, second = _epoch(local.replace(fold=0)), _epoch(local.replace(fold=1))
        beyond = timedelta(seconds=second - first + 60)  # the length of the repetition, when `at` is inside one
        wall = local.replace(tzinfo=None)
        return CronSim(expression, wall - beyond if later else wall + beyond, reverse=not later)

    def _instants(self, expression: str, wall: "dt.datetime") -> list[int]:
        """When a matching wall time comes: Debian's rule for changes of the clock, cron(8).

        A job with a star in minute or hour follows the clock: never in a skipped hour, twice in a repeated one.
        One at fixed times runs once: right after the skipped hour, in the first of the repeated ones.
        """
        from datetime import timedelta

        minute, hour = expression.split()[:2]
        fixed = minute[0] != "*" and hour[0] != "*"
        while True:
            first = _epoch(wall.replace(tzinfo=self._zone))
            second = _epoch(wall.replace(tzinfo=self._zone, fold=1))
            if first <= second:  # else the clock skips it, as PEP 495 has it
                return [first] if fixed or first == second else [first, second]
            if not fixed:
                return []
            wall += timedelta(minutes=1)


def _epoch(aware: "dt.datetime") -> int:
    return int(aware.timestamp())


def _expand(text: str) -> str:
    """The five fields of an expression or a nickname; Refused when cron or cronsim would not take them."""
    from datetime import datetime

    from cronsim import CronSim, CronSimError

    fields = text.split()
    shown = repr(" ".join(fields))
    if fields and fields[0][0] == "@":
        if fields == ["@reboot"]:
            raise Refused("'@reboot' is no schedule: give --schedule, or --schedule none")
        if len(fields) > 1 or fields[0] not in NICKNAMES:
            raise Refused(f"schedule {shown} is no nickname that cron knows: {' '.join(NICKNAMES)}")
        return NICKNAMES[fields[0]]
    if len(fields) != 5:
        raise Refused(f"schedule {shown} has {len(fields)} field{'s' * (len(fields) != 1)}, a schedule has five")
    for name, field in zip(FIELDS, fields, strict=True):
        if "~" in field:
            raise Refused(
                f"schedule {shown}: {field!r} is random to each host, give --schedule with one {name} for all nodes"
            )
    try:
        next(CronSim(" ".join(fields), datetime(2000, 1, 1)))
    except (CronSimError, StopIteration, ValueError):  # ValueError: a number too long for int()
        raise Refused(f"schedule {shown}{_bad_field(fields)}") from None
    return " ".join(fields)


def _bad_field(fields: list[str]) -> str:
    """What is wrong with fields that have no first instant."""
    from datetime import datetime

    from cronsim import CronSim, CronSimError

    for at, field in enumerate(fields):
        alone = ["*"] * len(fields)
        alone[at] = field
        try:
            CronSim(" ".join(alone), datetime(2000, 1, 1))
        except (CronSimError, ValueError):
            return f": bad {FIELDS[at]} field {field!r}"
    return " never comes"  # 30 February; or nothing for 50 years


def load_zone(name: str, localtime: str = LOCALTIME) -> "tuple[dt.tzinfo, str]":
    """The zone of this name, and its name for people; an empty one is read from the file that cron reads.

    Raises Refused when there is no such zone. A file that is missing or damaged means UTC, as it does to libc.
    """
    from datetime import UTC

    if name in UTC_NAMES:
        return UTC, name
    try:
        if not name:
            return _local_zone(localtime)
        from zoneinfo import ZoneInfo

        return ZoneInfo(name), name
    except Exception:  # a wrong path or damaged data raise from six families: KeyError, OSError, struct.error ...
        if not name:
            return UTC, "UTC"
        raise Refused(f"unknown time zone {name!r}: give a name like Europe/Berlin or UTC") from None


def _local_zone(path: str) -> "tuple[dt.tzinfo, str]":
    import os
    from datetime import UTC

    name = os.path.realpath(path).partition("/zoneinfo/")[2]
    if name in UTC_NAMES:
        return UTC, name
    with open(path, "rb") as file:  # before the import, which images without this file are spared
        from zoneinfo import ZoneInfo

        return ZoneInfo.from_file(file), name or "local time"


def parse_tick(text: str, zone: str = "") -> int:
    """The tick that somebody names: ISO 8601 (in `zone` when it has no offset), epoch seconds, or a CronJob's Job.

    Kubernetes ends the name of a CronJob's Job in the scheduled instant in epoch minutes. Raises Refused.
    """
    head, _, tail = text.rpartition("-")
    if text.isascii() and text.isdigit() and len(text) <= 18:
        tick = int(text)
    elif _like_job(head) and tail.isascii() and tail.isdigit() and len(tail) in (8, 9) and int(tail) >= JOB_MIN:
        return int(tail) * 60
    else:
        tick = _parse_iso(text, zone)
    if not TICK_MIN <= tick < TICK_MAX:
        raise Refused(f"tick {text!r} is out of range: epoch seconds have ten or eleven digits")
    return tick


def _like_job(text: str) -> bool:
    """Whether Kubernetes would take this as a Job's name."""
    return bool(text) and text.isascii() and text.lower() == text and text.replace("-", "").replace(".", "").isalnum()


def _parse_iso(text: str, zone: str) -> int:
    from datetime import datetime

    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        if _like_job(text) and any(letter.isalpha() for letter in text):
            raise Refused(
                f"tick {text!r} has no time in it: for a Job that was made by hand, give --again instead of --tick "
                "and --failover"
            ) from None
        raise Refused(
            f"tick {text!r} is no time: give ISO 8601, epoch seconds or the name of a CronJob's Job"
        ) from None
    if time.microsecond:
        raise Refused(f"tick {text!r} has a fraction of a second: ticks are whole seconds")
    try:
        if time.tzinfo:
            return _epoch(time)
        tzinfo, name = load_zone(zone)
        first, second = (_epoch(time.replace(tzinfo=tzinfo, fold=fold)) for fold in (0, 1))
    except OverflowError:
        raise Refused(f"tick {text!r} is out of range") from None
    if first != second:
        what = "twice" if first < second else "never"
        raise Refused(f"tick {text!r} comes {what} in {name}, where the clock changes: add the offset from UTC")
    return first


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
