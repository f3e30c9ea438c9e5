"""What cronlock says: one line to standard error, or to syslog; never on standard output, which is the command's."""

import os
import select
import sys
import time

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from cronlock.errors import CronlockError

STDERR = 2
STALLED = 200  # ms
LINE_MAX = 3_000  # characters: seven voters' names twice, and what to do; a pipe takes 4096 bytes at once
IN_ARGV = "the password in --redis is shown by ps to everybody on this machine"
ELSEWHERE = "put it into a file that only its user reads, or into CRONLOCK_REDIS"
HIDDEN = "***"
PASSWORD = "password="  # noqa: S105 - how parameters and variables end that hold one
# Redis's own URLs, whose passwords may have any mark, and those of others, whose login ends before the path (RFC 3986).
REDIS = r"(?i)((?:rediss?|unix)(?:\+sentinel)?://[^\s:@/]*)"
LENIENT = rf"{REDIS}:((?:(?!://)\S)+)@"  # up to the next URL
GREEDY = rf"{REDIS}:(?!\*\*\*@)(\S{{1,1000}})@"  # and where that finds none, for :// in a password, to the last @
LOGIN = r"(://[^\s:@/?#]*):([^\s@/?#]+)@"


def printable(text: str) -> str:
    """Text from elsewhere, made harmless for a terminal and for a line of a log; without the passwords of URLs."""
    text = masked(text)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def masked(text: str) -> str:
    """The text with *** for what is a password by its place: in the login of a URL, and behind `password=`.

    No message is meant to have one; but names, commands and lines that others wrote may.
    """
    if "://" not in text and PASSWORD not in text.lower():
        return text
    try:
        import re  # rare: no run whose key and command hold no URL pays for it
    except Exception:  # an upgrade during the run took it away, and here the run ends
        return text[: min(at for at in (text.find("://"), text.lower().find(PASSWORD)) if at >= 0)] + HIDDEN
    text = re.sub(LENIENT, rf"\1:{HIDDEN}@", text)
    text = re.sub(GREEDY, rf"\1:{HIDDEN}@", text)
    text = re.sub(LOGIN, rf"\1:{HIDDEN}@", text)
    return re.sub(rf"({PASSWORD})\S+", rf"\1{HIDDEN}", text, flags=re.IGNORECASE)  # which may have any mark in it


def write_anything() -> None:
    """What the encoding of standard output or standard error does not have is written as escapes."""
    for stream in (sys.stdout, sys.stderr):
        if stream and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def instant(tick: int) -> str:
    """A tick for people, and for --tick: 2026-11-20T02:00Z; with seconds where it has some."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ" if tick % 60 else "%Y-%m-%dT%H:%MZ", time.gmtime(tick))


def since(ms: int) -> str:
    """A moment in the local zone: the time of day, with the date when it was another day."""
    then = time.localtime(ms // 1000)
    today = then[:3] == time.localtime()[:3]
    return time.strftime("%H:%M:%S" if today else "%Y-%m-%d %H:%M:%S", then)


class Messages:
    """Speaks of one key. `told` is for what -v or a terminal asks for; `always` for what a person must hear.

    `tells` says whether `told` is heard, `elsewhere` that standard error gets nothing.
    """

    def __init__(self, key: str = "", verbose: bool = False, quiet: bool = False, syslog: bool = False) -> None:
        self._front = f"{printable(key)}: " if key else ""
        self._quiet = quiet
        self._syslog = syslog
        self.off_stderr = quiet or syslog  # nothing of it goes to standard error
        self.at_terminal = not quiet and not syslog and os.isatty(STDERR)
        self.shows_info = verbose or self.at_terminal
        if syslog:
            import syslog as log  # now: at the end of a run an upgrade may have replaced it

            self._log = log

    def notice(self, text: str) -> None:
        """A line unless -q."""
        if self._quiet:
            return
        line = printable(self._front + text)
        line = line if len(line) <= LINE_MAX else f"{line[:LINE_MAX]}..."
        if self._syslog:
            self._log.openlog("cronlock", self._log.LOG_PID, self._log.LOG_CRON)
            self._log.syslog(self._log.LOG_NOTICE, line)
            return
        try:
            if _writable():
                os.write(STDERR, f"cronlock: {line}\n".encode("utf-8", "backslashreplace"))
        except OSError:  # nobody reads any more; the outcome stands in the exit status
            pass

    def error(self, error: "CronlockError") -> None:
        """The line of an error: what kind it is, and its message."""
        self.notice(f"{type(error).__name__.lower()}: {error}")

    def info(self, text: str) -> None:
        """A line with -v or at a terminal."""
        if self.shows_info:
            self.notice(text)


def _writable() -> bool:
    """Whether a line can be written without waiting for a reader that has stalled: a lease does not wait either."""
    poll = select.poll()
    poll.register(STDERR, select.POLLOUT)
    return bool(poll.poll(STALLED))


def gave_up(answer: "Mapping[str, Any]", tick: int) -> bool:
    """Whether a tick is done only because there were several attempts, and the last one came to nothing."""
    return bool(answer["tick"] == tick != 0 and answer["attempt"] > 1 and answer["state"] in ("running", "failed"))


def nobody_ran(answers: "Sequence[Mapping[str, Any]]", tick: int, enough: int) -> bool:
    """Whether a tick that is older than the record's ran nowhere, as `enough` voters know, and none knows better.

    A voter tells its newest three ticks. One may have missed a run, so no voter may know the tick; and a tick that is
    older than the oldest that a voter knows may have run and have been forgotten.
    """
    known = [[answer[name] for name in ("tick", "tick1", "tick2")] for answer in answers]
    sure = sum(bool(answer["token"]) and not answer["restarted"] for answer in answers) >= enough
    oldest = max((min(filter(None, ticks), default=tick) for ticks in known), default=tick)
    return sure and all(tick not in ticks for ticks in known) and oldest < tick < max(map(max, known), default=0)


def outcome(kind: str, answer: "Mapping[str, Any]", tick: int) -> str:
    """The line for a run that somebody else has, had, or may not have."""
    if kind == "held":
        return f"held by {answer['node']} since {since(answer['start'])}, pid {answer['pid']}"
    if kind == "paused":
        until = "resumed" if answer["paused_until"] == -1 else since(answer["paused_until"])
        return f"paused until {until}" + (f": {answer['pause_reason']}" if answer["pause_reason"] else "")
    if kind == "late":
        return f"late: it is too late for the tick of {instant(tick)}: not started"
    if gave_up(answer, tick):
        how = "died" if answer["state"] == "running" else "failed"
        return f"attempt {answer['attempt']} at the tick of {instant(tick)}, on {answer['node']}, {how} as well"
    if answer["tick"] > tick:
        return f"done: the newer tick of {instant(answer['tick'])} was on {answer['node']}"
    return f"done: the tick of {instant(tick)} ran on {answer['node']}; --again runs it once more"
