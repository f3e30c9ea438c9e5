"""Schedules: from expressions and a time zone to ticks. Only this module and explanation.py import cronsim.

This module reads no clock: times are arguments. Ticks are whole epoch seconds in UTC. The only files that it reads are
zone data. Imports are late: cron starts this path, and cronsim and zoneinfo cost 12 and 4 ms.
"""

import os

from cronlock.cron.plain_schedule import parse_plain_fields
from cronlock.errors import Refused

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator, Sequence

    from cronlock.cron.interval import Interval
    from cronlock.cron.plain_schedule import PlainFields

SLACK = 5  # s: cron may fire a moment before a clock steps back; still less than the shortest period, 10 s
TICK_MIN = 10**9  # s: smaller numbers could be minutes or dates; this is September 2001
TICK_MAX = 10**11  # s: larger numbers are milliseconds
JOB_MIN = 26_500_000  # min, May 2020: older controllers wrote seconds, smaller numbers are dates like 20261120
LOCALTIME = "/etc/localtime"
UTC_RULE = b"\nUTC0\n"  # the end of its data: a container may have others put over the file that a link leads to
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
EVERY = "@every"  # interval.py
FIELDS = ("minute", "hour", "day of month", "month", "day of week")


class Schedule:
    """One or more expressions in one zone; an instant of any of them is an instant of the schedule.

    `zone` is an IANA name; an empty one means the zone of cron: /etc/localtime, without regard to the variable TZ.
    Raises Refused for an expression or a zone that can't be understood. `text` and `zone` are for the record and for
    operators.

    Where libc's local time is the zone's, plain expressions need neither cronsim nor zone data of Python's own.
    With aware datetimes the answers of cronsim depend on the start (after a change of half an hour, when midnight is
    skipped, inside a repeated hour, backwards), but all nodes must agree. So cronsim only finds matching wall times,
    and `_instants` applies Debian's rule, cron(8).
    """

    def __init__(self, expressions: "Sequence[str]", zone: str = "") -> None:
        self._expressions = dict(map(_expand, expressions))
        self.text = "; ".join(dict.fromkeys(" ".join(text.split()) for text in expressions))
        self._loaded: dt.tzinfo | None = None
        self._asked = zone
        here = local_name()
        self._local = "TZ" not in os.environ and zone in ("", here)  # libc would follow TZ, cron does not
        if self._local:
            self.zone = here
        else:
            self._loaded, self.zone = load_zone(zone)
        if all(expression.startswith(EVERY) for expression in self._expressions):
            # One text and one zone on all nodes: `status` compares their records.
            self.text, self.zone = "; ".join(self._expressions), UTC_NAMES[0]

    @property
    def _zone(self) -> "dt.tzinfo":
        if self._loaded is None:
            self._loaded = load_zone(self._asked)[0]
        return self._loaded

    def tick(self, now: float) -> int:
        """Return the newest instant that is not after now + SLACK."""
        latest = int(now // 1) + SLACK
        return max(self._nearest(expression, latest, later=False) for expression in self._expressions)

    def after(self, tick: int) -> int:
        """Return the next instant after this one."""
        return min(self._nearest(expression, tick, later=True) for expression in self._expressions)

    def has(self, tick: int) -> bool:
        """Return whether this is an instant of the schedule."""
        return self.tick(tick - SLACK) == tick

    def upcoming(self, tick: int, count: int) -> list[int]:
        """Return the next `count` instants after this one."""
        ticks = [tick]
        for _ in range(count):
            ticks.append(self.after(ticks[-1]))
        return ticks[1:]

    def _nearest(self, expression: str, at: int, *, later: bool) -> int:
        """Return the first instant after `at`, or the last one not after it."""
        known = self._expressions[expression]
        instant = known.nearest(at, later=later) if known and (self._local or known.any_zone) else None
        return self._by_cronsim(expression, at, later=later) if instant is None else instant

    def _by_cronsim(self, expression: str, at: int, *, later: bool) -> int:
        found: list[int] = []
        for wall in self._walls(expression, at, later=later):
            instants = self._instants(expression, wall)
            fitting = [instant for instant in instants if (instant > at) == later]
            found += fitting
            # A repeated wall time may have one instant on each side: then another may still be nearer.
            if instants and len(fitting) == len(instants):
                return min(found) if later else max(found)
        raise Refused(f"schedule {expression!r} never occurs: pass another --schedule")

    def _walls(self, expression: str, at: int, *, later: bool) -> "Iterator[dt.datetime]":
        """Yield matching wall times in order, starting before the first that could lie on the wanted side of `at`."""
        from datetime import datetime, timedelta

        from cronsim import CronSim

        local = datetime.fromtimestamp(at, self._zone)
        first, second = _epoch(local.replace(fold=0)), _epoch(local.replace(fold=1))
        beyond = timedelta(seconds=second - first + 60)  # the length of the repetition, when `at` is inside one
        wall = local.replace(tzinfo=None)
        return CronSim(expression, wall - beyond if later else wall + beyond, reverse=not later)

    def _instants(self, expression: str, wall: "dt.datetime") -> list[int]:
        """Return the instants of a matching wall time by Debian's rule for changes of the clock, cron(8).

        A job with a star in minute or hour follows the clock: never in a skipped hour, twice in a repeated one.
        A job at fixed times runs once: right after the skipped hour, in the first of the repeated ones.
        """
        from datetime import timedelta

        minute, hour = expression.split()[:2]
        fixed = minute[0] != "*" and hour[0] != "*"
        while True:
            first = _epoch(wall.replace(tzinfo=self._zone))
            second = _epoch(wall.replace(tzinfo=self._zone, fold=1))
            if first <= second:  # else the clock skips it (PEP 495)
                return [first] if fixed or first == second else [first, second]
            if not fixed:
                return []
            wall += timedelta(minutes=1)


def _epoch(aware: "dt.datetime") -> int:
    return int(aware.timestamp())


def _expand(text: str) -> "tuple[str, PlainFields | Interval | None]":
    """Return the five fields of an expression or a nickname, and their meaning when they are plain; or an interval.

    Raises Refused for fields that cron or cronsim do not accept.
    """
    fields = text.split()
    shown = repr(" ".join(fields))
    if fields and fields[0][0] == "@":
        if fields == ["@reboot"]:
            raise Refused("'@reboot' is not a schedule: pass --schedule, or --schedule none")
        if fields[0] == EVERY:
            from cronlock.cron.interval import parse_interval

            interval = parse_interval(fields)
            return interval.text, interval
        if len(fields) > 1 or fields[0] not in NICKNAMES:
            raise Refused(f"schedule {shown} is not a nickname that cron knows: write one of {' '.join(NICKNAMES)}")
        return NICKNAMES[fields[0]], parse_plain_fields(NICKNAMES[fields[0]])
    if len(fields) != 5:
        from cronlock.cron.schedule_faults import not_five_fields

        raise Refused(not_five_fields(fields, NICKNAMES))
    for name, field in zip(FIELDS, fields, strict=True):
        if "~" in field:
            raise Refused(
                f"schedule {shown}: {field!r} is random on each host: pass --schedule with one {name} for all nodes"
            )
    known = parse_plain_fields(" ".join(fields))
    if known:
        return " ".join(fields), known
    from datetime import datetime

    from cronsim import CronSim, CronSimError

    try:
        next(CronSim(" ".join(fields), datetime(2000, 1, 1)))
    except (CronSimError, StopIteration, ValueError):  # ValueError: a number too long for int()
        raise Refused(f"schedule {shown}{_bad_field(fields)}") from None
    return " ".join(fields), None


def _bad_field(fields: list[str]) -> str:
    """Return the fault of fields that have no first instant."""
    from datetime import datetime

    from cronsim import CronSim, CronSimError

    for at, field in enumerate(fields):
        alone = ["*"] * len(fields)
        alone[at] = field
        try:
            CronSim(" ".join(alone), datetime(2000, 1, 1))
        except (CronSimError, ValueError):
            return f": bad {FIELDS[at]} field {field!r}"
    return " never occurs: pass another --schedule"  # 30 February, or no instant in 50 years


def load_zone(name: str, localtime: str = LOCALTIME) -> "tuple[dt.tzinfo, str]":
    """Return the zone of this name, and its name for operators; an empty name means the file that cron reads.

    Raises Refused for an unknown name. A missing or damaged file means UTC, as in libc.
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
        raise Refused(f"unknown time zone {name!r}: write a name like Europe/Berlin or UTC") from None


def local_name(path: str = LOCALTIME) -> str:
    """Return the name of the local zone of cron and libc, for operators; "local time" if only its data are known."""
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError:
        return "UTC"
    if data[:4] != b"TZif" or (data[4:5] != b"\0" and data[-1:] != b"\n"):  # from version 2 on there is a last line
        return "UTC"
    name = os.path.realpath(path).partition("/zoneinfo/")[2]
    return "local time" if not name or (name in UTC_NAMES and not data.endswith(UTC_RULE)) else name


def _local_zone(path: str) -> "tuple[dt.tzinfo, str]":
    from datetime import UTC

    name = local_name(path)
    if name in UTC_NAMES:
        return UTC, name
    from zoneinfo import ZoneInfo

    with open(path, "rb") as file:
        return ZoneInfo.from_file(file), name


def parse_tick(text: str, zone: str = "") -> int:
    """Return the tick in a text: ISO 8601 (in `zone` when it has no offset), epoch seconds, or a CronJob's Job.

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
        raise Refused(f"tick {text!r} is out of range: write epoch seconds of ten or eleven digits")
    return tick


def _like_job(text: str) -> bool:
    """Return whether Kubernetes accepts this as a Job's name."""
    return bool(text) and text.isascii() and text.lower() == text and text.replace("-", "").replace(".", "").isalnum()


def _parse_iso(text: str, zone: str) -> int:
    from datetime import datetime

    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        if _like_job(text) and any(letter.isalpha() for letter in text):
            raise Refused(
                f"tick {text!r} contains no time: for a Job made by hand, pass --again instead of --tick and --failover"
            ) from None
        raise Refused(
            f"tick {text!r} is not a time: write ISO 8601, epoch seconds or the name of a CronJob's Job"
        ) from None
    if time.microsecond:
        raise Refused(f"tick {text!r} has a fraction of a second: write whole seconds")
    try:
        if time.tzinfo:
            return _epoch(time)
        tzinfo, name = load_zone(zone)
        first, second = (_epoch(time.replace(tzinfo=tzinfo, fold=fold)) for fold in (0, 1))
    except OverflowError:
        raise Refused(f"tick {text!r} is out of range: write a year from 2001 to 5138") from None
    if first != second:
        count = "twice" if first < second else "never"
        raise Refused(f"tick {text!r} occurs {count} in {name}, where the clock changes: add the offset from UTC")
    return first
