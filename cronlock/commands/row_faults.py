"""Faults of a crontab row: cron or its shell would do something else than the row seems to say.

`cronlock check` reports them, and `cronlock wrap` leaves rows with them alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches

from cronlock.config.command_options import COMMAND_OPTIONS
from cronlock.config.options import OPTIONS, RUN
from cronlock.cron.parser import BLANK, BUSYBOX, DEPTH, before_stdin, columns, takes_script
from cronlock.cron.shell import Word, commands

SUBCOMMANDS = frozenset(name for option in (*OPTIONS, *COMMAND_OPTIONS) for name in option.commands)
OTHER_WORDS = SUBCOMMANDS | frozenset("help version install report serve -h --help -V --version".split())
# These start the command behind them: cronlock behind one of them is a program, and not a word of another program.
STARTERS = frozenset(
    """
    chronic chrt doas env eatmydata exec flock ionice ltrace nice nohup numactl runitor runuser setpriv setsid softlimit
    stdbuf strace su sudo systemd-cat systemd-inhibit systemd-run taskset time timeout unshare nsenter watch xargs
    if then elif else while until do ! { time exec command
    """.split()
)
FIELD = re.compile(r"(?=.*[\d*?])[\d*/,\-#?LW~]+")
NAMES = frozenset("jan feb mar apr may jun jul aug sep oct nov dec sun mon tue wed thu fri sat".split())
YEAR = re.compile(r"(?:19|20)\d\d")
COUNTS = {3: "three", 4: "four", 6: "six", 7: "seven"}
UNCLOSED = "a quote or a bracket in its command is not closed"
QUOTES = "'\""  # behind a closed one nothing more is expected, so an input begins
SHOWN = 20  # characters of a command in front of its %
# A % that was meant for the command: date's +%F, %Y%m%d, printf's %s, a URL's %20, 95%
FORMAT = re.compile(r"%[-_0^#]?[A-Za-z](?![A-Za-z])")
OF_URL = re.compile(r"%[2-7][0-9A-F]")
FORMAT_FOLLOWERS = tuple("%.,_:-/+\"')")  # a letter and nothing more may be a line of input
NTH_DAY = re.compile(r"([A-Za-z0-9]+)#[A-Za-z0-9]+")


@dataclass(frozen=True)
class RowFault:
    """A fault: what is wrong, what to do, and whether the command still starts, with other words or on other days."""

    text: str
    todo: str
    starts: bool = False

    @property
    def reason(self) -> str:
        """The text and what to do, in one line."""
        return f"{self.text}: {self.todo}" if self.todo else self.text


def faults_of(row: str, system: bool, cron: str) -> list[RowFault]:
    """Return the faults of a row; its columns, then its command. `system`: the crontab has a user column."""
    wrong = wrong_columns(row, system)
    if wrong:
        return [wrong]
    fields, _, command = columns(row, system)
    found = [*_find_nth_day(fields), *_find_bare_percent(command, cron)]
    script = command if cron == BUSYBOX else before_stdin(command)
    try:
        commands(script)
    except ValueError:
        return found or [RowFault(UNCLOSED, "")]
    return found + list(_find_wrong_calls(script))


def is_field(word: str) -> bool:
    """Return whether a word has the form of a schedule field."""
    parts = re.split(r"[,\-/#]", word.lower())
    return FIELD.fullmatch(word) is not None or (parts[0] in NAMES and all(p in NAMES or p.isdigit() for p in parts))


def wrong_columns(row: str, system: bool) -> RowFault | None:
    """Return the fault of a row that lacks its user column, or has too few or too many schedule fields."""
    words = row.split()
    _, user, command = columns(row, system)
    missing = user.rpartition("/")[2] == "cronlock" and command.split()[:1] == [RUN]
    if missing and (words[0][0] == "@" or is_field(words[4])):
        return RowFault("the user column is missing", "write root before cronlock")
    if words[0][0] == "@":
        return None
    count = next((at for at, word in enumerate(words) if not is_field(word)), len(words))
    if count in (3, 4) and len(words) > count and re.fullmatch(r"[A-Za-z/._-]+", words[count]):
        text = f"it has {COUNTS[count]} schedule fields, so cron reads {words[count]} as the next one"
        return RowFault(text, "write five: minute, hour, day of month, month, day of week")
    if count in (6, 7) and len(words) > count:
        text = (
            f"it has {COUNTS[count]} schedule fields, so cron reads {words[5]} as {'a user' if system else 'a command'}"
        )
        extra = "the year" if count == 6 and YEAR.match(words[5]) else "the seconds"
        return RowFault(text, f"cron knows five: remove {'the seconds and the year' if count == 7 else extra}")
    return None


def _find_nth_day(fields: str) -> Iterator[RowFault]:
    day = fields.rsplit(" ", maxsplit=1)[-1]
    if found := NTH_DAY.search(day):
        read = day[: found.end(1)]
        text = f"cron starts the line on each {read}, but cronlock reads {day} as one day a month"
        yield RowFault(text, f"write {read}, or pass --schedule '{fields}' if only that day is meant", starts=True)


def _find_bare_percent(command: str, cron: str) -> Iterator[RowFault]:
    """Yield a fault for a % without a backslash that was hardly meant to begin the standard input."""
    if cron == BUSYBOX:
        return
    before = before_stdin(command)
    at = _bare_percent(command)
    if at is None:
        return
    shown = before if len(before) <= SHOWN else f"...{before[-SHOWN:]}"
    text = f"a % without a backslash ends its command after '{shown}'"
    todo = "write \\% for a percent sign"
    try:
        commands(before)
    except ValueError:
        yield RowFault(f"{text}: {UNCLOSED}", todo)
        return
    if _is_percent_sign(before[-1:], command, at):
        yield RowFault(text, todo, starts=True)


def _is_percent_sign(before: str, command: str, at: int) -> bool:
    """Return whether the % at this place looks like a part of the command and not like the start of an input."""
    if before in BLANK or before in QUOTES:
        return False
    if before.isdigit() and command[at + 1 : at + 2] in (*BLANK, "", '"', "'"):
        return True
    if OF_URL.match(command, at) and "://" in command[:at].rpartition(" ")[2]:
        return True
    found = FORMAT.match(command, at)
    return found is not None and (not before.isalnum() or command[found.end() : found.end() + 1] in FORMAT_FOLLOWERS)


def _bare_percent(command: str) -> int | None:
    """Return the place of the first % that cron reads as the end of the command."""
    at = command.find("%")
    while at >= 0:
        head = command[:at]
        if (len(head) - len(head.rstrip("\\"))) % 2 == 0:
            return at
        at = command.find("%", at + 1)
    return None


def _find_wrong_calls(script: str, depth: int = 0) -> Iterator[RowFault]:
    """Yield a fault for each cronlock that is started without one of its commands."""
    if depth > DEPTH or "cronlock" not in script:
        return
    try:
        parsed = commands(script)
    except ValueError:
        return
    for words in parsed:
        awaited = False
        for word in words:
            for inner in (*word.inner, *([word.text] if awaited and word.text[:1] != "-" else [])):
                yield from _find_wrong_calls(inner, depth + 1)
            awaited = takes_script(word.text) if word.text[:1] == "-" else False
        yield from _find_wrong_call(words)


def _find_wrong_call(words: list[Word]) -> Iterator[RowFault]:
    texts = [word.text for word in words]
    at = next((at for at, text in enumerate(texts) if text.rpartition("/")[2] == "cronlock"), None)
    if at is None or not starts_command(texts[:at]):
        return
    name = texts[at + 1] if at + 1 < len(texts) else ""
    if name in OTHER_WORDS:
        return
    rest = " ".join(texts[at + 1 :])
    if not name:
        yield RowFault("cronlock is started without a command of its own", "write cronlock run --key NAME -- COMMAND")
    elif name[0] == "-":
        yield RowFault(f"run is missing before {name}", f"write cronlock run {rest}")
    elif near := get_close_matches(name, SUBCOMMANDS, 1, 0.6):
        yield RowFault(
            f"cronlock has no command {name}", f"write cronlock {near[0]}, or cronlock run --key NAME -- {rest}"
        )
    else:
        text = f"cronlock has no command {name}; only the bash tool of this name is followed by a program"
        yield RowFault(text, f"write cronlock run --key NAME -- {rest}")


def starts_command(front: list[str]) -> bool:
    """Return whether a word behind these words of a simple command is a program that they start."""
    names = [word for word in front if not re.match(r"[A-Za-z_]\w*=", word)]
    return not names or names[0].rpartition("/")[2] in STARTERS or names[-1] in ("-m", "-Im")
