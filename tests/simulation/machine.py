"""The machine of one call: its host may pause it, and then its clock stands still, with all that runs there."""

from collections.abc import Callable

from tests.simulation.virtual_time import Task, Time


class Machine:
    """`now` is what CLOCK_BOOTTIME says there, in ms; `told`: the wall clock is set right when the machine goes on.

    Each pause is kept as when it began, and when it was over, in the time of the others.
    """

    def __init__(self, time: Time) -> None:
        self.time = time
        self.told = True
        self.pauses: list[tuple[int, int]] = []
        self._lag = 0
        self._floor = 0

    @property
    def now(self) -> int:
        return max(self._floor, self.time.now - self._lag)

    @property
    def wall(self) -> int:
        """How much of the wall clock's time has gone by, in ms."""
        return self.time.now if self.told else self.now

    @property
    def goes_on_at(self) -> int:
        """When the last pause is over."""
        return self.pauses[-1][1] if self.pauses else 0

    def pause(self, length: int, told: bool) -> None:
        self._floor, self.told = self.now, told
        self._lag += length
        self.pauses.append((self.time.now, self.time.now + length))

    def at(self, when: int, event: Callable[[], Task | None]) -> None:
        """Plan an event by this machine's clock, which may be paused before."""

        def due() -> Task | None:
            if self.now >= when and self.time.now >= self.goes_on_at:
                return event()
            self.at(when, event)
            return None

        self.time.at(max(when + self._lag, self.goes_on_at), due)

    def sleep_through(self, task: Task) -> None:
        """In that task: while the machine is paused nothing of it runs."""
        while self.time.now < self.goes_on_at:
            self.time.sleep(task, self.goes_on_at, deaf=True)
