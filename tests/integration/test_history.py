"""cronlock history: the newest runs of a key, merged by token from the voters' histories."""

import json
import re
from typing import Any

from tests.support.operator import DAY, NEXT, PLAIN, TICK, Place, at, operate, run, running
from tests.support.processes import kill_all
from tests.support.servers import Server


def runs(place: Place, *words: str, key: str = "job") -> list[dict[str, Any]]:
    done = operate(place, "history", key, *words, "--format", "json")
    assert (done.returncode, done.stderr) == (0, "")
    [told] = json.loads(done.stdout)["keys"]
    assert told["key"] == key
    return list(told["runs"])


def test_runs_are_shown_newest_first_with_their_outcomes(place: Place) -> None:
    run(place, *TICK, "--node", "web-1", "--", "sh", "-c", "sleep 0.1")
    run(place, *NEXT, "--node", "web-2", "--", "sh", "-c", "exit 7")
    with running(place, "--tick", f"{DAY}T04:00Z", "--node", "web-1"):
        assert [entry["outcome"] for entry in runs(place)] == [None, "ran", "ran"]
    back, failed, first = runs(place)
    assert (back["outcome"], back["node"], back["tick"]) == ("given back", "web-1", f"{DAY}T04:00:00Z")
    assert (failed["exit_status"], failed["node"]) == (7, "web-2")
    assert (first["exit_status"], first["tick"], first["attempt"]) == (0, f"{DAY}T02:00:00Z", 1)
    assert first["duration"] >= 0.1
    assert back["token"] > failed["token"] > first["token"]


def test_bars_show_durations_and_the_runs_of_each_node(place: Place) -> None:
    """The longest run and the node with the most runs have the longest bars."""
    run(place, *TICK, "--node", "web-1", "--", "sleep", "0.2")
    run(place, *NEXT, "--node", "web-1", "--", "true")
    run(place, "--tick", f"{DAY}T04:00Z", "--node", "web-2", "--", "true")
    shown = operate(place, "history", "job").stdout
    rows = re.findall(r"^.*?(\d):00 +(web-\d) +\S+ +ok +1 +\d+ +(\S+)s(?: +(\S+))?$", shown, re.M)
    assert [row[:2] for row in rows] == [("4", "web-2"), ("3", "web-1"), ("2", "web-1")]
    assert rows[2][3] == 20 * "█"
    longest = float(rows[2][2])
    for _, _, took, bar in rows:  # a bar's last character may be a part of a block, and TOOK is rounded to 0.01 s
        assert abs(len(bar) - 20 * float(took) / longest) <= 1.5
    assert re.search(r"^NODE +RUNS\nweb-1 +2 +█{20}\nweb-2 +1 +█{10}$", shown, re.MULTILINE)


def test_a_run_that_never_ended_is_shown_as_died(servers: list[Server]) -> None:
    """While its lease is live, the run counts as running."""
    place = at(*servers)
    with running(place, *TICK, "--ttl", "7s", "--node", "web-1") as process:
        kill_all(process)
    assert runs(place)[0]["outcome"] is None
    for server in servers:
        [name] = server.redis.keys("*:record:job")
        server.redis.hset(name, "lease_end", 1)
    assert [(entry["outcome"], entry["end"]) for entry in runs(place)] == [("died", None)]
    run(place, *NEXT, "--node", "web-2", "--", "true")
    assert [(entry["outcome"], entry["node"]) for entry in runs(place)] == [("ran", "web-2"), ("died", "web-1")]
    assert re.search(r" web-1 +\S+ +died +1 ", operate(place, "history", "job").stdout)


def test_a_run_that_one_voter_missed_comes_from_another(servers: list[Server]) -> None:
    """A voter that missed the end has the run as died; merged by token, the run appears once, with its outcome."""
    place = at(*servers)
    run(place, *TICK, "--", "true")
    servers[0].stop_process()
    run(place, *NEXT, "--", "sh", "-c", "exit 5")
    servers[0].continue_process()
    servers[1].redis.lset(servers[1].redis.keys("*:history:job")[0], 0, died(servers[1]))
    run(place, "--tick", f"{DAY}T04:00Z", "--", "true")
    assert [(entry["outcome"], entry["exit_status"]) for entry in runs(place)] == [("ran", 0), ("ran", 5), ("ran", 0)]


def died(server: Server) -> str:
    """Return the newest line of history of a voter that missed the end of the run."""
    parts = server.redis.lrange(server.redis.keys("*:history:job")[0], 0, 0)[0].split("\t")
    return "\t".join([*parts[:6], "0", "died", "0"])


def test_a_limit_keeps_the_newest(place: Place) -> None:
    for tick in (TICK, NEXT):
        run(place, *tick, "--", "true")
    assert [entry["tick"] for entry in runs(place, "--limit", "1")] == [f"{DAY}T03:00:00Z"]
    assert operate(place, "history", "job", "--limit", "0").returncode == 125


def test_the_runs_of_all_nodes_of_each_are_shown_together(place: Place) -> None:
    for node in ("web-1", "web-2"):
        run(place, "--each", "--node", node, *TICK, "--", "true")
    assert sorted(entry["node"] for entry in runs(place)) == ["web-1", "web-2"]


def test_two_nodes_may_have_the_same_token(server: Server) -> None:
    """Tokens are unique within a record; with --each, each node has a record of its own."""
    place = at(server)
    for node in ("web-1", "web-2"):
        run(place, "--each", "--node", node, *TICK, "--", "true")
    for name in server.redis.keys("*:each:*:job"):
        server.redis.hset(name, mapping={"token": 7, "outcome": ""})
        server.redis.delete(name.replace(":each:", ":each-history:"))
    assert sorted(entry["node"] for entry in runs(place)) == ["web-1", "web-2"]


def test_a_key_without_runs_is_named(place: Place) -> None:
    operate(place, "pause", "paused")
    for key in ("nothing", "paused"):
        done = operate(place, "history", key)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == f"cronlock: {key}: no runs found\n"
    assert operate(place, "history").returncode == 125


def test_a_line_of_history_that_is_not_cronlocks_is_left_out(server: Server) -> None:
    run(at(server), *PLAIN, "--", "true")
    server.redis.lpush(server.redis.keys("*:history:job")[0], "x", "1\t2\t\x1b", "")
    assert len(runs(at(server))) == 1
