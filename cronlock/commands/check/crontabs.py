"""The crontabs of this machine, as its cron reads them: what it ignores, and every line that uses cronlock."""

from __future__ import annotations

import os
import pwd
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from cronlock.commands.check import cron_lines
from cronlock.commands.check.debian_fields import bad_part
from cronlock.commands.check.findings import GREEN, LINES, RED, YELLOW, Finding
from cronlock.commands.crontab_wrapper import COMMAND_MAX
from cronlock.cron.crontab import CRONTAB_MAX, LEFTOVERS, Sources, decoded, is_user, reads
from cronlock.cron.parser import (
    BLANK,
    BUSYBOX,
    CRONIE,
    DEBIAN,
    Line,
    assignment,
    columns,
    every_line,
)
from cronlock.files import read_regular

CRON_D = "etc/cron.d"
LINES_MAX = 1000  # of one user, who could else fill root's output: Debian's cron takes no more
ROW_MAX = 4096  # bytes of a user's line: four times what Debian's cron takes, and read in a moment whatever they are
PUT_ASIDE = (*LEFTOVERS, ".bak", ".old", ".orig", ".disabled", ".swp", ".dpkg-old", ".dpkg-new", ".dpkg-dist")


@dataclass
class Crontab:
    """One crontab that has lines with cronlock; `owner` as in Sources."""

    path: str
    text: str
    owner: str | None
    lines: list[Line] = field(default_factory=list)
    cut: bool = False  # whether only a part of it was looked at

    @property
    def system(self) -> bool:
        return self.owner is None


def look(sources: Sources, checked: set[str], path: str) -> list[Finding]:
    """All findings. `checked` are the voters that were looked at; `path` is the PATH that this cron gives to lines."""
    cron = sources.cron
    findings: list[Finding] = []

    def unreadable(name: str, reason: str) -> None:
        text = f"it can't be read: {reason}: runs whose line may stand there are refused"
        findings.append(Finding(LINES, RED, name, text, "let its readers read it, or give --schedule"))

    sources.unreadable = unreadable
    crontabs = list(_read(sources, cron, path))
    for crontab in crontabs:
        if crontab.cut:
            text = f"beyond {LINES_MAX} lines of a user, and {ROW_MAX} bytes of a line, nothing is checked"
            findings.append(Finding(LINES, YELLOW, crontab.path, text, "let its user shorten it"))
        findings += _ignored(crontab, cron)
    findings += _unread(sources, cron)
    lines = [line for crontab in crontabs for line in crontab.lines]
    findings += cron_lines.look(lines, sources.root, checked, time.time())
    if not findings:
        text = "no line uses cronlock" + ("" if sources.uid == 0 else " that this user can see")
        findings.append(Finding(LINES, YELLOW if sources.uid else GREEN, "none", text))
    return findings


def _read(sources: Sources, cron: str, path: str) -> Iterator[Crontab]:
    for name, text, owner in sources:
        if "cronlock" not in text or (owner and not is_user(owner)):
            continue
        crontab = _cut(Crontab(name, text, owner))
        found = every_line(crontab.text, name, system=crontab.system, cron=cron, path=path)
        crontab.lines = list(islice(found, LINES_MAX) if owner else found)
        crontab.cut = crontab.cut or next(found, None) is not None
        for line in crontab.lines:
            line.owner = owner or ""
            line.user = owner or line.user
        yield crontab


def _cut(crontab: Crontab) -> Crontab:
    """Leave out what is too much of a user's crontab; rows keep their numbers, and its end is there."""
    rows = crontab.text.split("\n")
    if not crontab.owner or (len(rows) <= LINES_MAX + 1 and len(max(rows, key=len)) <= ROW_MAX):
        return crontab
    rows = [*rows[:LINES_MAX], rows[-1]]
    text = "\n".join(row if len(row) <= ROW_MAX else "" for row in rows)
    return Crontab(crontab.path, text, crontab.owner, cut=True)


# What cron ignores: Debian's as tried on Debian 12 (cron 3.0pl1-162), cronie's by its database.c


def _ignored(crontab: Crontab, cron: str) -> list[Finding]:
    findings = [_without_user(crontab.path, number) for number in _userless(crontab)]
    if not crontab.lines and not findings:
        return []
    if reason := _bad_mode(crontab, cron):
        findings.append(_whole(crontab.path, reason, ""))
    if cron == DEBIAN:
        findings += _bad_rows(crontab)
    if cron != BUSYBOX:
        findings += _bad_shells(crontab)
    last = crontab.text.rpartition("\n")[2].lstrip(BLANK)
    if last and last[0] != "#" and cron != BUSYBOX:
        number = crontab.text.count("\n") + 1
        place = f"{crontab.path}:{number}"
        if cron == DEBIAN:
            findings.append(_whole(place, "the last line has no newline", "end it with one"))
        elif any(line.number == number for line in crontab.lines):
            text = "the last line has no newline: cron ignores it"
            findings.append(Finding(LINES, RED, place, text, "end it with one"))
    return findings


def _whole(about: str, reason: str, todo: str) -> Finding:
    return Finding(LINES, RED, about, f"{reason}: cron ignores the whole file", todo or "chown root and chmod 644")


def _userless(crontab: Crontab) -> Iterable[int]:
    """The numbers of rows in a system file that have cronlock where their user should be."""
    for number, row in _rows(crontab.text) if crontab.system else ():
        user, command = columns(row, system=True)[1:]
        if user.rpartition("/")[2] == "cronlock" and command.split()[:1] == ["run"]:
            yield number


def _without_user(path: str, number: int) -> Finding:
    return Finding(LINES, RED, f"{path}:{number}", "no user stands before the command", "write root before cronlock")


def _rows(text: str) -> Iterator[tuple[int, str]]:
    """Number and text of each row that cron reads as a command."""
    for number, raw in enumerate(text.split("\n"), 1):
        row = raw.lstrip(BLANK)
        if row.strip() and row[0] != "#" and not assignment(row):
            yield number, row


def _bad_rows(crontab: Crontab) -> Iterator[Finding]:
    for number, row in _rows(crontab.text):
        fields, user, command = columns(row, crontab.system)
        place = f"{crontab.path}:{number}"
        bad = f"minute {row.split()[0]}" if row[0] == "-" else bad_part(fields)
        if not command:
            yield _whole(place, "this line has too few columns", "mend it")
        elif crontab.system and not is_user(user):
            yield _whole(place, f"there is no user {user}", "mend the line, or add the user")
        elif bad:
            yield _whole(place, f"bad {bad}", "mend the line")
        elif len(os.fsencode(command)) > COMMAND_MAX:
            yield _whole(place, f"its command is longer than {COMMAND_MAX} bytes", "put it into a script")


def _bad_shells(crontab: Crontab) -> Iterator[Finding]:
    """What is below an assignment to SHELL that can't be executed runs nothing."""
    for number, raw in enumerate(crontab.text.split("\n"), 1):
        stripped = raw.lstrip(BLANK)
        name, value = (assignment(stripped) if stripped and stripped[0] != "#" else None) or ("", "")
        if name == "SHELL" and not os.access(value, os.X_OK):
            text = f"SHELL {value} can't be executed: no command below it runs"
            yield Finding(LINES, RED, f"{crontab.path}:{number}", text, "name a shell that is there")


def _bad_mode(crontab: Crontab, cron: str) -> str:
    """Why cron does not trust the file; empty when it does."""
    try:
        status = os.stat(crontab.path)
    except OSError:  # crontab -l
        return ""
    owners = {0} | ({pwd.getpwnam(crontab.owner).pw_uid} if crontab.owner else set())
    if status.st_uid not in owners and cron in (DEBIAN, CRONIE):
        return f"it belongs to user {status.st_uid}"
    if cron == DEBIAN and crontab.system and status.st_nlink > 1:
        return f"it has {status.st_nlink} names (hard links)"
    mode = status.st_mode & 0o7777
    if cron == DEBIAN and (mode & 0o022 if crontab.system else mode != 0o600):
        return f"its mode is {mode:o}"
    if cron == CRONIE and mode & 0o7533 != 0o400:
        return f"its mode is {mode:o}"
    return ""


def _unread(sources: Sources, cron: str) -> Iterator[Finding]:
    """Files with cronlock whose names this cron does not read; what somebody put aside is meant so."""
    folder = os.path.join(sources.root, CRON_D)
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
        path = os.path.join(folder, name)
        if reads(name, cron) or name[0] in ".#" or name.endswith(PUT_ASIDE) or not os.path.isfile(path):
            continue
        try:
            text = decoded(read_regular(path, CRONTAB_MAX)[0])
        except OSError:
            continue
        if any(every_line(text, path, system=True, cron=cron)):
            reason = "cron does not read a file of this name in /etc/cron.d"
            yield Finding(LINES, RED, path, reason, "take letters, digits, - and _ only: no dot")
