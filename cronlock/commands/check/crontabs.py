"""The crontabs of this machine, as its cron reads them: rows and files that cron ignores."""

from __future__ import annotations

import os
import pwd
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

from cronlock.commands.check import cron_lines
from cronlock.commands.check.debian_fields import first_bad_part
from cronlock.commands.check.findings import GREEN, LINES, RED, YELLOW, Finding
from cronlock.commands.check.line_times import find_ignored_zones
from cronlock.commands.crontab_wrapper import COMMAND_MAX
from cronlock.commands.row_faults import NTH_DAY, faults_of, wrong_columns
from cronlock.cron.crontab import CRON_D, CRONTAB_MAX, LEFTOVERS, Sources, decoded, is_user, reads_cron_d_name
from cronlock.cron.parser import (
    BLANK,
    BUSYBOX,
    CRONIE,
    DEBIAN,
    Line,
    assignment,
    before_stdin,
    columns,
    every_line,
)
from cronlock.files import read_regular

PROGRAM = re.compile(r"(?<![\w.=-])cronlock(?![\w./=-])")  # in a row
IGNORED = "cron ignores the whole file"
LINES_MAX = 1000  # of one user, so that root's output stays short: Debian's cron accepts no more
ROW_MAX = 4096  # bytes of a user's line: four times what Debian's cron accepts
PUT_ASIDE = (*LEFTOVERS, ".bak", ".old", ".orig", ".disabled", ".swp", ".dpkg-old", ".dpkg-new", ".dpkg-dist")


@dataclass
class Crontab:
    """One crontab with lines that use cronlock; `owner` as in Sources."""

    path: str
    text: str
    owner: str | None
    lines: list[Line] = field(default_factory=list)
    incomplete: bool = False  # only a part was checked

    @property
    def system(self) -> bool:
        return self.owner is None


def find_crontab_faults(sources: Sources, checked: set[str], path: str) -> list[Finding]:
    """Return all findings. `checked`: labels of the servers that were checked; `path`: the PATH that this cron sets."""
    cron = sources.cron
    findings: list[Finding] = []

    def unreadable(name: str, reason: str) -> None:
        if sources.uid == 0:
            text = f"it can't be read: {reason}: runs that need its lines are refused"
            todo = "give the users of cronlock the right to read it, or pass --schedule"
            findings.append(Finding(LINES, RED, name, text, todo))
        else:
            text = f"this user can't read it ({reason}), so its lines were not checked; this user's runs leave it out"
            findings.append(Finding(LINES, YELLOW, name, text, "as root, run: cronlock check"))

    sources.unreadable = unreadable
    crontabs = list(_crontabs_with_cronlock(sources, cron, path))
    found: dict[str, list[Finding]] = {}
    for crontab in crontabs:
        if crontab.incomplete:
            text = f"only {LINES_MAX} lines of a user, and {ROW_MAX} bytes of a line, are checked"
            findings.append(Finding(LINES, YELLOW, crontab.path, text, "shorten it"))
        found[crontab.path] = _find_ignored_rows(crontab, cron)
        findings += found[crontab.path]
    findings += _find_unread_files(sources, cron)
    ignored = {path for path, faults in found.items() if any(IGNORED in fault.text for fault in faults)}
    lines = [line for crontab in crontabs for line in crontab.lines]
    for crontab in crontabs:
        findings += find_ignored_zones(crontab.path, crontab.text, crontab.lines, cron)
    findings += cron_lines.find_line_faults(lines, sources, checked, time.time())
    broken = {line.place for line in lines if line.source in ignored}
    findings = _in_order(findings, broken, {crontab.path: at for at, crontab in enumerate(crontabs)})
    if not findings:
        if sources.uid == 0:
            findings.append(Finding(LINES, GREEN, "none", "no line uses cronlock"))
        else:
            text = "no line uses cronlock that this user can see"
            findings.append(Finding(LINES, YELLOW, "none", text, "as root, run: cronlock check"))
    return findings


def _in_order(findings: list[Finding], broken: set[str], order: dict[str, int]) -> list[Finding]:
    """Return the findings by crontab and line, without the green ones of lines that are broken or have a red one."""
    broken = broken | {finding.about for finding in findings if finding.level == RED}
    kept = [finding for finding in findings if finding.level != GREEN or finding.about not in broken]
    return sorted(kept, key=lambda finding: _place_of(finding.about, order))


def _place_of(about: str, order: dict[str, int]) -> tuple[int, int]:
    """Return the place of a finding: crontabs in their order, each with its lines in theirs; others come first."""
    source, _, number = about.rpartition(":")
    if source in order and number.isdigit():
        return order[source], int(number)
    return order.get(about, -1), 0


def _crontabs_with_cronlock(sources: Sources, cron: str, path: str) -> Iterator[Crontab]:
    for name, text, owner in sources:
        if "cronlock" not in text or (owner and not is_user(owner)):
            continue
        crontab = _shortened(Crontab(name, text, owner))
        found = every_line(crontab.text, name, system=crontab.system, cron=cron, path=path)
        crontab.lines = list(islice(found, LINES_MAX) if owner else found)
        crontab.incomplete = crontab.incomplete or next(found, None) is not None
        for line in crontab.lines:
            line.owner = owner or ""
            line.user = owner or line.user
        yield crontab


def _shortened(crontab: Crontab) -> Crontab:
    """Return a user's crontab without its excess; rows keep their numbers, and the last row is kept."""
    rows = crontab.text.split("\n")
    if not crontab.owner or (len(rows) <= LINES_MAX + 1 and len(max(rows, key=len)) <= ROW_MAX):
        return crontab
    rows = [*rows[:LINES_MAX], rows[-1]]
    text = "\n".join(row if len(row) <= ROW_MAX else "" for row in rows)
    return Crontab(crontab.path, text, crontab.owner, incomplete=True)


# What cron ignores: Debian's as tried on Debian 12 (cron 3.0pl1-162), cronie's by its database.c


def _find_ignored_rows(crontab: Crontab, cron: str) -> list[Finding]:
    findings = list(_find_row_faults(crontab, cron))
    if not crontab.lines and not any(PROGRAM.search(row) for _, row in _rows(crontab.text)):
        return []
    if reason := _reason_for_distrust(crontab, cron):
        findings.append(_describe_ignored_file(crontab.path, reason, ""))
    if cron == DEBIAN:
        findings += _find_bad_rows(crontab)
    if cron != BUSYBOX:
        findings += _find_bad_shells(crontab)
    last = crontab.text.rpartition("\n")[2].lstrip(BLANK)
    if last and last[0] != "#" and cron != BUSYBOX:
        number = crontab.text.count("\n") + 1
        place = f"{crontab.path}:{number}"
        if cron == DEBIAN:
            findings.append(_describe_ignored_file(place, "the last line has no newline", "add a newline"))
        elif any(line.number == number for line in crontab.lines):
            text = "the last line has no newline: cron ignores it"
            findings.append(Finding(LINES, RED, place, text, "add a newline"))
    return findings


def _describe_ignored_file(about: str, reason: str, todo: str) -> Finding:
    return Finding(LINES, RED, about, f"{reason}: {IGNORED}", todo or "chown root and chmod 644")


def _find_row_faults(crontab: Crontab, cron: str) -> Iterator[Finding]:
    """Yield the faults of rows that mention cronlock, except wrong columns for which Debian's cron ignores the file."""
    scheduled = {line.number for line in crontab.lines if "schedule" in line.given}
    for number, row in _rows(crontab.text):
        if not PROGRAM.search(row) or columns(row, crontab.system)[2][:1] == "#":
            continue
        if cron == DEBIAN and _fault_for_debian(row, crontab.system) and wrong_columns(row, crontab.system):
            continue
        user = columns(row, crontab.system)[1]
        known = is_user(user) or user.rpartition("/")[2] == "cronlock"
        if cron != DEBIAN and crontab.system and not known and not wrong_columns(row, True):
            text = f"user {user} does not exist: cron ignores this line"
            yield Finding(LINES, RED, f"{crontab.path}:{number}", text, "correct the line, or add the user")
        for fault in faults_of(row, crontab.system, cron):
            if number in scheduled and NTH_DAY.search(columns(row, crontab.system)[0]) and fault.starts:
                continue
            starts = fault.starts and PROGRAM.search(before_stdin(columns(row, crontab.system)[2]))
            level = YELLOW if starts else RED
            yield Finding(LINES, level, f"{crontab.path}:{number}", fault.text, fault.todo)


def _rows(text: str) -> Iterator[tuple[int, str]]:
    """Yield number and text of each row that cron reads as a command."""
    for number, raw in enumerate(text.split("\n"), 1):
        row = raw.lstrip(BLANK)
        if row.strip() and row[0] != "#" and not assignment(row):
            yield number, row


def _find_bad_rows(crontab: Crontab) -> Iterator[Finding]:
    for number, row in _rows(crontab.text):
        if found := _fault_for_debian(row, crontab.system):
            wrong = wrong_columns(row, crontab.system)
            what, todo = (wrong.text, wrong.todo) if wrong else found
            yield _describe_ignored_file(f"{crontab.path}:{number}", what, todo)


def _fault_for_debian(row: str, system: bool) -> tuple[str, str] | None:
    """Return the fault of a row for which Debian's cron ignores its file, and what to do."""
    fields, user, command = columns(row, system)
    bad = f"minute {row.split(maxsplit=1)[0]}" if row[0] == "-" else first_bad_part(fields)
    if not command:
        return "this line has too few columns", "add the missing columns"
    if system and not is_user(user):
        return f"user {user} does not exist", "correct the line, or add the user"
    if bad:
        return f"bad {bad}", "correct it"
    if len(os.fsencode(command)) > COMMAND_MAX:
        return f"its command is longer than {COMMAND_MAX} bytes", "put it into a script"
    return None


def _find_bad_shells(crontab: Crontab) -> Iterator[Finding]:
    """Yield a finding for each assignment to SHELL that can't be executed: no command below it runs."""
    for number, raw in enumerate(crontab.text.split("\n"), 1):
        stripped = raw.lstrip(BLANK)
        name, value = (assignment(stripped) if stripped and stripped[0] != "#" else None) or ("", "")
        if name == "SHELL" and ("\0" in value or not os.access(value, os.X_OK)):
            text = f"SHELL {value} can't be executed: no command below it runs"
            yield Finding(LINES, RED, f"{crontab.path}:{number}", text, "name an existing shell")


def _reason_for_distrust(crontab: Crontab, cron: str) -> str:
    """Return why cron does not trust the file; empty when it does."""
    try:
        status = os.stat(crontab.path)
    except OSError:  # crontab -l
        return ""
    owners = {0} | ({pwd.getpwnam(crontab.owner).pw_uid} if crontab.owner else set())
    if status.st_uid not in owners and cron in (DEBIAN, CRONIE):
        return f"it is owned by uid {status.st_uid}"
    if cron == DEBIAN and crontab.system and status.st_nlink > 1:
        return f"it has {status.st_nlink} hard links"
    mode = status.st_mode & 0o7777
    if cron == DEBIAN and (mode & 0o022 if crontab.system else mode != 0o600):
        return f"its mode is {mode:o}"
    if cron == CRONIE and mode & 0o7533 != 0o400:
        return f"its mode is {mode:o}"
    return ""


def _names_in(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:  # missing; a folder that can't be read is a finding already
        return []


def _find_unread_files(sources: Sources, cron: str) -> Iterator[Finding]:
    """Yield a finding for each file with cronlock whose name this cron skips; backups are left out."""
    folder = os.path.join(sources.root, CRON_D)
    for name in _names_in(folder):
        path = os.path.join(folder, name)
        if reads_cron_d_name(name, cron) or name[0] in ".#" or name.endswith(PUT_ASIDE) or not os.path.isfile(path):
            continue
        try:
            text = decoded(read_regular(path, CRONTAB_MAX)[0])
        except OSError:
            continue
        if any(every_line(text, path, system=True, cron=cron)):
            reason = "cron does not read a file of this name in /etc/cron.d"
            yield Finding(LINES, RED, path, reason, "rename it: letters, digits, - and _ only, no dot")
