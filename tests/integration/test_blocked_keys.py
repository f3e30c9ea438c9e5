"""check and status on keys that can't start: voters that are missing, restarted, emptied, or have a wrong clock."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from cronlock.commands.check.clocks import find_clock_faults
from cronlock.commands.check.findings import RED, YELLOW
from cronlock.commands.check.placement import find_server_placement
from tests.support.clusters import Cluster
from tests.support.commands import cronlock
from tests.support.operator import NEXT, TICK, Place, at, operate, run
from tests.support.servers import Server

SLOWLY = ("--", "sleep", "0.5")  # a run ends with a quorum: on a busy machine the last voter hears of it later
KEPT = {"appendonly": "yes", "appendfsync": "always"}


def label(server: Server) -> str:
    return server.url.removeprefix("redis://")


def findings(place: Place, section: str, *levels: str) -> list[tuple[str, str]]:
    """Return text and cure of the findings, by their subject."""
    found = json.loads(cronlock("check", *place, "--format", "json").stdout)["findings"]
    rows = [row for row in found if row["section"] == section and row["level"] in levels]
    return [(row["about"], f"{row['text']}: {row['todo']}") for row in rows]


def wrong(place: Place, *keys: str) -> list[str]:
    """Return the problems that status shows, in its table and in JSON."""
    rows: list[dict[str, Any]] = json.loads(operate(place, "status", *keys, "--format", "json").stdout)["keys"]
    names = [row["key"] + (f" on {row['node']}" if row["mode"] == "each" else "") for row in rows]
    told = [f"{name}: {text}" for name, row in zip(names, rows, strict=True) for text in row["problems"]]
    table = operate(place, "status", *keys).stdout
    assert all(text in table for text in told)
    return told


@pytest.mark.parametrize("mode", [("--once",), ("--each", "--node", "web-1")])
def test_a_key_that_cannot_start_is_red_with_the_cure(
    fresh_servers: Callable[..., list[Server]], mode: tuple[str, ...]
) -> None:
    """One server dead and another one restarted: every tick is 122, and check and status say so before it is one."""
    servers = fresh_servers(3, **KEPT)
    place = at(*servers)
    run(place, *TICK, *mode, *SLOWLY)
    servers[1].restart()
    servers[2].kill()
    each = "--each" in mode
    name, adopt = ("job on web-1", "--each --node web-1 job") if each else ("job", "job")
    text = (
        f"no run of it can start: 1 of 3 voters counts: {label(servers[2])}: connection refused; "
        f"{label(servers[1])} was restarted or promoted: bring {label(servers[2])} back, and a run that all answer "
        f"makes all count; or run without them: cronlock adopt --leave-out {' '.join(place)} {adopt}"
    )
    assert findings(place, "keys", RED) == [(name, text)]
    assert wrong(place) == wrong(place, "job") == [f"{name}: {text}"]
    assert run(place, *NEXT, *mode, "--", "true").returncode == 122, "it is so"
    servers[2].restart()
    assert findings(place, "keys", RED) == []
    assert wrong(place) == []
    assert run(place, *NEXT, *mode, "--", "true").returncode == 0, "and no more"


def test_the_cure_is_one(fresh_servers: Callable[..., list[Server]]) -> None:
    """The printed command can be typed, and the next run starts without the dead server."""
    servers = fresh_servers(3, **KEPT)
    place = at(*servers)
    run(place, *TICK, *SLOWLY)
    servers[1].redis.flushall()
    servers[2].kill()
    [(_, text)] = findings(place, "keys", RED)
    assert f"{label(servers[1])} has no record of it" in text
    words = text.rpartition("cronlock ")[2].split()
    assert cronlock(*words, "--yes").returncode == 0
    assert findings(place, "keys", RED) == []
    assert run(place, *NEXT, "--", "true").returncode == 0


def test_many_keys_that_cannot_start_are_one_line(fresh_servers: Callable[..., list[Server]]) -> None:
    """The same reason for all."""
    servers = fresh_servers(3, **KEPT)
    for number in range(5):
        run(at(*servers), *TICK, *SLOWLY, key=f"job-{number}")
    servers[1].restart()
    servers[2].kill()
    [(about, text)] = findings(at(*servers), "keys", RED)
    assert about == "5 keys"
    assert text.startswith("no run of them can start (job-0, job-1, job-2 and 2 more): 1 of 3 voters counts: ")
    assert text.endswith(f"; or run without them: cronlock adopt --leave-out {' '.join(at(*servers))} --all")


def test_a_key_that_never_ran_cannot_start_while_a_voter_is_missing(servers: list[Server]) -> None:
    """Where it is known, by a pause; and of all others one line speaks."""
    place = at(*servers)
    operate(place, "pause", "new")
    servers[2].kill()
    text = f"no run of it can start: it never ran, and a first run needs all 3 voters: {label(servers[2])}: connection"
    [(about, said)] = findings(place, "keys", RED)
    assert about == "new"
    assert said.startswith(text)
    assert [said.startswith(f"new: {text}") for said in wrong(place)] == [True]
    [(_, placed)] = findings(place, "placement", YELLOW)
    assert placed.startswith("1 of 3 servers is missing: the loss of one more stops every run, and no key can have")


def test_a_key_that_can_start_is_not_red(fresh_servers: Callable[..., list[Server]]) -> None:
    """Of five voters one may be dead and another one restarted; the finding has the cost of the next loss."""
    servers = fresh_servers(5, **KEPT)
    place = at(*servers)
    run(place, *TICK, *SLOWLY)
    servers[4].kill()
    assert findings(place, "keys", RED) == [], "four of five remember"
    servers[3].restart()
    assert findings(place, "keys", RED) == [], "three are a quorum"
    [(_, text)] = findings(place, "placement", YELLOW)
    assert text.startswith("1 of 5 servers is missing, and not all others count: the loss of one more stops job, and")


def test_copies_on_a_cluster_are_counted_too(fresh_cluster: Callable[..., Cluster]) -> None:
    """A dead master, and one that was emptied: fewer than four of seven copies are left."""
    cluster = fresh_cluster(masters=3, replicas=0, cluster_require_full_coverage="no", **KEPT)
    place = ("--redis", cluster.urls[0])
    run(place, *TICK, *SLOWLY)
    assert findings(place, "keys", RED) == []
    cluster.nodes[1].redis.flushall()
    cluster.nodes[2].kill()
    [(about, text)] = findings(place, "keys", RED)
    assert about == "job"
    count = re.match(r"no run of it can start: ([1-3]) of 7 voters counts?: ", text)
    assert count, text
    assert ("masters", "1 of 3 masters is missing: no key can have its first run: bring it back") in findings(
        place, "placement", YELLOW
    )
    assert f"{label(cluster.nodes[1])} has no record of it: bring {label(cluster.nodes[2])} back, and" in text
    assert [said.startswith("job: no run of it can start") for said in wrong(place)] == [True]


def test_a_node_that_a_quorum_of_clocks_refuses_gets_that_finding() -> None:
    """Though one voter's clock agrees with this machine's."""
    far = [finding.text for finding in find_clock_faults({"a": 300.0, "b": 301.0, "c": 0.0})]
    assert far == [f"its clock is 30{n} s ahead of this machine's: beyond 60 s this node is refused" for n in (0, 1)]
    [one] = find_clock_faults({"a": 300.0, "b": 0.0, "c": 0.0})
    assert one.text == "its clock is 300 s ahead of this machine's: beyond 60 s such a voter does not vote"


def test_what_may_be_lost_counts_what_does_not_vote() -> None:
    assert [
        (found.level, found.text) for counts in ((1, 1), (0, 2), (0, 3)) for found in find_server_placement(5, *counts)
    ] == [
        (
            YELLOW,
            "1 of 5 servers is missing, 1 does not vote: the loss of one more stops every run, and no key can have "
            "its first run",
        ),
        (
            YELLOW,
            "2 of 5 servers do not vote: the loss of one more stops every run, and no key can have its first run",
        ),
        (RED, "3 of 5 servers do not vote: no quorum is left, so no run starts"),
    ]
