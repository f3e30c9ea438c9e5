"""The loop over one target: inputs by their seeds, a limit of time for each, and the failures."""

import contextlib
import random
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

LIMIT = 5.0  # s for one input, which usually takes less than a millisecond
ENOUGH = 5  # failures of one target, after which it stops


class HangError(BaseException):
    """Raised when an input exceeds its time; `except Exception` does not catch it."""


@dataclass
class Target:
    """`make` builds an input from randomness alone, `check` raises on a failure. `share` of the inputs of a run."""

    name: str
    what: str
    share: int
    make: Callable[[random.Random], Any]
    check: Callable[[Any], None]
    around: Callable[[], contextlib.AbstractContextManager[Any]] = contextlib.nullcontext


@dataclass
class Outcome:
    """The result of one target; each failure has the seed that makes the input again."""

    target: Target
    inputs: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    failures: list[str] = field(default_factory=list)


def seed_of(seed: int, number: int) -> int:
    """Return the seed of one input of a run; the first input has the run's own seed."""
    return seed + number


@contextlib.contextmanager
def _limited() -> Iterator[None]:
    """Limit processor time, since pytest needs the other alarm; waiting ends by itself and is measured."""

    def over(_number: int, _frame: object) -> None:
        raise HangError(f"more than {LIMIT:g} s of processor time")

    before = signal.signal(signal.SIGVTALRM, over)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def fuzz(target: Target, inputs: int, seed: int) -> Outcome:
    """Run this many inputs of one target."""
    outcome = Outcome(target)
    begun = time.monotonic()
    with target.around(), _limited():
        for number in range(inputs):
            failure = _one(target, seed_of(seed, number), outcome)
            outcome.inputs += 1
            if failure:
                outcome.failures.append(failure)
                if len(outcome.failures) == ENOUGH:
                    break
    outcome.seconds = time.monotonic() - begun
    return outcome


def _one(target: Target, seed: int, outcome: Outcome) -> str:
    given = target.make(random.Random(seed))
    begun = time.monotonic()
    signal.setitimer(signal.ITIMER_VIRTUAL, LIMIT)
    try:
        target.check(given)
        failure = ""
    except (Exception, HangError):
        failure = traceback.format_exc(limit=-4)
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    took = time.monotonic() - begun
    outcome.slowest = max(outcome.slowest, took)
    if not failure and took > LIMIT:
        failure = f"it took {took:.1f} s"
    return f"--seed {seed} --inputs 1 {target.name}: {given!r:.2000}\n{failure}" if failure else ""
