"""The crontabs that this machine's cron reads, and the lines in them that may have started this process.

This module is on the path that cron starts.
"""

import os
import sys

from cronlock.cron.parser import BUSYBOX, CRONIE, DEBIAN, UNKNOWN_CRON, Line, lines_of
from cronlock.errors import Refused
from cronlock.files import NotRegularError, read_at_most, read_regular

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SPOOLS = (
    "var/spool/cron/crontabs",  # Debian
    "var/spool/cron/tabs",  # SUSE
    "var/spool/cron",  # cronie
    "etc/crontabs",  # busybox
)
BSD_SPOOLS = (
    "usr/lib/cron/tabs",  # macOS
    "var/cron/tabs",  # FreeBSD and others
)
CRONTAB_MAX = 1_048_576  # bytes of a crontab: Debian's cron takes 1000 lines of a user, and 998 bytes of a line
CRONTAB, CRON_D = "etc/crontab", "etc/cron.d"
LISTING = "crontab -l"  # the source of the lines in a user's own crontab
LEFTOVERS = ("~", ".rpmsave", ".rpmorig", ".rpmnew")  # cronie, database.c: not_a_crontab


def listing() -> str:
    """Return what `crontab -l` prints; nothing when it fails or does not exist: the user has no crontab.

    Raises OSError when it prints more than CRONTAB_MAX bytes.
    """
    reading, writing = os.pipe()
    try:
        pid = os.posix_spawnp(
            "crontab",
            ["crontab", "-l"],
            os.environ,
            file_actions=[  # the pipe first: it may itself be 0 or 2
                (os.POSIX_SPAWN_DUP2, writing, 1),
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
            ],
        )
    except OSError:
        os.close(reading)
        return ""
    finally:
        os.close(writing)
    try:
        text = read_at_most(reading, CRONTAB_MAX)
    finally:
        os.close(reading)  # which ends a crontab that has more to print
        try:
            status = os.waitpid(pid, 0)[1]
        except ChildProcessError:  # our parent ignores SIGCHLD: the kernel keeps no status
            status = 0
    return decoded(text) if status == 0 else ""


class Sources:
    """The crontabs of this machine. `root` is the folder that all paths start from, `crontab` runs `crontab -l`.

    `unreadable` is called with the path of a crontab that can't be read, and the reason; by default it adds them to
    `unread`.
    `wanted` returns whether to read the crontab of a user. `caller` is the user who became root by sudo or doas.
    """

    __slots__ = ("caller", "crontab", "root", "uid", "unread", "unreadable", "wanted")

    def __init__(self, root: str = "/", uid: int | None = None, crontab: "Callable[[], str]" = listing) -> None:
        self.root = root
        self.uid = os.geteuid() if uid is None else uid
        self.crontab = crontab
        self.unread: list[str] = []
        self.unreadable: Callable[[str, str], None] = self._keep
        self.wanted: Callable[[str], bool] = bool
        self.caller = os.environ.get("SUDO_USER") or os.environ.get("DOAS_USER", "")

    @property
    def cron(self) -> str:
        """The implementation of cron, as far as its files show."""
        cron, crond = self._path("usr/sbin/cron"), self._path("usr/sbin/crond")
        if os.path.islink(crond) and os.path.basename(os.readlink(crond)).startswith("busybox"):
            return BUSYBOX
        if os.path.exists(cron) != os.path.exists(crond):
            suse = os.path.isdir(self._path("var/spool/cron/tabs"))  # its cronie is named cron
            return DEBIAN if os.path.exists(cron) and not suse else CRONIE
        return UNKNOWN_CRON

    def __iter__(self) -> "Iterator[tuple[str, str, str | None]]":
        """Yield path, text and owner of each crontab; the owner is None in a system file, "" in `crontab -l`.

        Raises what `unreadable` raises.
        """
        cron = self.cron
        seen: set[tuple[int, int]] = set()  # on Alpine one spool is a link to the other
        if self.uid:
            yield from self._listed()
        else:
            for folder in SPOOLS if sys.platform == "linux" else BSD_SPOOLS:
                for name in filter(self.wanted, self._names_in(folder)):
                    yield from self._file(f"{folder}/{name}", name, seen)
        yield from self._file(CRONTAB, None, seen)
        for name in self._names_in(CRON_D):
            if reads_cron_d_name(name, cron):
                yield from self._file(f"{CRON_D}/{name}", None, seen)

    def _keep(self, path: str, reason: str) -> None:
        self.unread.append(f"{path} ({reason})")

    def may_have_started_us(self, owner: str | None) -> bool:
        """Return whether a line in this user's crontab may have started this process.

        Without this, any user could add ticks to a key of root's, or have its runs refused.
        """
        return not owner or owner in ("root", self.caller)

    def _path(self, name: str) -> str:
        return os.path.join(self.root, name)

    def _names_in(self, folder: str) -> list[str]:
        path = self._path(folder)
        try:
            return sorted(os.listdir(path))
        except OSError as error:
            return self._absent(path, error)

    def _listed(self) -> "Iterator[tuple[str, str, str | None]]":
        try:
            text = self.crontab()
        except OSError as error:
            self._absent(LISTING, error)
        else:
            yield LISTING, text, ""

    def _file(
        self, name: str, owner: str | None, seen: set[tuple[int, int]]
    ) -> "Iterator[tuple[str, str, str | None]]":
        path = self._path(name)
        try:
            text, status = read_regular(path, CRONTAB_MAX)
        except NotRegularError:  # cron does not read it either
            return
        except OSError as error:
            self._absent(path, error)
            return
        if (status.st_dev, status.st_ino) not in seen:
            seen.add((status.st_dev, status.st_ino))
            yield path, decoded(text), owner

    def _absent(self, path: str, error: OSError) -> list[str]:
        """Return an empty list for a missing path; report every other error."""
        if not isinstance(error, FileNotFoundError | NotADirectoryError):
            self.unreadable(path, error.strerror or str(error))
        return []


def reads_cron_d_name(name: str, cron: str) -> bool:
    """Return whether this cron reads a file of this name in /etc/cron.d."""
    if cron == DEBIAN:  # as run-parts(8) does
        return name.isascii() and name.replace("-", "a").replace("_", "a").isalnum()
    return name[0] not in ".#" and not name.endswith(LEFTOVERS)


def decoded(text: bytes) -> str:
    """Return the text of a crontab; bytes that are not UTF-8 survive."""
    return text.decode("utf-8", "surrogateescape")


def is_user(name: str) -> bool:
    """Return whether this machine has a user of this name; cron ignores other files in its spool."""
    import pwd

    try:
        pwd.getpwnam(name)
    except (KeyError, ValueError):
        return False
    return True


def own_lines(key: str, mode: str, sources: Sources | None = None, default_mode: str = "once") -> list[Line]:
    """Return all lines on this machine that run cronlock with this key and mode.

    Raises Refused when their commands or zones differ, or when there is none and a crontab can't be read: on a hardened
    machine a user may read some of them, and the line that started this process is usually among those.
    """
    sources = sources or Sources()
    cron = sources.cron
    sources.wanted = sources.may_have_started_us  # a crontab that is too long must not stop another user's runs
    found: list[Line] = []
    for path, text, owner in sources:
        lines = lines_of(text, path, key, mode, system=owner is None, cron=cron, default_mode=default_mode)
        for line in lines if owner else ():
            line.user = owner or ""
        found += lines
    if sources.unread and not found:
        raise Refused(
            f"no crontab line with this key was found, but can't read {', '.join(sources.unread)}: pass --schedule"
        )
    refuse_differing(key, found)
    return found


def refuse_differing(key: str, found: list[Line]) -> None:
    """Raise Refused when the lines of one key differ in their commands or zones."""
    for line in found[1:]:
        first = found[0]
        if line.command != first.command:
            raise Refused(
                f"key {key} is used with two different commands: {first.place} and {line.place}: "
                "give each command its own key, or pass --schedule"
            )
        if line.zone != first.zone:
            raise Refused(
                f"key {key} is used in two time zones: {first.zone or 'local'} at {first.place} and "
                f"{line.zone or 'local'} at {line.place}: give each line its own key, or pass --schedule and --tz"
            )
