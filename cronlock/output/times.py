"""Times as tables show them: on the clock of this machine, with the day unless it is today."""

from __future__ import annotations

import time


def clock(ms: int, *, seconds: bool = True) -> str:
    """Return the time of day, before it the day unless it is today: 08:04:42, Nov 24 08:04, 2025-11-24 08:04.

    Seconds are shown for today only; without `seconds` only if they are not 0. "-" stands for 0.
    """
    if ms <= 0:
        return "-"
    then, now = time.localtime(ms // 1000), time.localtime()
    if then[:3] == now[:3]:
        return time.strftime("%H:%M:%S" if seconds or then.tm_sec else "%H:%M", then)
    return time.strftime("%b %d %H:%M" if then.tm_year == now.tm_year else "%Y-%m-%d %H:%M", then)


def tick_clock(tick: int) -> str:
    """Return a tick in the same form."""
    return clock(tick * 1000, seconds=False)
