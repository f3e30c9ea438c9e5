"""The machine of one call: its host may pause it, which stops its clock and everything that runs there."""

from collections.abc import Callable

from tests.simulation.virtual_time import Task, VirtualTime


class Machine:
    """A machine whose `now` is its CLOCK_BOOTTIME in ms; `clock_shows_pause`: the wall clock is set after a pause.

    Each pause is kept as its start and its end, in the simulation's time.
    """

    def __init__(self, time: VirtualTime) -> None:
        self.time = time
        self.clock_shows_pause = True
        self.pauses: list[tuple[int, int]] = []
        self._lag = 0
        self._floor = 0

    @property
    def now(self) -> int:
        return max(self._floor, self.time.now - self._lag)

    @property
    def wall(self) -> int:
        """The ms that passed on the wall clock."""
        return self.time.now if self.clock_shows_pause else self.now

    @property
    def resumes_at(self) -> int:
        """The end of the last pause."""
        return self.pauses[-1][1] if self.pauses else 0

    def pause(self, length: int, clock_shows: bool) -> None:
        self._floor, self.clock_shows_pause = self.now, clock_shows
        self._lag += length
        self.pauses.append((self.time.now, self.time.now + length))

    def at(self, when: int, event: Callable[[], Task | None]) -> None:
        """Plan an event by this machine's clock, which may be paused before then."""

        def due() -> Task | None:
            if self.now >= when and self.time.now >= self.resumes_at:
                return event()
            self.at(when, event)
            return None

        self.time.at(max(when + self._lag, self.resumes_at), due)

    def sleep_through(self, task: Task) -> None:
        """Wait, in that task, while the machine is paused."""
        while self.time.now < self.resumes_at:
            self.time.sleep(task, self.resumes_at, ignores_wakes=True)
