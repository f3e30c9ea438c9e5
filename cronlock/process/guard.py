"""The guard: a second process that ends the command when this one dies, or no longer says that its lease lives.

It is forked and not executed, so it costs a millisecond and the few pages that it touches. It leads the command's
process group: the group has a number before the command starts, and keeps it.

When both are killed at the same moment the kernel ends the group. They share the tether, a pair of sockets that nobody
else has and nobody writes to: the last of the two to die closes both, one of them first, and the kernel sends SIGKILL
on behalf of the other, whose end has hung up (F_SETOWN and O_ASYNC, see fcntl(2)).
"""

import gc
import os
import select
import time

from cronlock.process.event_loop import CHILDREN, POLL_MAX, go_on, keep_only, signal, socket, whole
from cronlock.process.group import Group

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from collections.abc import Callable

    from cronlock.process.event_loop import Loop

    Order = tuple[int, int, int]  # begin_at, kill_at, the command's pid

NAME = b"cronlock-guard"  # what ps calls it: at most 15 bytes
NEVER = 1 << 62  # ms
PIPE = 3  # the guard's file descriptor for orders
WITNESS = PIPE + 1  # with --local: what shows to others that the run lives (lock/witness.py)
NO_WITNESS = -1
STDERR = 2
NUMBER = 8  # bytes of a number in an order
ORDER = 3 * NUMBER  # one write, which a pipe keeps whole
ORDERS = 65_536 // ORDER * ORDER  # all that a pipe holds
LOOK_MIN, LOOK_MAX = 10, 200  # ms between two looks at whether the group has ended, doubling


class Guard:
    """This process's end of it. Times are ms on `clock`.

    At `begin_at` the guard sends SIGTERM, and SIGKILL at `kill_at`, unless later times were announced until then. When
    this process dies it begins at once, and takes `kill_after` at most. It keeps the file `witness` open until it ends.
    """

    def __init__(self, loop: "Loop", clock: "Callable[[], int]", kill_after: int, witness: int = NO_WITNESS) -> None:
        self.group = Group(0)
        self.begin_at = 0
        self._kill_at = 0
        self._loop = loop
        self._clock = clock
        self._kill_after = kill_after
        self._witness = witness
        self._pid = 0
        self._gone: list[int] = []
        self._pipe = -1
        self._last_order: Order | None = None
        self._tether: tuple[int, ...] = ()
        self._tied = False

    def set_deadlines(self, begin_at: int, kill_at: int) -> None:
        """Say until when this process is to be trusted. The first time starts the guard: raises OSError if it can't."""
        begun = self._clock() >= self.begin_at
        self.begin_at, self._kill_at = begin_at, kill_at
        order = (begin_at, kill_at, self.group.command)
        if order == self._last_order:
            return
        if not self._pid:
            self._fork()
            return
        try:
            os.write(self._pipe, _packed(order))
            self._last_order = order
        except BlockingIOError:  # somebody stopped it, and the pipe is full: again the next time
            self._last_order = None
        except BrokenPipeError:
            if begun:
                self._retire(order)
            else:
                self._replace()

    def register_before_exec(self, command: int) -> None:
        """In the process that is about to become the command: tell the guard, before anything can go wrong."""
        try:
            os.write(self._pipe, _packed((self.begin_at, self._kill_at, command)))
        except BrokenPipeError:  # it is about to be replaced
            pass

    def register(self, command: int) -> None:
        """Answer for the command, which has started."""
        self.group.register(command)
        self._last_order = (self.begin_at, self._kill_at, command)

    def tie(self) -> None:
        """Have the kernel end the group when this process and the guard are both dead."""
        try:
            import fcntl  # only for commands that last

            set_signal = getattr(fcntl, "F_SETSIG", 0)  # Linux's
            for end in self._tether if set_signal else ():
                fcntl.fcntl(end, set_signal, signal.SIGKILL)
                fcntl.fcntl(end, fcntl.F_SETOWN, -self.group.number)
                fcntl.fcntl(end, fcntl.F_SETFL, os.O_ASYNC)
                self._tied = True
        except (ImportError, OSError):  # no file to be had
            pass

    def _untie(self) -> None:
        """For both processes: what the command left behind in the group stays."""
        if self._tied:
            import fcntl

            for end in self._tether:
                fcntl.fcntl(end, fcntl.F_SETFL, 0)
        for end in self._tether:
            os.close(end)
        self._tether, self._tied = (), False

    def keep_awake(self) -> None:
        """Let it go on: who stops the group, as a shell does that suspends itself, has stopped it as well."""
        try:
            if self._pid:
                go_on(self._pid)
        except ChildProcessError:  # it has died
            pass

    def group_alive(self, until: int) -> bool:
        """Whether anything lives that the guard is there for, as far as that can be told until then."""
        return self.group.alive(self._pid, lambda: self._clock() >= until)

    def pending_signal(self, number: int) -> bool:
        """Whether a signal came to the whole group, as those that are typed do: it waits at the guard."""
        try:
            lines = whole(f"/proc/{self._pid}/status").split(b"\n")
            pending = [int(line.split()[1], 16) for line in lines if line.startswith(b"ShdPnd:")]
        except OSError:  # not Linux: nobody can tell
            return True
        return bool(pending and pending[0] >> number - 1 & 1)

    def dismiss(self) -> None:
        """The farewell: the guard leaves, and what the command left behind in the group stays."""
        self._untie()
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)  # our child, so the number is its own until we wait
            self._loop.forget(self._pipe)
            os.close(self._pipe)
            self._gone.append(self._pid)
            self._pid, self._last_order = 0, None

    def reap(self) -> None:
        """Wait for those that have gone; it takes them half a millisecond, in which others can be told of the end."""
        while self._gone:
            pid = self._gone.pop()
            os.waitpid(pid, 0)
            CHILDREN.discard(pid)

    def _died(self, _events: int) -> None:
        if self._clock() < self.begin_at:
            self._replace()
        else:
            self._retire((self.begin_at, self._kill_at, self.group.command))

    def _retire(self, order: "Order") -> None:
        """It has done what it was there for, and nothing is left to be told."""
        self._loop.forget(self._pipe)
        self._last_order = order

    def _replace(self) -> None:
        """Start another one in the same group, whose number the dead one holds until it is waited for."""
        dead, pipe = self._pid, self._pipe
        self._loop.forget(pipe)
        try:
            self._fork()
        except OSError:  # no process to be had: again with the next announcement
            self._last_order = None
            return
        os.close(pipe)
        self._gone.append(dead)
        self.reap()

    def _fork(self) -> None:
        group = self.group.number if self.group.command else 0
        wrapper = os.getpid()
        read, write = os.pipe()
        os.set_blocking(write, False)
        if not self._tether:
            self._tether = _pair()
        gc.freeze()  # a collection would write to every object, and part each page that the two processes share
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            pid = os.fork()
            if not pid:
                self._become_guard(read, group, wrapper)
        except OSError:
            os.close(write)
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            os.close(read)
        try:  # whoever of the two is first
            os.setpgid(pid, group or pid)
        except OSError:
            pass
        gc.enable()  # it was off for a quick start (__main__.py); what runs for months must not leave cycles behind
        CHILDREN.add(pid)
        self._pid, self._pipe = pid, write
        self._last_order = (self.begin_at, self._kill_at, self.group.command)
        if not group:
            self.group = Group(pid)
        self._loop.watch(write, select.POLLHUP, self._died)  # which macOS, unlike POSIX, tells only those who ask

    # -- the guard's own process -----------------------------------------------------------------------------------

    def _become_guard(self, pipe: int, group: int, wrapper: int) -> None:
        """Watch over the group, and exit."""
        try:
            os.setpgid(0, group)
            self.group.number = os.getpgrp()
            self._pid = os.getpid()
            _strip(pipe, self._witness, self._tether)
            self._watch()
            self._ask()
        except BaseException:  # no memory, perhaps, or no file to be had
            if os.getppid() == wrapper and self._clock() < self.begin_at:
                os.kill(wrapper, signal.SIGCONT)  # it replaces us
                os._exit(1)
        try:
            self._force(wrapper)
        finally:
            os._exit(0)

    def _watch(self) -> None:
        """Wait until it is time to begin, or the wrapper is dead."""
        poll = select.poll()
        poll.register(PIPE, select.POLLIN)
        while True:
            left = self.begin_at - self._clock()
            if not poll.poll(max(0, min(left, POLL_MAX))):
                if left <= 0:  # and nothing newer has been said
                    return
                continue
            orders = os.read(PIPE, ORDERS)
            if not orders:
                return
            last = orders[-ORDER:]
            self.begin_at, self._kill_at, command = (
                int.from_bytes(last[at : at + NUMBER], "big") for at in range(0, ORDER, NUMBER)
            )
            if command != self.group.command:
                self.group.register(command)

    def _ask(self) -> None:
        """Ask the group to end, and wait for that."""
        kill_at = min(self._kill_at, self._clock() + self._kill_after)
        self.group.signal(signal.SIGTERM)
        self.group.signal(signal.SIGCONT)
        pause = LOOK_MIN
        while self.group_alive(kill_at) and (left := kill_at - self._clock()) > 0:
            time.sleep(min(left, pause) / 1000)
            pause = min(2 * pause, LOOK_MAX)

    def _force(self, wrapper: int) -> None:
        """End what is left, and wake a wrapper that was stopped, so that it can tell.

        A guard whose number is the group's leaves that first: nothing can join it once it is empty, not even the
        command of a wrapper that wakes only now. Another guard would set the number free, and ends with the rest.
        """
        if self.group.number == os.getpid():
            try:
                os.setpgid(0, os.getpgid(wrapper))
            except OSError:  # no wrapper, no command
                pass
        self.group.signal(signal.SIGKILL)
        if os.getppid() == wrapper:
            os.kill(wrapper, signal.SIGCONT)


def _packed(order: "Order") -> bytes:
    return b"".join(number.to_bytes(NUMBER, "big") for number in order)


def _pair() -> tuple[int, ...]:
    """Two sockets, connected with each other. Nothing where none can be had."""
    try:
        one, other = socket.socketpair()
    except OSError:
        return ()
    return one.detach(), other.detach()


def _strip(pipe: int, witness: int, tether: tuple[int, ...]) -> None:
    """Keep nothing of the wrapper's but these three: whoever reads from its files must see their end.

    The tether has no number that the others could get: it was made when a pipe had taken the lowest that were free.
    """
    if witness != NO_WITNESS:
        os.dup2(witness, STDERR)  # out of the way: pipe and witness may each have the other's number
    if pipe != PIPE:
        os.dup2(pipe, PIPE)
    if witness != NO_WITNESS:
        os.dup2(STDERR, WITNESS)
    for name in ("/proc/self/comm", "/dev/null"):
        try:
            fd = os.open(name, os.O_RDWR)
        except OSError:
            continue
        if name == "/dev/null":
            for standard in (0, 1, 2):
                os.dup2(fd, standard)
        else:
            os.write(fd, NAME)
    keep_only(PIPE, *((WITNESS,) if witness != NO_WITNESS else ()), *tether)
    os.chdir("/")
