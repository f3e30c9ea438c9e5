"""The line about a new key, for an operator at a terminal: it may be misspelled. No run that cron starts needs it."""

import os

from cronlock.cron.crontab import own_lines
from cronlock.errors import Refused

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from cronlock.config.settings import Settings
    from cronlock.run.plan import Plan

NEW_KEY = "new key: no voter and no crontab line of this machine has it; if it is misspelled, correct --key"


def has_no_crontab_line(settings: "Settings", plan: "Plan") -> bool:
    """Return whether no crontab line of this machine has the key; False where a crontab can't be read.

    False for a job in the background, too: after `stty tostop` the line would stop cronlock before its command starts.
    """
    if _in_background():
        return False
    if not settings.schedule and not settings.tick:
        return plan.schedule is None  # the plan has searched already
    try:
        return not own_lines(settings.key, settings.mode, default_mode=settings.mode)
    except Refused:
        return False


def _in_background() -> bool:
    try:
        return os.tcgetpgrp(2) != os.getpgrp()
    except OSError:  # a terminal of another session
        return False
