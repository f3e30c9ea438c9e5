"""The guard, a second process: kills the command if cronlock dies or stops renewing its deadline.

The guard is forked and not executed, so it costs a millisecond and the few pages that it writes to. It leads the
command's process group: the group has a number before the command starts, and keeps it.

If both are killed at the same moment, the kernel ends the group: see Tether in group.py.
"""

import gc
import os
import select
import time

from cronlock.process.event_loop import CHILDREN, POLL_MAX, continue_if_stopped, keep_only, read_file, signal
from cronlock.process.group import Group, Tether

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from collections.abc import Callable

    from cronlock.process.event_loop import Loop

    Order = tuple[int, int, int]  # begin_at, kill_at, the command's pid

NAME = b"cronlock-guard"  # in ps: at most 15 bytes
NEVER = 1 << 62  # ms
PIPE = 3  # the guard's file descriptor for orders
WITNESS = PIPE + 1  # with --local: shows other processes that the run lives (lock/witness.py)
NO_WITNESS = -1
STDERR = 2
NUMBER = 8  # bytes of a number in an order
ORDER = 3 * NUMBER  # bytes of one write, which a pipe does not split
ORDERS = 65_536 // ORDER * ORDER  # bytes that a pipe holds
GROUP_POLL_MIN, GROUP_POLL_MAX = 10, 200  # ms between two checks of whether the group has ended, doubling


class Guard:
    """This process's handle on its guard. Times are ms on `clock`.

    The guard sends SIGTERM at `begin_at` and SIGKILL at `kill_at`, unless `set_deadlines` moves them before. When this
    process dies, the guard begins at once, and takes `kill_after` at most. It keeps the file `witness` open.
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
        self._dismissed: list[int] = []  # pids to reap
        self._pipe = -1
        self._last_order: Order | None = None
        self._tether = Tether()

    def set_deadlines(self, begin_at: int, kill_at: int) -> None:
        """Set when the guard acts. The first call starts the guard, and raises OSError if the system can't."""
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
        except BlockingIOError:  # the guard is stopped and the pipe full: write again the next time
            self._last_order = None
        except BrokenPipeError:
            if begun:
                self._close_orders(order)
            else:
                self._replace()

    def register_before_exec(self, command: int) -> None:
        """Register the calling process, which is about to execute the command, at the guard."""
        try:
            os.write(self._pipe, _packed((self.begin_at, self._kill_at, command)))
        except BrokenPipeError:  # the guard is about to be replaced
            pass

    def register(self, command: int) -> None:
        """Register the started command, also for a guard that is forked later."""
        self.group.register(command)
        self._last_order = (self.begin_at, self._kill_at, command)

    def arm_tether(self) -> None:
        """Have the kernel end the group if this process and the guard are both dead."""
        self._tether.arm(self.group.number)

    def keep_awake(self) -> None:
        """Continue a stopped guard: a stop of the whole group, as of a shell that suspends itself, stops it too."""
        try:
            if self._pid:
                continue_if_stopped(self._pid)
        except ChildProcessError:  # the guard has died
            pass

    def group_alive(self, until: int) -> bool:
        """Return whether a process of the group lives; True also if the answer is not known by `until`."""
        return self.group.alive(self._pid, lambda: self._clock() >= until)

    def pending_signal(self, number: int) -> bool:
        """Return whether a signal came to the whole group, as from a terminal: it is pending at the guard."""
        try:
            lines = read_file(f"/proc/{self._pid}/status").split(b"\n")
            pending = [int(line.split()[1], 16) for line in lines if line.startswith(b"ShdPnd:")]
        except OSError:  # not Linux: not known
            return True
        return bool(pending and pending[0] >> number - 1 & 1)

    def dismiss(self) -> None:
        """Dismiss the guard, leaving any remaining processes of the group running."""
        self._tether.close()
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)  # a child, so the pid is its own until it is reaped
            self._loop.forget(self._pipe)
            os.close(self._pipe)
            self._dismissed.append(self._pid)
            self._pid, self._last_order = 0, None

    def reap(self) -> None:
        """Reap dismissed guards. Deferred: an exit takes half a millisecond that is better spent releasing the lock."""
        while self._dismissed:
            pid = self._dismissed.pop()
            os.waitpid(pid, 0)
            CHILDREN.discard(pid)

    def _on_guard_death(self, _events: int) -> None:
        if self._clock() < self.begin_at:
            self._replace()
        else:
            self._close_orders((self.begin_at, self._kill_at, self.group.command))

    def _close_orders(self, order: "Order") -> None:
        """Send no more orders to a guard that has ended the group."""
        self._loop.forget(self._pipe)
        self._last_order = order

    def _replace(self) -> None:
        """Start another guard in the same group, whose number the dead guard holds until it is reaped."""
        dead, pipe = self._pid, self._pipe
        self._loop.forget(pipe)
        try:
            self._fork()
        except OSError:  # the system can't create a process: try again with the next deadlines
            self._last_order = None
            return
        os.close(pipe)
        self._dismissed.append(dead)
        self.reap()

    def _fork(self) -> None:
        group = self.group.number if self.group.command else 0
        wrapper = os.getpid()
        read, write = os.pipe()
        os.set_blocking(write, False)
        self._tether.open()
        gc.freeze()  # a collection would write to every object, and copy each page that the two processes share
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
        try:  # both processes do it: the first one counts
            os.setpgid(pid, group or pid)
        except OSError:
            pass
        gc.enable()  # disabled for a quick start (__main__.py), but a run of months must not keep garbage
        CHILDREN.add(pid)
        self._pid, self._pipe = pid, write
        self._last_order = (self.begin_at, self._kill_at, self.group.command)
        if not group:
            self.group = Group(pid)
        self._loop.watch(write, select.POLLHUP, self._on_guard_death)  # macOS reports POLLHUP only on request

    # -- the guard's own process -----------------------------------------------------------------------------------

    def _become_guard(self, pipe: int, group: int, wrapper: int) -> None:
        """Guard the group until a deadline or the wrapper's death, end it, and exit."""
        try:
            os.setpgid(0, group)
            self.group.number = os.getpgrp()
            self._pid = os.getpid()
            _close_all_but(pipe, self._witness, self._tether.ends)
            self._wait_for_deadline()
            self._terminate_group()
        except BaseException:  # perhaps no memory, or too many open files
            if os.getppid() == wrapper and self._clock() < self.begin_at:
                os.kill(wrapper, signal.SIGCONT)  # which replaces this guard
                os._exit(1)
        try:
            self._kill_group(wrapper)
        finally:
            os._exit(0)

    def _wait_for_deadline(self) -> None:
        """Wait until `begin_at`, as the newest order sets it, or until the wrapper is dead."""
        poll = select.poll()
        poll.register(PIPE, select.POLLIN)
        while True:
            left = self.begin_at - self._clock()
            if not poll.poll(max(0, min(left, POLL_MAX))):
                if left <= 0:  # without a newer order
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

    def _terminate_group(self) -> None:
        """Send SIGTERM to the group, and wait for its end."""
        kill_at = min(self._kill_at, self._clock() + self._kill_after)
        self.group.signal(signal.SIGTERM)
        self.group.signal(signal.SIGCONT)
        pause = GROUP_POLL_MIN
        while self.group_alive(kill_at) and (left := kill_at - self._clock()) > 0:
            time.sleep(min(left, pause) / 1000)
            pause = min(2 * pause, GROUP_POLL_MAX)

    def _kill_group(self, wrapper: int) -> None:
        """Kill the rest of the group, and wake a stopped wrapper, so that it can report.

        A guard whose pid is the group's number leaves the group first: no process can join an empty group, not even
        the command of a wrapper that wakes only now. A later guard stays, and is killed with the rest: if it left, the
        number would be free.
        """
        if self.group.number == os.getpid():
            try:
                os.setpgid(0, os.getpgid(wrapper))
            except OSError:  # the wrapper has gone, so no command can come
                pass
        self.group.signal(signal.SIGKILL)
        if os.getppid() == wrapper:
            os.kill(wrapper, signal.SIGCONT)


def _packed(order: "Order") -> bytes:
    return b"".join(number.to_bytes(NUMBER, "big") for number in order)


def _close_all_but(pipe: int, witness: int, tether: tuple[int, ...]) -> None:
    """Close the wrapper's other files: their readers must see the end of them when the wrapper closes its own copies.

    The tether never has the numbers PIPE and WITNESS: at its creation a pipe had the lowest free ones.
    """
    if witness != NO_WITNESS:
        os.dup2(witness, STDERR)  # out of the way: pipe and witness may have each other's number
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
