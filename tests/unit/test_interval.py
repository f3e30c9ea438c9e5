"""Schedules without fields, `@every 90m`, and every schedule in words."""

import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronlock.config.options import OPTIONS, spell
from cronlock.config.settings import load
from cronlock.cron.explanation import in_words
from cronlock.cron.interval import INTERVAL_MAX, INTERVAL_MIN
from cronlock.cron.schedule import NICKNAMES, SLACK, TICK_MAX, TICK_MIN, Schedule
from cronlock.errors import Refused
from cronlock.run.plan import LEASE_MAX, LEASE_MIN, Plan, make_plan
from tests.unit.test_plain_schedule import fields

LENGTHS = st.integers(INTERVAL_MIN // 1000, INTERVAL_MAX // 1000)  # s
TIMES = st.floats(TICK_MIN, TICK_MAX - 4 * INTERVAL_MAX // 1000)
ZONES = st.sampled_from(["", "UTC", "Europe/Berlin", "Australia/Lord_Howe", "Pacific/Apia", "Asia/Kathmandu"])


def every(seconds: int, zone: str = "") -> Schedule:
    return Schedule([f"@every {seconds}s"], zone)


def plan(schedule: str, now: float, *, tick: str = "", **options: object) -> Plan:
    given = {"key": "job", "schedule": schedule, **({"tick": tick} if tick else {}), **options}
    return make_plan(load(given, {}, []), now, {})


# Ticks


@given(LENGTHS, TIMES, ZONES)
def test_ticks_are_the_multiples_of_the_interval_since_1970(seconds: int, now: float, zone: str) -> None:
    schedule = every(seconds, zone)
    tick = schedule.tick(now)
    assert tick % seconds == 0
    assert tick <= now + SLACK < tick + seconds + 1
    assert schedule.upcoming(tick, 3) == [tick + seconds, tick + 2 * seconds, tick + 3 * seconds]


@given(LENGTHS, TIMES, ZONES)
def test_an_instant_is_a_multiple_and_nothing_else(seconds: int, now: float, zone: str) -> None:
    tick = every(seconds, zone).tick(now)
    for second in {0, 1, seconds // 2, seconds - 1}:
        assert every(seconds, zone).has(tick + second) == (second == 0)


@given(LENGTHS, st.integers(TICK_MIN, TICK_MAX // 2), st.lists(st.tuples(TIMES, ZONES), min_size=1))
def test_all_calls_within_an_interval_are_for_one_tick(
    seconds: int, number: int, calls: list[tuple[float, str]]
) -> None:
    """However often each node is called, with which zone, and whether its libc has another one."""
    begin = number // seconds * seconds
    ticks = {every(seconds, zone).tick(begin - SLACK + when % seconds) for when, zone in calls}
    assert ticks == {begin}


@pytest.fixture
def libc_zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    time.tzset()
    yield
    monkeypatch.delenv("TZ")
    time.tzset()


def test_the_zone_means_nothing_and_is_recorded_as_utc_by_all_nodes(libc_zone: None) -> None:
    """A schedule of one day begins at midnight in UTC."""
    schedules = [Schedule(["@every 1d"], zone) for zone in ("", "UTC", "Europe/Berlin")]
    assert {schedule.zone for schedule in schedules} == {"UTC"}
    assert {schedule.tick(1_790_000_000) for schedule in schedules} == {1_790_000_000 // 86_400 * 86_400}
    with pytest.raises(Refused, match="unknown time zone"):
        Schedule(["@every 1d"], "Mars/Olympus")


@pytest.mark.parametrize("text", ["@every 90m", "@every 5400", "@every  5400s ", "@every 5400000ms"])
def test_one_interval_has_one_text(text: str) -> None:
    """Nodes whose texts differ would be reported as nodes whose schedules differ."""
    assert Schedule([text]).text == "@every 90m"


def test_two_lines_of_a_minute_have_two_ticks() -> None:
    """The line that sleeps for 30 seconds is for the second one, however late cron starts both."""
    minute = 1_790_000_040
    for late in range(25):
        assert every(30).tick(minute + late) == minute
        assert every(30).tick(minute + 30 + late) == minute + 30


def test_an_interval_beside_fields_is_one_more_expression() -> None:
    """A record may have any text."""
    for zone in ("", "Europe/Berlin"):
        mixed = Schedule(["30 2 * * *", "@every 1d"], zone)
        assert mixed.after(1_790_000_000) == min(
            every(86_400).after(1_790_000_000), Schedule(["30 2 * * *"], zone).after(1_790_000_000)
        )


# Limits


@pytest.mark.parametrize("text", ["10s", "10", "45s", "7m", "31d"])
def test_an_interval_has_whole_seconds_from_ten_to_a_month(text: str) -> None:
    schedule = Schedule([f"@every {text}"])
    assert schedule.has(schedule.after(1_790_000_000))


@pytest.mark.parametrize(
    "text",
    ["", "9s", "0", "999ms", "10500ms", "32d", "745h", "1h30m", "90 m", "90m 5", "-90m", "1.5h", "daily", "9" * 30],
)
def test_every_other_interval_is_refused_in_one_line(text: str) -> None:
    expression = f"@every {text}".strip()
    with pytest.raises(Refused) as refused:
        Schedule([expression])
    assert str(refused.value) == (
        f'schedule {expression!r} has no interval of whole seconds from 10s to 31d: write, in quotes, "@every 90m"'
    )


@pytest.mark.parametrize("text", ["@Every 90m", "@every90m", "@each 90m"])
def test_a_misspelled_word_is_not_a_nickname(text: str) -> None:
    with pytest.raises(Refused, match="is not a nickname"):
        Schedule([text])


# The plan


@given(LENGTHS, TIMES)
def test_the_plan_is_that_of_any_schedule(seconds: int, now: float) -> None:
    """The next tick ends the lease and the time to start."""
    made = plan(f"@every {seconds}s", now)
    assert (made.tick, made.next) == (every(seconds).tick(now), every(seconds).tick(now) + seconds)
    assert made.start_deadline == made.next * 1000
    assert LEASE_MIN <= made.lease_at(int(now * 1000)) <= LEASE_MAX


def test_a_given_tick_must_be_a_multiple() -> None:
    now = 1_790_000_000
    tick = every(5400).tick(now)
    assert plan("@every 90m", now, tick=str(tick)).next == tick + 5400
    with pytest.raises(Refused, match="is not an instant of the schedule '@every 90m'"):
        plan("@every 90m", now, tick=str(tick + 60))


def test_a_file_or_a_variable_can_set_it(tmp_path: object) -> None:
    assert load({}, {"CRONLOCK_SCHEDULE": "@every 90m"}, []).schedule == "@every 90m"
    assert "@every D" in next(option.help for option in OPTIONS if option.name == "schedule")


# In words


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        ("0 2 * * *", "At 02:00 every day"),
        ("*/15 8-17 * * 1-5", "Every 15th minute from 08:00 through 17:59 on Monday through Friday"),
        ("@daily", "At 00:00 every day"),
        ("0 2 L * *", "At 02:00 on the last day of every month"),
        ("@every 90m", "Every 90 minutes from 1970-01-01T00:00Z on"),
        ("@every 1d", "Every day from 1970-01-01T00:00Z on"),
        ("@every 45s", "Every 45 seconds from 1970-01-01T00:00Z on"),
        ("0 * * * *; 5 * * * *", "At the start of every hour; At minute 5 of every hour"),
        ("nonsense", ""),
        ("0 2 * * *; nonsense", ""),
    ],
)
def test_a_schedule_in_words(schedule: str, words: str) -> None:
    assert in_words(schedule) == words


@given(st.tuples(fields(0, 59), fields(0, 23), fields(1, 31), fields(1, 12), fields(0, 7)).map(" ".join))
def test_every_schedule_that_is_understood_has_words(expression: str) -> None:
    try:
        Schedule([expression], "UTC")
    except Refused:
        return
    words = in_words(expression)
    assert words[0].isupper()
    assert words.isprintable()


@pytest.mark.parametrize("nickname", NICKNAMES)
def test_a_nickname_has_the_words_of_its_fields(nickname: str) -> None:
    assert in_words(nickname) == in_words(NICKNAMES[nickname])


@given(LENGTHS)
def test_an_interval_has_words(seconds: int) -> None:
    assert in_words(every(seconds).text).startswith("Every ")
    assert spell(seconds * 1000)[:-1] in in_words(every(seconds).text) or spell(seconds * 1000)[:-1] == "1"
