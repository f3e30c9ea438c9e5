"""What a person does to the key: no run begins while it is paused."""

import time
from random import Random
from typing import TYPE_CHECKING

from tests.nemesis.journal import Pause

if TYPE_CHECKING:
    from tests.nemesis.round import Round


def paused(round: "Round", rng: Random) -> None:
    """Until all voters have heard of it, and then for a while; resumed whatever comes."""
    round.sleep(rng.uniform(0, 2 * round.pace.period))
    with round.hit("paused") as hit:
        begin = time.monotonic()
        try:
            round.person("pause")
            done = time.monotonic()
            round.sleep(rng.uniform(0.5, 1.5) * round.pace.period)
        finally:
            resume = time.monotonic()
            round.person("resume")
        round.pauses.append(Pause(begin, done, resume, time.monotonic()))
        hit.what += f", at all voters after {done - begin:.2f} s, resumed in {time.monotonic() - resume:.2f} s"
