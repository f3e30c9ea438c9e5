"""Schedules, ticks, leases: the judgement of time."""

import os
import re
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import islice, pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cronlock.config.options import duration
from cronlock.cron.schedule import NICKNAMES, SLACK, Schedule, load_zone, parse_tick
from cronlock.errors import Refused
from cronlock.run.plan import (
    LEASE_MAX,
    check_lease,
    kill_after_default,
    lease_length,
    outage_window,
    shortest_lease,
)

NEW_YORK = "America/New_York"
LORD_HOWE = "Australia/Lord_Howe"
ZONES = (
    NEW_YORK,
    "Europe/Berlin",
    LORD_HOWE,
    "Africa/Casablanca",
    "Pacific/Apia",
    "America/Sao_Paulo",
    "UTC",
)


def at(text: str, zone: str = "UTC") -> int:
    """Epoch seconds of a wall time, or of a time with its offset."""
    time = datetime.fromisoformat(text)
    return int((time if time.tzinfo else time.replace(tzinfo=ZoneInfo(zone))).timestamp())


def shown(ticks: list[int], zone: str = "UTC") -> list[str]:
    return [datetime.fromtimestamp(tick, ZoneInfo(zone)).strftime("%m-%d %H:%M%z") for tick in ticks]


def refusal(*expressions: str, zone: str = "UTC") -> str:
    with pytest.raises(Refused) as caught:
        Schedule(expressions, zone)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# Ticks


@pytest.mark.parametrize(
    ("expression", "now", "tick", "following"),
    [
        ("* * * * *", "2026-11-20T12:00:00", "2026-11-20T12:00", "2026-11-20T12:01"),
        ("0 2 * * *", "2026-11-20T02:00:01", "2026-11-20T02:00", "2026-11-21T02:00"),
        ("*/35 * * * *", "2026-11-20T12:36:00", "2026-11-20T12:35", "2026-11-20T13:00"),
        ("0 9-17 * * 1-5", "2026-11-20T17:00:01", "2026-11-20T17:00", "2026-11-23T09:00"),
        ("0 0 1 1 *", "2026-11-20T12:00:00", "2026-01-01T00:00", "2027-01-01T00:00"),
        ("0 0 29 2 *", "2026-11-20T12:00:00", "2024-02-29T00:00", "2028-02-29T00:00"),
        ("0 0 29 2 *", "2096-03-01T12:00:00", "2096-02-29T00:00", "2104-02-29T00:00"),
        ("0 0 29 2 */7", "2026-11-20T12:00:00", "2004-02-29T00:00", "2032-02-29T00:00"),
        ("30 4 * jan MON-fri", "2026-11-20T12:00:00", "2026-01-30T04:30", "2027-01-01T04:30"),
        ("0 0 * * 7", "2026-11-20T12:00:00", "2026-11-15T00:00", "2026-11-22T00:00"),
    ],
)
def test_the_tick_is_the_newest_instant_and_its_successor_the_next(expression, now, tick, following):
    """tick gives the newest instant, after the one that follows it."""
    schedule = Schedule([expression], "UTC")
    assert schedule.tick(at(now)) == at(tick)
    assert schedule.after(at(tick)) == at(following)


@pytest.mark.parametrize(
    ("now", "tick"),
    [
        ("2026-11-20T11:59:54.999", "2026-11-20T11:59"),
        ("2026-11-20T11:59:55", "2026-11-20T12:00"),
        ("2026-11-20T12:00:59", "2026-11-20T12:01"),
        ("2026-11-20T12:00:54.999", "2026-11-20T12:00"),
    ],
)
def test_a_start_up_to_five_seconds_early_belongs_to_the_instant_ahead(now, tick):
    """A clock that steps back after cron fired does not name the tick before."""
    now = datetime.fromisoformat(now).replace(tzinfo=UTC).timestamp()
    assert Schedule(["* * * * *"], "UTC").tick(now) == at(tick)


def test_a_late_start_belongs_to_the_instant_behind():
    """A job that cron started late runs its own tick, not the next."""
    assert Schedule(["0 * * * *"], "UTC").tick(at("2026-11-20T12:59:54")) == at("2026-11-20T12:00")


def test_gaps_are_the_gaps_of_this_tick():
    """Uneven schedules have uneven periods, and each tick knows its own."""
    ticks = [at("2026-11-20T09:00")]
    ticks += Schedule(["0,30 9 * * *"], "UTC").upcoming(ticks[0], 3)
    assert [(b - a) / 3600 for a, b in pairwise(ticks)] == [0.5, 23.5, 0.5]


def test_days_are_both_required_when_a_day_field_begins_with_a_star():
    """Debian's star rule: */2 and Monday is a Monday with an odd date."""
    ticks = Schedule(["0 0 */2 * 1"], "UTC").upcoming(at("2026-11-01T00:00"), 3)
    assert shown(ticks) == ["11-09 00:00+0000", "11-23 00:00+0000", "12-07 00:00+0000"]


def test_either_day_is_enough_when_both_are_given():
    """Debian's star rule: the 13th and Friday are the 13th, and every Friday."""
    ticks = Schedule(["0 0 13 * 5"], "UTC").upcoming(at("2026-12-10T00:00"), 3)
    assert shown(ticks) == ["12-11 00:00+0000", "12-13 00:00+0000", "12-18 00:00+0000"]


@pytest.mark.parametrize(
    ("nickname", "tick"),
    [
        ("@hourly", "2026-11-20T12:00"),
        ("@daily", "2026-11-20T00:00"),
        ("@midnight", "2026-11-20T00:00"),
        ("@weekly", "2026-11-15T00:00"),
        ("@monthly", "2026-11-01T00:00"),
        ("@yearly", "2026-01-01T00:00"),
        ("@annually", "2026-01-01T00:00"),
    ],
)
def test_nicknames_are_those_of_cron(nickname, tick):
    """A nickname has the instants that cron gives it, and is shown as written."""
    schedule = Schedule([nickname], "UTC")
    assert schedule.tick(at("2026-11-20T12:34:00")) == at(tick)
    assert schedule.text == nickname


def test_an_instant_of_any_expression_is_a_tick():
    """Several lines with one key: the newest of all, the next of all."""
    schedule = Schedule(["0 2 * * *", "30  4 * * *", "0 2 * * *"], "UTC")
    assert schedule.text == "0 2 * * *; 30 4 * * *"
    assert schedule.tick(at("2026-11-20T03:00")) == at("2026-11-20T02:00")
    assert schedule.tick(at("2026-11-20T05:00")) == at("2026-11-20T04:30")
    assert shown(schedule.upcoming(at("2026-11-20T02:00"), 2)) == ["11-20 04:30+0000", "11-21 02:00+0000"]


def test_a_schedule_knows_its_instants():
    """has is true for instants alone: not a second or a minute beside them, and not within the slack before them."""
    schedule = Schedule(["0 2 * * *"], "Europe/Berlin")
    tick = at("2026-11-20T02:00", "Europe/Berlin")
    assert schedule.has(tick)
    assert not any(schedule.has(tick + beside) for beside in (-60, -SLACK, -1, 1, SLACK, 60, 3600))


# When the clock changes


def test_a_fixed_job_in_the_skipped_hour_comes_right_after_it():
    """New York, 8 March 2026: 02:30 does not exist, the job runs at 03:00 and only then."""
    ticks = Schedule(["30,45 2 * * *"], NEW_YORK).upcoming(at("2026-03-07T02:40", NEW_YORK), 3)
    assert shown(ticks, NEW_YORK) == ["03-07 02:45-0500", "03-08 03:00-0400", "03-09 02:30-0400"]


def test_a_fixed_job_in_the_repeated_hour_comes_once():
    """New York, 1 November 2026: 01:30 comes twice, the job in the first."""
    schedule = Schedule(["30 1 * * *"], NEW_YORK)
    first = at("2026-11-01T01:30-04:00")
    assert shown(schedule.upcoming(first - 1, 2), NEW_YORK) == ["11-01 01:30-0400", "11-02 01:30-0500"]
    assert schedule.tick(at("2026-11-01T01:30-05:00")) == first
    assert not schedule.has(at("2026-11-01T01:30-05:00"))


def test_the_next_tick_is_never_behind_in_the_repeated_hour():
    """From the second 01:20 the next of a fixed job at 01:45 is tomorrow's."""
    schedule = Schedule(["45 1 * * *", "20 * * * *"], NEW_YORK)
    assert shown([schedule.after(at("2026-11-01T01:20-05:00"))], NEW_YORK) == ["11-01 02:20-0500"]
    assert shown([Schedule(["45 1 * * *"], NEW_YORK).after(at("2026-11-01T01:20-05:00"))], NEW_YORK) == [
        "11-02 01:45-0500"
    ]


def test_a_star_job_follows_the_clock_through_the_skipped_hour():
    """A job with a star in its hours does not come in an hour that does not exist."""
    ticks = Schedule(["30 * * * *"], NEW_YORK).upcoming(at("2026-03-08T00:30", NEW_YORK), 2)
    assert shown(ticks, NEW_YORK) == ["03-08 01:30-0500", "03-08 03:30-0400"]
    ticks = Schedule(["*/30 2 * * *"], NEW_YORK).upcoming(at("2026-03-07T02:30", NEW_YORK), 1)
    assert shown(ticks, NEW_YORK) == ["03-09 02:00-0400"]


def test_a_star_job_comes_twice_in_the_repeated_hour():
    """Both hours count, and from the second one the newest instant may lie in the first."""
    schedule = Schedule(["50 * * * *"], NEW_YORK)
    ticks = schedule.upcoming(at("2026-11-01T00:50", NEW_YORK), 3)
    assert shown(ticks, NEW_YORK) == ["11-01 01:50-0400", "11-01 01:50-0500", "11-01 02:50-0500"]
    assert schedule.tick(at("2026-11-01T01:05-05:00")) == at("2026-11-01T01:50-04:00")


def test_the_nearest_instant_wins_in_the_repeated_hour():
    """With two minutes in the hour the order is that of time, not of the wall clock."""
    schedule = Schedule(["10,50 * * * *"], NEW_YORK)
    assert schedule.tick(at("2026-11-01T01:30-05:00")) == at("2026-11-01T01:10-05:00")
    assert schedule.after(at("2026-11-01T01:30-04:00")) == at("2026-11-01T01:50-04:00")
    assert schedule.after(at("2026-11-01T01:50-04:00")) == at("2026-11-01T01:10-05:00")


def test_a_change_of_half_an_hour_shifts_nothing_later_that_day():
    """Lord Howe, 5 April 2026: noon is at noon, wherever the search begins."""
    schedule = Schedule(["*/10 12 * * *"], LORD_HOWE)
    noon = at("2026-04-05T12:00", LORD_HOWE)
    assert schedule.after(at("2026-04-05T00:00", LORD_HOWE)) == noon
    assert schedule.after(noon - 1) == schedule.tick(noon) == noon


def test_a_skipped_midnight_gives_star_jobs_no_instant():
    """Sao Paulo, 4 November 2018: the hour from 00:00 does not exist."""
    zone = "America/Sao_Paulo"
    ticks = Schedule(["* 0 * * 0"], zone).upcoming(at("2018-11-03T12:00", zone), 1)
    assert shown(ticks, zone) == ["11-11 00:00-0200"]


def test_a_skipped_day_gives_fixed_jobs_its_end():
    """Apia had no 30 December 2011."""
    zone = "Pacific/Apia"
    ticks = Schedule(["0 12 * * *"], zone).upcoming(at("2011-12-29T12:00", zone), 2)
    assert shown(ticks, zone) == ["12-31 00:00+1400", "12-31 12:00+1400"]


# The same, against a minute by minute simulation of cron


def field(low: int, high: int):
    """The text of a cron field and the numbers that it means."""
    number = st.integers(low, high)
    span = st.tuples(number, number).map(sorted).filter(lambda ab: ab[0] < ab[1])
    step = st.integers(1, high)
    numbers = range(low, high + 1)
    return st.one_of(
        st.just(("*", set(numbers))),
        step.map(lambda s: (f"*/{s}", set(numbers[::s]))),
        number.map(lambda n: (str(n), {n})),
        st.sets(number, min_size=1, max_size=4).map(lambda ns: (",".join(map(str, ns)), ns)),
        span.map(lambda ab: (f"{ab[0]}-{ab[1]}", set(range(ab[0], ab[1] + 1)))),
        st.tuples(span, step).map(lambda x: (f"{x[0][0]}-{x[0][1]}/{x[1]}", set(range(x[0][0], x[0][1] + 1, x[1])))),
    )


always = st.just(("*", set(range(32))))
early = st.sets(st.integers(0, 4), min_size=1).map(lambda ns: (",".join(map(str, ns)), ns))  # when clocks change
expressions = st.tuples(
    field(0, 59),
    st.one_of(early, field(0, 23)),
    st.one_of(always, field(1, 31)),
    st.one_of(always, field(1, 12)),
    st.one_of(always, field(0, 7)),
)


@cache
def transitions(zone: str) -> list[int]:
    """Each change of the zone's offset from 2010 to 2029, to the second."""

    def offset(instant: int) -> timedelta | None:
        return datetime.fromtimestamp(instant, ZoneInfo(zone)).utcoffset()

    found = []
    for day in range(at("2010-01-01"), at("2029-12-31"), 86400):
        low, high = day, day + 86400
        if offset(low) == offset(high):
            continue
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if offset(middle) == offset(low) else (low, middle)
        found.append(high)
    return found or [at("2026-03-29T01:00")]


def cron_fires(fields, zone: str, begin: int, end: int) -> list[int]:
    """A model of Debian's cron, which watches the wall clock from minute to minute."""
    texts, (minutes, hours, days, months, weekdays) = zip(*fields, strict=True)
    wild = texts[0][0] == "*" or texts[1][0] == "*"
    both = texts[2][0] == "*" or texts[4][0] == "*"

    def matches(wall: datetime) -> bool:
        if wall.minute not in minutes or wall.hour not in hours or wall.month not in months:
            return False
        day, weekday = wall.day in days, bool({wall.isoweekday(), wall.isoweekday() % 7} & weekdays)
        return (day and weekday) if both else (day or weekday)

    fires = []
    reached = datetime.fromtimestamp(begin - 60, ZoneInfo(zone)).replace(tzinfo=None, fold=0)
    for instant in range(begin, end, 60):
        wall = datetime.fromtimestamp(instant, ZoneInfo(zone)).replace(tzinfo=None, fold=0)
        if wild:
            passed = [wall]
        else:
            passed = [reached + timedelta(minutes=n + 1) for n in range((wall - reached) // timedelta(minutes=1))]
            reached = max(reached, wall)
        if any(map(matches, passed)):
            fires.append(instant)
    return fires


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(ZONES), st.integers(0, 99), expressions, st.integers(-7_500, 7_500))
@example(LORD_HOWE, 32, [("*", set(range(60))), ("2", {2}), *[("*", set(range(32)))] * 3], 0)
def test_ticks_are_those_of_cron_around_each_change_of_the_clock(zone, which, fields, beside):
    """tick, after and has agree with the simulation for any expression at any second near a change."""
    changes = transitions(zone)
    change = changes[which % len(changes)]
    now = change + beside
    try:
        schedule = Schedule([" ".join(text for text, _ in fields)], zone)
    except Refused:
        return  # 31 June and the like
    fires = cron_fires(fields, zone, change - 86400 - change % 60, change + 86400)
    past = [instant for instant in fires if instant <= now + SLACK]
    future = [instant for instant in fires if instant > now + SLACK]
    tick = schedule.tick(now)
    following = schedule.after(tick)
    assert tick == past[-1] if past else tick < change - 86400
    assert following == future[0] if future else following >= change + 86400
    assert schedule.upcoming(tick, len(future[:100])) == future[:100]
    assert schedule.has(now - now % 60) == (now - now % 60 in fires)


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(ZONES),
    st.integers(0, 99),
    st.lists(expressions, min_size=1, max_size=3),
    st.integers(-9_000, 9_000),
)
def test_a_tick_and_its_successor_enclose_the_present(zone, which, lines, beside):
    """For several expressions: nothing lies between tick and after, and every node finds both from either end."""
    changes = transitions(zone)
    now = changes[which % len(changes)] + beside
    try:
        schedule = Schedule([" ".join(text for text, _ in fields) for fields in lines], zone)
    except Refused:
        return
    tick = schedule.tick(now)
    following = schedule.after(tick)
    assert tick <= now + SLACK < following
    assert schedule.has(tick)
    assert schedule.has(following)
    assert schedule.tick(following) == following
    assert schedule.tick(following - SLACK - 1) == tick
    assert schedule.after(following - 1) == schedule.after(now + SLACK) == following


@pytest.mark.parametrize("zone", [NEW_YORK, "Europe/Berlin"])
@pytest.mark.parametrize(
    "expression", ["30 2 * * *", "30 1 * * *", "*/20 * * * *", "15 * * * *", "0 3 * * 0", "5 1-3 * * *"]
)
def test_ticks_are_those_of_cronsim_going_forward(zone, expression):
    """From days before a change of a whole hour, cronsim's own rule gives the same instants."""
    for change in transitions(zone)[:4]:
        start = change - 3 * 86400
        theirs = CronSim(expression, datetime.fromtimestamp(start, ZoneInfo(zone)))
        ours = Schedule([expression], zone).upcoming(start, 150)
        assert ours == [int(time.timestamp()) for time in islice(theirs, 150)]


# Refusals


@pytest.mark.parametrize(
    ("expression", "name", "bad"),
    [
        ("61 * * * *", "minute", "61"),
        ("* 24 * * *", "hour", "24"),
        ("* * 0 * *", "day of month", "0"),
        ("* * * foo *", "month", "foo"),
        ("* * * * 8", "day of week", "8"),
        ("0 5-1 * * *", "hour", "5-1"),
        ("*/0 * * * *", "minute", "*/0"),
        ("1, * * * *", "minute", "1,"),
        ("* * * * ?", "day of week", "?"),
        ("9" * 5000 + " * * * *", "minute", "9" * 5000),
    ],
)
def test_a_bad_field_is_named(expression, name, bad):
    """The message has the expression, the field's name as cron says it, and the text that is wrong."""
    assert refusal("0 2 * * *", expression) == f"schedule {expression!r}: bad {name} field {bad!r}"


@pytest.mark.parametrize(
    ("expression", "count"), [("* * * *", "4 fields"), ("0 0 2 * * *", "6 fields"), ("", "0 fields"), ("x", "1 field")]
)
def test_a_schedule_has_five_fields(expression, count):
    """No seconds, no years."""
    assert refusal(expression).startswith(f"schedule {expression!r} has {count}: write five")


def test_reboot_is_no_schedule():
    """@reboot has no instants."""
    assert refusal("@reboot").startswith("'@reboot' is not a schedule: pass --schedule")


@pytest.mark.parametrize("text", ["@fortnightly", "@Daily", "@daily 5", "@"])
def test_an_unknown_nickname_is_refused_with_the_known_ones(text):
    """A mistyped nickname is answered with the known ones."""
    assert all(known in refusal(text) for known in (*NICKNAMES, repr(text)))


@pytest.mark.parametrize(("expression", "name"), [("6~15 * * * *", "minute"), ("0 ~ * * *", "hour")])
def test_a_random_field_is_refused(expression, name):
    """Each host would draw another instant: cronlock can't know which."""
    assert f"is random on each host: pass --schedule with one {name} for all nodes" in refusal(expression)


@pytest.mark.parametrize("expression", ["0 0 30 2 *", "0 0 31 4,6 *", "0 0 */40 * 0#2"])
def test_a_schedule_without_instants_is_refused(expression):
    """A job that would never run is a mistake, and is refused at once."""
    assert refusal(expression) == f"schedule {expression!r} never occurs: pass another --schedule"


@pytest.mark.parametrize(
    "zone",
    ["Mars/Base", "../x", "/etc/passwd", "America", "Europe/Berlin/", "tzdata.zi", "a\0b", "\udc80", "x" * 9000, "."],
)
def test_an_unknown_zone_is_refused(zone):
    """Whatever zoneinfo raises, the operator reads one line."""
    assert refusal("0 2 * * *", zone=zone).startswith(f"unknown time zone {zone!r}")


@given(st.text())
def test_a_schedule_of_any_text_is_taken_or_refused(text):
    """No text ends in a traceback."""
    with suppress(Refused):
        assert Schedule([text], "UTC").tick(at("2026-11-20"))


# The zone


def test_without_a_name_the_zone_is_that_of_localtime(tmp_path):
    """The file decides, and its link gives the name that people read."""
    link = tmp_path / "localtime"
    link.symlink_to("/usr/share/zoneinfo/Europe/Berlin")
    zone, name = load_zone("", str(link))
    assert name == "Europe/Berlin"
    assert datetime(2026, 7, 1, tzinfo=zone).utcoffset() == timedelta(hours=2)
    copy = tmp_path / "copy"
    copy.write_bytes(link.read_bytes())
    zone, name = load_zone("", str(copy))
    assert name == "local time"
    assert datetime(2026, 7, 1, tzinfo=zone).utcoffset() == timedelta(hours=2)


def test_the_data_decide_where_the_name_says_utc(tmp_path):
    """A container's link leads to UTC, and the host's zone is put over the file at its end."""
    data = tmp_path / "zoneinfo" / "Etc" / "UTC"
    data.parent.mkdir(parents=True)
    data.write_bytes(Path("/usr/share/zoneinfo/Europe/Berlin").read_bytes())
    link = tmp_path / "localtime"
    link.symlink_to(data)
    zone, name = load_zone("", str(link))
    assert name == "local time"
    assert datetime(2026, 7, 1, tzinfo=zone).utcoffset() == timedelta(hours=2)
    data.write_bytes(Path("/usr/share/zoneinfo/Etc/UTC").read_bytes())
    assert load_zone("", str(link)) == (UTC, "Etc/UTC")


CUT = Path("/usr/share/zoneinfo/Europe/Berlin").read_bytes().rstrip(b"\n")


@pytest.mark.parametrize("content", [None, b"", b"junk", b"TZif2", CUT, CUT[:-20]])
def test_without_a_readable_localtime_the_zone_is_utc(tmp_path, content):
    """libc, and so cron, takes a missing or damaged file for UTC."""
    path = tmp_path / "localtime"
    if content is not None:
        path.write_bytes(content)
    assert load_zone("", str(path)) == (UTC, "UTC")


def python(code: str, **environment: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], env=os.environ | environment, capture_output=True, text=True, check=True
    ).stdout


@pytest.mark.parametrize("zone", ["", "Europe/Berlin"])
def test_the_variable_tz_is_not_asked(zone):
    """TZ reaches the command, not cron: it moves neither ticks nor times without an offset."""
    code = (
        "from cronlock.cron.schedule import Schedule, parse_tick\n"
        f"schedule = Schedule(['0 2 * * *'], {zone!r})\n"
        f"print(schedule.tick(1_800_000_000), schedule.zone, parse_tick('2026-11-20T02:00', {zone!r}))"
    )
    assert python(code, TZ="Asia/Tokyo") == python(code, TZ="America/Lima")
    assert python(code, TZ="Asia/Tokyo").split()[0] == str(Schedule(["0 2 * * *"], zone).tick(1_800_000_000))


def test_importing_the_module_imports_nothing_dear():
    """Imports delay a run: cronsim, zoneinfo and datetime are imported only for a schedule."""
    code = (
        "import sys; before = set(sys.modules); import cronlock.cron.schedule; "
        "print(*sorted(m for m in set(sys.modules) - before if not m.startswith('cronlock')))"
    )
    assert python(code).split() == []


def test_utc_needs_no_zone_data():
    """Small images have none, and most servers are in UTC: zoneinfo stays unread."""
    code = (
        "import sys; from cronlock.cron.schedule import Schedule; Schedule(['0 2 * * *'], 'UTC').tick(1.8e9); "
        "print('zoneinfo' in sys.modules, 'cronsim' in sys.modules)"
    )
    assert python(code).split() == ["False", "True"]


# --tick


@pytest.mark.parametrize(
    ("text", "zone", "tick"),
    [
        ("2026-11-20T02:00", "UTC", "2026-11-20T02:00"),
        ("2026-11-20 02:00:30", "UTC", "2026-11-20T02:00:30"),
        ("2026-11-20T02:00Z", NEW_YORK, "2026-11-20T02:00"),
        ("2026-11-20T02:00+01:00", NEW_YORK, "2026-11-20T01:00"),
        ("2026-11-20T02:00", NEW_YORK, "2026-11-20T07:00"),
        ("2026-11-20", "Europe/Berlin", "2026-11-19T23:00"),
        ("1000000000", "Mars/Base", "2001-09-09T01:46:40"),
        ("1795140000", NEW_YORK, "2026-11-20T02:00"),
        ("nightly-29919000", "Mars/Base", "2026-11-20T02:00"),
        ("a.b-2-29919000", "UTC", "2026-11-20T02:00"),
        ("nightly-100000000", "UTC", "2160-02-18T10:40"),
        ("2026-11-01T01:30-05:00", NEW_YORK, "2026-11-01T06:30"),
    ],
)
def test_a_tick_is_read_from_iso_8601_epoch_seconds_or_a_job(text, zone, tick):
    """The zone matters only to a time without its offset."""
    assert parse_tick(text, zone) == at(tick)


@pytest.mark.parametrize("text", ["nightly-manual-x7k", "nightly", "nightly-20261120", "nightly-1234567890", "db-7"])
def test_a_job_made_by_hand_has_no_tick(text):
    """A Job's name without epoch minutes, or with a date in their place, is refused with the cure."""
    with pytest.raises(Refused, match="made by hand, pass --again instead of --tick"):
        parse_tick(text, "UTC")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("999999999", "out of range"),
        ("20261120", "out of range"),
        ("29919000", "out of range"),
        ("1795140000000", "out of range"),
        ("9" * 5000, "is not a time"),
        ("", "is not a time"),
        ("-29919000", "is not a time"),
        ("Nightly-29919000", "is not a time"),
        ("2026-13-40", "is not a time"),
        ("2026-11-20T25:00", "is not a time"),
        ("1999-12-31T00:00Z", "out of range"),
        ("0001-01-01T00:00", "out of range"),
        ("9999-12-31T23:59", "out of range"),
        ("2026-11-20T02:00:00.5", "fraction of a second"),
        ("\u0661" * 10, "is not a time"),
        ("2026-03-08T02:30", "never in America/New_York"),
        ("2026-11-01T01:30", "twice in America/New_York"),
    ],
)
def test_what_is_no_tick_is_refused(text, why):
    """Nothing is guessed: each text means one second or is refused in one line."""
    with pytest.raises(Refused, match=why) as caught:
        parse_tick(text, NEW_YORK)
    assert "\n" not in str(caught.value)


def test_a_naive_tick_in_an_unknown_zone_is_refused():
    """The zone is judged where it is needed."""
    with pytest.raises(Refused, match="unknown time zone 'Mars/Base'"):
        parse_tick("2026-11-20T02:00", "Mars/Base")


@given(st.text() | st.from_regex(r"[0-9TZ:+-]{1,30}", fullmatch=True))
def test_a_tick_of_any_text_is_read_or_refused(text):
    """No text ends in a traceback."""
    with suppress(Refused):
        assert 10**9 <= parse_tick(text, NEW_YORK) < 10**11


# Leases


@pytest.mark.parametrize(
    ("left", "length"),
    [
        (60_000, 58_000),
        (59_999, 57_999),
        (32_001, 30_001),
        (32_000, 30_000),
        (31_999, 30_000),
        (1, 30_000),
        (0, 30_000),
        (-86_400_000, 30_000),
        (3_602_000, 3_600_000),
        (3_602_001, 3_600_000),
        (86_400_000, 3_600_000),
    ],
)
def test_a_lease_ends_two_seconds_before_the_next_tick(left, length):
    """In the voters' time, at least 30 s and at most an hour, when it is taken and when it is extended."""
    next_tick = at("2026-11-20T12:00")
    assert lease_length(next_tick, next_tick * 1000 - left, None) == length


def test_a_lease_without_a_next_tick_is_a_minute():
    """Neither a plain mutex nor a tick without a schedule knows when it must be free."""
    assert lease_length(None, 1_800_000_000_000, None) == 60_000


@pytest.mark.parametrize("next_tick", [None, 1_800_000_060])
def test_a_lease_that_was_given_is_taken(next_tick):
    """--ttl beats every rule."""
    assert lease_length(next_tick, 1_800_000_000_000, 90_000) == 90_000


def test_the_shortest_lease_is_that_of_an_overrun():
    """A command that runs past the next tick has 30 s at a time: stopping it must fit into that."""
    assert shortest_lease(1_800_000_000, None) == 30_000
    assert shortest_lease(None, None) == 60_000
    assert shortest_lease(1_800_000_000, 90_000) == 90_000


@pytest.mark.parametrize(("lease", "length"), [(60_000, 10_000), (30_000, 10_000), (29_999, 9_999), (7_000, 2_333)])
def test_kill_after_is_ten_seconds_or_a_third_of_the_lease(lease, length):
    """A short lease leaves less time to stop."""
    assert kill_after_default(lease) == length


@pytest.mark.parametrize(
    ("lease", "kill_after", "fits"),
    [
        (100_000, 47_999, True),
        (100_000, 48_000, False),
        (30_000, 10_000, True),
        (30_000, 13_699, True),
        (30_000, 13_700, False),
        (7_000, 2_333, True),
        (6_000, 2_000, False),
        (2_041, 0, True),
        (2_040, 0, False),
        (LEASE_MAX, 600_000, True),
    ],
)
def test_a_lease_must_leave_more_than_half_after_stopping(lease, kill_after, fits):
    """0.99 of the lease less kill-after and a second is more than half of the lease."""
    assert fits == (0.99 * lease - kill_after - 1000 > lease / 2)
    if fits:
        check_lease(lease, kill_after)
    else:
        with pytest.raises(Refused, match="is too short for --kill-after"):
            check_lease(lease, kill_after)


@given(st.integers(1, LEASE_MAX), st.integers(0, 10**8) | st.none())
def test_what_the_refusal_of_a_lease_advises_is_accepted(lease, kill_after):
    """Each way out that the message names leads out."""
    try:
        check_lease(lease, kill_after)
    except Refused as error:
        advice = str(error).partition(": pass ")[2]
    else:
        return
    ttl, stop = (re.search(rf"{name} (\S+)", advice) for name in ("--ttl", "--kill-after"))
    assert ttl or stop
    if " and " in advice:
        check_lease(duration(ttl[1]), duration(stop[1]))
        return
    if ttl:
        check_lease(duration(ttl[1]), kill_after)
    if stop:
        check_lease(lease, duration(stop[1]))


def test_a_lease_over_an_hour_is_refused():
    """Nobody waits longer than that for a dead node."""
    with pytest.raises(Refused, match="--ttl 3601s is too long: at most 1h"):
        check_lease(LEASE_MAX + 1000, 10_000)


@pytest.mark.parametrize(
    ("period", "window"),
    [(None, 30_000), (60, 30_000), (300, 30_000), (301, 30_100), (3600, 360_000), (9000, 900_000), (86400, 900_000)],
)
def test_the_outage_window_is_a_tenth_of_the_period(period, window):
    """At least 30 s, at most 15 minutes; 30 s without ticks."""
    assert outage_window(period) == window
