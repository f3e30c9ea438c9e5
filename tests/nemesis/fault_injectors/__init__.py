"""Fault injectors: each injects one fault into a round, and removes it.

Injectors that make voters forget wait until all other voters remember: the lock promises nothing beyond fewer than a
quorum of amnesic voters between two runs (guarantee G1).
"""

import os
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.nemesis.round import Round

FaultInjector = Callable[["Round", Random], None]

PHASES = ("prepare", "commit", "extend", "finish")


def deliver(pid: int, number: int) -> None:
    """Send a signal to a process that may have ended."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def calm(round: "Round", rng: Random) -> None:
    """Inject nothing; only the clocks differ."""
    round.sleep(round.pace.period)
