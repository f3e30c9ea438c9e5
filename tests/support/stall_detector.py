"""The detection of stalls of the machine, during which no test may blame cronlock."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class StallDetector(threading.Thread):
    """A thread that sleeps 10 ms at a time and records the longest sleep; a long one means a stall."""

    STALL = 0.25  # s: a third of the time after which a voter that does not answer counts as silent

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.going, self.longest = True, 0.0
        self.start()

    def run(self) -> None:
        while self.going:
            begun = time.monotonic()
            time.sleep(0.01)
            self.longest = max(self.longest, time.monotonic() - begun)

    def stalled(self) -> bool:
        self.going = False
        self.join()
        return self.longest > self.STALL


def when_calm(measure: Callable[[], T], tries: int = 5) -> T:
    """Return the result of a measurement during which the machine did not stall, or else of the last one."""
    for _ in range(tries):
        detector = StallDetector()
        found = measure()
        if not detector.stalled():
            break
    return found
