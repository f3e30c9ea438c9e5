"""The users of crontab lines, and what the modes of files let them read and execute."""

from __future__ import annotations

import os
import pwd
import stat
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from cronlock.cron.parser import takes_script
from cronlock.cron.shell import commands

READ, EXECUTE = 4, 1  # bits of a mode, as others have them
SWITCHES = frozenset("sudo doas su runuser setpriv".split())
ACCESS_LIST = "system.posix_acl_access"
SU_VALUES = frozenset(
    "-s --shell -g --group -G --supp-group -w --whitelist-environment -c -C --session-command".split()
)


@dataclass(frozen=True)
class Account:
    """A user of this machine."""

    name: str
    uid: int
    groups: frozenset[int]

    def obstacle(self, path: str, wanted: int, below: str = "/") -> str:
        """Return the part of a path that keeps the user from reading or executing it, with its mode; else empty.

        Folders above `below` are not looked at. Where the file system has access lists, modes do not decide.
        """
        if not self.uid:
            return ""
        parts = [path]
        while parts[-1] not in (below, "/", ""):
            parts.append(os.path.dirname(parts[-1]))
        for number, part in enumerate(reversed(parts)):
            try:
                status = os.stat(part)
            except OSError:
                return ""  # another finding is about missing files
            bit = wanted if number == len(parts) - 1 else EXECUTE
            if not self._has_all(status, bit) and not _has_access_list(part):
                return f"{part} has mode {stat.S_IMODE(status.st_mode):o}"
        return ""

    def _has_all(self, status: os.stat_result, bits: int) -> bool:
        shift = 6 if status.st_uid == self.uid else 3 if status.st_gid in self.groups else 0
        return status.st_mode >> shift & bits == bits


def _has_access_list(path: str) -> bool:
    if sys.platform != "linux":
        return False
    try:
        return ACCESS_LIST in os.listxattr(path)
    except OSError:
        return False


def account_of(name: str) -> Account | None:
    """Return the user of a name or a number; None when this machine has no such user."""
    try:
        found = pwd.getpwuid(int(name)) if name.isascii() and name.isdigit() else pwd.getpwnam(name)
    except (KeyError, ValueError, OverflowError):
        return None
    return Account(found.pw_name, found.pw_uid, frozenset(os.getgrouplist(found.pw_name, found.pw_gid)))


def own_account() -> Account:
    """Return the user who runs this process."""
    uid = os.geteuid()
    return account_of(str(uid)) or Account(str(uid), uid, frozenset(os.getgroups()))


def switched_user(front: Sequence[Sequence[str]], script: str) -> tuple[str, str]:
    """Return the program in front of cronlock that starts it as another user, and that user.

    Both are empty when there is none. `front` is that of a crontab line: the words of each command before cronlock.
    """
    found = "", ""
    for number, words in enumerate(front):
        at = next((at for at, word in enumerate(words) if word.rpartition("/")[2] in SWITCHES), None)
        if at is None:
            continue
        last = number == len(front) - 1
        if last or (words[-1][:1] == "-" and takes_script(words[-1])) or "--command=" in script:
            program = words[at].rpartition("/")[2]
            found = program, _target(program, [*words[at + 1 :], *_words_behind(words, script)])
    return found


def _words_behind(front: Sequence[str], script: str) -> list[str]:
    """Return the words of the script's command behind these, as in `su -c '...' www-data`."""
    for words in commands(script):
        texts = [word.text for word in words]
        if texts[: len(front)] == list(front):
            return texts[len(front) :]
    return []


def _target(program: str, words: Sequence[str]) -> str:
    """Return the user that sudo, doas, su, runuser or setpriv is given; root by default."""
    for at, word in enumerate(words):
        following = words[at + 1] if at + 1 < len(words) else ""
        if program == "setpriv":
            if word.startswith("--reuid"):
                return word.partition("=")[2] or following
        elif program == "su":
            break
        elif word in ("-u", "--user"):
            return following
        elif word.startswith("--user=") or (word[:2] == "-u" and len(word) > 2):
            return word.removeprefix("--user=").removeprefix("-u")
    if program in ("su", "runuser"):
        return _operand(words) or "root"
    return "" if program == "setpriv" else "root"


def _operand(words: Sequence[str]) -> str:
    """Return the first word that is neither an option nor the value of one."""
    value = False
    for word in words:
        if not value and word[:1] != "-":
            return word
        value = not value and word in SU_VALUES
    return ""
