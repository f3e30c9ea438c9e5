"""Rows about operators: they pause a key, adopt the voters' answers, end a lease, or have the key forgotten."""

from dataclasses import replace

from tests.model import bad_rules
from tests.model.rules import Rules
from tests.model.world import NEW, Node, World, nodes
from tests.model.worlds import OVERLAP, PAUSED, SERIAL, TOKEN, TWICE, TWO_TICKS

OPERATOR = Node(0, adopt=True)
MOVED = "another voter set"
AROUND = replace(SERIAL, nodes=(Node(), OPERATOR, Node()))  # an operator adopts between two runs of a tick
MOVING = replace(SERIAL, nodes=(Node(), OPERATOR._replace(voter_set=MOVED), Node(voter_set=MOVED)))
FAILOVER = nodes(1, 1, attempts=(2, 2))

FAILS: dict[str, tuple[str, World]] = {
    "write-back clears a pause": (
        PAUSED,
        World(TWO_TICKS, forget=1, pause=3, lossless=True, rules=Rules(extend=bad_rules.extend_clears_pause)),
    ),
    "pause is reported as done at a quorum": (PAUSED, World(TWO_TICKS, forget=1, pause=2, lossless=True)),
    "an operator adopts though a voter is busy": (
        OVERLAP,
        World((Node(), OPERATOR), forget=1, rules=Rules(judge_adoption=bad_rules.adopts_beside_busy)),
    ),
    "unlock ends the lease of a later run": (
        OVERLAP,
        replace(SERIAL, nodes=nodes(1, 2, 3), operator_unlocks="dead", rules=Rules(unlock=bad_rules.unlock_any_run)),
    ),
    "an operator's forget leaves no token": (
        TOKEN,
        World(operator_forgets="at once", rules=Rules(forget=bad_rules.forget_all)),
    ),
    "an operator's forget under a live lease": (
        OVERLAP,
        World(operator_forgets="at once", rules=Rules(forget=bad_rules.forget_under_a_lease)),
    ),
}

HOLDS: dict[str, World] = {
    "pause at all voters, forget 1": World(TWO_TICKS, forget=1, pause=3, lossless=True),
    "adopted by an operator without a voter, no voter forgets": World((Node(), OPERATOR), adopts_without=True),
    "a new key is adopted without a voter, serial": replace(AROUND, start=NEW, adopts_without=True),
    "adopted by an operator, forget 1": World((Node(), OPERATOR), forget=1),
    "adopted by an operator between two runs, forget 1": replace(AROUND, forget=1),
    "adopted by an operator with another voter set, forget 1": replace(MOVING, forget=1),
    "pause at all voters, attempts 2, commands fail, forget 1": World(
        FAILOVER, forget=1, pause=3, lossless=True, fails=True
    ),
    "pause at all voters, attempts 2, waiting nodes ask again": World(
        FAILOVER, pause=3, lossless=True, fails=True, retries=True, waits=True
    ),
    "unlocked after the run ended, forget 1": World(operator_unlocks="dead", forget=1),
    "unlocked after the run ended, attempts 2, one late request, a commit too": World(
        FAILOVER, operator_unlocks="dead", fails=True, late=1, late_commits=True
    ),
    "unlocked after the run ended, three nodes, two ticks, go back 1, serial": replace(
        SERIAL, nodes=nodes(1, 1, 2), operator_unlocks="dead", back=1
    ),
    "forgotten by an operator, no voter forgets, serial": replace(
        SERIAL, nodes=nodes(1, 1), operator_forgets="at once"
    ),
    "forgotten by an operator, forget 1": World(operator_forgets="at once", forget=1),
    "forgotten by an operator, one late request, a commit too": World(
        operator_forgets="at once", late=1, late_commits=True
    ),
    "forgotten by an operator, three nodes, two ticks, forget 1, serial": replace(
        SERIAL, nodes=nodes(1, 1, 2), operator_forgets="at once", forget=1
    ),
    "forgotten and unlocked by an operator, attempts 2, serial": replace(
        SERIAL,
        nodes=nodes(1, 1, 1, attempts=(2, 2, 2)),
        operator_forgets="at once",
        operator_unlocks="dead",
        fails=True,
    ),
}

# What an operator can break.
LIMITS: dict[str, tuple[str, World]] = {
    "an operator adopts without a voter, another forgets": (
        OVERLAP,
        replace(AROUND, forget=1, adopts_without=True),
    ),
    "an operator's forget is executed late, at one voter": (TWICE, World(operator_forgets="late")),
    "an operator ends the lease of a live run": (OVERLAP, World(TWO_TICKS, operator_unlocks="alive")),
}

LONG = frozenset(
    (
        "pause at all voters, attempts 2, waiting nodes ask again",
        "unlocked after the run ended, attempts 2, one late request, a commit too",
        "forgotten by an operator, forget 1",
        "forgotten by an operator, one late request, a commit too",
        "forgotten by an operator, three nodes, two ticks, forget 1, serial",
        "forgotten and unlocked by an operator, attempts 2, serial",
        "adopted by an operator without a voter, no voter forgets",
        "adopted by an operator, forget 1",
        "adopted by an operator between two runs, forget 1",
    )
)
