"""The script inside Redis does what lock/state_machine.py says, step by step, on each server of this machine."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import redis
from hypothesis import example, given, note
from hypothesis import strategies as st

from cronlock.lock import node_stats, protocol, state_machine
from cronlock.lock.node_stats import HISTORY_LENGTH
from cronlock.lock.protocol import RETENTION, YIELD_MAX
from cronlock.lock.state_machine import BLANK_RETENTION
from cronlock.servers.redis_voters import DIGEST
from tests.support.binaries import binaries, further_binaries
from tests.support.random_steps import NODES, PLAIN, RECORD, SLACK, TICKS, TOUR, Fields, walks
from tests.support.script_voter import EACH_KEYS, KEYS, LINE, MAIN, SCRIPT, OnServer, Stored, encoded, typed
from tests.support.server_pool import Pool
from tests.support.servers import Server
from tests.support.side_by_side import missing, side_by_side

LOGIN = {"username": "cron", "password": "secret"}

Servers = Callable[..., list[Server]]


@pytest.fixture
def binary(every_binary: Path) -> Path:
    """Each server binary of this machine in turn."""
    return every_binary


# -- the same steps on both --------------------------------------------------------------------------------------------

ALL = [pytest.param(binaries, id="of this machine")]
if further_binaries():
    ALL.append(pytest.param(further_binaries, id="of other suites", marks=pytest.mark.debian))


@pytest.mark.timeout(600)  # for the search for a short counter-example
@pytest.mark.parametrize("named", ALL)
def test_the_script_and_the_pure_record_go_the_same_way(named: Callable[[], dict[str, Path]], pool: Pool) -> None:
    """Every answer, every field, every line of history, and how long they stay; `--hypothesis-profile=long` goes on
    for longer.

    Each server takes the same steps twice: with a key's record, and with a node's own. With --each the main record is
    read, and only a pause of its own leaves it alone.
    """
    voters = {
        (name, keys): Stored(pool.servers(binary, 1)[0], keys)
        for name, binary in named().items()
        for keys in (KEYS, EACH_KEYS)
    }
    met: dict[Any, Counter[tuple[str, str]]] = {voter: Counter() for voter in voters}
    pauses = st.tuples(st.sampled_from((0, 0, -SLACK, SLACK)), st.sampled_from(("", "a reason")))

    @side_by_side
    @example(TOUR)
    @example([("play", ("h1", {})), ("pause_all", (SLACK, "x")), ("play", ("h1", {"tick": TICKS + 60}))])
    @example([("play", ("h1", {"node": "a"})), ("play", ("h2", {"node": "b"})), ("go_on", ("h1", ["forget"], {}))])
    @given(walks(pause_all=(2, pauses)))
    def walk(steps: list[Any]) -> None:
        for voter, stored in voters.items():
            note(f"on {voter}")
            both = OnServer(stored, met[voter])
            both.go(steps)
            if both.pure.main is not None:
                assert typed(stored.plain.hgetall(EACH_KEYS[MAIN])) == both.pure.main

    walk()
    for (_, keys), answers in met.items():
        lacks = missing(answers)
        assert lacks == (set() if keys == KEYS else {("prepare", "yield")}), answers  # a node's own has no turns


def test_a_dead_node_leaves_the_line_on_both_sides(server: Server) -> None:
    """After the same tick, to the tick."""
    both = OnServer(Stored(server))
    both.play("h2", {"node": "dead"}, ["release"])
    waited = []
    for tick in range(TICKS, TICKS + 300, 60):
        waited.append(both.ask("prepare", "h1", PLAIN | {"node": "alive", "tick": tick, "fair": 1})["answer"])
        both.ask("release", "h1", {})
        both.play("h1", {"node": "alive", "tick": tick})
    assert waited == ["ok", "yield", "yield", "yield", "ok"]


def test_a_tick_that_is_missed_and_runs_after_all_counts_the_same_on_both_sides(server: Server) -> None:
    """Up by one, once, and down again."""
    both = OnServer(Stored(server))
    both.play("h1", {}, ["commit"])
    both.play("h2", {"tick": TICKS + 60})
    both.play("h3", {"tick": TICKS + 60})
    assert (both.pure.get("missed"), both.pure.get("missed_tick")) == (1, TICKS + 60)
    both.come_to("lease_end", 0)
    both.play("h2", {"tick": TICKS + 60})
    assert (both.pure.get("missed"), both.pure.get("missed_tick")) == (0, 0)


def test_a_node_that_is_gone_is_forgotten_on_both_sides(server: Server) -> None:
    """With its counts, by the finish of another one; a colon ends the count's name, not the node's."""
    both = OnServer(Stored(server))
    both.put(NODES, {"held:gone:1": 5, "last:gone:1": 5, "held:web-1": 5, "last:web-1": TICKS})
    both.be_gone("seen", "gone:1", 10)
    both.play("h1", {})
    assert not any(name.endswith(":gone:1") for name in both.pure.nodes)
    assert both.pure.nodes["held:web-1"] == 5


def test_a_long_history_is_cut_on_both_sides(server: Server) -> None:
    """At the same length."""
    both = OnServer(Stored(server))
    for number in range(HISTORY_LENGTH + 3):
        both.play("h1", {"tick": TICKS + number}, ["extend", "finish"])
    assert len(both.pure.history) == HISTORY_LENGTH


# -- what only the script can get wrong --------------------------------------------------------------------------------


def asking(stored: Stored) -> Fields:
    plain = {
        "holder": "h1",
        "node": "a",
        "time": stored.now(),
        "tick": TICKS,
        "start_deadline": 0,
        "takeover_deadline": 0,
        "attempts": 1,
    }
    return plain | {"again": 0, "fair": 0, "counts": 1, "job": "", "lease": 2_000, "voter_set": "1 3"}


def prepare(stored: Stored, **more: Any) -> Fields:
    return stored.call("prepare", asking(stored) | more)


def run_of(stored: Stored, **more: Any) -> Fields:
    plain = {"holder": "h1", "token": 2**31 + 3, "tick": 2**31 + 1, "state": "running", "attempt": 1}
    plain |= {"run_tick": 2**31 + 1, "run_attempt": 1, "next": 2**33, "not_after": stored.now() + SLACK}
    return {**PLAIN, **plain, **more}


FINISH = PLAIN | {"holder": "h1", "token": 2**31 + 3, "state": "done"}


def test_numbers_beyond_32_bits_and_milliseconds_keep_their_digits(server: Server) -> None:
    """Lua writes 14 digits by itself: 1.8e+12 would be a lease."""
    stored = Stored(server)
    assert prepare(stored)["answer"] == "ok"
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
    prepare(stored)
    stored.call("commit", run_of(stored))
    stored.call("finish", FINISH)
    assert set(stored.plain.keys()) == {key.decode() for key in KEYS}


def test_a_blank_copy_is_forgotten_within_a_minute_and_a_run_is_not(server: Server) -> None:
    """Nodes that only prepared must leave nothing; a tick must not vanish with its lease."""
    stored = Stored(server)
    prepare(stored)
    assert 0 < stored.plain.pttl(KEYS[0]) <= BLANK_RETENTION
    stored.call("commit", run_of(stored, next=2**31 + 61))
    stored.call("finish", FINISH)
    assert all(RETENTION - SLACK < stored.plain.pttl(key) <= RETENTION for key in KEYS)


def test_a_held_answer_does_not_shorten_what_a_rare_schedule_keeps(server: Server) -> None:
    """Nodes and shares of a yearly job stay as long as its record; a pause keeps them for good."""
    stored = Stored(server)
    prepare(stored)
    years = 3 * 366 * 86_400_000
    stored.call("commit", run_of(stored, retention=years))
    assert prepare(stored, holder="h2")["answer"] == "held"
    assert stored.plain.pttl(KEYS[1]) > years - SLACK
    stored.call("pause", {"node": "a", "until": -1, "reason": "", "retention": years})
    stored.call("finish", FINISH)
    assert prepare(stored, holder="h2")["answer"] == "paused"
    assert [stored.plain.pttl(key) for key in KEYS] == [-1, -1, -1, -1]


def test_without_the_right_to_info_there_is_no_stamp(server: Server) -> None:
    """INFO is in the category @dangerous: the lock works all the same, and no copy counts as restarted."""
    server.ask("ACL", "SETUSER", "cron", "on", ">secret", "~*", "&*", "+@all", "-info")
    stored = Stored(server, **LOGIN)
    answer = prepare(stored)
    assert (answer["answer"], answer["run_id"], answer["restarted"]) == ("ok", "", 0)
    assert stored.call("commit", run_of(stored))["answer"] == "ok"
    assert stored.record["run_id"] == ""
    stored.plain.hset(KEYS[0], "run_id", "0123abcd")
    assert stored.call("extend", run_of(stored))["restarted"] == 0


def test_a_run_that_goes_on_keeps_all_that_is_known_of_its_key(server: Server) -> None:
    """Each extension renews what the commit set, of all keys of the copy."""
    stored = Stored(server)
    of_a_minute = {"next": 2**31 + 61}
    prepare(stored)
    stored.call("commit", run_of(stored, **of_a_minute))
    stored.call("finish", FINISH)
    later = of_a_minute | {"holder": "h2", "token": 2**31 + 4}
    prepare(stored, holder="h2", again=1)
    assert stored.call("commit", run_of(stored, **later))["answer"] == "ok"
    for key in KEYS:
        assert stored.plain.pexpire(key, SLACK)
    assert stored.call("extend", run_of(stored, **later))["answer"] == "ok"
    assert all(RETENTION - SLACK < stored.plain.pttl(key) <= RETENTION for key in KEYS)


def test_data_of_before_a_promotion_are_not_the_servers_of_now(servers: list[Server]) -> None:
    """A server that was a replica for a while and is a master again has the same run_id, and may have older data."""
    server, other = servers[:2]
    stored = Stored(server)
    assert (prepare(stored)["answer"], stored.call("commit", run_of(stored))["restarted"]) == ("ok", 0)
    assert prepare(stored, holder="h2")["restarted"] == 0
    run_id, before = server.run_id, server.stamp
    server.ask("REPLICAOF", other.place.address, str(other.port))
    server.ask("REPLICAOF", "NO", "ONE")
    assert server.run_id == run_id
    assert server.stamp != before
    assert prepare(stored, holder="h2")["restarted"] == 1
    assert stored.call("extend", run_of(stored))["restarted"] == 0, "the run has written since"


def test_with_the_right_to_info_the_stamp_is_the_servers_run_id(server: Server) -> None:
    """Another one after each restart."""
    stored = Stored(server)
    assert prepare(stored)["run_id"] == server.stamp
    stored.call("commit", run_of(stored))
    assert stored.record["run_id"] == server.stamp


def test_a_copy_that_came_back_from_a_dump_is_reborn(fresh_servers: Servers, every_binary: Path) -> None:
    """Until a run is written, or extended: then it has what its holder has."""
    (server,) = fresh_servers(binary=every_binary, appendonly="yes", appendfsync="always")
    stored = Stored(server)
    prepare(stored)
    assert stored.call("commit", run_of(stored))["restarted"] == 0
    server.restart()
    assert prepare(Stored(server))["restarted"] == 1
    assert Stored(server).call("extend", run_of(Stored(server)))["restarted"] == 0
    server.restart()
    assert prepare(Stored(server))["restarted"] == 1
    assert Stored(server).call("commit", run_of(Stored(server)))["restarted"] == 0


@pytest.mark.parametrize("right", ["-publish", "resetchannels"])
def test_without_the_right_to_publish_a_run_still_finishes(server: Server, right: str) -> None:
    """Those who wait poll."""
    server.ask("ACL", "SETUSER", "cron", "reset", "on", ">secret", "~*", "&*", "+@all", right)
    stored = Stored(server, **LOGIN)
    prepare(stored)
    stored.call("commit", run_of(stored))
    assert stored.call("finish", FINISH)["answer"] == "ok"
    assert (stored.record["state"], stored.record["outcome"], len(stored.history)) == ("done", "ran", 1)


def test_a_finish_wakes_those_who_wait(server: Server) -> None:
    """One message on the record's own name, with the token."""
    stored = Stored(server)
    prepare(stored)
    stored.call("commit", run_of(stored))
    with stored.plain.pubsub(ignore_subscribe_messages=True) as listener:
        listener.subscribe(KEYS[0])
        listener.get_message(timeout=2)
        stored.call("finish", FINISH)
        message = listener.get_message(timeout=2)
    assert message is not None
    assert (message["channel"], message["data"]) == (KEYS[0].decode(), str(FINISH["token"]))


def test_two_requests_on_one_connection_are_carried_out_in_order(server: Server) -> None:
    """commit goes behind prepare without waiting for its answer."""
    stored = Stored(server)
    pipe = stored.redis.pipeline(transaction=False)
    for operation, fields in (("prepare", asking(stored)), ("commit", run_of(stored))):
        pipe.eval(SCRIPT, len(KEYS), *KEYS, operation, *[encoded(word) for pair in fields.items() for word in pair])
    assert [reply[1] for reply in pipe.execute()] == ["ok", "ok"]
    assert stored.record["kind"] == "run"


def test_an_unknown_operation_is_an_error_and_changes_nothing(server: Server) -> None:
    """Nodes of different versions on one server."""
    stored = Stored(server)
    prepare(stored)
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
    assert numbers.items() <= (vars(state_machine) | vars(protocol) | vars(node_stats)).items()


def test_the_script_is_called_by_its_own_name() -> None:
    """EVALSHA: a run reads the file only where a server does not know it yet."""
    assert hashlib.sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest().encode() == DIGEST


def test_a_long_list_of_nodes_is_swept_a_part_at_a_time(server: Server) -> None:
    """A finish looks at some hundred fields, however many there are; those that have gone go by and by."""
    stored = Stored(server)
    long_ago, nodes = stored.now() // 1000 - RETENTION // 1000 - 10, 1_000
    stored.put(NODES, {f"{kind}:n{number}": long_ago for kind in ("seen", "last", "ran") for number in range(nodes)})
    before, lengths = server.redis.info("commandstats"), [3 * nodes]
    for number in range(3):
        prepare(stored, tick=2**31 + 1 + number)
        stored.call("commit", run_of(stored, run_tick=2**31 + 1 + number, tick=2**31 + 1 + number))
        stored.call("finish", FINISH)
        lengths.append(stored.plain.hlen(KEYS[NODES]))
    assert all(now < then for then, now in pairwise(lengths))
    assert stored.plain.zcard(KEYS[LINE]) < nodes
    after = server.redis.info("commandstats")
    calls = {name: int(row["calls"]) - int(before.get(name, {"calls": 0})["calls"]) for name, row in after.items()}
    assert calls.get("cmdstat_hgetall", 0) <= 3 * 3, "the record's, three calls a run"
    assert calls["cmdstat_hdel"] <= 3 * 100


def test_who_asks_looks_at_the_head_of_the_line_only(server: Server) -> None:
    """A thousand nodes may be in front, and a thousand that have gone: five are enough to be polite to."""
    stored = Stored(server)
    stored.put(NODES, {f"seen:n{number}": 2**31 for number in range(1_000)} | {"last:a": TICKS})
    stored.put(RECORD, {"token": 1, "tick2": 2**31})
    stored.put(NODES, {f"seen:gone{number}": 5 for number in range(1_000)})
    for _ in range(2):
        before = server.redis.info("commandstats").get("cmdstat_hget", {"calls": 0})["calls"]
        answer = prepare(stored, fair=1, tick=2**31 + 1)
        assert (answer["answer"], answer["wait"]) == ("yield", YIELD_MAX)
        asked = server.redis.info("commandstats")["cmdstat_hget"]["calls"] - before
    assert asked < 15
    assert stored.plain.zscore(KEYS[LINE], "gone1") is None


def test_a_nodes_own_record_leaves_the_line_of_all_nodes_alone(server: Server) -> None:
    """A key may be run with --once and with --each: what one keeps for a day the other may keep for years."""
    stored = Stored(server, EACH_KEYS)
    stored.plain.zadd(EACH_KEYS[LINE], {"web-2": 5})
    prepare(stored)
    stored.call("commit", run_of(stored))
    stored.call("finish", FINISH)
    assert stored.plain.zrange(EACH_KEYS[LINE], 0, -1) == ["web-2"]
    assert stored.plain.pttl(EACH_KEYS[LINE]) == -1
