"""Virtual time, and threads of which only one runs at a time: whoever has to wait hands the baton over."""

import heapq
import threading
from collections.abc import Callable
from itertools import count

SPINS = 5_000  # steps of one task without a moment between them: it does not wait, it is busy


class Busy(Exception):
    """Raised in a task that goes round and round while the time stands still."""


class Task:
    """A thread that runs only while it has the baton."""

    def __init__(self) -> None:
        self.baton = threading.Lock()
        self.baton.acquire()
        self.deaf = False  # nothing but the time wakes it, or nothing at all once it is over
        self._sleep = 0  # number of its sleep: an alarm of an earlier one wakes nobody
        self._at = self._spins = 0

    def alarm(self) -> "Callable[[], Task | None]":
        """What wakes this task, if it still sleeps as it does from now on."""
        self._sleep += 1
        number = self._sleep
        return lambda: self if self._sleep == number else None

    def count(self, now: int) -> None:
        """Raise Busy when this is one step too many for one moment."""
        self._spins = self._spins + 1 if now == self._at else 0
        self._at = now
        if self._spins > SPINS:
            raise Busy(f"{SPINS} steps at {now} ms")


class Time:
    """`now` is in ms. Events happen in the order of their times, then in the order in which they were planned."""

    def __init__(self) -> None:
        self.now = 0
        self._events: list[tuple[int, int, Callable[[], Task | None]]] = []
        self._number = count()
        self._main = Task()
        self._end = 0

    def at(self, when: int, event: "Callable[[], Task | None]") -> None:
        """Plan an event; it returns the task that is to run, or none."""
        heapq.heappush(self._events, (max(when, self.now), next(self._number), event))

    def start(self, when: int, body: Callable[[Task], None]) -> Task:
        """Plan a new task."""
        task = Task()

        def run() -> None:
            task.baton.acquire()
            try:
                body(task)
            finally:
                task.deaf = True
                task.alarm()
                self._next().baton.release()

        def begin() -> Task:
            threading.Thread(target=run, daemon=True).start()
            return task

        self.at(when, begin)
        return task

    def play(self, until: int) -> None:
        """Let everything happen that happens until then."""
        self._end = until
        self._hand_over(self._main)
        self.now = until

    def sleep(self, task: Task, until: int, deaf: bool = False) -> None:
        """In that task: wait until then, or until somebody wakes it if it is not deaf."""
        task.count(self.now)
        task.deaf = deaf
        self.at(until, task.alarm())
        self._hand_over(task)
        task.deaf = False

    def wake(self, task: Task) -> None:
        """Something has happened that a task may wait for."""
        if not task.deaf:
            self.at(self.now, task.alarm())

    def _hand_over(self, task: Task) -> None:
        following = self._next()
        if following is not task:
            following.baton.release()
            task.baton.acquire()

    def _next(self) -> Task:
        while self._events and self._events[0][0] <= self._end:
            self.now, _, event = heapq.heappop(self._events)
            task = event()
            if task:
                return task
        return self._main
