"""Random steps for a voter: requests of nodes and of operators, lost and late ones, time that passes.

Most steps are what nodes do: they ask, and commit, extend and finish what they got, while messages are lost, repeated
or late. The others are messages of any content, time that passes, and copies that forget.
"""

import time
from typing import Any

from hypothesis import strategies as st

from cronlock.lock import state_machine
from cronlock.lock.protocol import LEASE_MAX, RETENTION
from cronlock.lock.state_machine import CLOCK_LIMIT

Fields = dict[str, Any]

RECORD, NODES, HISTORY = 0, 1, 2  # the parts of a copy
TICKS = int(time.time()) // 60 * 60 + 3600  # epoch seconds: none becomes old while a slow machine goes its way
SLACK = 10_000  # ms that a slow machine may take between a step and the look at what it left

SENT = {  # by lock/lease.py and lock/attempt.py, beside the holder
    "prepare": "node time tick start_deadline takeover_deadline attempts again fair counts job lease voter_set"
    " adopt".split(),
    "commit": [*state_machine.WRITTEN[1:], "retention", "not_after"],
    "extend": [*state_machine.WRITTEN[1:], "retention", "not_after"],
    "release": [],
    "finish": "token state outcome status end retention".split(),
    "read": [],
    "unlock": ["token"],
    "forget": ["node", "retention"],
    "pause": "node until reason retention".split(),
}
ANSWERS = {
    "prepare": "ok busy held done paused late yield voter_set clock".split(),
    "commit": "ok other expired".split(),
    "extend": "ok expired voter_set newer busy".split(),
    "release": "ok other".split(),
    "finish": "ok other".split(),
    "read": ["ok"],
    "unlock": "ok other".split(),
    "forget": "ok held busy".split(),
    "pause": ["ok"],
}


class FromNow(int):
    """So many ms from the voter's clock at the time of the step: with 0 and 1 most steps are just on a limit."""

    def __repr__(self) -> str:
        return f"FromNow({int(self)})"


PLAIN: Fields = {
    "node": "a",
    "time": FromNow(0),
    "tick": TICKS,
    "start_deadline": 0,
    "takeover_deadline": 0,
    "attempts": 1,
    "again": 0,
}
PLAIN |= {"fair": 0, "counts": 1, "job": "0 2 * * *\t\ttrue"}
PLAIN |= {"lease": 60_000, "voter_set": "1 3", "pid": 1, "start": 0, "command": "true", "schedule": "", "zone": ""}
PLAIN |= {"next": 0, "retention": RETENTION, "not_after": FromNow(60_000), "end": 0, "status": 0, "outcome": "ran"}
PLAIN |= {"ends": "done"}


# -- steps -------------------------------------------------------------------------------------------------------------


def one_of(*values: Any) -> "st.SearchStrategy[Any]":
    return st.sampled_from(values)


holders = one_of("h1", "h2", "h3")
nodes = one_of("web-1", "ü-日本", "a b%s:1", "100%", "\udcff", "x" * 200, "-", "seen", "")
texts = one_of("", "true", 'a\t"b"\n\x00', "日本 \udcff", "\u2028", "%d %s %", "0", "1e3")
ticks = one_of(0, 0, 1_700_000_000, TICKS, TICKS + 60, TICKS + 120, 2**31 + 5, 2**33)
offsets = one_of(-100_000, -1, 0, 0, 1, 1, 100_000).map(FromNow)
limits = one_of(CLOCK_LIMIT, CLOCK_LIMIT + 1, -CLOCK_LIMIT, -CLOCK_LIMIT - 1, -100_000).map(FromNow)
in_time = one_of(*[SLACK] * 9, 0, 0, -1, -SLACK).map(FromNow)
retentions = one_of(60_000, RETENTION, 3 * 366 * 86_400_000)

ANY = {
    "node": nodes,
    "time": one_of(*[FromNow(0)] * 5) | limits,
    "tick": ticks,
    "start_deadline": one_of(0, 0, 0) | offsets,
    "takeover_deadline": one_of(0, 0, 0) | offsets,
    "attempts": st.integers(1, 3),
    "again": one_of(0, 0, 1),
    "fair": st.integers(0, 1),
    "counts": st.integers(0, 1),
    "job": texts,
    "lease": one_of(1, 2_000, 60_000, LEASE_MAX, LEASE_MAX + SLACK),
    "voter_set": one_of("1 3", "1 3", "1 3", "1 5"),
    "token": st.integers(1, 4) | one_of(2**31 + 1, 2**50),
    "state": one_of("running", "running", "done", "failed", "back", ""),
    "attempt": st.integers(0, 3),
    "pid": st.integers(1, 2**22),
    "start": st.integers(0, 2**41),
    "run_tick": ticks,
    "run_attempt": st.integers(0, 3),
    "command": texts,
    "schedule": texts,
    "zone": texts,
    "next": ticks,
    "retention": retentions,
    "not_after": in_time,
    "outcome": one_of("ran", "timed out", "lost", "adopted", "größer"),
    "status": st.integers(0, 255),
    "end": st.integers(0, 2**41),
    "until": one_of(-1, 0, 0, 0) | offsets,
    "reason": texts,
}
near = {  # what mostly happens: few nodes and few ticks, so that they meet
    "node": one_of("web-1", "ü-日本", "a b%s:1"),
    "tick": one_of(TICKS, TICKS + 60, TICKS + 120, TICKS + 180) | one_of(TICKS, TICKS + 60, TICKS + 120, 0),
    "start_deadline": one_of(0, 0, 0, 0, 0, FromNow(0), FromNow(1)),
    "takeover_deadline": one_of(0, 0, 0, 0, 0, FromNow(0), FromNow(1)),
    "attempts": st.integers(1, 2),
    "again": one_of(0, 0, 0, 1),
    "ends": one_of("done", "failed", "back"),
    "voter_set": one_of(*["1 3"] * 9, "1 5"),
    "not_after": one_of(*[SLACK] * 9, 0).map(FromNow),
    "lease": one_of(60_000, 60_000, LEASE_MAX, 1),
    "retention": retentions,
    "outcome": one_of("ran", "ran", "ran", "timed out", "adopted"),
} | {name: ANY[name] for name in ("fair", "counts", "job", "command")}
numbers = st.integers(0, 255).map(lambda n: {"pid": n + 1, "start": 2**41 + n, "end": 2**41 + n % 3, "status": n})
forged = st.fixed_dictionaries(  # what no node would claim here: another voter told it of other ticks and tokens
    {
        "token": st.integers(1, 3),
        "tick": near["tick"] | st.just(0),
        "run_tick": near["tick"] | st.just(0),
        "state": one_of("running", "running", "done", ""),
        "attempt": st.integers(0, 2),
    }
)
genuine: "st.SearchStrategy[Fields]" = st.just({})
owns_tick_state = one_of(False, False, False, True).flatmap(lambda is_forged: forged if is_forged else genuine)
runs = st.tuples(st.fixed_dictionaries(near), numbers, owns_tick_state).map(
    lambda it: {**it[0], **it[1], "owns_tick_state": it[2]}
)
then = one_of(
    (),  # it died, or its release was lost
    *[("release",)] * 3,
    *[("commit",)] * 3,  # the run goes on
    *[("commit", "finish")] * 4,
    ("commit", "commit", "finish"),  # an answer was lost
    ("commit", "finish", "finish"),
    *[("commit", "release")] * 2,  # it got no quorum
    ("commit", "prepare", "extend"),  # the prepare came twice
    ("extend", "finish"),  # the commit was lost
    ("finish",),
    ("commit", "extend", "finish", "extend"),  # the last one came late
    ("commit", "unlock"),  # it is dead by the word of an operator
    ("commit", "unlock", "extend", "finish"),  # it is not
    ("commit", "forget", "finish", "forget"),
)
later = one_of(
    ("extend",), ("extend",), ("extend", "extend"), ("finish",), ("extend", "finish"), ("release",), ("unlock",)
)


def message(operation: str) -> "st.SearchStrategy[Any]":
    fields = {name: ANY[name] for name in SENT[operation] if name != "adopt"}
    adopt: Fields = {"adopt": st.just(1)} if operation == "prepare" else {}
    if operation == "commit":
        adopt = {"by": nodes, "last_outcome": one_of("", "ran")}
    return st.tuples(st.just(operation), holders, st.fixed_dictionaries(fields, optional=adopt))


STEPS = {  # the methods of Pair, with weights, and with what
    "play": (16, st.tuples(holders, runs, then)),
    "go_on": (7, st.tuples(holders, later, st.fixed_dictionaries({"lease": ANY["lease"], "not_after": in_time}))),
    "ask": (6, st.one_of(*map(message, SENT))),
    "come_to": (
        4,
        st.tuples(st.just("lease_end"), one_of(-SLACK, -SLACK, 0, 1, LEASE_MAX, LEASE_MAX + 1, LEASE_MAX + 2))
        | st.tuples(st.just("paused_until"), one_of(-SLACK, 0, 1)),
    ),
    "forget": (1, st.tuples(st.sets(st.integers(0, 2), min_size=1))),
    "put": (1, st.tuples(st.just(RECORD), st.fixed_dictionaries({"run_id": one_of("", "0123abcd")}))),
    "be_gone": (1, st.tuples(one_of("seen", "asked"), nodes, one_of(-1, 0, 10))),
    "crowd": (1, st.tuples(one_of(-1, 0, 1))),
}


def walks(**more: "tuple[int, st.SearchStrategy[Any]]") -> "st.SearchStrategy[list[Any]]":
    """Steps, with those of a voter's own."""
    known = STEPS | more
    names = one_of(*[name for name, (weight, _) in known.items() for _ in range(weight)])  # one_of() has no weights
    steps = {name: st.tuples(st.just(name), words) for name, (_, words) in known.items()}
    return st.lists(names.flatmap(steps.__getitem__), min_size=8, max_size=30)


PAUSE = {"node": "a", "until": FromNow(100_000), "reason": "", "retention": RETENTION}
TOUR: list[Any] = [  # by which each answer is met whatever chance brings
    ("play", ("h1", {}, ["release", "release", "commit"])),  # ok, other, other
    ("play", ("h1", {}, [])),
    ("play", ("h2", {}, [])),  # busy
    ("go_on", ("h1", ["commit"], {"not_after": FromNow(-1)})),  # expired
    ("go_on", ("h1", ["commit", "extend"], {})),
    ("play", ("h2", {"tick": TICKS + 60}, [])),  # held
    ("go_on", ("h1", ["finish", "finish"], {})),
    ("go_on", ("h1", ["finish"], {"outcome": "lost"})),  # other
    ("go_on", ("h1", ["finish"], {"end": 1})),  # other
    ("play", ("h2", {}, [])),  # done
    ("play", ("h2", {"tick": TICKS + 60, "start_deadline": FromNow(0)}, [])),  # late
    ("play", ("h2", {"voter_set": "1 5"}, [])),  # voter_set
    ("play", ("h2", {"time": FromNow(100_000)}, [])),  # clock
    ("ask", ("pause", "-", PAUSE)),
    ("play", ("h2", {"tick": TICKS + 60}, [])),  # paused
    ("come_to", ("paused_until", 0)),
    ("play", ("h2", {"tick": TICKS + 60, "node": "b"}, [])),
    ("go_on", ("h1", ["extend"], {"not_after": FromNow(-1)})),  # expired
    ("go_on", ("h1", ["extend"], {"voter_set": "1 5"})),  # voter_set
    ("go_on", ("h1", ["extend"], {})),  # busy
    ("go_on", ("h2", ["commit"], {})),
    ("go_on", ("h1", ["extend"], {})),  # newer
    ("go_on", ("h2", ["finish"], {})),
    ("play", ("h2", {"tick": TICKS + 120, "node": "b", "fair": 1}, [])),  # yield
    ("play", ("h3", {"tick": TICKS + 180, "node": ""}, ["commit"])),  # nobody knows whose it was: no line of history
    ("come_to", ("lease_end", 0)),
    ("play", ("h1", {"tick": TICKS + 240})),
    ("play", ("h2", {"tick": TICKS + 300}, ["unlock", "forget"])),  # other, busy
    ("go_on", ("h2", ["commit", "forget", "unlock", "read", "forget"], {})),  # held, ok, ok, ok
]
