"""Whether the machine itself stood still: what happens meanwhile is nobody's fault."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Pulse(threading.Thread):
    """Sleeps 10 ms at a time and notes the longest sleep: where that is long, the machine stood still."""

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


def when_calm(play: Callable[[], T], tries: int = 5) -> T:
    """What it comes to while the machine does not stand still; of the last try in any case."""
    for _ in range(tries):
        pulse = Pulse()
        found = play()
        if not pulse.stalled():
            break
    return found
