"""Rows about months, masters that are failed back to, and implausible fencing tokens: no schedule shows these."""

from dataclasses import replace

from tests.model import bad_rules
from tests.model.rules import Rules
from tests.model.world import ONE_IMPLAUSIBLE, PROMOTION, World, nodes
from tests.model.worlds import BOUND, FIVE, LOWERED, NO_TICKS, OVERLAP, SERIAL, TWO_TICKS

LEAVES_EXPIRY = Rules(extend=bad_rules.extend_leaves_expiry)
RUN_ID_ALONE = Rules(stamp=bad_rules.stamp_of_run_id)
MONTHS = World(months=1)
FAILED_BACK = World(back=1, goes_back_by=PROMOTION)
WAITING = World(NO_TICKS, retries=True, waits=True, lossless=True)
FAILOVER = World(nodes(1, 1, attempts=(2, 2)), fails=True)

FAILS: dict[str, tuple[str, World]] = {
    "extend leaves the expiry, and a month passes": (OVERLAP, replace(MONTHS, rules=LEAVES_EXPIRY)),
    "the same, a month passes without ticks, nodes wait": (OVERLAP, replace(WAITING, months=1, rules=LEAVES_EXPIRY)),
    "a master is failed back to, the stamp is its run_id alone": (OVERLAP, replace(FAILED_BACK, rules=RUN_ID_ALONE)),
    "the same, failed back to, two ticks": (OVERLAP, replace(FAILED_BACK, nodes=TWO_TICKS, rules=RUN_ID_ALONE)),
    "the same, failed back to, to any moment": (OVERLAP, replace(FAILED_BACK, middle=True, rules=RUN_ID_ALONE)),
    "acks of a commit count from a master that was failed back to after its ok": (
        OVERLAP,
        replace(FAILED_BACK, middle=True, same_server=False),
    ),
    "a voter with a token beyond every clock is sent the commit": (
        LOWERED,
        World(start=ONE_IMPLAUSIBLE, commits_to_implausible=True),
    ),
}

HOLDS: dict[str, World] = {
    "a run of two months": World(months=2),
    "a run of a month, forget 1": replace(MONTHS, forget=1),
    "a run of a month, two ticks, forget 1": replace(MONTHS, nodes=TWO_TICKS, forget=1),
    "a run of a month, go back 1": replace(MONTHS, back=1),
    "a run of a month, without ticks, forget 1": replace(MONTHS, nodes=NO_TICKS, forget=1),
    "a run of a month, without ticks, nodes wait, forget 1": replace(WAITING, months=1, forget=1),
    "a run of a month, attempts 2, commands fail, forget 1": replace(FAILOVER, months=1, forget=1),
    "a run of a month, attempts 2, nodes wait": replace(FAILOVER, retries=True, waits=True, months=1, lossless=True),
    "a run of a month, five voters, forget 1, serial": replace(FIVE, months=1, forget=1),
    "a run of a month, three nodes, two ticks, forget 1, serial": replace(
        SERIAL, nodes=nodes(1, 1, 2), months=1, forget=1
    ),
    "a master is failed back to": FAILED_BACK,
    "a master is failed back to, two ticks": replace(FAILED_BACK, nodes=TWO_TICKS),
    "a master is failed back to, without ticks": replace(FAILED_BACK, nodes=NO_TICKS),
    "a master is failed back to, late oks join a commit": replace(FAILED_BACK, late_oks=True),
    "a master is failed back to, attempts 2, commands fail": replace(FAILOVER, back=1, goes_back_by=PROMOTION),
    "a token beyond every clock at one voter": World(start=ONE_IMPLAUSIBLE),
    "a token beyond every clock at one voter, two ticks": World(TWO_TICKS, start=ONE_IMPLAUSIBLE),
    "a token beyond every clock at one voter, without ticks, forget 1": World(
        NO_TICKS, start=ONE_IMPLAUSIBLE, forget=1
    ),
    "a token beyond every clock at one voter, late oks join a commit": World(start=ONE_IMPLAUSIBLE, late_oks=True),
}

BOUNDED: dict[str, tuple[int, World]] = {
    "a master is failed back to, to any moment": (BOUND, replace(FAILED_BACK, middle=True)),
    "a master is failed back to, to any moment, three nodes, two ticks, serial": (
        BOUND,
        replace(SERIAL, nodes=nodes(1, 1, 2), back=1, middle=True, goes_back_by=PROMOTION),
    ),
}

LONG = frozenset(
    (
        "a run of a month, two ticks, forget 1",
        "a run of a month, without ticks, forget 1",
        "a run of a month, without ticks, nodes wait, forget 1",
        "a run of a month, attempts 2, commands fail, forget 1",
        "a run of a month, five voters, forget 1, serial",
        "a master is failed back to, two ticks",
        "a master is failed back to, without ticks",
        "a master is failed back to, late oks join a commit",
        "a master is failed back to, attempts 2, commands fail",
        "acks of a commit count from a master that was failed back to after its ok",
        *BOUNDED,
    )
)
