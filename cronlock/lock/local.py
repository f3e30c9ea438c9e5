"""The local voter: the record of a key in one JSON file of this machine, under flock(2)."""

import errno
import fcntl
import json
import os
import time

from cronlock.errors import Refused
from cronlock.lock import operator_actions, protocol, state_machine
from cronlock.lock.local_copy import read_view
from cronlock.lock.protocol import ACTIVE, MAIN, Failure, is_future_tick
from cronlock.lock.witness import Witness, lock, private, this_clock
from cronlock.process.event_loop import monotonic, sha1

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from collections.abc import Callable

    from cronlock.lock.copy import Copy, Fields
    from cronlock.lock.local_copy import View
    from cronlock.lock.requests import Answer, OnReply, Reply
    from cronlock.lock.witness import Clock
    from cronlock.process.event_loop import Loop


OPERATIONS = state_machine.OPERATIONS | operator_actions.OPERATIONS
PASSING = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM)
POLL = 20  # ms between two checks of the file while this node waits for the end of a run
TAKE = ("prepare", "commit", "extend")  # operations that write a lease when they answer ok
RUN = ("commit", "extend")  # operations that write a live run
END = ("release", "finish")  # operations that end it
CLAIM = ("prepare", "commit")  # operations that request or claim a tick
HOME_MISSING = (
    "--local can't find this user's state directory: set HOME, or XDG_STATE_HOME, to an absolute path that all runs "
    "share"
)


def state_directory() -> str:
    """Return where local records live: /var/lib/cronlock for root, else the user's state directory (XDG).

    Raises Refused where nothing names it: in the working directory two runs would find two locks.
    """
    if os.geteuid() == 0:
        return "/var/lib/cronlock"
    state = os.environ.get("XDG_STATE_HOME") or ""
    if not state.startswith("/"):
        state = os.path.expanduser("~/.local/state")
    if not state.startswith("/"):
        raise Refused(HOME_MISSING)
    return os.path.join(state, "cronlock")


class LocalVoters:
    """One voter that answers at once; implements voters.Voters."""

    wall_clock = staticmethod(time.time)
    clock = staticmethod(monotonic)  # a suspended machine keeps its lease: all nodes of the file are suspended too
    count = 1
    conflict = ""
    distinct = False
    voter_set = "2 local"
    warning = ""  # for the operator, whatever the outcome

    def __init__(self, loop: "Loop", directory: str, prefix: str, key: str, node: str = "") -> None:
        self.key, self.node = key, node
        self.location_flags: Callable[[], str] = str
        self._loop = loop
        self._directory = directory
        main = f"{prefix}:{MAIN}:{key}"
        self._name = f"{prefix}:each:{node}:{key}" if node else main
        self._path = os.path.join(directory, file_name(self._name, key))
        self._main = os.path.join(directory, file_name(main, key)) if node else ""
        self._on_run_ended: Callable[[int, int], None] | None = None
        self._seen: os.stat_result | None = None
        self._clock: Clock | None = None
        self._witness = Witness(self._path)

    @property
    def witness(self) -> int:
        """Return the file descriptor whose lock shows that the run lives; -1 without one."""
        return self._witness.fd

    def label(self, _voter: int) -> str:
        """Return the path of the record."""
        return self._path

    def flush(self) -> None:
        """Do nothing: requests do not wait."""

    def find(self, _until: int) -> "Failure | None":
        """Create the directory. Raises Refused when that fails, or when other users may write to it."""
        try:
            if not os.path.isdir(self._directory):
                os.makedirs(self._directory, mode=0o700, exist_ok=True)
                os.chmod(self._directory, 0o700)  # whatever the umask
            reason = distrust(self._directory)
        except OSError as error:
            raise Refused(
                f"can't create {self._directory}, where --local keeps its records: {(error.strerror or '').lower()}: "
                "let this user write there, or set XDG_STATE_HOME"
            ) from error
        if reason:
            raise Refused(f"{reason}: --local keeps its records there")
        return None

    def send(self, _voter: int, operation: str, ask: "Fields", answered: "OnReply") -> None:
        """Do one operation on the file; `answered` gets the answer's fields, or a Failure."""
        reply: Reply
        try:
            reply = self._locked(operation, ask)
        except OSError as error:
            reason = f"{self._path}: {(error.strerror or str(error)).lower()}"
            reply = Failure(reason, final=error.errno not in PASSING and not isinstance(error, BlockingIOError))
        answered(reply)

    def _locked(self, operation: str, ask: "Fields") -> "Reply":
        fd = private(self._path + ".lock", os.O_RDWR | os.O_CREAT)
        try:
            lock(fd, fcntl.LOCK_EX)
            own = self._clock = self._clock or this_clock()  # read once: later the open-file limit may be reached
            wall = self._wall()
            view = read_view(self._path, own, wall)
            if view is None:
                return _damaged(self._path)
            if self._main:
                main = read_view(self._main, own, wall)
                if main is None:
                    return _damaged(self._main)
                view.copy.main = main.copy.record
            return self._execute(operation, ask, view, wall)
        finally:
            os.close(fd)

    def _wall(self) -> int:
        return int(self.wall_clock() * 1000)

    def _execute(self, operation: str, ask: "Fields", view: "View", wall: int) -> "Answer":
        """Execute the operation on the copy, and store the result."""
        copy, future = view.copy, None
        if operation in CLAIM and is_future_tick(copy.get("tick"), wall):
            from cronlock.lock.future_ticks import FutureTicks  # rare, so other runs do not import it

            future = FutureTicks(copy, wall)
            self.warning = future.warning
        if operation in RUN:
            self._witness.take()
        answer = OPERATIONS[operation](copy, ask, monotonic(), wall, "")
        good = answer["answer"] == protocol.OK
        runs = copy.get("kind") == "run" and copy.get("holder") == ask.get("holder")
        if future and not (good and operation == "commit"):
            future.undo(copy)
        self._store(copy, view.restore_lease(new_lease=good and operation in TAKE))
        if operation in END or (operation in RUN and not runs):  # the record no longer has this process's run
            self._witness.release()
        return answer

    def _store(self, copy: "Copy", clock: "Clock") -> None:
        boot, namespace = clock
        stored = {
            "name": self._name,
            "boot": boot,
            "time": namespace,
            "expires": copy.expires,
            "record": copy.record,
            "nodes": copy.nodes,
            "history": copy.history,
        }
        new = self._path + ".new"
        with open(new, "w", encoding="utf-8", errors="surrogateescape", opener=private) as file:
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
        """Do nothing: a file does not move."""

    def failures(self, _voter: int) -> int:
        """Return 0: a file has no connection to lose."""
        return 0

    def close(self) -> None:
        """Release the witness: this process's run has ended, or was never started."""
        self._witness.release()

    def listen(self, on_run_ended: "Callable[[int, int], None]") -> None:
        """Call `on_run_ended` with voter and token when a run ends, from now on."""
        self._on_run_ended = on_run_ended

    def listening(self, state: str) -> int:
        """Return the number of voters whose subscription is in this state (protocol.py)."""
        return int(state == ACTIVE and self._on_run_ended is not None)

    def step(self, timeout: int) -> None:
        """Wait at most so many ms for something to happen."""
        if not self._on_run_ended:
            self._loop.step(timeout)
            return
        self._loop.step(min(timeout, POLL))
        self._notify_if_ended(self._on_run_ended)

    def _notify_if_ended(self, on_run_ended: "Callable[[int, int], None]") -> None:
        """Read the file when it was replaced since the last check: a file can't push notifications."""
        try:
            seen = os.stat(self._path)
        except OSError:
            return
        if self._seen and (seen.st_ino, seen.st_mtime_ns) == (self._seen.st_ino, self._seen.st_mtime_ns):
            return
        try:
            view = read_view(self._path, self._clock or this_clock(), self._wall())
        except OSError:  # the open-file limit: retry at the next check
            return
        self._seen = seen
        if view and not view.copy.live(monotonic()):
            on_run_ended(0, view.copy.get("token"))


def _damaged(path: str) -> Failure:
    return Failure(f"{path}: the record is damaged: remove the file to start a new one", final=True)


def file_name(name: str, key: str) -> str:
    """Return the name of a record's file: readable, and different for each record."""
    readable = "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "_" for c in key)[:100]
    return f"{readable}-{sha1(name.encode('utf-8', 'surrogateescape'))[:16]}.json"


def distrust(directory: str) -> str:
    """Return why another user could write records in this directory, and what to do; empty when none could.

    A user who may only list the directory sees the names of keys: the files are private to their user.
    """
    status = os.stat(directory)
    if status.st_uid != os.geteuid():
        return f"{directory} is owned by uid {status.st_uid}: chown it to uid {os.geteuid()}, or remove it"
    if status.st_mode & 0o022:
        return f"{directory} is writable by other users: check its content, then run chmod go-w {directory}"
    return ""
