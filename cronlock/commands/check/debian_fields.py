"""Schedules that Debian's cron accepts (its entry.c). cronsim accepts more, and one bad line voids a whole crontab."""

from __future__ import annotations

import re

NICKNAMES = frozenset("@reboot @yearly @annually @monthly @weekly @daily @midnight @hourly".split())
MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()
DAYS = "sun mon tue wed thu fri sat".split()
FIELDS: tuple[tuple[str, int, int, dict[str, int]], ...] = (
    ("minute", 0, 59, {}),
    ("hour", 0, 23, {}),
    ("day of month", 1, 31, {}),
    ("month", 1, 12, {name: number for number, name in enumerate(MONTHS, 1)}),
    ("day of week", 0, 7, {name: number for number, name in enumerate(DAYS)}),
)
ITEM = r"(?:\*|[A-Za-z0-9]*(?:-[A-Za-z0-9]*)?)(?:/[A-Za-z0-9]*)?"
READ = re.compile(rf"{ITEM}(?:,{ITEM})*")  # what stands behind it is skipped up to the next blank


def first_bad_part(fields: str) -> str:
    """Return the name and text of the first part that Debian's cron rejects; empty when it accepts the schedule."""
    if fields[:1] == "@":
        return "" if fields in NICKNAMES else f"nickname {fields}"
    for (name, least, most, words), field in zip(FIELDS, fields.split(" "), strict=False):
        read = READ.match(field)
        items = read[0].split(",") if read else [""]
        if not all(_accepts(item, least, most, words) for item in items):
            return f"{name} {field}"
    return ""


def _accepts(item: str, least: int, most: int, words: dict[str, int]) -> bool:
    base, stepped, step = item.partition("/")
    first, ranged, last = base.partition("-")
    if stepped and not (step.isascii() and step.isdigit() and int(step[:9]) and (ranged or base == "*")):
        return False
    ends = [first, last] if ranged else [first]
    return base == "*" or all(_is_one(end, least, most, words) for end in ends)


def _is_one(text: str, least: int, most: int, words: dict[str, int]) -> bool:
    if text.lower() in words:
        return True
    return text.isascii() and text.isdigit() and len(text) < 9 and least <= int(text) <= most
