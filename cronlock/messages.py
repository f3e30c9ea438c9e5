"""Messages for operators: one line on standard error or in syslog, never on standard output, which is the command's."""

import os
import select
import sys
import time

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from cronlock.errors import CronlockError

STDERR = 2
STALLED = 200  # ms in which a reader of standard error must make room for a line
LINE_MAX = 3_000  # characters: seven voters' names twice, and what to do; a pipe takes 4096 bytes at once
VISIBLE_IN_PS = "every user of this machine can read the password in --redis with ps"
MOVE_OUT_OF_ARGV = "put it into a file that only its user can read, or into CRONLOCK_REDIS"
HIDDEN = "***"
PASSWORD = "password="  # noqa: S105 - the end of parameters and variables that hold a password
# Redis's own URLs, whose passwords may have any character, and other URLs, whose login ends before the path (RFC 3986).
REDIS = r"(?i)((?:rediss?|valkeys?|unix)(?:\+sentinel)?://[^\s:@/]*)"
LENIENT = rf"{REDIS}:((?:(?!://)\S)+)@"  # up to the next URL
GREEDY = rf"{REDIS}:(?!\*\*\*@)(\S{{1,1000}})@"  # if there is :// in a password: up to the last @
LOGIN = r"(://[^\s:@/?#]*):([^\s@/?#]+)@"


def printable(text: str) -> str:
    """Return foreign text that is safe in a terminal and in one line of a log, without the passwords of URLs."""
    text = masked(text)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def shortened(text: str, most: int) -> str:
    """Return a text from elsewhere, cut to `most` characters."""
    return text if len(text) <= most else f"{text[:most]}..."


def masked(text: str) -> str:
    """Return the text with *** in place of passwords: in the login of a URL, and after `password=`.

    cronlock's own messages have no passwords; names, commands and lines that users wrote may have them.
    """
    if "://" not in text and PASSWORD not in text.lower():
        return text
    try:
        import re  # rare: only a run with a URL in its key or command needs the module
    except Exception:  # an upgrade during the run removed the module, and this may be the run's last message
        return text[: min(at for at in (text.find("://"), text.lower().find(PASSWORD)) if at >= 0)] + HIDDEN
    text = re.sub(LENIENT, rf"\1:{HIDDEN}@", text)
    text = re.sub(GREEDY, rf"\1:{HIDDEN}@", text)
    text = re.sub(LOGIN, rf"\1:{HIDDEN}@", text)
    return re.sub(rf"({PASSWORD})\S+", rf"\1{HIDDEN}", text, flags=re.IGNORECASE)  # which may have any character


def escape_unencodable() -> None:
    """Have standard output and standard error write characters that their encoding lacks as escapes."""
    for stream in (sys.stdout, sys.stderr):
        if stream and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def instant(tick: int) -> str:
    """Return a tick as operators read it and --tick takes it: 2026-11-20T02:00Z; with seconds unless they are 0."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ" if tick % 60 else "%Y-%m-%dT%H:%MZ", time.gmtime(tick))


def since(ms: int) -> str:
    """Return the time of day in the local zone, with the date unless it is today."""
    then = time.localtime(ms // 1000)
    today = then[:3] == time.localtime()[:3]
    return time.strftime("%H:%M:%S" if today else "%Y-%m-%d %H:%M:%S", then)


def unreadable_code(error: OSError) -> str:
    """Return the message about a file of cronlock that can't be opened: it is missing, or no descriptor is free."""
    reason = (error.strerror or str(error)).lower()
    return f"cronlock itself can't be read: {reason}: install it again, or raise the limit of open files (ulimit -n)"


class Messages:
    """Messages about one key: `info` with -v or at a terminal, `notice` and `error` always except with -q.

    `off_stderr`: no message goes to standard error.
    """

    def __init__(self, key: str = "", verbose: bool = False, quiet: bool = False, syslog: bool = False) -> None:
        self._front = f"{printable(key)}: " if key else ""
        self._quiet = quiet
        self._syslog = syslog
        self.off_stderr = quiet or syslog
        self.at_terminal = not quiet and not syslog and os.isatty(STDERR)
        self.shows_info = verbose or self.at_terminal
        if syslog:
            import syslog as log  # now: until the end of the run an upgrade may replace the module

            self._log = log

    def notice(self, text: str) -> None:
        """Write a line except with -q."""
        if self._quiet:
            return
        line = shortened(printable(self._front + text), LINE_MAX)
        if self._syslog:
            self._log.openlog("cronlock", self._log.LOG_PID, self._log.LOG_CRON)
            self._log.syslog(self._log.LOG_NOTICE, line)
            return
        try:
            if _writable():
                os.write(STDERR, f"cronlock: {line}\n".encode("utf-8", "backslashreplace"))
        except OSError:  # the reader has gone; the exit status still has the outcome
            pass

    def error(self, error: "CronlockError") -> None:
        """Write the kind of an error and its message."""
        self.notice(f"{type(error).__name__.lower()}: {error}")

    def info(self, text: str) -> None:
        """Write a line with -v or at a terminal."""
        if self.shows_info:
            self.notice(text)


def _writable() -> bool:
    """Return whether standard error takes a line: a lease does not wait for a reader that has stalled."""
    poll = select.poll()
    poll.register(STDERR, select.POLLOUT)
    return bool(poll.poll(STALLED))
