"""Nodes and voters whose clock is wrong: runs, messages and ticks, with faketime."""

import time
from collections.abc import Callable
from subprocess import CompletedProcess

import pytest

from cronlock.messages import instant
from tests.integration.test_future_ticks import EVERY_MINUTE, RAN, red
from tests.integration.test_messages import CURE, label, why_not
from tests.support.commands import cronlock, faked_clock, wait_until
from tests.support.operator import TICK, Place, at, run
from tests.support.servers import Place as Where
from tests.support.servers import Server

pytestmark = pytest.mark.debian


MINUTELY = ("--schedule", "* * * * *", "--tz", "UTC", "--outage-wait", "0")


MIDDLE = 45  # s of a minute that leave time for three runs before the next tick


def this_tick() -> int:
    """Return the tick of this minute, once enough of the minute is left."""
    wait_until(lambda: time.time() % 60 < MIDDLE, timeout=60 - MIDDLE + 1)
    return int(time.time()) // 60 * 60


def minute(place: Place, node: str, ahead: float = 0, *words: str) -> "CompletedProcess[str]":
    """Run once for a schedule of every minute, on a node whose clock is `ahead` seconds ahead."""
    env = faked_clock(FAKETIME=f"{ahead:+.0f}s") if ahead else {}
    return cronlock("run", *place, "--key", "job", "--node", node, *MINUTELY, *words, "--", "true", env=env)


def before(place: Place, tick: int, *words: str) -> None:
    """Run an earlier tick, so that the voters remember ticks before the tick of the test."""
    assert run(place, "--tick", str(tick), "--node", "web-0", *words, "--", "true").returncode == 0


def newer(place: Place, tick: int, *words: str) -> None:
    """Run the next minute's tick, by a node whose clock is ahead."""
    done = minute(place, words[-1] if words else "web-1", tick + 57 - time.time(), *words)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_tick_that_no_node_ran_is_reported_by_the_node_that_comes_too_late(servers: list[Server]) -> None:
    """After an outage of a minute and a node 50 s ahead, the lost tick is reported, with the status of done."""
    place = at(*servers)
    tick = this_tick()
    before(place, tick - 60)
    newer(place, tick)
    late = minute(place, "web-2")
    said = f"done: the newer tick of {instant(tick + 60)} started on web-1: no node ran the tick of {instant(tick)}"
    assert (late.returncode, late.stderr) == (0, f"cronlock: job: {said}\n")
    assert minute(place, "web-2", 0, "-E", "9").returncode == 9
    assert minute(place, "web-2", 0, "-q").stderr == ""


def test_a_tick_that_another_node_ran_is_passed_over_quietly(servers: list[Server]) -> None:
    """Normal turns print nothing, although one of the voters missed that run."""
    place = at(*servers)
    tick = this_tick()
    before(place, tick - 60)
    servers[2].stop_process()
    assert minute(place, "web-3").returncode == 0
    servers[2].continue_process()
    newer(place, tick)
    late = minute(place, "web-2")
    assert (late.returncode, late.stdout, late.stderr) == (0, "", "")


def test_a_tick_of_each_that_this_node_did_not_run_is_reported_of_this_node(servers: list[Server]) -> None:
    """The record is this node's own: it does not show runs of other nodes."""
    place = at(*servers)
    each = ("--each", "--node", "web-1")
    tick = this_tick()
    before(place, tick - 60, *each)
    newer(place, tick, *each)
    late = minute(place, "web-1", 0, "--each")
    said = f"the newer tick of {instant(tick + 60)} started on web-1: this node did not run the tick of {instant(tick)}"
    assert (late.returncode, late.stderr) == (0, f"cronlock: job: done: {said}\n")


@pytest.fixture
def odd(fresh_servers: Callable[..., list[Server]]) -> Server:
    """A server whose clock is 300 s ahead of the others'."""
    [server] = fresh_servers(1, places=[Where(env=tuple(faked_clock(FAKETIME="+300s").items()))])
    return server


def test_a_voter_whose_clock_is_off_is_named_where_a_new_key_needs_it(servers: list[Server], odd: Server) -> None:
    """The voter answers, so only this message shows which voter prevents the key's first run, and why."""
    assert why_not(at(*servers[:2], odd), *TICK) == (
        "no quorum of 3 voters (2 of 3 voters have no record of this key; a key's first run needs every voter: "
        f"{label(odd)}: its clock is 300 s ahead of this node's: {CURE})"
    )


def test_a_clock_that_is_off_and_a_dead_voter_are_an_outage(servers: list[Server], odd: Server) -> None:
    """No other node asks for the key; both are named, and --on-outage applies."""
    place = at(*servers[:2], odd)
    servers[1].kill()
    text = why_not(place, *TICK)
    assert f"{label(servers[1])}: connection refused; {label(odd)}: its clock is 300 s ahead of this node's" in text
    assert run(place, *TICK, "--on-outage", "skip", "--", "true").returncode == 0


@pytest.mark.parametrize("how", ["--once", "--each"])
def test_a_local_run_at_a_wrong_date_stops_no_other(local_key: str, how: str) -> None:
    """Each run reports it and check is red until a run has begun; later runs are as usual."""
    place = ("--local", "--prefix", local_key)
    words = ("run", *place, how, "--key", local_key, "--node", "web-1", *EVERY_MINUTE)
    ahead = faked_clock(FAKETIME="+1500d")
    assert cronlock(*words, *RAN, env=ahead).stdout == "ran\n"
    [finding] = red(place)
    assert " 4 years ahead of the voter's clock" in finding
    own = "--each --node web-1 " if how == "--each" else ""
    assert finding.endswith(f"then cronlock forget {' '.join(place)} {own}{local_key}")
    held = cronlock("pause", *place, local_key)
    assert held.returncode == 0
    cronlock("resume", *place, local_key)
    done = cronlock(*words, *RAN)
    assert (done.returncode, done.stdout) == (0, "ran\n")
    assert done.stderr.count("\n") == 1
    assert f"cronlock: {local_key}: the record has the tick 20" in done.stderr
    assert "Z, 4 years ahead of this clock: that tick does not count; if the clock is wrong, set it" in done.stderr
    assert red(place) == []
    again = cronlock(*words, *RAN)
    assert (again.returncode, again.stderr) == (0, "")


def test_a_clock_that_is_set_back_runs_no_tick_twice(local_key: str) -> None:
    """The clock goes back ten minutes; the last two ticks are known, and the newest tick counts again at its time."""
    words = ("run", "--local", "--key", local_key, "--node", "web-1", *EVERY_MINUTE)
    cronlock(*words, *RAN)
    for minutes in (10, 11):
        assert cronlock(*words, *RAN, env=faked_clock(FAKETIME=f"+{minutes}m")).stdout == "ran\n"
    told = cronlock(*words, "--tick", f"{int(time.time()) // 60 * 60 - 60}", *RAN)
    assert told.stdout == ""
    assert "that tick does not count" in told.stderr
    for minutes in (11, 10):
        done = cronlock(*words, *RAN, env=faked_clock(FAKETIME=f"+{minutes}m"))
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
