"""Once per tick, with several nodes at once and real servers: no tick is lost to a split vote, and none runs twice."""

import random
import threading
from collections import Counter
from pathlib import Path

import pytest

from tests.support.commands import cronlock, home
from tests.support.fork_server import Call, call_all
from tests.support.stall_detector import StallDetector

TICKS = 200
NODES = 6
FIRST = 1_790_000_000  # a tick is only a number here: it has no schedule
LOG = 'echo "$CRONLOCK_RUN_TICK $CRONLOCK_RUN_TOKEN $CRONLOCK_RUN_NODE" >> runs'


def race(tick, urls, nodes=NODES, extra=()):
    """One tick asked for by several nodes at once: their statuses, and all that they printed."""
    where = [word for url in urls for word in ("--redis", url)]
    what = ("--key", "race", "--tick", str(FIRST + tick), "sh", "-c", LOG)
    done = call_all([Call(("run", *where, *extra, "--node", f"n{node}", *what)) for node in range(nodes)])
    return [each.returncode for each in done], "".join(each.stdout + each.stderr for each in done)


def runs() -> list[list[str]]:
    """Return the runs in order: tick, token, node."""
    return [line.split() for line in Path(home(), "runs").read_text().splitlines()]


def assert_each_tick_once(ticks):
    lines = runs()
    assert len(lines) == ticks
    assert len({tick for tick, _, _ in lines}) == ticks
    tokens = [int(token) for _, token, _ in lines]
    assert tokens == sorted(set(tokens)), "tokens must grow with every run"
    return Counter(node for _, _, node in lines)


def test_a_tick_that_ran_starts_nothing_on_a_second_node(server):
    """The second node exits with 0 and prints nothing."""
    words = ("run", "--redis", server.url, "--key", "job", "--tick", "2026-11-20T02:00Z", "echo", "ran")
    assert cronlock(*words, env={"CRONLOCK_NODE": "web-1"}).stdout == "ran\n"
    second = cronlock(*words, env={"CRONLOCK_NODE": "web-2"})
    assert (second.returncode, second.stdout, second.stderr) == (0, "", "")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("place", ["servers", "cluster"])
def test_six_nodes_at_once_run_each_of_200_ticks_once(place, request):
    """No tick is lost and none runs twice without a fault; all exit 0 and print nothing."""
    voters = request.getfixturevalue(place)
    urls = voters.urls if place == "cluster" else [server.url for server in voters]
    for tick in range(TICKS):
        statuses, printed = race(tick, urls)
        assert (set(statuses), printed) == ({0}, ""), f"tick {tick}"
    assert_each_tick_once(TICKS)


@pytest.mark.timeout(400)
def test_a_dead_voter_and_one_that_stalls_cost_no_tick(fresh_servers):
    """One of three servers is killed midway and one is stopped at times for a second: 200 ticks give 200 runs."""
    servers = fresh_servers(3)
    dice = random.Random(7)
    stalls: list[threading.Timer] = []
    for tick in range(TICKS):
        if tick == TICKS // 2:
            servers[2].kill()
        if dice.random() < 0.06 and not any(stall.is_alive() for stall in stalls):
            servers[1].stop_process()
            stalls.append(threading.Timer(1, servers[1].continue_process))
            stalls[-1].start()
        statuses, printed = race(tick, [server.url for server in servers])
        assert (set(statuses), printed) == ({0}, ""), f"tick {tick}"
    for stall in stalls:
        stall.join()
    assert len(stalls) > 3
    assert_each_tick_once(TICKS)


def test_a_split_vote_is_not_an_outage(servers):
    """Nodes that ask at the same time cause a split vote, also without --outage-wait and with --on-outage run.

    Fifteen ticks are judged; one during which the machine stood still is none of them: no voter could answer then.
    """
    extra = ("--outage-wait", "0", "--on-outage", "run")
    judged = before = 0
    for tick in range(60):
        detector = StallDetector()
        statuses, printed = race(tick, [server.url for server in servers], nodes=4, extra=extra)
        ran = len(runs()) - before
        before += ran
        if detector.stalled():
            continue
        assert (set(statuses), printed, ran) == ({0}, "", 1), f"tick {tick}"
        judged += 1
        if judged == 15:
            return
    raise AssertionError(f"the machine stood still at most ticks: {judged} of 60 could be judged")


def test_the_three_servers_of_these_tests_are_three(servers):
    """The quorum is one of different processes: their run_ids differ."""
    assert len({server.run_id for server in servers}) == 3


def test_an_interval_runs_once_over_all_nodes_however_often_it_is_called(server):
    """Each node is called twice."""
    where = ("run", "--redis", server.url, "--key", "job", "--schedule", "@every 31d")
    ran = [cronlock(*where, "--node", f"web-{n % 3}", "--", "echo", "ran").stdout for n in range(6)]
    assert sorted(ran) == [*[""] * 5, "ran\n"]
