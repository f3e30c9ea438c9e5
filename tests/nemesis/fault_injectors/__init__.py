"""Harms: each does one thing to a round, and takes it back.

Harms that make voters forget wait until all the others remember: the lock promises nothing beyond fewer than a quorum
of forgetful voters between two runs (guarantee G1).
"""

import os
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.nemesis.round import Round

Harm = Callable[["Round", Random], None]

PHASES = ("prepare", "commit", "extend", "finish")


def deliver(pid: int, number: int) -> None:
    """A signal, to a process that may be gone."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def calm(round: "Round", rng: Random) -> None:
    """Nothing goes wrong but the clocks."""
    round.sleep(round.pace.period)
