"""Schedules in words, for operators: the path that cron starts does not import this module, as cronsim is slow."""

from contextlib import suppress
from datetime import datetime

from cronsim import CronSim, CronSimError

from cronlock.config.options import duration, spell
from cronlock.cron.schedule import EVERY, NICKNAMES

UNITS = {"s": "second", "m": "minute", "h": "hour", "d": "day"}


def in_words(schedule: str) -> str:
    """Return the text of a schedule in words: `Every 15th minute`; empty if one of its expressions has none."""
    found = [_explained(expression) for expression in schedule.split("; ")]
    return "; ".join(found) if all(found) else ""


def _explained(expression: str) -> str:
    if expression.startswith(EVERY):
        text = spell(duration(expression.split()[1]))
        number, unit = text[:-1], UNITS[text[-1]]
        return (
            f"Every {unit} from 1970-01-01T00:00Z on"
            if number == "1"
            else f"Every {number} {unit}s from 1970-01-01T00:00Z on"
        )
    with suppress(CronSimError):  # a field that this version of cronsim does not know
        return CronSim(NICKNAMES.get(expression, expression), datetime(2000, 1, 1)).explain()
    return ""
