"""Virtual time, and threads of which only one runs at a time: a waiting thread passes the turn on."""

import heapq
import threading
from collections.abc import Callable
from itertools import count

SPINS = 5_000  # steps of one task at one moment: more is a busy loop


class Busy(Exception):
    """Raised in a task that loops while time does not move."""


class Task:
    """A thread that runs only while it has the turn."""

    def __init__(self) -> None:
        self.turn = threading.Lock()
        self.turn.acquire()
        self.ignores_wakes = False  # only time wakes it, or nothing once it has ended
        self._sleep = 0  # number of the current sleep: an alarm of an earlier one wakes nothing
        self._at = self._spins = 0

    def alarm(self) -> "Callable[[], Task | None]":
        """Return an event that wakes this task if it still sleeps as it does from now on."""
        self._sleep += 1
        number = self._sleep
        return lambda: self if self._sleep == number else None

    def count(self, now: int) -> None:
        """Raise Busy if this is one step too many for one moment."""
        self._spins = self._spins + 1 if now == self._at else 0
        self._at = now
        if self._spins > SPINS:
            raise Busy(f"{SPINS} steps at {now} ms")


class VirtualTime:
    """The simulation's clock, `now` in ms. Events run in the order of their times, then in the order of planning."""

    def __init__(self) -> None:
        self.now = 0
        self._events: list[tuple[int, int, Callable[[], Task | None]]] = []
        self._number = count()
        self._main = Task()
        self._end = 0

    def at(self, when: int, event: "Callable[[], Task | None]") -> None:
        """Plan an event; it returns the task that is to run next, or None."""
        heapq.heappush(self._events, (max(when, self.now), next(self._number), event))

    def start(self, when: int, body: Callable[[Task], None]) -> Task:
        """Plan a new task."""
        task = Task()

        def run() -> None:
            task.turn.acquire()
            try:
                body(task)
            finally:
                task.ignores_wakes = True
                task.alarm()
                self._next().turn.release()

        def begin() -> Task:
            threading.Thread(target=run, daemon=True).start()
            return task

        self.at(when, begin)
        return task

    def run_until(self, until: int) -> None:
        """Run all events up to then."""
        self._end = until
        self._hand_over(self._main)
        self.now = until

    def sleep(self, task: Task, until: int, ignores_wakes: bool = False) -> None:
        """Wait, in that task, until then or, unless it ignores wakes, until it is woken."""
        task.count(self.now)
        task.ignores_wakes = ignores_wakes
        self.at(until, task.alarm())
        self._hand_over(task)
        task.ignores_wakes = False

    def wake(self, task: Task) -> None:
        """Wake a task because something happened that it may wait for."""
        if not task.ignores_wakes:
            self.at(self.now, task.alarm())

    def _hand_over(self, task: Task) -> None:
        following = self._next()
        if following is not task:
            following.turn.release()
            task.turn.acquire()

    def _next(self) -> Task:
        while self._events and self._events[0][0] <= self._end:
            self.now, _, event = heapq.heappop(self._events)
            task = event()
            if task:
                return task
        return self._main
