"""Plain schedules, evaluated without cronsim: equal to cronsim, and left to cronsim near changes of the clock."""

import os
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cronlock.cron.plain_schedule import BOUNDS, parse_plain_fields
from cronlock.cron.schedule import Schedule

CHANGING = {  # zones, and moments at which their clocks changed, or change by a rule
    "Europe/Berlin": "2026-03-29 2026-10-25",
    "America/New_York": "2026-03-08 2026-11-01",
    "Australia/Lord_Howe": "2026-04-05 2026-10-04",  # by half an hour
    "America/Havana": "2026-03-08 2026-11-01",  # the first hour of a day comes twice
    "America/St_Johns": "2010-11-07",  # a minute after midnight, back to the day before
    "America/Sao_Paulo": "2018-02-18 2018-11-04",  # at midnight
    "Africa/Casablanca": "2026-02-15 2026-03-22",
    "Pacific/Apia": "2011-12-30 2012-04-01",  # a day was left out
    "Asia/Kathmandu": "1986-01-01",
    "UTC": "2026-11-20",
}


@pytest.fixture(autouse=True)
def libc_time() -> Iterator[None]:
    """libc's local time is put back afterwards."""
    before = os.environ.get("TZ")
    yield
    os.environ.pop("TZ", None)
    if before is not None:
        os.environ["TZ"] = before
    time.tzset()


def move_to(zone: str) -> None:
    os.environ["TZ"] = zone
    time.tzset()


def fields(least: int, most: int) -> "st.SearchStrategy[str]":
    """Return the texts of a field. What is made once is drawn from faster than what is made in each draw."""
    number, step = st.integers(least, most), st.integers(1, 25).map(str)
    span = st.tuples(number, number).map(sorted).filter(lambda ends: ends[0] < ends[1]).map("{0[0]}-{0[1]}".format)
    item = st.one_of(
        number.map(str),
        st.just("*"),
        span,
        st.builds("{}/{}".format, span, step),
        step.map("*/{}".format),
        number.map("{:02}".format),
    )
    return st.lists(item, min_size=1, max_size=3).map(",".join)


EXPRESSIONS = st.tuples(*(fields(*bounds) for bounds in BOUNDS)).map(" ".join)


def moments() -> "st.SearchStrategy[tuple[str, int]]":
    """Return a zone and an instant, mostly near one at which its clock changes."""
    begins = [
        (zone, int(datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(zone)).timestamp()))
        for zone, days in sorted(CHANGING.items())
        for day in days.split()
    ]
    seconds = st.one_of(st.integers(-200_000, 200_000), st.integers(-50_000_000, 50_000_000))
    return st.builds(lambda begin, after: (begin[0], begin[1] + after), st.sampled_from(begins), seconds)


@settings(max_examples=400, deadline=None)
@example(expression="0 0 30 * 0", moment=("Pacific/Apia", 1_325_239_200), later=False)  # a day that was left out
@example(expression="0 5 30,31 * *", moment=("Pacific/Apia", 1_325_150_000), later=True)
@given(expression=EXPRESSIONS, moment=moments(), later=st.booleans())
def test_it_says_what_cronsim_says(expression: str, moment: tuple[str, int], later: bool) -> None:
    """With TZ in its environment, Schedule asks cronsim and the zone data of Python; here libc is asked the same."""
    zone, at = moment
    move_to(zone)
    known = parse_plain_fields(expression)
    if known is None:  # it may never come
        return
    found = known.nearest(at, later=later)
    schedule = Schedule([expression], zone)
    assert found in (None, schedule.after(at) if later else schedule.tick(at - 5))


@settings(max_examples=100, deadline=None)
@given(expression=EXPRESSIONS, at=st.integers(10**9, 4 * 10**9), later=st.booleans())
def test_it_answers_wherever_the_clock_never_changes(expression: str, at: int, later: bool) -> None:
    """Unless a match is more than a year away: 29 February."""
    move_to("UTC")
    known = parse_plain_fields(expression)
    assert known is None or known.nearest(at, later=later) is not None or expression.split()[2:4] != ["*", "*"]


NOT_PLAIN = (
    "0 0 30 2 *; 0 0 29 2 *; 0 0 31 4,6 *; 0 0 L * *; 0 0 * * 1#2; 0 0 * jan *; 0 0 * * mon; 5/10 * * * *"
    "; 5-5/2 * * * *; 60 * * * *; * 24 * * *; * * 0 * *; * * * 13 *; * * * * 8; 5-1 * * * *; */0 * * * *; 1- * * * *"
    "; -1 * * * *; , * * * *; 1,,2 * * * *; */ * * * *; \u00b2 * * * *; 001 * * * *; ** * * * *; 1-2-3 * * * *"
    "; */2/2 * * * *; *-5 * * * *"
).split("; ")


@pytest.mark.parametrize("expression", NOT_PLAIN)
def test_what_is_not_plain_is_left_to_cronsim(expression: str) -> None:
    """Words, cronsim's own signs, wrong fields, and days that a year may not have."""
    assert parse_plain_fields(expression) is None


@pytest.mark.parametrize("zone", sorted(set(CHANGING) - {"UTC", "Asia/Kathmandu"}))
def test_a_day_on_which_the_clock_changes_is_left_to_cronsim(zone: str) -> None:
    """A change at the begin, the end or the middle of a day is noticed, in every form of the change."""
    move_to(zone)
    every_minute = parse_plain_fields("* * * * *")
    assert every_minute
    for day in CHANGING[zone].split():
        change = datetime.fromisoformat(day).replace(hour=12, tzinfo=ZoneInfo(zone))
        around = [int((change + timedelta(hours=hours)).timestamp()) for hours in (-24, 0, 24)]
        assert None in [every_minute.nearest(at, later=False) for at in around]
        assert every_minute.nearest(around[1] + 3 * 86_400, later=True) == around[1] + 3 * 86_400 + 60
