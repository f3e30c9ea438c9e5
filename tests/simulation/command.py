"""The command and its guard, as far as the Supervisor sees them."""

from cronlock.process.event_loop import signal
from cronlock.process.guard import NEVER
from tests.simulation.machine import Machine
from tests.simulation.virtual_time import Task


class Command:
    """A command that runs for `length` ms and ends with `status`; SIGTERM ends it after `sigterm_delay` ms."""

    stopped_by = 0

    def __init__(self, machine: Machine, task: Task, length: int, sigterm_delay: int, status: int = 0) -> None:
        self.killed_by = 0
        self._status = status
        self.start = machine.time.now
        self.end: int | None = None
        self._machine = machine
        self._task = task
        self._obeys = sigterm_delay
        machine.at(machine.now + length, lambda: self._end(0))

    def _end(self, killed_by: int) -> None:
        if self.end is None:
            self.end = self._machine.time.now
            self.killed_by = killed_by
            self._machine.time.wake(self._task)

    def poll(self) -> int | None:
        """Return its exit status once it has ended."""
        if self.end is None:
            return None
        return 128 + self.killed_by if self.killed_by else self._status

    def signal(self, number: int) -> None:
        if number == signal.SIGKILL:
            self._end(number)
        elif number == signal.SIGTERM:
            self._machine.at(self._machine.now + self._obeys, lambda: self._end(number))

    def reap(self) -> None:
        pass


class Guard:
    """The guard process: it acts while cronlock is stopped, and when cronlock dies."""

    def __init__(self, time: Machine, kill_after: int) -> None:
        self.begin_at = NEVER
        self.begun = False
        self.command: Command | None = None
        self._kill_at = NEVER
        self._time = time
        self._kill_after = kill_after
        self._gone = False

    def set_deadlines(self, begin_at: int, kill_at: int) -> None:
        """Set the deadlines until which cronlock is trusted."""
        self.begin_at = begin_at
        if not self.begun and not self._gone:
            self._kill_at = kill_at
            self._time.at(begin_at, self._begin_if_due)

    def _begin_if_due(self) -> None:
        if self._time.now >= self.begin_at and not self._gone:
            self.begin()

    def begin(self) -> None:
        """Send SIGTERM now and SIGKILL later: cronlock missed its deadline or died."""
        if self.begun or self._gone:
            return
        self.begun = True
        if self.command:
            self.command.signal(signal.SIGTERM)
            self._time.at(min(self._kill_at, self._time.now + self._kill_after), self._kill)

    def _kill(self) -> None:
        if self.command and not self._gone:
            self.command.signal(signal.SIGKILL)

    def group_alive(self, _until: int) -> bool:
        """Return False: the group holds only the command."""
        return False

    def keep_awake(self) -> None:
        pass

    def pending_signal(self, _number: int) -> bool:
        return False

    def dismiss(self) -> None:
        self._gone = True
