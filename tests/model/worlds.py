"""The names of broken promises, and worlds that many rows vary."""

from dataclasses import replace

from tests.model.world import ONCE_DONE, World, nodes

OVERLAP, TOKEN, TWICE, AFTER_END = "OVERLAP", "TOKEN", "TICK RUNS TWICE", "TICK RUNS AFTER ITS END"
QUIET_EXIT, PAUSED, LOST = "QUIET EXIT", "RUNS DURING A PAUSE", "TICK LOST"
LOWERED, NO_END = "TOKEN LOWERED", "NO WAY OUT"
TAKEN_OVER, TOO_EARLY = "TAKES OVER AN ENDED RUN", "GIVES UP TOO EARLY"

TWO_TICKS = nodes(1, 2)
NO_TICKS = nodes(0, 0)
SERIAL = World(nodes(1, 1, 1), serial=True, lossless=True)
FIVE = replace(SERIAL, nodes=nodes(1, 1), start=(ONCE_DONE,) * 5)
TRYING = World(retries=True, watch_ends=True)

BOUND = 60_000  # states
