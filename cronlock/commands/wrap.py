"""`cronlock wrap`: print a crontab with `cronlock run` before its commands."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cronlock.commands.crontab_wrapper import BUILT_IN, SHELL_WORDS, Wrapper, encoded, wrap_crontab
from cronlock.cron.crontab import CRONTAB_MAX, Sources, is_user
from cronlock.cron.parser import rows
from cronlock.errors import CronlockError, Refused
from cronlock.files import too_long
from cronlock.messages import Messages

if TYPE_CHECKING:
    from cronlock.commands.invocation import Invocation

END_OF_INPUT = "end it with Ctrl-D, or press Ctrl-C and type crontab -l | cronlock wrap --"
ONE_FILE, FOLDER = "/etc/crontab", "/etc/cron.d"  # crontabs with a user column
DECLARE = "pass --crontab system if it is, --crontab user if not"
USER_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*\$?")
SEARCHED = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # folders of programs that lines may start


def wrap(invocation: Invocation) -> int:
    """Print the crontab on standard output, and each line that was left alone, with the reason, on standard error.

    Returns 125, and prints nothing on standard output, when the crontab as a whole can't be wrapped.
    """
    messages = Messages("wrap")
    try:
        mode = _mode(invocation.given)
        path = _path(invocation.arguments)
        if not path and sys.stdin.isatty():
            messages.notice(f"reading a crontab from this terminal: {END_OF_INPUT}{mode}")
        text = _crontab_text(path)
        cron = Sources().cron
        system = _has_user_column(path, text, cron, invocation.command_options.get("crontab", ""))
        wrapper = Wrapper(find_cronlock(sys.argv[0], invocation.environ), mode, system, cron)
        crontab, notes = wrap_crontab(text, wrapper)
        notes += _find_unknown_users(text, cron) if system else ()
        _write(crontab)
    except CronlockError as error:
        messages.error(error)
        return error.status
    for note in notes:
        messages.notice(note)
    return 0


def find_cronlock(started: str, environ: Mapping[str, str]) -> str:
    """Return the absolute path of cronlock: as it was started, else on PATH, else beside its Python.

    Links are not followed.
    """
    beside = os.path.join(os.path.dirname(sys.executable), "cronlock")
    for path in (started, shutil.which("cronlock", path=environ.get("PATH")), beside):
        if path and os.path.basename(path) == "cronlock" and os.path.isfile(path) and os.access(path, os.X_OK):
            return os.path.abspath(path)
    raise Refused("no program named cronlock was found: put its folder on PATH")


def is_in_etc(path: str) -> bool:
    """Return whether crontabs at this path have a user column."""
    path = os.path.abspath(path)
    return path == ONE_FILE or os.path.dirname(path) == FOLDER


def _mode(given: Mapping[str, object]) -> str:
    modes = [mode for mode in ("once", "each") if given.get(mode)]
    if not modes:
        raise Refused("neither --once nor --each is given: give one of them")
    if len(modes) > 1:
        raise Refused("both --once and --each are given: give one of them")
    return modes[0]


def _path(words: Sequence[str]) -> str:
    """Return FILE; empty for standard input, which is also called -."""
    if len(words) > 1:
        raise Refused("several files are given: give one of them")
    return words[0] if words and words[0] != "-" else ""


def _crontab_text(path: str) -> str:
    try:
        text = _beginning(Path(path)) if path else sys.stdin.buffer.read(CRONTAB_MAX + 1)
        if len(text) > CRONTAB_MAX:
            raise OSError(too_long(CRONTAB_MAX))
    except OSError as error:
        raise Refused(f"can't read {path or 'standard input'}: {error.strerror or error}") from None
    return text.decode("utf-8", "surrogateescape")


def _beginning(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(CRONTAB_MAX + 1)


def _write(crontab: str) -> None:
    try:
        sys.stdout.buffer.write(encoded(crontab))
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        pass
    except OSError as error:
        raise Refused(f"can't write the crontab: {error.strerror}") from None


def _has_user_column(path: str, text: str, cron: str, crontab_format: str) -> bool:
    """Return whether the crontab has a user column: by --crontab, else by its path."""
    if crontab_format:
        return crontab_format == "system"
    if path and is_in_etc(path):
        return True
    found = list(rows(text, True, cron))
    # A command of one word, such as `sync`, can't be a user's name: no command would be left.
    if len(found) != sum(1 for _ in rows(text, False, cron)) or not all(_may_be_user(row.user) for row in found):
        return False
    unknown = next((row.user for row in found if not is_user(row.user)), "")
    if found and not unknown:
        raise Refused(f"every command begins with the name of a user, which may be a user column: {DECLARE}")
    if any(is_user(row.user) or _is_program(row.command.split()[0]) for row in found):
        why = f"{unknown} is neither a user nor a program of this machine"
        raise Refused(f"every command begins with a word that may be a user, and {why}: {DECLARE}")
    return False


def _may_be_user(word: str) -> bool:
    return is_user(word) or (USER_NAME.fullmatch(word) is not None and not _is_program(word))


def _is_program(word: str) -> bool:
    return word[0] == "/" or word in SHELL_WORDS | BUILT_IN or shutil.which(word, path=SEARCHED) is not None


def _find_unknown_users(text: str, cron: str) -> Iterator[str]:
    """Yield a note for the first line of each user that this machine lacks."""
    noted: set[str] = set()
    for row in rows(text, True, cron):
        if row.user not in noted and USER_NAME.fullmatch(row.user) and not is_user(row.user):
            noted.add(row.user)
            yield f"line {row.number}: user {row.user} does not exist on this machine: its cron would not run the line"
