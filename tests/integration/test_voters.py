"""Changing the voters of a key node by node: whoever has the old list and whoever has the new one never both run."""

import json
import os
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import pytest

from cronlock.lock.local import state_directory
from tests.support.clusters import Cluster
from tests.support.commands import cronlock, home
from tests.support.operator import at, running
from tests.support.servers import Server

TICK, NEXT = ("--tick", "2026-11-20T02:00Z"), ("--tick", "2026-11-20T03:00Z")
WRITES = 'echo "$CRONLOCK_RUN_TICK $CRONLOCK_RUN_TOKEN $CRONLOCK_RUN_NODE" >>log; sleep 0.1; echo end >>log'
OTHER_VERSION = "web-1 ran this key with another version of cronlock (protocol 1; here 2): "
Servers = Callable[..., list[Server]]


def run(servers, *words, **kw):
    return cronlock("run", *at(*servers), "--key", "job", "--outage-wait", "0", *words, forked=True, **kw)


def adopt(servers, *words):
    return cronlock("adopt", *at(*servers), "--yes", *(words or ("job",)))


def log():
    return (home() / "log").read_text().splitlines() if (home() / "log").exists() else []


class Drill:
    """Three nodes with a list of voters each, and one tick after the other for all of them at once."""

    def __init__(self) -> None:
        self.lists: dict[str, list[Server]] = {}
        self.tick = int(time.time()) // 60 * 60 - 7_200

    def round(self) -> dict[str, int]:
        """The next tick: every node's exit status."""
        self.tick += 60

        def one(node: str) -> int:
            words = ("--tick", self.tick, "--node", node, "--outage-wait", "2s", "--no-fair", "--", "sh", "-c", WRITES)
            return run(self.lists[node], *words).returncode

        with ThreadPoolExecutor(len(self.lists)) as pool:
            return dict(zip(self.lists, pool.map(one, self.lists), strict=True))

    def judge(self) -> None:
        """Each tick ran once, none beside another, and tokens grew."""
        begins, ends = log()[::2], log()[1::2]
        assert set(ends) <= {"end"}, "two at once"
        assert len({line.split()[0] for line in begins}) == len(begins), "a tick ran twice"
        tokens = [int(line.split()[1]) for line in begins]
        assert all(one < two for one, two in pairwise(tokens))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed" in metafunc.fixturenames:
        metafunc.parametrize("seed", range(1, metafunc.config.getoption("seeds") + 1))


def test_voters_are_changed_node_by_node_while_ticks_go_on(fresh_servers: Servers, seed: int) -> None:
    """From 1 to 3 to 5 and back to 3, as the README says it: every tick runs, once, on a node that fits."""
    servers, rng, drill = fresh_servers(5), random.Random(seed), Drill()
    drill.lists = {f"web-{number}": servers[:1] for number in (1, 2, 3)}
    drill.round()
    for voters in (servers[:3], servers, servers[:3]):
        adopted = rng.choice((1, 2))
        for changed, node in enumerate(rng.sample(sorted(drill.lists), 3), start=1):
            drill.lists[node] = voters
            statuses = drill.round()
            fit = [name for name in drill.lists if (drill.lists[name] is voters) == (changed > adopted)]
            assert all(status == (0 if name in fit else 125) for name, status in statuses.items())
            if changed == adopted:
                done = adopt(voters, "--all")
                assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "job: adopted")
        assert set(drill.round().values()) == {0}
    drill.judge()
    assert len(log()) // 2 == 13, "every tick ran"


def test_a_key_without_ticks_does_not_start_on_new_voters_beside_a_run_on_the_old_one(fresh_servers: Servers) -> None:
    """Two that know nothing of the key are no quorum as long as the one that may know it does not answer."""
    servers = fresh_servers(3)
    with running(at(servers[0]), "--schedule", "none"):
        servers[0].stop_process()
        done = run(servers, "--schedule", "none", "--", "echo", "beside")
        assert (done.returncode, done.stdout) == (122, "")
        servers[0].continue_process()


def test_nothing_is_adopted_while_the_only_voter_of_before_is_away(fresh_servers: Servers) -> None:
    """What it knows would be lost, and the nodes that ask it alone would go on."""
    servers = fresh_servers(3, appendonly="yes")
    run(servers[:1], *TICK, "--", "true")
    servers[0].kill()
    for words in ("--all", "job"):
        assert adopt(servers, words).returncode == 122
    servers[0].restart()
    assert adopt(servers).returncode == 0


def test_nothing_is_adopted_that_the_old_voters_could_go_on_without(fresh_servers: Servers) -> None:
    """Three of five are a quorum, but the two that are away are one for who has the old list."""
    servers = fresh_servers(5)
    run(servers[:3], *TICK, "--", "true")
    for server in servers[:2]:
        server.stop_process()
    done = adopt(servers)
    assert done.returncode == 122
    for server in servers[:2]:
        server.continue_process()
    assert run(servers[:3], *NEXT, "--", "echo", "old").stdout == "old\n"


def test_three_become_one_by_way_of_two(servers: list[Server]) -> None:
    """One of three leaves a quorum behind: it is refused, and nothing has changed; two do not."""
    run(servers, *TICK, "--", "true")
    done = adopt(servers[:1])
    assert done.returncode == 125
    assert "could still form a quorum of" in done.stderr
    assert "(1 of them remember it here, 2 must)" in done.stderr
    assert run(servers, *TICK, "--", "echo", "again").returncode == 0
    for fewer in (servers[:2], servers[:1]):
        assert adopt(fewer).returncode == 0
    assert run(servers[:1], *TICK, "--", "echo", "again").stdout == ""
    assert run(servers[:1], *NEXT, "--", "echo", "one").stdout == "one\n"
    assert run(servers, *NEXT, "--", "true").returncode == 125


def test_a_voter_is_replaced_and_another_one_renamed(fresh_servers: Servers) -> None:
    """One at a time; under another name it is known by what it remembers."""
    old, new = fresh_servers(3), fresh_servers(1)
    run(old, *TICK, "--", "true")
    replaced = [*old[:2], *new]
    assert adopt(replaced).returncode == 0
    renamed = ("--redis", f"redis://localhost:{old[0].port}", *at(*replaced[1:]))
    assert cronlock("run", *renamed, "--key", "job", *TICK, "--", "echo", "again").returncode == 125
    assert cronlock("adopt", *renamed, "--yes", "job").returncode == 0
    assert cronlock("run", *renamed, "--key", "job", *TICK, "--", "echo", "again").stdout == ""
    assert run(old, *NEXT, "--", "true").returncode == 125


def test_the_lines_of_refused_nodes_name_both_lists_and_both_ways_out(servers: list[Server]) -> None:
    """Before the adoption and after it; a key is quoted."""
    words = ("--key", "a job", "--schedule", "none", "--outage-wait", "0", "--", "true")
    labels = ", ".join(sorted(f"127.0.0.1:{server.port}" for server in servers))
    cronlock("run", *at(*servers[:1]), "--node", "web-1", *words)
    early = cronlock("run", *at(*servers), *words).stderr
    assert f"web-1 ran this key with other voters: a single server; here {labels}: " in early
    assert "correct --redis here" in early
    assert early.endswith(f", run cronlock adopt {' '.join(at(*servers))} 'a job'\n")
    cronlock("adopt", *at(*servers), "--node", "web-2", "--yes", "a job")
    late = cronlock("run", *at(*servers[:1]), *words).stderr
    assert f"web-2 adopted other voters for this key: {labels}; here a single server: give this node that list" in late


def test_a_record_of_protocol_1_is_refused_until_it_is_adopted(server: Server) -> None:
    """Its voter set was called `settings`: a node of this version says which versions differ, and what to do."""
    run([server], "--node", "web-1", *TICK, "--", "true")
    (name,) = server.redis.keys("*:record:job")
    voter_set, by = (server.redis.hget(name, field) for field in ("voter_set", "voter_set_by"))
    server.redis.hdel(name, "voter_set", "voter_set_by")
    server.redis.hset(name, mapping={"settings": voter_set.replace("2", "1", 1), "settings_by": by})
    done = run([server], *NEXT, "--", "true")
    assert done.returncode == 125
    command = f"cronlock adopt --redis {server.url} job"
    assert done.stderr.endswith(f"{OTHER_VERSION}install the same version on all nodes, then run {command}\n")
    assert cronlock(*command.split()[1:], "--yes").returncode == 0
    assert run([server], *NEXT, "--", "true").returncode == 0


def test_a_local_record_of_protocol_1_is_refused_until_it_is_adopted(local_key: str) -> None:
    """The suggested command names the local file too."""
    place = ("--local", "--key", local_key)
    cronlock("run", *place, "--node", "web-1", *TICK, "--", "true")
    folder = home() / ".local/state/cronlock" if os.geteuid() else Path(state_directory())
    [path] = folder.glob(f"{local_key}-*.json")
    stored = json.loads(path.read_text())
    for old, new in (("voter_set", "settings"), ("voter_set_by", "settings_by")):
        stored["record"][new] = stored["record"].pop(old).replace("2 ", "1 ")
    path.write_text(json.dumps(stored))
    done = cronlock("run", *place, *NEXT, "--", "true")
    assert done.returncode == 125
    command = f"cronlock adopt --local {local_key}"
    assert done.stderr.endswith(f"{OTHER_VERSION}install the same version on all nodes, then run {command}\n")
    assert cronlock(*command.split()[1:], "--yes").returncode == 0
    assert cronlock("run", *place, *NEXT, "--", "echo", "ran").stdout == "ran\n"


@pytest.mark.parametrize("command", ["pause", "resume"])
def test_a_pause_by_a_list_that_nodes_no_longer_have_says_so(servers: list[Server], command: str) -> None:
    """Those with the new list need not heed it."""
    run(servers, "--node", "web-1", *TICK, "--", "true")
    done = cronlock(command, *at(*servers[:1]), "job")
    assert done.returncode == 125
    assert (
        "recorded by this node's voters only, but other nodes use other voters: web-1 ran this key with other voters: "
        in done.stderr
    )
    assert cronlock(command, *at(*servers), "job").returncode == 0


def test_check_and_status_show_a_key_that_nodes_have_with_other_voters(servers: list[Server]) -> None:
    """With the new list, before it is adopted; not after that."""
    run(servers[:1], "--node", "web-1", *TICK, "--", "true")
    said = "web-1 has other voters: a single server; here 127.0.0.1:"
    assert said in cronlock("status", *at(*servers)).stdout
    done = cronlock("check", *at(*servers))
    assert done.returncode == 1
    (line,) = [line for line in done.stdout.splitlines() if said in line]
    assert line.split()[:2] == ["red", "job"]
    assert line.endswith(f"cronlock adopt {' '.join(at(*servers))} --all")
    adopt(servers)
    assert said not in cronlock("status", *at(*servers)).stdout


def test_with_all_the_records_of_single_nodes_are_adopted_too(servers: list[Server]) -> None:
    """From one machine for all; a second time there is nothing to adopt."""
    for node in ("web-1", "web-2"):
        run(servers[:1], "--each", "--node", node, *TICK, "--", "true")
    refused = run(servers, "--each", "--node", "web-1", *NEXT, "--", "true")
    assert refused.stderr.endswith(f"cronlock adopt {' '.join(at(*servers))} --each --node web-1 job\n")
    done = adopt(servers, "--all")
    assert [line for line in done.stdout.splitlines() if "adopted" in line] == [
        "job on web-1: adopted",
        "job on web-2: adopted",
    ]
    assert adopt(servers, "--all").stdout.count("nothing to adopt") == 2
    for node in ("web-1", "web-2"):
        assert run(servers, "--each", "--node", node, *TICK, "--", "echo", "again").stdout == ""
        assert run(servers, "--each", "--node", node, *NEXT, "--", "echo", node).stdout == f"{node}\n"


def test_from_servers_to_a_cluster_and_back_under_a_pause(servers: list[Server], cluster: Cluster) -> None:
    """Nothing tells the new voters of the old ones: the pause keeps those away that still have them."""
    drill, moved = Drill(), ("--redis", cluster.urls[0])
    run(servers, *TICK, "--", "true")
    for old, new in ((at(*servers), moved), (moved, at(*servers))):
        assert cronlock("pause", "--all", *old).returncode == 0
        cronlock("resume", "--all", *new)
        drill.tick += 60
        words = ("--key", "job", "--tick", drill.tick, "--")
        assert cronlock("run", *old, *words, "echo", "old").stdout == ""
        assert cronlock("run", *new, *words, "echo", "new").stdout == "new\n"
        assert cronlock("run", *old, *words, "echo", "old").stdout == ""


def test_an_adoption_that_was_not_finished_is_told_and_can_be_given_again(servers: list[Server]) -> None:
    """Whoever has which list: nobody runs in between."""
    run(servers, *TICK, "--", "true")
    (name,) = [name for name in servers[0].redis.scan_iter() if ":record:" in name]
    for server in servers[:2]:
        settings = server.redis.hget(name, "voter_set")
        server.redis.hset(name, "voter_set", f"{settings} ended")
    for voters in (servers, servers[:2]):
        done = run(voters, *NEXT, "--", "true")
        assert done.returncode == 125
        assert "started to adopt other voters and did not finish" in done.stderr
    assert adopt(servers[:2]).returncode == 0
    assert run(servers[:2], *NEXT, "--", "echo", "two").stdout == "two\n"
