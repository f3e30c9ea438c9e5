"""Crontab lines with a schedule such as `@every 10m`, which cron starts less often than that."""

from __future__ import annotations

from itertools import pairwise

from cronlock.commands.check.findings import LINES, YELLOW, Finding
from cronlock.config.options import spell
from cronlock.cron.parser import Line
from cronlock.cron.schedule import EVERY, Schedule
from cronlock.errors import Refused

STARTS = 60  # of a line, whose gaps are compared


def find_left_out_ticks(line: Line, now: float) -> list[Finding]:
    """Return a finding if all gaps between the starts of a line are longer than its interval.

    Nights and weekends may be left out on purpose.
    """
    if not line.fields.startswith(EVERY):
        return []
    try:
        gap = _shortest_gap(Schedule([line.starts], "UTC"), now)
        interval = Schedule([line.fields]).after(0)
    except Refused:  # another finding is about that
        return []
    if gap <= interval:
        return []
    text = f"this line starts at most every {spell(gap * 1000)}: ticks of {line.fields} are left out"
    return [Finding(LINES, YELLOW, line.place, text, f"start it every {spell(interval * 1000)}")]


def _shortest_gap(schedule: Schedule, now: float) -> int:
    first = schedule.tick(now)
    return min(later - earlier for earlier, later in pairwise([first, *schedule.upcoming(first, STARTS)]))
