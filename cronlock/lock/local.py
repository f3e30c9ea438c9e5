"""The voter in a file: the record of a key in one JSON file of this machine, under flock(2)."""

import errno
import fcntl
import json
import os
import time

from cronlock.errors import Refused
from cronlock.lock import memory, person, record, terms
from cronlock.lock.candidate import STANDS
from cronlock.lock.quorum import Failure
from cronlock.lock.slots import MAIN
from cronlock.system import monotonic, sha1

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from cronlock.system import Loop

    Fields = dict[str, Any]
    Answered = Callable[[Fields | Failure], None]

OPERATIONS = record.OPERATIONS | person.OPERATIONS
BUSY_WAIT = 1.0  # s for another process to let go of the file: each holds it for one operation
PASSING = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM)
LOOK = 20  # ms between two looks at the file by those who wait for the end of a run
BOOT_ID = "/proc/sys/kernel/random/boot_id"


def state_directory() -> str:
    """Where local records live: /var/lib/cronlock for root, else the user's state directory (XDG)."""
    if os.geteuid() == 0:
        return "/var/lib/cronlock"
    state = os.environ.get("XDG_STATE_HOME") or ""
    return os.path.join(state if state.startswith("/") else os.path.expanduser("~/.local/state"), "cronlock")


def boot_id() -> str:
    """What changes with every start of the machine: leases do not outlive it, for their clock starts anew."""
    try:
        with open(BOOT_ID, encoding="ascii") as file:
            return file.read().strip()
    except OSError:  # not Linux: a lease of before the start may then block for up to an hour, but none ends early
        return "unknown"


class LocalVoters:
    """One voter, asked and answered at once."""

    clock = staticmethod(monotonic)  # a lid that closes ends no job: the machine's only nodes sleep as well
    count = 1
    conflict = ""
    distinct = False
    settings = "1 local"

    def __init__(self, loop: "Loop", directory: str, prefix: str, key: str, node: str = "") -> None:
        self.key, self.node = key, node
        self._loop = loop
        self._directory = directory
        main = f"{prefix}:{MAIN}:{key}"
        self._name = f"{prefix}:each:{node}:{key}" if node else main
        self._path = os.path.join(directory, file_name(self._name, key))
        self._main = os.path.join(directory, file_name(main, key)) if node else ""
        self._rung: Callable[[int, int], None] | None = None
        self._seen: os.stat_result | None = None

    def label(self, _voter: int) -> str:
        return self._path

    def flush(self) -> None:
        """Nothing waits to be sent."""

    def find(self, _until: int) -> "Failure | None":
        """Make the directory; raises Refused when that can't be done, or when it is not this user's alone."""
        try:
            if not os.path.isdir(self._directory):
                os.makedirs(self._directory, mode=0o700, exist_ok=True)
                os.chmod(self._directory, 0o700)  # whatever the umask
            reason = distrust(self._directory)
        except OSError as error:
            raise Refused(f"can't make {self._directory}: {error.strerror}: --local keeps its locks there") from error
        if reason:
            raise Refused(f"{reason}: --local keeps its locks there")
        return None

    def send(self, _voter: int, operation: str, ask: "Fields", answered: "Answered") -> None:
        """Do one operation on the file; `answered` gets the answer's fields, or a Failure."""
        reply: Fields | Failure
        try:
            reply = self._locked(operation, ask)
        except OSError as error:
            reason = f"{self._path}: {(error.strerror or str(error)).lower()}"
            reply = Failure(reason, final=error.errno not in PASSING and not isinstance(error, BlockingIOError))
        answered(reply)

    def _locked(self, operation: str, ask: "Fields") -> "Fields | Failure":
        fd = _private(self._path + ".lock", os.O_RDWR | os.O_CREAT)
        try:
            self._wait_for_lock(fd)
            copy = load(self._path)
            if copy is None:
                return Failure(f"{self._path}: it is damaged: remove it to begin anew", final=True)
            if self._main:
                main = load(self._main)
                if main is None:
                    return Failure(f"{self._main}: it is damaged: remove it to begin anew", final=True)
                copy.main = main.record
            answer = OPERATIONS[operation](copy, ask, monotonic(), int(time.time() * 1000), "")
            self._store(copy)
            return answer
        finally:
            os.close(fd)

    def _wait_for_lock(self, fd: int) -> None:
        until = time.monotonic() + BUSY_WAIT
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.002)

    def _store(self, copy: record.Copy) -> None:
        stored = {
            "name": self._name,
            "boot": boot_id(),
            "expires": copy.expires,
            "record": copy.record,
            "nodes": copy.nodes,
            "history": copy.history,
        }
        new = self._path + ".new"
        with open(new, "w", encoding="utf-8", errors="surrogateescape", opener=_private) as file:
            json.dump(stored, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, self._path)
        fd = os.open(self._directory, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def refresh(self) -> None:
        """A file does not move."""

    def failures(self, _voter: int) -> int:
        """A file has no connection to lose."""
        return 0

    def close(self) -> None:
        """Nothing is open."""

    def listen(self, rung: "Callable[[int, int], None]") -> None:
        """Be told of the end of a run, by its token, from now on."""
        self._rung = rung

    def listening(self, state: str) -> int:
        """How many voters' subscriptions are in this state (candidate.py)."""
        return int(state == STANDS and self._rung is not None)

    def step(self, timeout: int) -> None:
        """Wait at most so many ms for something to happen."""
        if not self._rung:
            self._loop.step(timeout)
            return
        self._loop.step(min(timeout, LOOK))
        self._look(self._rung)

    def _look(self, rung: "Callable[[int, int], None]") -> None:
        """Nobody tells of a file: it is looked at, and read when another one stands in its place."""
        try:
            seen = os.stat(self._path)
        except OSError:
            return
        if self._seen and (seen.st_ino, seen.st_mtime_ns) == (self._seen.st_ino, self._seen.st_mtime_ns):
            return
        self._seen = seen
        copy = load(self._path)
        if copy and not copy.live(monotonic()):
            rung(0, copy.get("token"))


def load(path: str) -> "record.Copy | None":
    """The copy in a file; blank when there is none, None for one that is damaged."""
    copy = record.Copy()
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            stored = json.load(file)
        if 0 < stored["expires"] <= time.time() * 1000:
            return copy
        copy.record = dict(stored["record"])
        copy.nodes = dict(stored["nodes"])
        copy.history = list(stored["history"])
        copy.expires = stored["expires"]
        if stored["boot"] != boot_id():
            copy.clear_holder()
    except FileNotFoundError:
        pass
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return copy if _whole(copy) else None


def file_name(name: str, key: str) -> str:
    """The file of a record: to be recognized by a person, and one for each name."""
    readable = "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "_" for c in key)[:100]
    return f"{readable}-{sha1(name.encode('utf-8', 'surrogateescape'))[:16]}.json"


def _whole(copy: record.Copy) -> bool:
    """Whether everything is of its type: what a hand or a broken disk changed is JSON all the same."""
    return (
        all(isinstance(value, int if name in terms.NUMBERS else str) for name, value in copy.record.items())
        and isinstance(copy.expires, int)
        and all(isinstance(value, str if name.startswith(memory.TEXTS) else int) for name, value in copy.nodes.items())
        and all(isinstance(line, str) for line in copy.history)
    )


def distrust(directory: str) -> str:
    """Why records in this directory may be somebody else's, and what to do; empty when they are this user's own.

    Who may only look into it sees names of keys: the files in it are for their user alone.
    """
    status = os.stat(directory)
    if status.st_uid != os.geteuid():
        return f"{directory} belongs to user {status.st_uid}: give it to user {os.geteuid()}, or remove it"
    if status.st_mode & 0o022:
        return f"others may write to {directory}: look into it, then chmod go-w {directory}"
    return ""


def _private(path: str, flags: int) -> int:
    """A file that is open, and its user's alone, whatever the umask and whoever made it."""
    fd = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    os.fchmod(fd, 0o600)
    return fd
