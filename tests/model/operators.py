"""Rows about what persons do to a key: pause it, adopt what the voters answer, end a lease, have the key forgotten."""

from dataclasses import replace

from tests.model import broken
from tests.model.rules import Rules
from tests.model.world import NEW, Node, World, nodes
from tests.model.worlds import OVERLAP, PAUSED, SERIAL, TOKEN, TWICE, TWO_TICKS

PERSON = Node(0, adopt=True)
MOVED = "other settings"
AROUND = replace(SERIAL, nodes=(Node(), PERSON, Node()))  # a person adopts between two runs of a tick
MOVING = replace(SERIAL, nodes=(Node(), PERSON._replace(voter_set=MOVED), Node(voter_set=MOVED)))
FAILOVER = nodes(1, 1, attempts=(2, 2))

FAILS: dict[str, tuple[str, World]] = {
    "write-back clears a pause": (
        PAUSED,
        World(TWO_TICKS, forget=1, pause=3, lossless=True, rules=Rules(extend=broken.extend_clears_pause)),
    ),
    "pause is said to be done at a quorum": (PAUSED, World(TWO_TICKS, forget=1, pause=2, lossless=True)),
    "a person adopts though a voter is busy": (
        OVERLAP,
        World((Node(), PERSON), forget=1, rules=Rules(judge_adoption=broken.adopts_beside_busy)),
    ),
    "unlock ends the lease of whoever holds the key by then": (
        OVERLAP,
        replace(SERIAL, nodes=nodes(1, 2, 3), unlocks="dead", rules=Rules(unlock=broken.unlock_whoever_runs)),
    ),
    "what a person has forgotten leaves no token": (
        TOKEN,
        World(erases="at once", rules=Rules(forget=broken.forget_all)),
    ),
    "a person has a key forgotten under its lease": (
        OVERLAP,
        World(erases="at once", rules=Rules(forget=broken.forget_under_a_lease)),
    ),
}

HOLDS: dict[str, World] = {
    "pause at all voters, forget 1": World(TWO_TICKS, forget=1, pause=3, lossless=True),
    "adopted by a person without a voter, nobody forgets": World((Node(), PERSON), adopts_without=True),
    "a new key is adopted without a voter, serial": replace(AROUND, start=NEW, adopts_without=True),
    "adopted by a person, forget 1": World((Node(), PERSON), forget=1),
    "adopted by a person between two runs, forget 1": replace(AROUND, forget=1),
    "adopted by a person with other settings, forget 1": replace(MOVING, forget=1),
    "pause at all voters, attempts 2, commands fail, forget 1": World(
        FAILOVER, forget=1, pause=3, lossless=True, fails=True
    ),
    "pause at all voters, attempts 2, who waits asks again": World(
        FAILOVER, pause=3, lossless=True, fails=True, retries=True, stays=True
    ),
    "unlocked when the run is over, forget 1": World(unlocks="dead", forget=1),
    "unlocked when the run is over, attempts 2, one late request, a commit too": World(
        FAILOVER, unlocks="dead", fails=True, late=1, late_commits=True
    ),
    "unlocked when the run is over, three nodes, two ticks, go back 1, serial": replace(
        SERIAL, nodes=nodes(1, 1, 2), unlocks="dead", back=1
    ),
    "forgotten by a person, nobody forgets, serial": replace(SERIAL, nodes=nodes(1, 1), erases="at once"),
    "forgotten by a person, forget 1": World(erases="at once", forget=1),
    "forgotten by a person, one late request, a commit too": World(erases="at once", late=1, late_commits=True),
    "forgotten by a person, three nodes, two ticks, forget 1, serial": replace(
        SERIAL, nodes=nodes(1, 1, 2), erases="at once", forget=1
    ),
    "forgotten and unlocked by a person, attempts 2, serial": replace(
        SERIAL, nodes=nodes(1, 1, 1, attempts=(2, 2, 2)), erases="at once", unlocks="dead", fails=True
    ),
}

# What a person can break.
LIMITS: dict[str, tuple[str, World]] = {
    "a person adopts without a voter, another forgets": (
        OVERLAP,
        replace(AROUND, forget=1, adopts_without=True),
    ),
    "a person's forget is executed late, at one voter": (TWICE, World(erases="late")),
    "a person ends the lease of a run that lives": (OVERLAP, World(TWO_TICKS, unlocks="alive")),
}

LONG = frozenset(
    (
        "pause at all voters, attempts 2, who waits asks again",
        "unlocked when the run is over, attempts 2, one late request, a commit too",
        "forgotten by a person, forget 1",
        "forgotten by a person, one late request, a commit too",
        "forgotten by a person, three nodes, two ticks, forget 1, serial",
        "forgotten and unlocked by a person, attempts 2, serial",
        "adopted by a person without a voter, nobody forgets",
        "adopted by a person, forget 1",
        "adopted by a person between two runs, forget 1",
    )
)
