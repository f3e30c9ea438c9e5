"""The rows: worlds in which every promise holds, and worlds whose known-bad rule must break one.

Rows about operators, takeovers, and months and failovers are in tables of their own.
"""

from dataclasses import replace

from tests.model import bad_rules, operators, retention, takeovers
from tests.model.rules import Rules
from tests.model.world import NEW, ONE_BLANK, World, nodes
from tests.model.worlds import (
    AFTER_END,
    BOUND,
    FIVE,
    LOST,
    LOWERED,
    NO_END,
    NO_TICKS,
    OVERLAP,
    QUIET_EXIT,
    SERIAL,
    TOKEN,
    TRYING,
    TWICE,
    TWO_TICKS,
)

LATE_WRITE = replace(SERIAL, nodes=nodes(1, 2, 2), forget=1, late=1, late_writes=True)

FAILS: dict[str, tuple[str, World]] = {
    "a key counts as new when all answers are blank": (
        OVERLAP,
        World(start=NEW, forget=1, rules=Rules(judge=bad_rules.judge_all_blank_is_new)),
    ),
    "the same, one voter missed the first run": (
        OVERLAP,
        World(start=ONE_BLANK, forget=1, rules=Rules(judge=bad_rules.judge_all_blank_is_new)),
    ),
    "the same, without ticks": (
        OVERLAP,
        World(NO_TICKS, start=NEW, forget=1, rules=Rules(judge=bad_rules.judge_all_blank_is_new)),
    ),
    "an amnesic voter votes": (OVERLAP, World(forget=1, rules=Rules(judge=bad_rules.judge_blank_votes))),
    "a prepare makes an amnesic copy count": (
        OVERLAP,
        replace(SERIAL, forget=1, rules=Rules(prepare=bad_rules.prepare_makes_known)),
    ),
    "oks counted after the prepare lease": (OVERLAP, World(start=NEW, forget=1, oks_expire=False)),
    "one voter goes back undetected": (OVERLAP, World(back=1, run_ids=False)),
    "commit wherever no lease is live": (
        TOKEN,
        World(watch_tokens=False, rules=Rules(commit=bad_rules.commit_without_live_lease)),
    ),
    "commit without comparing the holder": (
        OVERLAP,
        World(watch_tokens=False, rules=Rules(commit=bad_rules.commit_anywhere)),
    ),
    "the token is lost with the lease": (TOKEN, World(TWO_TICKS, rules=Rules(end_lease=bad_rules.end_lease_and_token))),
    "the token is a counter, commit does not write it": (
        TOKEN,
        replace(
            SERIAL,
            nodes=nodes(1, 2, 3),
            rules=Rules(
                prepare=bad_rules.prepare_counts, commit=bad_rules.commit_without_token, claim=bad_rules.claim_counted
            ),
        ),
    ),
    "the token is a counter, on an amnesic copy too": (
        OVERLAP,
        replace(SERIAL, forget=1, rules=Rules(prepare=bad_rules.prepare_counts, claim=bad_rules.claim_counted)),
    ),
    "write-back over another node's prepare": (
        OVERLAP,
        World(TWO_TICKS, forget=1, rules=Rules(extend=bad_rules.extend_over_a_prepare)),
    ),
    "write-back without a deadline": (OVERLAP, replace(LATE_WRITE, rules=Rules(extend=bad_rules.extend_without_bound))),
    "finish does not wait for a write-back": (OVERLAP, replace(LATE_WRITE, waits_for_writes=False)),
    "a prepare executed twice shortens the lease of the run": (
        OVERLAP,
        World(
            nodes(1, 1, attempts=(2, 2)), late=1, twice="the same id", rules=Rules(prepare=bad_rules.prepare_shortens)
        ),
    ),
    "a prepare executed twice under the same id": (OVERLAP, World(forget=1, late=1, twice="the same id")),
    "acks from before a late ok count, forget 1": (OVERLAP, World(forget=1, late_oks=True, old_acks=True)),
    "acks from before a late ok count, go back 1": (OVERLAP, World(back=1, late_oks=True, old_acks=True)),
    "late oks always join": (
        OVERLAP,
        World(forget=1, late_oks=True, rules=Rules(may_join_commit=bad_rules.joins_always)),
    ),
    "extend by the token alone": (OVERLAP, World(TWO_TICKS, forget=1, rules=Rules(extend=bad_rules.extend_by_token))),
    "finish without comparing the run": (
        OVERLAP,
        replace(SERIAL, nodes=nodes(1, 2, 3), rules=Rules(finish=bad_rules.finish_any)),
    ),
    "acks of a commit counted after their lease": (OVERLAP, World(TWO_TICKS, acks_expire=False)),
    "the command runs past its deadline": (OVERLAP, World(TWO_TICKS, stops_in_time=False)),
    "one held ends an attempt that can't win, where a prepare counts as held": (
        QUIET_EXIT,
        World(watch_exits=True, rules=Rules(prepare=bad_rules.prepare_says_held, judge=bad_rules.judge_no_way_to_win)),
    ),
    "one held ends an attempt that can't win": (
        QUIET_EXIT,
        World(watch_exits=True, rules=Rules(judge=bad_rules.judge_no_way_to_win)),
    ),
    "a quorum of held, where a prepare counts as held": (
        QUIET_EXIT,
        World(watch_exits=True, rules=Rules(prepare=bad_rules.prepare_says_held)),
    ),
    "a quorum of held about different runs": (
        QUIET_EXIT,
        replace(SERIAL, watch_exits=True, rules=Rules(judge=bad_rules.judge_quiet_differs)),
    ),
    "--again writes its own older tick": (
        TWICE,
        replace(SERIAL, nodes=nodes(2, 1, 2, again=1), rules=Rules(claim=bad_rules.claim_own_tick)),
    ),
    "--again restarts a finished tick": (
        AFTER_END,
        replace(
            SERIAL,
            nodes=nodes(2, 1, 2, attempts=(2, 2, 2), again=1),
            rules=Rules(claim=bad_rules.claim_restarts_tick),
        ),
    ),
    "release makes the tick untried": (
        TWICE,
        replace(SERIAL, nodes=nodes(1, 1, 1, attempts=(1, 2, 1)), rules=Rules(release=bad_rules.release_opens)),
    ),
    "release makes a tick untried that --again ran": (
        TWICE,
        replace(SERIAL, nodes=nodes(1, 1, 1, again=1), rules=Rules(release=bad_rules.release_opens)),
    ),
    "prepare grants an older tick": (
        TWICE,
        replace(SERIAL, nodes=nodes(1, 2, 1), rules=Rules(prepare=bad_rules.prepare_older)),
    ),
    "write-back over a newer token": (
        LOWERED,
        replace(SERIAL, nodes=nodes(1, 2, 3, 4), rules=Rules(extend=bad_rules.extend_newer)),
    ),
    "a voter goes back to its snapshot undetected": (OVERLAP, World(back=1, middle=True, run_ids=False)),
    "acks of a commit count from a server that went back after its ok": (
        OVERLAP,
        World(back=1, middle=True, same_server=False),
    ),
    "a prepare without a lease, and its node dies": (
        NO_END,
        replace(TRYING, deaths=True, lossless=True, rules=Rules(end_lease=bad_rules.end_lease_never)),
    ),
}

HOLDS: dict[str, World] = {
    "two nodes, one tick, forget 1, one late request": World(forget=1, late=1),
    "two nodes, two ticks, forget 1": World(TWO_TICKS, forget=1),
    "two nodes, two ticks, forget 1, one late request, a commit too": World(
        TWO_TICKS, forget=1, late=1, late_commits=True
    ),
    "new key, forget 1, one late request": World(start=NEW, forget=1, late=1),
    "one copy blank from the start, forget 1": World(start=ONE_BLANK, forget=1),
    "two ticks, go back 1": World(TWO_TICKS, back=1),
    "three nodes, one tick, lossless": World(nodes(1, 1, 1), lossless=True),
    "three nodes, two ticks, forget 1, serial": World(nodes(1, 1, 2), forget=1, serial=True),
    "three nodes, two ticks, new key, forget 1, serial": replace(SERIAL, nodes=nodes(1, 1, 2), start=NEW, forget=1),
    "--again on an older tick, forget 1, serial": replace(SERIAL, nodes=nodes(2, 1, 2, again=1), forget=1),
    "a node exits quietly only after a run": World(watch_exits=True),
    "a node exits quietly only after a run, three nodes, serial": replace(SERIAL, watch_exits=True),
    "two late requests, forget 1": World(forget=1, late=2),
    "a prepare executed twice, no voter forgets": World(late=1, twice="the same id"),
    "a prepare executed twice under two ids, forget 1": World(forget=1, late=1, twice="another id"),
    "late oks join a commit, forget 1": World(forget=1, late_oks=True),
    "late oks join a commit, go back 1": World(back=1, late_oks=True),
    "late oks join a commit, two ticks, forget 1": World(TWO_TICKS, forget=1, late_oks=True),
    "late oks join a commit, two ticks, go back 1": World(TWO_TICKS, back=1, late_oks=True),
    "late oks join a commit, without ticks, forget 1": World(NO_TICKS, forget=1, late_oks=True),
    "without ticks, a key that all voters know, forget 1": World(NO_TICKS, forget=1),
    "without ticks, a new key, forget 1": World(NO_TICKS, start=NEW, forget=1),
    "without ticks, one voter missed the first run, forget 1": World(NO_TICKS, start=ONE_BLANK, forget=1),
    "five voters, forget 1 and go back 1, serial": replace(FIVE, forget=1, back=1),
    "five voters, forget 2, serial": replace(FIVE, forget=2),
    "runs released, attempts 2, forget 1": World(nodes(1, 1, attempts=(2, 2)), forget=1, releases_runs=True),
    "a tick without a run can be run, forget 1": World(forget=1, watch_ticks="some up"),
    "a tick can be run after an older tick's run, forget 1": World(TWO_TICKS, forget=1, watch_ticks="some up"),
    "a tick can be run though a node died inside a commit at one voter": World(watch_ticks="all up", dead_commits=1),
    "runs released, attempts 1, forget 1, one late request": World(forget=1, late=1, releases_runs=True),
    "--each: the last tick's run is slow, the next one is started twice, forget 1": replace(
        SERIAL, nodes=nodes(1, 2, 2), forget=1
    ),
    "three late requests, forget 1": World(forget=1, late=3),
    "every attempt ends": TRYING,
    "every attempt ends, two ticks": replace(TRYING, nodes=TWO_TICKS),
    "every attempt ends, though a voter forgets an ended run": replace(TRYING, forget=1, lossless=True),
    "every attempt ends, though nodes die and yield": replace(TRYING, yields=True, deaths=True, watch_exits=True),
    "nodes that yield, a tick without a run can be run": World(retries=True, yields=True, watch_ticks="some up"),
}

# Limits of the project's own rules: within the bounds of a row a promise is broken.
LIMITS: dict[str, tuple[str, World]] = {
    "forget 1 and go back 1 of three voters is a majority": (OVERLAP, World(forget=1, back=1)),
    "a node dies inside a commit at one voter, another is down": (LOST, World(watch_ticks="some up", dead_commits=1)),
    "a node dies inside a commit at one voter, another forgets": (
        LOST,
        World(forget=1, watch_ticks="all up", dead_commits=1),
    ),
    "a node dies inside a commit at a quorum": (LOST, World(watch_ticks="all up", dead_commits=2)),
    "two nodes of a newer tick die inside their commits, and an older tick's node exits": (
        QUIET_EXIT,
        replace(SERIAL, nodes=nodes(2, 2, 1), watch_exits=True),
    ),
    "a voter answers held, then forgets the commit": (QUIET_EXIT, World(forget=1, watch_exits=True)),
    "a dead node's run is known to a quorum, one forgets it: the next node can only report a failure": (
        NO_END,
        replace(TRYING, forget=1, lossless=True, deaths=True),
    ),
}

FAILS |= operators.FAILS | takeovers.FAILS | retention.FAILS
HOLDS |= operators.HOLDS | takeovers.HOLDS | retention.HOLDS
LIMITS |= operators.LIMITS

# Rows too large to exhaust: clean up to this number of states.
BOUNDED: dict[str, tuple[int, World]] = {
    "a voter goes back to a snapshot taken at any moment": (
        BOUND,
        World(back=1, middle=True),
    ),
    "the same, three nodes, two ticks, serial": (
        BOUND,
        replace(SERIAL, nodes=nodes(1, 1, 2), back=1, middle=True),
    ),
    "five voters, two nodes at once, forget 1": (BOUND, replace(FIVE, serial=False, forget=1)),
    "nodes that yield and retry, forget 1": (BOUND, World(retries=True, yields=True, forget=1)),
    **retention.BOUNDED,
}

# Rows that take more than a few seconds: `pytest -m long`.
LONG = frozenset(
    (
        "two nodes, two ticks, forget 1, one late request, a commit too",
        "three nodes, one tick, lossless",
        "a prepare executed twice, no voter forgets",
        "late oks join a commit, forget 1",
        "two late requests, forget 1",
        "three late requests, forget 1",
        "a prepare executed twice under two ids, forget 1",
        "late oks join a commit, go back 1",
        "late oks join a commit, two ticks, forget 1",
        "late oks join a commit, two ticks, go back 1",
        "late oks join a commit, without ticks, forget 1",
        "without ticks, a key that all voters know, forget 1",
        "five voters, forget 1 and go back 1, serial",
        "five voters, forget 2, serial",
        "runs released, attempts 1, forget 1, one late request",
        "runs released, attempts 2, forget 1",
        "a tick without a run can be run, forget 1",
        "a tick can be run after an older tick's run, forget 1",
        "--each: the last tick's run is slow, the next one is started twice, forget 1",
        "every attempt ends, two ticks",
        "every attempt ends, though nodes die and yield",
        "nodes that yield, a tick without a run can be run",
        "every attempt ends, though a voter forgets an ended run",
        "a dead node's run is known to a quorum, one forgets it: the next node can only report a failure",
        *operators.LONG,
        *takeovers.LONG,
        *retention.LONG,
        *BOUNDED,
    )
)
