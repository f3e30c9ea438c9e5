"""--schedule, --tz, --tick and durations: ticks, or a refusal."""

import random

from cronlock.config.options import duration, spell
from cronlock.cron.schedule import Schedule, parse_tick
from cronlock.errors import Refused
from tests.fuzz.texts import changed, pieces

FIELDS = [
    *("* * * * *", "*/5 8-17 * * 1-5", "0 2 * * *", "@daily", "@hourly", "@reboot", "0 0 29 2 *", "0 2 L * *", "none"),
    *("0 0 1 1 mon#1", "59 23 31 12 7", "0 0 31 2 *", "5~9 * * * *", "0 2 * jan,dec sun-sat", "*/0 * * * *"),
]
KNOWN = [*"*/,-0123456789 #L~@", "mon", "jan", "60", "@daily", "99999999999999999999", "*/", "1-5", "L", "W", "  "]
ZONES = [
    "",
    "UTC",
    "Europe/Berlin",
    "Australia/Lord_Howe",
    "../../etc/passwd",
    "/etc/localtime",
    "Mars/Olympus",
    "\0",
    ".",
]
TICKS = ["2026-11-20T02:00Z", "2026-03-29T02:30", "1790000000", "job-29384756", "nightly-28999999", "2026-W47-5T02:00"]
LENGTHS = ["500ms", "90", "15m", "2h", "1d", "0", "999999999d", "ms"]
NOW = 1_795_500_000


def make(rng: random.Random) -> tuple[str, str, str, str]:
    def some(whole: list[str]) -> str:
        text = rng.choice(whole)
        return rng.choice((text, changed(rng, text, KNOWN), pieces(rng, KNOWN)))

    zone = rng.choice(ZONES) if rng.random() < 0.9 else some(ZONES)
    return some(FIELDS), zone, some(TICKS), some(LENGTHS)


def check(given: tuple[str, str, str, str]) -> None:
    fields, zone, tick, length = given
    try:
        schedule = Schedule([fields], zone)
        last = schedule.tick(NOW)
        assert last <= NOW + 5
        assert schedule.after(last) > NOW - 86_400 * 366 * 9
    except Refused as refused:
        assert str(refused)  # noqa: PT017 - a refusal is an answer
    try:
        assert parse_tick(tick, zone) >= 0
    except Refused as refused:
        assert str(refused)  # noqa: PT017 - a refusal is an answer
    try:
        assert duration(spell(duration(length))) == duration(length)
    except ValueError as error:
        assert str(error)  # noqa: PT017 - a refusal by an option
