"""Passwords on crontab lines that other users of the machine can see."""

from __future__ import annotations

import os
from collections.abc import Sequence

from cronlock.commands.check.findings import LINES, YELLOW, Finding
from cronlock.config.settings import READ_BY_OTHERS, has_password
from cronlock.cron.parser import Line

WHERE = ("CRONLOCK_REDIS", "REDIS_")  # how variables begin that may contain a password


def find_shown_passwords(lines: Sequence[Line]) -> list[Finding]:
    """Return a finding for each password that ps shows, and one for each world-readable crontab with a password."""
    findings = []
    reported: set[str] = set()
    for line in lines:
        in_url = has_password(line.given.get("redis", ()))
        in_variables = {name for name, value in line.variables.items() if _holds_password(name, value)}
        in_front = {word.partition("=")[0] for command in line.front for word in command}
        if in_url or in_variables & in_front:
            text = "every user of this machine can see the password on this line with ps"
            findings.append(Finding(LINES, YELLOW, line.place, text, "put it into the user's settings file"))
        if (in_url or in_variables) and line.source not in reported and _read_by_all(line.source):
            reported.add(line.source)
            text = f"{line.source} contains a password and is world-readable"
            findings.append(Finding(LINES, YELLOW, line.place, text, f"chmod o-r {line.source}"))
    return findings


def _holds_password(name: str, value: str | None) -> bool:
    """Return whether a variable contains a password; None is a value that only a shell can expand."""
    if not value:
        return False
    return name == "REDIS_PASSWORD" or (name.startswith(WHERE) and has_password([value]))


def _read_by_all(path: str) -> bool:
    try:
        return bool(os.stat(path).st_mode & READ_BY_OTHERS)
    except OSError:  # crontab -l
        return False
