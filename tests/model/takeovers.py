"""Rows about takeovers: with --failover, several attempts at one tick by nodes that wait and yield."""

from dataclasses import replace

from tests.model import bad_rules
from tests.model.rules import Rules
from tests.model.world import World, nodes
from tests.model.worlds import NO_TICKS, SERIAL, TAKEN_OVER, TOO_EARLY, TRYING

TWO = nodes(1, 1, attempts=(2, 2))
THREE = nodes(1, 1, 1, attempts=(3, 3, 3))
OUTVOTED = Rules(judge=bad_rules.judge_end_is_outvoted)
WAITING = World(TWO, retries=True, waits=True, fails=True)
YIELDING = replace(WAITING, yields=True)

FAILS: dict[str, tuple[str, World]] = {
    "a quorum of ok outvotes one voter that recorded the end": (TAKEN_OVER, World(TWO, rules=OUTVOTED)),
    "the same, commands fail, serial": (
        TAKEN_OVER,
        replace(SERIAL, nodes=THREE, fails=True, rules=OUTVOTED),
    ),
    "a started tick counts as done, with --failover too": (
        TOO_EARLY,
        replace(WAITING, lossless=True, rules=Rules(prepare=bad_rules.prepare_tries_once)),
    ),
    "a lost run counts as done, with --failover too": (
        TOO_EARLY,
        replace(WAITING, lossless=True, lost_is_done=True),
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
    "failover: attempts 2, nodes wait, lossless": replace(WAITING, lossless=True),
    "failover: attempts 2, nodes wait and yield, lossless": replace(YIELDING, lossless=True),
    "failover: attempts 2, nodes wait and yield": YIELDING,
    "failover: attempts 2, nodes wait, yield and die, forget 1, lossless": replace(
        YIELDING, deaths=True, forget=1, lossless=True
    ),
    "failover: attempts 2, nodes wait, yield and die, go back 1, lossless": replace(
        YIELDING, deaths=True, back=1, lossless=True
    ),
    "failover: attempts 2, three nodes wait and yield, serial": replace(
        YIELDING, nodes=nodes(1, 1, 1, attempts=(2, 2, 2)), serial=True, lossless=True
    ),
    "failover: attempts 2, runs fail or are released, forget 1": World(TWO, fails=True, releases_runs=True, forget=1),
    "failover: attempts 2, three nodes, runs fail or are released, forget 1, serial": replace(
        SERIAL, nodes=nodes(1, 1, 1, attempts=(2, 2, 2)), fails=True, releases_runs=True, forget=1
    ),
    "failover: attempts 3, three nodes wait, serial": replace(WAITING, nodes=THREE, serial=True, lossless=True),
    "failover: attempts 3, three nodes yield, forget 1, serial": replace(
        SERIAL, nodes=THREE, fails=True, yields=True, forget=1
    ),
    "waiting: without ticks, nodes wait, forget 1": World(NO_TICKS, retries=True, waits=True, forget=1, lossless=True),
    "every waiting node runs, without ticks": replace(TRYING, nodes=NO_TICKS, waits=True, deaths=True),
    "every attempt ends, with failover": replace(TRYING, nodes=TWO, waits=True, fails=True, deaths=True),
    "every attempt ends, with failover, nodes yield": replace(
        TRYING, nodes=TWO, waits=True, fails=True, deaths=True, yields=True, lossless=True
    ),
}

LONG = frozenset(
    (
        "failover: attempts 2, three nodes that die or fail, forget 1, serial",
        "failover: attempts 2, commands fail, go back 1",
        "failover: attempts 2, runs fail or are released, forget 1",
        "failover: attempts 2, three nodes, runs fail or are released, forget 1, serial",
        "failover: attempts 2, commands fail, one late request, a commit too",
        "failover: attempts 2, commands fail, late oks, forget 1",
        "failover: attempts 2, nodes wait and yield, lossless",
        "failover: attempts 2, nodes wait and yield",
        "failover: attempts 2, nodes wait, yield and die, forget 1, lossless",
        "failover: attempts 2, nodes wait, yield and die, go back 1, lossless",
        "failover: attempts 2, three nodes wait and yield, serial",
        "failover: attempts 3, three nodes wait, serial",
        "failover: attempts 3, three nodes yield, forget 1, serial",
        "waiting: without ticks, nodes wait, forget 1",
        "every waiting node runs, without ticks",
        "every attempt ends, with failover",
        "every attempt ends, with failover, nodes yield",
    )
)
