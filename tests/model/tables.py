"""The rows: worlds in which every promise holds, and worlds in which a known-bad rule or habit must be found out.

Those about persons, about ticks that are taken over, and about months and failovers stand in tables of their own.
"""

from dataclasses import replace

from tests.model import broken, people, takeovers, when
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
    "all blank in the attempt means a new key": (
        OVERLAP,
        World(start=NEW, forget=1, rules=Rules(judge=broken.judge_all_blank_is_new)),
    ),
    "the same, one voter missed the first run": (
        OVERLAP,
        World(start=ONE_BLANK, forget=1, rules=Rules(judge=broken.judge_all_blank_is_new)),
    ),
    "the same, without ticks": (
        OVERLAP,
        World(NO_TICKS, start=NEW, forget=1, rules=Rules(judge=broken.judge_all_blank_is_new)),
    ),
    "a voter that forgot votes": (OVERLAP, World(forget=1, rules=Rules(judge=broken.judge_blank_votes))),
    "a prepare makes a copy that forgot one that remembers": (
        OVERLAP,
        replace(SERIAL, forget=1, rules=Rules(prepare=broken.prepare_makes_known)),
    ),
    "oks counted after the short lease": (OVERLAP, World(start=NEW, forget=1, prompt=False)),
    "one voter goes back, and nobody can tell": (OVERLAP, World(back=1, run_ids=False)),
    "commit where nobody's lease runs": (
        TOKEN,
        World(watch_tokens=False, rules=Rules(commit=broken.commit_where_nobody_is)),
    ),
    "commit whoever is the holder": (
        OVERLAP,
        World(watch_tokens=False, rules=Rules(commit=broken.commit_anywhere)),
    ),
    "the token goes with the lease": (TOKEN, World(TWO_TICKS, rules=Rules(end_lease=broken.end_lease_and_token))),
    "prepare counts the token, commit does not write it": (
        TOKEN,
        replace(
            SERIAL,
            nodes=nodes(1, 2, 3),
            rules=Rules(prepare=broken.prepare_counts, commit=broken.commit_without_token, claim=broken.claim_counted),
        ),
    ),
    "prepare counts the token on a copy that forgot": (
        OVERLAP,
        replace(SERIAL, forget=1, rules=Rules(prepare=broken.prepare_counts, claim=broken.claim_counted)),
    ),
    "write-back over another's prepare": (
        OVERLAP,
        World(TWO_TICKS, forget=1, rules=Rules(extend=broken.extend_over_a_prepare)),
    ),
    "write-back without a bound": (OVERLAP, replace(LATE_WRITE, rules=Rules(extend=broken.extend_without_bound))),
    "finish does not wait for a write-back": (OVERLAP, replace(LATE_WRITE, waits_for_writes=False)),
    "a prepare executed twice shortens the lease of the run": (
        OVERLAP,
        World(nodes(1, 1, attempts=(2, 2)), late=1, twice="the same id", rules=Rules(prepare=broken.prepare_shortens)),
    ),
    "a prepare executed twice under the same id": (OVERLAP, World(forget=1, late=1, twice="the same id")),
    "acks from before a late ok count, forget 1": (OVERLAP, World(forget=1, late_oks=True, old_acks=True)),
    "acks from before a late ok count, go back 1": (OVERLAP, World(back=1, late_oks=True, old_acks=True)),
    "late oks join whatever they say": (
        OVERLAP,
        World(forget=1, late_oks=True, rules=Rules(may_join_commit=broken.joins_always)),
    ),
    "extend by the token alone": (OVERLAP, World(TWO_TICKS, forget=1, rules=Rules(extend=broken.extend_by_token))),
    "finish whose run it is or not": (
        OVERLAP,
        replace(SERIAL, nodes=nodes(1, 2, 3), rules=Rules(finish=broken.finish_any)),
    ),
    "acks of commit counted after their lease": (OVERLAP, World(TWO_TICKS, prompt_acks=False)),
    "the command runs past its deadline": (OVERLAP, World(TWO_TICKS, punctual=False)),
    "no way to win and one held, where a prepare is said to hold": (
        QUIET_EXIT,
        World(watch_exits=True, rules=Rules(prepare=broken.prepare_says_held, judge=broken.judge_no_way_to_win)),
    ),
    "no way to win and one held": (QUIET_EXIT, World(watch_exits=True, rules=Rules(judge=broken.judge_no_way_to_win))),
    "a quorum of held, where a prepare is said to hold": (
        QUIET_EXIT,
        World(watch_exits=True, rules=Rules(prepare=broken.prepare_says_held)),
    ),
    "a quorum that speaks of different runs": (
        QUIET_EXIT,
        replace(SERIAL, watch_exits=True, rules=Rules(judge=broken.judge_quiet_differs)),
    ),
    "--again writes its own older tick": (
        TWICE,
        replace(SERIAL, nodes=nodes(2, 1, 2, again=1), rules=Rules(claim=broken.claim_own_tick)),
    ),
    "--again makes a finished tick a running one": (
        AFTER_END,
        replace(
            SERIAL,
            nodes=nodes(2, 1, 2, attempts=(2, 2, 2), again=1),
            rules=Rules(claim=broken.claim_restarts_tick),
        ),
    ),
    "release opens the tick": (
        TWICE,
        replace(SERIAL, nodes=nodes(1, 1, 1, attempts=(1, 2, 1)), rules=Rules(release=broken.release_opens)),
    ),
    "release opens a tick that --again ran": (
        TWICE,
        replace(SERIAL, nodes=nodes(1, 1, 1, again=1), rules=Rules(release=broken.release_opens)),
    ),
    "prepare says ok to an older tick": (
        TWICE,
        replace(SERIAL, nodes=nodes(1, 2, 1), rules=Rules(prepare=broken.prepare_older)),
    ),
    "write-back over a newer token": (
        LOWERED,
        replace(SERIAL, nodes=nodes(1, 2, 3, 4), rules=Rules(extend=broken.extend_newer)),
    ),
    "a voter goes back to its snapshot, and nobody can tell": (OVERLAP, World(back=1, middle=True, run_ids=False)),
    "acks of commit count from a server that went back since it said ok": (
        OVERLAP,
        World(back=1, middle=True, same_server=False),
    ),
    "a prepare that has no lease, and its node dies": (
        NO_END,
        replace(TRYING, deaths=True, lossless=True, rules=Rules(end_lease=broken.end_lease_never)),
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
    "whoever is sent home": World(watch_exits=True),
    "whoever is sent home, of three nodes, serial": replace(SERIAL, watch_exits=True),
    "two late requests, forget 1": World(forget=1, late=2),
    "a prepare executed twice, nobody forgets": World(late=1, twice="the same id"),
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
    "runs given back, attempts 2, forget 1": World(nodes(1, 1, attempts=(2, 2)), forget=1, give_back=True),
    "a tick that nobody ran can be run, forget 1": World(forget=1, watch_ticks="some up"),
    "a tick can be run after one of an older tick, forget 1": World(TWO_TICKS, forget=1, watch_ticks="some up"),
    "a tick can be run though a node died inside a commit at one voter": World(watch_ticks="all up", dead_commits=1),
    "runs given back, attempts 1, forget 1, one late request": World(forget=1, late=1, give_back=True),
    "each: the last tick's run is slow, the next one is started twice, forget 1": replace(
        SERIAL, nodes=nodes(1, 2, 2), forget=1
    ),
    "three late requests, forget 1": World(forget=1, late=3),
    "everybody ends in the end": TRYING,
    "everybody ends in the end, two ticks": replace(TRYING, nodes=TWO_TICKS),
    "everybody ends in the end, though a voter forgets a run that has ended": replace(TRYING, forget=1, lossless=True),
    "everybody ends in the end, though nodes die and are polite": replace(
        TRYING, yields=True, deaths=True, watch_exits=True
    ),
    "polite nodes, a tick that nobody ran can be run": World(retries=True, yields=True, watch_ticks="some up"),
}

# What the project's own rules do not promise: with the bounds of a row a promise is broken.
LIMITS: dict[str, tuple[str, World]] = {
    "forget 1 and go back 1 of three voters is a majority": (OVERLAP, World(forget=1, back=1)),
    "a node dies inside a commit at one voter, another is down": (LOST, World(watch_ticks="some up", dead_commits=1)),
    "a node dies inside a commit at one voter, another forgets": (
        LOST,
        World(forget=1, watch_ticks="all up", dead_commits=1),
    ),
    "a node dies inside a commit at a quorum": (LOST, World(watch_ticks="all up", dead_commits=2)),
    "two nodes of a newer tick that die inside their commits send an older one home": (
        QUIET_EXIT,
        replace(SERIAL, nodes=nodes(2, 2, 1), watch_exits=True),
    ),
    "held is heard of a commit that is forgotten then": (QUIET_EXIT, World(forget=1, watch_exits=True)),
    "a run whose node died is known to a quorum, one forgets it: the next node can only give up aloud": (
        NO_END,
        replace(TRYING, forget=1, lossless=True, deaths=True),
    ),
}

FAILS |= people.FAILS | takeovers.FAILS | when.FAILS
HOLDS |= people.HOLDS | takeovers.HOLDS | when.HOLDS
LIMITS |= people.LIMITS

# Rows too large to be tried to the end: clean up to so many states.
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
    "polite nodes that try again, forget 1": (BOUND, World(retries=True, yields=True, forget=1)),
    **when.BOUNDED,
}

# Rows that take more than some seconds: `pytest -m long`.
LONG = frozenset(
    (
        "two nodes, two ticks, forget 1, one late request, a commit too",
        "three nodes, one tick, lossless",
        "a prepare executed twice, nobody forgets",
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
        "runs given back, attempts 1, forget 1, one late request",
        "runs given back, attempts 2, forget 1",
        "a tick that nobody ran can be run, forget 1",
        "a tick can be run after one of an older tick, forget 1",
        "each: the last tick's run is slow, the next one is started twice, forget 1",
        "everybody ends in the end, two ticks",
        "everybody ends in the end, though nodes die and are polite",
        "polite nodes, a tick that nobody ran can be run",
        "everybody ends in the end, though a voter forgets a run that has ended",
        "a run whose node died is known to a quorum, one forgets it: the next node can only give up aloud",
        *people.LONG,
        *takeovers.LONG,
        *when.LONG,
        *BOUNDED,
    )
)
