"""The script inside Redis does what record.py says, step by step, on each server of this machine."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from cronlock.lock import record
from cronlock.lock.quorum import claim
from cronlock.lock.record import BLANK_RETENTION, NUMBERS, RETENTION, Copy
from cronlock.lock.slots import copies
from tests.servers import Server

SCRIPT = (Path(record.__file__).parent / "scripts" / "record.lua").read_text(encoding="utf-8")
KEYS = copies("cronlock", "a job", count=1)[0].keys
TICKS = int(time.time()) // 60 * 60  # epoch seconds
NODES = ["web-1", "ü-日本", "a b%s%1", "100%", "\udcff", "x" * 200, "-", "seen"]
HOLDERS = ["h1", "h2", "h3"]
SLACK = 3_000  # ms that a slow machine may take between a step and the look at what it left

LOGIN = {"username": "cron", "password": "secret"}

Fields = dict[str, Any]
Servers = Callable[..., list[Server]]


@pytest.fixture
def binary(every_binary: Path) -> Path:
    """Each server binary of this machine in turn."""
    return every_binary


def encoded(value: object) -> bytes:
    return str(value).encode("utf-8", "surrogateescape")


def typed(fields: dict[str, str]) -> Fields:
    return {name: int(value) if name in NUMBERS else value for name, value in fields.items()}


class Stored:
    """The copy on a server: asked by the script's own text, looked at behind its back."""

    def __init__(self, server: Server, **login: Any) -> None:
        self.redis = server.client(encoding="utf-8", encoding_errors="surrogateescape", **login)
        self.plain = server.client(encoding="utf-8", encoding_errors="surrogateescape")

    def call(self, operation: str, ask: Fields) -> Fields:
        words = [encoded(word) for pair in ask.items() for word in pair]
        flat = self.redis.eval(SCRIPT, len(KEYS), *KEYS, operation, *words)
        assert all(isinstance(item, str) for item in flat)  # a number would lose digits
        return typed(dict(zip(flat[::2], flat[1::2], strict=True)))

    def now(self) -> int:
        seconds, micros = self.plain.time()
        return int(seconds) * 1000 + int(micros) // 1000

    @property
    def record(self) -> Fields:
        return typed(self.plain.hgetall(KEYS[0]))

    @property
    def nodes(self) -> dict[str, int]:
        return {name: int(value) for name, value in self.plain.hgetall(KEYS[1]).items()}

    @property
    def history(self) -> list[str]:
        return list(self.plain.lrange(KEYS[2], 0, -1))


# -- the same steps on both --------------------------------------------------------------------------------------------

holders, nodes = st.sampled_from(HOLDERS), st.sampled_from(NODES)
ticks = st.sampled_from([0, 0, 1_700_000_000, TICKS, TICKS + 60, TICKS + 120, TICKS + 180, 2**31 + 5, 2**33])
tokens = st.integers(1, 4) | st.sampled_from([2**31 + 1, 2**50])
attempts = st.integers(0, 3)
leases = st.sampled_from([1, 2_000, 60_000, 3_600_000, 3_600_001 + SLACK])
texts = st.sampled_from(["", "true", 'a "b"\n\x00', "日本 \udcff", "%d %s %", "0", "1e3"])
offsets = st.sampled_from([-100_000, -30_000, -SLACK, SLACK, 30_000, 100_000])  # ms from the server's now
few = st.sampled_from(["1 3", "1 3", "1 3", "1 3", "1 5"])

prepares = st.fixed_dictionaries(
    {
        "node": nodes,
        "time": st.sampled_from([0] * 8 + [-100_000, 100_000, 50_000]),
        "tick": ticks,
        "late_at": st.sampled_from(["no"] * 5) | offsets,
        "attempts": st.integers(1, 3),
        "again": st.sampled_from([0, 0, 1]),
        "fair": st.integers(0, 1),
        "lease": leases,
        "settings": few,
    }
)
runs = st.fixed_dictionaries(
    {
        "node": nodes,
        "token": tokens,
        "tick": ticks,
        "state": st.sampled_from(["running", "running", "done", "failed", "back", ""]),
        "attempt": attempts,
        "settings": few,
        "pid": st.integers(1, 2**22),
        "start": st.integers(0, 2**41),
        "run_tick": ticks,
        "run_attempt": attempts,
        "command": texts,
        "schedule": texts,
        "zone": texts,
        "next": ticks,
        "retention": st.sampled_from([60_000, RETENTION, 3 * 366 * 86_400_000]),
        "lease": leases,
        "not_after": st.sampled_from([SLACK] * 8 + [-SLACK]),
    }
)
ends = st.fixed_dictionaries(
    {
        "token": tokens,
        "state": st.sampled_from(["done", "failed", "back"]),
        "outcome": st.sampled_from(["ran", "timed out", "lost", "größer"]),
        "status": st.integers(0, 255),
        "end": st.integers(0, 2**41),
        "retention": st.sampled_from([60_000, RETENTION]),
    }
)
pauses = st.fixed_dictionaries(
    {"node": nodes, "until": st.sampled_from([-1, 0, 0]) | offsets, "reason": texts, "retention": st.just(RETENTION)}
)
# What mostly happens: few nodes, few ticks, prepare and perhaps commit and finish that belong together.
near = st.sampled_from([TICKS, TICKS + 60, TICKS + 120, TICKS + 180])
plays = st.tuples(
    st.sampled_from(["asks", "asks", "holds", "runs", "runs", "runs"]),
    holders,
    st.fixed_dictionaries(
        {
            "node": st.sampled_from(NODES[:3]),
            "tick": near | near | near | st.just(0),
            "attempts": st.integers(1, 2),
            "again": st.sampled_from([0, 0, 0, 1]),
            "fair": st.integers(0, 1),
            "state": st.sampled_from(["done", "failed", "back"]),
        }
    ),
)
steps = st.one_of(
    plays,
    plays,
    plays,
    plays,
    plays,
    plays,
    plays,
    st.tuples(st.just("time passes"), st.just(60_000 + SLACK)),
    st.tuples(st.just("prepare"), holders, prepares),
    st.tuples(st.just("commit"), holders, runs),
    st.tuples(st.just("extend"), holders, runs),
    st.tuples(st.just("finish"), holders, ends),
    st.tuples(st.just("release"), holders),
    st.tuples(st.just("pause"), st.just("-"), pauses),
    st.tuples(st.just("time passes"), st.sampled_from([2_000 + SLACK, 60_000 + SLACK, 3_700_000])),
    st.tuples(st.just("is forgotten"), st.sets(st.sampled_from([0, 1, 2]), min_size=1)),
    st.tuples(st.just("is of another server process"), st.sampled_from(["", "0123abcd"])),
    st.tuples(st.just("was seen long ago"), nodes),
)


PREPARE = {"node": "", "time": 0, "tick": 0, "late_at": "no", "attempts": 1, "again": 0, "fair": 0, "lease": 2_000}
PREPARE |= {"settings": "1 3"}
RUN = {"settings": "1 3", "pid": 1, "start": 0, "command": "true", "schedule": "", "zone": "", "next": 0}
RUN |= {"retention": RETENTION, "lease": 60_000, "not_after": SLACK}
END = {"outcome": "ran", "status": 0, "end": 0, "retention": RETENTION}


class Both:
    """The pure copy and the one on the server, through the same steps."""

    def __init__(self, server: Server) -> None:
        self.stored = Stored(server)
        self.stored.plain.flushall()
        self.pure = Copy()
        self.now = self.stored.now()

    def step(self, what: str, *words: Any) -> None:
        if what in ("asks", "holds", "runs"):
            self.play(what, *words)
        elif what == "time passes":
            self.shift(words[0])
        elif what == "is forgotten":
            self.forget(words[0])
        elif what == "is of another server process":
            self.put(0, "run_id", words[0])
        elif what == "was seen long ago":
            self.put(1, "seen:" + words[0], self.now // 1000 - RETENTION // 1000 - 10)
        else:
            self.ask(what, words[0], words[1] if len(words) > 1 else {})
        self.compare()

    def play(self, what: str, holder: str, play: Fields) -> None:
        """As a node does it: commits only after an ok, with the highest token and tick that it was told."""
        self.ask("prepare", holder, PREPARE | {name: play[name] for name in PREPARE if name in play})
        if what == "asks" or (self.pure.get("holder"), self.pure.get("kind")) != (holder, "prepare"):
            return
        told = self.pure.record | {"answer": "ok", "time": self.now}
        heard = {name: told.get(name, self.pure.get(name)) for name in ("token", "tick", "attempt", "state", "time")}
        claimed = claim([heard], play["tick"], bool(play["again"])) | {"token": heard["token"] + 1}
        self.ask("commit", holder, RUN | {"node": play["node"]} | claimed)
        if what == "runs":
            self.ask("finish", holder, END | {"token": claimed["token"], "state": play["state"]})

    def ask(self, operation: str, holder: str, ask: Fields) -> None:
        """Times stand in the steps as distances from the server's clock."""
        now = self.stored.now()
        ask = {"holder": holder} | ask
        for name in ("time", "late_at", "not_after", "until"):
            if isinstance(ask.get(name), int) and (name != "until" or ask[name] not in (-1, 0)):
                ask[name] += now
        if "late_at" in ask and not isinstance(ask["late_at"], int):
            ask["late_at"] = 0
        answer = self.stored.call(operation, ask)
        self.now = answer["now"]
        assert self.now - now < SLACK, "this machine is too slow for the distances of this test"
        expected = record.OPERATIONS[operation](self.pure, ask, self.now, self.now, answer["run_id"])
        assert answer == expected, operation

    def shift(self, ms: int) -> None:
        """All times that the record waits for are so much nearer."""
        for name in ("lease_end", "paused_until"):
            if self.pure.get(name) > 0:
                self.put(0, name, self.pure.get(name) - ms)

    def put(self, key: int, name: str, value: int | str) -> None:
        if key == 1 or self.pure.record:
            (self.pure.record, self.pure.nodes)[key][name] = value  # type: ignore[index]
            self.stored.plain.hset(KEYS[key], encoded(name), encoded(value))

    def forget(self, which: set[int]) -> None:
        for key in which:
            self.stored.plain.delete(KEYS[key])
            if key == 0:
                self.pure.record, self.pure.expires = {}, 0
            elif key == 1:
                self.pure.nodes = {}
            else:
                self.pure.history = []

    def compare(self) -> None:
        assert self.stored.record == self.pure.record
        assert self.stored.nodes == self.pure.nodes
        assert self.stored.history == self.pure.history
        left = self.stored.plain.pttl(KEYS[0])
        if not self.pure.record:
            assert left == -2
        elif not self.pure.expires:
            assert left == -1
        else:
            assert abs(self.now + left - self.pure.expires) < SLACK


@pytest.mark.timeout(600)  # for the search for a short counter-example
@settings(
    max_examples=200,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],  # to explain one would take minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(st.lists(steps, min_size=8, max_size=30))
def test_the_script_and_the_pure_record_go_the_same_way(server: Server, steps: list[tuple[Any, ...]]) -> None:
    """Every answer, every field, every line of history, and how long they stay."""
    both = Both(server)
    for step in steps:
        both.step(*step)


def test_a_dead_node_leaves_the_line_on_both_sides(server: Server) -> None:
    """After the same tick, to the tick."""
    both = Both(server)
    both.step("asks", "h2", {"node": "dead", "tick": TICKS})
    both.step("release", "h2")
    for tick in range(TICKS, TICKS + 300, 60):
        both.step("asks", "h1", {"node": "alive", "tick": tick, "fair": 1})
        both.step("release", "h1")
        both.step("runs", "h1", {"node": "alive", "tick": tick, "again": 0, "state": "done"})
    assert both.pure.nodes["last:alive"] == tick


def test_a_tick_that_is_missed_and_runs_after_all_counts_the_same_on_both_sides(server: Server) -> None:
    """Up by one, once, and down again."""
    both = Both(server)
    both.step("holds", "h1", {"node": "a", "tick": TICKS, "again": 0})
    both.step("asks", "h2", {"node": "b", "tick": TICKS + 60})
    both.step("asks", "h3", {"node": "c", "tick": TICKS + 60})
    assert (both.pure.get("missed"), both.pure.get("missed_tick")) == (1, TICKS + 60)
    both.step("time passes", 60_000 + SLACK)
    both.step("runs", "h2", {"node": "b", "tick": TICKS + 60, "again": 0, "state": "done"})
    assert (both.pure.get("missed"), both.pure.get("missed_tick")) == (0, 0)


def test_a_node_that_is_gone_is_forgotten_on_both_sides(server: Server) -> None:
    """With its counts, by the finish of another one; a colon ends the count's name, not the node's."""
    both = Both(server)
    for name in ("gone", "web-1"):
        both.put(1, f"held:{name}", 5)
        both.put(1, f"last:{name}", 1)
    both.step("was seen long ago", "gone")
    both.step("runs", "h1", {"node": "a", "tick": TICKS, "again": 0, "state": "done"})
    assert not any(name.endswith(":gone") for name in both.pure.nodes)
    assert both.pure.nodes["held:web-1"] == 5


def test_a_long_history_is_cut_on_both_sides(server: Server) -> None:
    """At the same length."""
    both = Both(server)
    run = RUN | {"node": "a", "tick": TICKS, "run_tick": TICKS, "attempt": 1, "run_attempt": 1, "state": "running"}
    for token in range(1, record.HISTORY_LENGTH + 4):
        both.ask("extend", "h1", run | {"token": token})
        both.ask("finish", "h1", END | {"token": token, "state": "done"})
    both.compare()
    assert len(both.pure.history) == record.HISTORY_LENGTH


# -- what only the script can get wrong --------------------------------------------------------------------------------


def candidate(stored: Stored, **more: Any) -> Fields:
    plain = {"holder": "h1", "node": "a", "time": stored.now(), "tick": TICKS, "late_at": 0, "attempts": 1, "again": 0}
    return stored.call("prepare", {**plain, "fair": 0, "lease": 2_000, "settings": "1 3", **more})


def run_of(stored: Stored, **more: Any) -> Fields:
    plain = {"holder": "h1", "node": "a", "token": 2**31 + 3, "tick": 2**31 + 1, "state": "running", "attempt": 1}
    plain |= {"run_tick": 2**31 + 1, "run_attempt": 1, "next": 2**33, "not_after": stored.now() + SLACK}
    return {**RUN, **plain, **more}


FINISH = END | {"holder": "h1", "token": 2**31 + 3, "state": "done"}


def test_numbers_beyond_32_bits_and_milliseconds_keep_their_digits(server: Server) -> None:
    """Lua writes 14 digits by itself: 1.8e+12 would be a lease."""
    stored = Stored(server)
    assert candidate(stored)["answer"] == "ok"
    for operation in ("commit", "extend"):
        answer = stored.call(operation, run_of(stored))
        assert (answer["answer"], answer["token"], answer["tick"]) == ("ok", 2**31 + 3, 2**31 + 1)
    raw = stored.plain.hgetall(KEYS[0]) | stored.plain.hgetall(KEYS[1])
    assert all(raw[name].isdigit() for name in ("lease_end", "token", "tick", "next", "start"))
    assert abs(int(raw["lease_end"]) - stored.now() - 60_000) < SLACK
    assert stored.nodes["last:a"] == 2**31 + 1


def test_each_copy_shares_one_hash_tag_and_names_all_its_keys(server: Server) -> None:
    """A script that touches a key that it does not name breaks on a cluster."""
    stored = Stored(server)
    candidate(stored)
    stored.call("commit", run_of(stored))
    stored.call("finish", FINISH)
    assert set(stored.plain.keys()) == {key.decode() for key in KEYS}


def test_a_blank_copy_is_forgotten_within_a_minute_and_a_run_is_not(server: Server) -> None:
    """Candidates that never ran must leave nothing; a tick must not vanish with its lease."""
    stored = Stored(server)
    candidate(stored)
    assert 0 < stored.plain.pttl(KEYS[0]) <= BLANK_RETENTION
    stored.call("commit", run_of(stored))
    stored.call("finish", FINISH)
    assert all(RETENTION - SLACK < stored.plain.pttl(key) <= RETENTION for key in KEYS)


def test_a_held_answer_does_not_shorten_what_a_rare_schedule_keeps(server: Server) -> None:
    """Nodes and shares of a yearly job stay as long as its record; a pause keeps them for good."""
    stored = Stored(server)
    candidate(stored)
    years = 3 * 366 * 86_400_000
    stored.call("commit", run_of(stored, retention=years))
    assert candidate(stored, holder="h2")["answer"] == "held"
    assert stored.plain.pttl(KEYS[1]) > years - SLACK
    stored.call("pause", {"node": "a", "until": -1, "reason": "", "retention": years})
    stored.call("finish", FINISH)
    assert candidate(stored, holder="h2")["answer"] == "paused"
    assert [stored.plain.pttl(key) for key in KEYS] == [-1, -1, -1]


def test_without_the_right_to_info_there_is_no_stamp(server: Server) -> None:
    """INFO is in the category @dangerous: the lock works all the same, and no copy counts as reborn."""
    server.ask("ACL", "SETUSER", "cron", "on", ">secret", "~*", "&*", "+@all", "-info")
    stored = Stored(server, **LOGIN)
    answer = candidate(stored)
    assert (answer["answer"], answer["run_id"], answer["reborn"]) == ("ok", "", 0)
    assert stored.call("commit", run_of(stored))["answer"] == "ok"
    assert stored.record["run_id"] == ""
    stored.plain.hset(KEYS[0], "run_id", "0123abcd")
    assert stored.call("extend", run_of(stored))["reborn"] == 0


def test_with_the_right_to_info_the_stamp_is_the_servers_run_id(server: Server) -> None:
    """Another one after each restart."""
    stored = Stored(server)
    assert candidate(stored)["run_id"] == server.run_id
    stored.call("commit", run_of(stored))
    assert stored.record["run_id"] == server.run_id


def test_a_copy_that_came_back_from_a_dump_is_reborn(fresh_servers: Servers, every_binary: Path) -> None:
    """Until a run is written, or extended: then it has what its holder has."""
    (server,) = fresh_servers(binary=every_binary, appendonly="yes", appendfsync="always")
    stored = Stored(server)
    candidate(stored)
    assert stored.call("commit", run_of(stored))["reborn"] == 0
    server.restart()
    assert candidate(Stored(server))["reborn"] == 1
    assert Stored(server).call("extend", run_of(Stored(server)))["reborn"] == 0
    server.restart()
    assert candidate(Stored(server))["reborn"] == 1
    assert Stored(server).call("commit", run_of(Stored(server)))["reborn"] == 0


@pytest.mark.parametrize("right", ["-publish", "resetchannels"])
def test_without_the_right_to_publish_a_run_still_finishes(server: Server, right: str) -> None:
    """Those who wait poll."""
    server.ask("ACL", "SETUSER", "cron", "reset", "on", ">secret", "~*", "&*", "+@all", right)
    stored = Stored(server, **LOGIN)
    candidate(stored)
    stored.call("commit", run_of(stored))
    assert stored.call("finish", FINISH)["answer"] == "ok"
    assert (stored.record["state"], stored.record["outcome"], len(stored.history)) == ("done", "ran", 1)


def test_a_finish_wakes_those_who_wait(server: Server) -> None:
    """One message on the record's own name, with the state."""
    stored = Stored(server)
    candidate(stored)
    stored.call("commit", run_of(stored))
    with stored.plain.pubsub(ignore_subscribe_messages=True) as listener:
        listener.subscribe(KEYS[0])
        listener.get_message(timeout=2)
        stored.call("finish", FINISH)
        message = listener.get_message(timeout=2)
    assert message is not None
    assert (message["channel"], message["data"]) == (KEYS[0].decode(), "done")


def test_two_requests_on_one_connection_are_carried_out_in_order(server: Server) -> None:
    """commit goes behind prepare without waiting for its answer."""
    stored = Stored(server)
    pipe = stored.redis.pipeline(transaction=False)
    ask = {"holder": "h1", "node": "a", "time": stored.now(), "tick": TICKS, "late_at": 0, "attempts": 1, "again": 0}
    ask |= {"fair": 0, "lease": 2_000, "settings": "1 3"}
    for operation, fields in (("prepare", ask), ("commit", run_of(stored))):
        pipe.eval(SCRIPT, len(KEYS), *KEYS, operation, *[encoded(word) for pair in fields.items() for word in pair])
    assert [reply[1] for reply in pipe.execute()] == ["ok", "ok"]
    assert stored.record["kind"] == "run"


def test_an_unknown_operation_is_an_error_and_changes_nothing(server: Server) -> None:
    """Nodes of different versions on one server."""
    stored = Stored(server)
    candidate(stored)
    before = stored.record
    with pytest.raises(redis.ResponseError):
        stored.call("explode", {"holder": "h1"})
    assert stored.record == before


def test_the_constants_of_both_sides_are_the_same() -> None:
    """The script can't import them."""
    heads = [line.removeprefix("local ") for line in SCRIPT.splitlines() if line.startswith("local ") and " = " in line]
    numbers: dict[str, int] = {}
    for names, _, values in (head.partition(" = ") for head in heads):
        if names.isupper() and values.replace(", ", "").isdigit():
            numbers |= zip(names.split(", "), json.loads(f"[{values}]"), strict=True)
    assert len(numbers) == 7
    assert numbers == {name: getattr(record, name) for name in numbers}
