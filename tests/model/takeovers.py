"""Rows about ticks that are taken over: with --failover several attempts of one, by nodes that stay and are polite."""

from dataclasses import replace

from tests.model import broken
from tests.model.rules import Rules
from tests.model.world import World, nodes
from tests.model.worlds import NO_TICKS, SERIAL, TAKEN_OVER, TOO_EARLY, TRYING

TWO = nodes(1, 1, attempts=(2, 2))
THREE = nodes(1, 1, 1, attempts=(3, 3, 3))
OUTVOTED = Rules(judge=broken.judge_end_is_outvoted)
STAYING = World(TWO, retries=True, stays=True, fails=True)
POLITE = replace(STAYING, yields=True)

FAILS: dict[str, tuple[str, World]] = {
    "a quorum of ok outvotes one voter that heard the end": (TAKEN_OVER, World(TWO, rules=OUTVOTED)),
    "the same, commands fail, serial": (
        TAKEN_OVER,
        replace(SERIAL, nodes=THREE, fails=True, rules=OUTVOTED),
    ),
    "a tick that was begun is done, with --failover too": (
        TOO_EARLY,
        replace(STAYING, lossless=True, rules=Rules(prepare=broken.prepare_tries_once)),
    ),
    "a run that was lost is done, with --failover too": (
        TOO_EARLY,
        replace(STAYING, lossless=True, lost_is_done=True),
    ),
}

HOLDS: dict[str, World] = {
    "two nodes, one tick, attempts 2, forget 1": World(nodes(1, 1, attempts=(2, 2)), forget=1),
    "three nodes, attempts 1 2 1, forget 1, serial": replace(
        SERIAL, nodes=nodes(1, 1, 1, attempts=(1, 2, 1)), forget=1
    ),
    "three nodes, attempts 2, go back 1, serial": replace(SERIAL, nodes=nodes(1, 1, 1, attempts=(2, 2, 2)), back=1),
    "failover: attempts 3, three nodes that die or fail, serial": replace(
        SERIAL, nodes=nodes(1, 1, 1, attempts=(3, 3, 3)), fails=True
    ),
    "failover: attempts 2, three nodes that die or fail, forget 1, serial": replace(
        SERIAL, nodes=nodes(1, 1, 1, attempts=(2, 2, 2)), fails=True, forget=1
    ),
    "failover: attempts 2, commands fail, forget 1": World(TWO, fails=True, forget=1),
    "failover: attempts 2, commands fail, go back 1": World(TWO, fails=True, back=1),
    "failover: attempts 2, commands fail, one late request, a commit too": World(
        TWO, fails=True, late=1, late_commits=True
    ),
    "failover: attempts 2, commands fail, late oks, forget 1": World(TWO, fails=True, late_oks=True, forget=1),
    "failover: attempts 2, nodes stay, lossless": replace(STAYING, lossless=True),
    "failover: attempts 2, nodes stay and are polite, lossless": replace(POLITE, lossless=True),
    "failover: attempts 2, nodes stay and are polite": POLITE,
    "failover: attempts 2, nodes stay, are polite and die, forget 1, lossless": replace(
        POLITE, deaths=True, forget=1, lossless=True
    ),
    "failover: attempts 2, nodes stay, are polite and die, go back 1, lossless": replace(
        POLITE, deaths=True, back=1, lossless=True
    ),
    "failover: attempts 2, three nodes stay and are polite, serial": replace(
        POLITE, nodes=nodes(1, 1, 1, attempts=(2, 2, 2)), serial=True, lossless=True
    ),
    "failover: attempts 2, runs fail or are given back, forget 1": World(TWO, fails=True, give_back=True, forget=1),
    "failover: attempts 2, three nodes, runs fail or are given back, forget 1, serial": replace(
        SERIAL, nodes=nodes(1, 1, 1, attempts=(2, 2, 2)), fails=True, give_back=True, forget=1
    ),
    "failover: attempts 3, three nodes stay, serial": replace(STAYING, nodes=THREE, serial=True, lossless=True),
    "failover: attempts 3, three nodes are polite, forget 1, serial": replace(
        SERIAL, nodes=THREE, fails=True, yields=True, forget=1
    ),
    "waiting: without ticks, nodes stay, forget 1": World(NO_TICKS, retries=True, stays=True, forget=1, lossless=True),
    "everybody runs in the end, who waits without ticks": replace(TRYING, nodes=NO_TICKS, stays=True, deaths=True),
    "everybody ends in the end, with failover": replace(TRYING, nodes=TWO, stays=True, fails=True, deaths=True),
    "everybody ends in the end, with failover, polite": replace(
        TRYING, nodes=TWO, stays=True, fails=True, deaths=True, yields=True, lossless=True
    ),
}

LONG = frozenset(
    (
        "failover: attempts 2, three nodes that die or fail, forget 1, serial",
        "failover: attempts 2, commands fail, go back 1",
        "failover: attempts 2, runs fail or are given back, forget 1",
        "failover: attempts 2, three nodes, runs fail or are given back, forget 1, serial",
        "failover: attempts 2, commands fail, one late request, a commit too",
        "failover: attempts 2, commands fail, late oks, forget 1",
        "failover: attempts 2, nodes stay and are polite, lossless",
        "failover: attempts 2, nodes stay and are polite",
        "failover: attempts 2, nodes stay, are polite and die, forget 1, lossless",
        "failover: attempts 2, nodes stay, are polite and die, go back 1, lossless",
        "failover: attempts 2, three nodes stay and are polite, serial",
        "failover: attempts 3, three nodes stay, serial",
        "failover: attempts 3, three nodes are polite, forget 1, serial",
        "waiting: without ticks, nodes stay, forget 1",
        "everybody runs in the end, who waits without ticks",
        "everybody ends in the end, with failover",
        "everybody ends in the end, with failover, polite",
    )
)
