"""When crontab lines start: lines of one key that start in the same minute, and zones that cron does not share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from cronlock.commands.check.findings import LINES, RED, YELLOW, Finding
from cronlock.config.options import UNITS
from cronlock.cron.interval import INTERVAL_MIN
from cronlock.cron.parser import BLANK, BUSYBOX, CRONIE, Line, assignment
from cronlock.cron.schedule import EVERY, Schedule, load_zone
from cronlock.errors import Refused

COMPARED = 50  # ticks of a line
WEEKS = 53  # in which two zones are compared, so that each change of a clock is in one of them
UNKNOWN_SLEEP = 1  # s: how long only a shell knows, but longer than not at all


def find_line_without_ticks(line: Line, lines: Sequence[Line], now: float) -> list[Finding]:
    """Return a finding for a line if another line of its key has run all of its ticks before it."""
    asleep = _sleep(line)
    for other in lines:
        if other is line or _sleep(other) > asleep or not _has_all_ticks(other, line, now):
            continue
        if _sleep(other) < asleep:
            text = f"{line.key}: {other.place} has the same ticks and {_sleeps(other)} first, so this line never runs"
            todo = "give each line its own key, or let one line do both"
            if line.fields == "* * * * *" and asleep >= INTERVAL_MIN / 1000:
                todo = f'pass --schedule "@every {asleep:g}s" on both lines, or give each its own key'
            return [Finding(LINES, RED, line.place, text, todo)]
        if (other.source, other.number) < (line.source, line.number):
            text = f"{line.key}: {other.place} has the same ticks: with one key the two lines run once"
            return [Finding(LINES, YELLOW, line.place, text, "remove one of them, or give each its own key")]
    return []


def _sleeps(line: Line) -> str:
    return "sleeps less" if _sleep(line) else "does not sleep"


def _sleep(line: Line) -> float:
    """Return the seconds that a line sleeps before it starts cronlock."""
    total = 0.0
    for words in line.front:
        if words[:1] in (["sleep"], ["/bin/sleep"], ["/usr/bin/sleep"]) and len(words) > 1:
            total += sum(map(_seconds, words[1:]))
    return total


def _seconds(text: str) -> float:
    unit = text[-1:] if text[-1:] in UNITS else "s"
    try:
        return float(text.removesuffix(unit)) * UNITS[unit] / 1000
    except ValueError:
        return UNKNOWN_SLEEP


def _has_all_ticks(other: Line, line: Line, now: float) -> bool:
    if other.fields.startswith(EVERY) or line.fields.startswith(EVERY):  # a line that sleeps is for a later tick
        return False
    if other.fields == line.fields:
        return True
    try:
        theirs, own = (Schedule([one.fields], one.zone) for one in (other, line))
        ticks = own.upcoming(own.tick(now), COMPARED)
        return all(map(theirs.has, ticks))
    except Refused:
        return False


def find_ignored_zones(source: str, text: str, lines: Sequence[Line], cron: str) -> Iterator[Finding]:
    """Yield a finding for each assignment of CRON_TZ or TZ that this cron ignores when it starts lines of cronlock.

    Without one, an operator who wrote `TZ=Europe/Berlin` above `0 2 * * *` would believe in two o'clock there.
    """
    for number, raw in enumerate(text.split("\n"), 1):
        row = raw.lstrip(BLANK)
        name, value = (assignment(row) if row and row[0] != "#" else None) or ("", "")
        if name not in ("TZ", "CRON_TZ") or not value or (name == "CRON_TZ" and cron == CRONIE):
            continue
        below = [line for line in lines if line.number > number and _follows_clock(line)]
        of_cron = zone_of_cron(below[0], cron) if below else ""
        if below and differ(value, of_cron):
            zone = load_zone(of_cron)[1]
            what = f"this cron ignores {name}: it starts the lines below by the clock of {zone}"
            todo = f"write the hours of {zone}"
            if name == "TZ" and cron != BUSYBOX:
                what = f"cron starts the lines below by the clock of {zone}; {name} reaches the commands only"
                todo += f", or {name}={value} on the line if only its command needs it"
            yield Finding(LINES, YELLOW, f"{source}:{number}", what, todo)


def zone_of_cron(line: Line, cron: str) -> str:
    """Return the zone in which cron starts a line; empty for that of the machine."""
    return (line.variables.get("CRON_TZ") or "") if cron == CRONIE else ""


def _follows_clock(line: Line) -> bool:
    """Return whether an hour or a day in the line's schedule makes its zone matter."""
    return line.ticks and line.fields.split(" ", 1)[1:] != ["* * * *"] and "schedule" not in line.given


def find_other_zone(place: str, schedule: str, zone: str, of_cron: str) -> Iterator[Finding]:
    """Yield a finding when a run has the ticks of a zone, by --tz, in which cron does not start its line."""
    if schedule.split(" ", 1)[1:] == ["* * * *"] or not differ(zone, of_cron):
        return
    try:
        load_zone(zone)
    except Refused:  # another finding is about that
        return
    named = load_zone(of_cron)[1]
    text = f"cron starts the line by the clock of {named}, but its ticks are those of {zone}"
    yield Finding(LINES, YELLOW, place, text, f"write the hours of {named} without --tz, or pass --schedule as well")


def differ(zone: str, other: str) -> bool:
    """Return whether two zones have different clocks at any time of the year."""
    try:
        first, second = load_zone(zone)[0], load_zone(other)[0]
    except Refused:
        return True
    start = datetime(2026, 1, 1)
    weeks = (start + timedelta(weeks=week) for week in range(WEEKS))
    return any(_offset(first, week) != _offset(second, week) for week in weeks)


def _offset(zone: object, moment: datetime) -> timedelta | None:
    return moment.replace(tzinfo=zone).utcoffset()  # type: ignore[arg-type]
