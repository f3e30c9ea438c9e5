"""The schedules that most crontab lines have, evaluated without cronsim, whose import is a third of a run's start.

A plain expression has numbers, *, ranges, steps and lists; its days are walked on libc's local time. cronsim evaluates
every other expression (schedule.py), and every matching day with a change of the clock in it or near it. A property
test holds the two equal.
"""

from time import localtime, mktime

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from time import struct_time

BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
EVERY_MONTH = 28  # the days that every month has
DAYS = 400  # more than a year: so many are walked
DAY = 86_400  # s


class PlainFields:
    """The five fields of an expression, each as the numbers that it matches, in order."""

    any_zone = False  # the instants are those of libc's local time

    def __init__(self, fields: list[list[int]], day_and: bool) -> None:
        self._minutes, self._hours, self._days, self._months, weekdays = fields
        self._weekdays = {(day + 6) % 7 for day in weekdays}  # localtime() begins with Monday
        self._day_and = day_and  # both must match: the rule of cron(8) if one of the two fields begins with a star

    def nearest(self, at: int, *, later: bool) -> int | None:
        """Return the first instant after `at`, or the last one not after it; None when only cronsim knows."""
        year, month, today = localtime(at)[:3]
        before = 0.0
        for count in range(DAYS):
            noon = mktime((year, month, today + (count if later else -count), 12, 0, 0, 0, 0, -1))
            if noon == before:  # a day that the zone left out, as Apia did on 30 December 2011
                return None
            before, day = noon, localtime(noon)
            if self._matches(day):
                midnight = _midnight(day)
                if midnight is None:
                    return None
                found = self._within(midnight, at, later=later)
                if found is not None:
                    return found
        return None

    def _matches(self, day: "struct_time") -> bool:
        if day.tm_mon not in self._months:
            return False
        found = (day.tm_mday in self._days, day.tm_wday in self._weekdays)
        return all(found) if self._day_and else any(found)

    def _within(self, midnight: int, at: int, *, later: bool) -> int | None:
        step = 1 if later else -1
        for hour in self._hours[::step]:
            begin = midnight + hour * 3_600
            if begin + 3_540 <= at if later else begin > at:
                continue
            for minute in self._minutes[::step]:
                instant = begin + minute * 60
                if (instant > at) == later:
                    return instant
        return None


def parse_plain_fields(expression: str) -> PlainFields | None:
    """Return the meaning of five fields; None when they are not plain, are wrong, or may have no instant."""
    texts = expression.split()
    fields = [_numbers(text, *bounds) for text, bounds in zip(texts, BOUNDS, strict=True)]
    if not all(fields) or (fields[2][0] > EVERY_MONTH and texts[3] != "*"):
        return None
    return PlainFields(fields, texts[2][0] == "*" or texts[4][0] == "*")


def _numbers(text: str, least: int, most: int) -> list[int]:
    """Return the numbers that a field matches, in order; an empty list when it is not plain."""
    found: set[int] = set()
    for item in text.split(","):
        span, slash, step = item.partition("/")
        first, dash, last = span.partition("-")
        if span == "*":
            first, dash, last = str(least), "-", str(most)
        elif not dash:
            last = first
        words = (first, last, step or "1")
        if not all(word.isascii() and word.isdigit() and len(word) < 3 for word in words) or (slash and not step):
            return []
        low, high, by = map(int, words)
        if not least <= low <= high <= most or not by or (slash and low == high):
            return []
        found.update(range(low, high + 1, by))
    return sorted(found)


def _midnight(day: "struct_time") -> int | None:
    """Return the begin of this day; None if the clock changes between the noon before it and the noon after it.

    A change just outside the day may repeat or skip times of it: St. John's once went from 0:01 back to 23:01.
    """
    begin = int(mktime((*day[:3], 0, 0, 0, 0, 0, -1)))
    around = [localtime(begin + half * DAY // 2) for half in (-1, 0, 1, 2, 3)]
    steady = len({moment.tm_gmtoff for moment in around}) == 1
    return begin if steady and around[1][:6] == (*day[:3], 0, 0, 0) else None
