"""An operator pauses the key: no run starts during the pause."""

import time
from random import Random
from typing import TYPE_CHECKING

from tests.nemesis.journal import Pause

if TYPE_CHECKING:
    from tests.nemesis.round import Round


def paused(round: "Round", rng: Random) -> None:
    """Pause the key until all voters know and for a while, then resume it in any case."""
    round.sleep(rng.uniform(0, 2 * round.pace.period))
    with round.hit("paused") as hit:
        begin = time.monotonic()
        try:
            round.operator_command("pause")
            done = time.monotonic()
            round.sleep(rng.uniform(0.5, 1.5) * round.pace.period)
        finally:
            resume = time.monotonic()
            round.operator_command("resume")
        round.pauses.append(Pause(begin, done, resume, time.monotonic()))
        hit.what += f", at all voters after {done - begin:.2f} s, resumed in {time.monotonic() - resume:.2f} s"
