"""The messages of run by situation: the right cause, the right number, the right cure; and silence in normal turns."""

import re
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from cronlock.lock.protocol import Failure
from cronlock.lock.quorum import REFUSED, RETRY, judge, judge_adoption
from cronlock.lock.refusals import refusal
from cronlock.lock.undecided import undecided
from cronlock.run.outcome import no_node_ran
from cronlock.run.session import superseded
from cronlock.servers.placement import copies
from tests.support.commands import home, start_cronlock, wait_until
from tests.support.operator import NEXT, PLAIN, TICK, Place, at, operate, run
from tests.support.servers import Server
from tests.unit.test_quorum import BUSY, CLOCK, DOWN, OK, SHUT, forgot, restarted, said

CURE = "set it; a voter that is more than 60 s off does not count"


# A tick that nobody ran


@pytest.mark.parametrize(
    ("known", "aloud"),
    [
        ([(9, 7, 6), (9, 7, 6)], True),
        ([(9, 7, 0)], True),
        ([(9, 7, 6), (5, 4, 3)], True),
        ([(9, 7, 6), (9, 8, 7)], False),
        ([(9, 8, 7), (9, 7, 6)], False),
        ([(8, 7, 6)], False),
        ([(11, 10, 9)], False),
        ([(9, 7, 6), (11, 10, 9)], False),
        ([(9, 0, 0)], False),
        ([(0, 0, 0)], False),
        ([], False),
    ],
    ids=str,
)
def test_only_a_tick_that_no_voter_knows_and_all_would_know_is_reported(
    known: list[tuple[int, int, int]], aloud: bool
) -> None:
    """One voter may have missed the run; and a tick older than the oldest known one may have run."""
    answers = [dict(zip(("tick", "tick1", "tick2"), ticks, strict=True), token=7, restarted=0) for ticks in known]
    assert no_node_ran(answers, 8, len(known)) is aloud
    assert not no_node_ran(answers, 0, len(known))
    assert not no_node_ran(answers, 8, len(known) + 1), "a quorum has to know"
    forgot = [answer | {"restarted": 1} for answer in answers]
    assert not no_node_ran([*forgot[:1], *answers[1:]], 8, len(known) or 1), "and who may have gone back does not"


# The end of a run that the voters do not know any more


def flush(_place: Place, servers: list[Server]) -> None:
    for server in servers:
        server.redis.flushall()


def unlock(place: Place, _servers: list[Server]) -> None:
    assert operate(place, "unlock", "--yes", "job").returncode == 0


def forget(place: Place, servers: list[Server]) -> None:
    unlock(place, servers)
    assert operate(place, "forget", "--yes", "job").returncode == 0


def take_over(place: Place, servers: list[Server]) -> None:
    unlock(place, servers)
    assert run(place, *PLAIN, "--node", "web-2", "--", "true").returncode == 0


def flush_and_take_over(place: Place, servers: list[Server]) -> None:
    flush(place, servers)
    assert run(place, *PLAIN, "--node", "web-2", "--", "true").returncode == 0


def adopt(place: Place, servers: list[Server]) -> None:
    unlock(place, servers)
    servers[2].redis.flushall()
    assert operate(place, "adopt", "--yes", "--node", "admin", "job").returncode == 0


@pytest.mark.parametrize(
    ("happens", "why"),
    [
        (flush, "the voters lost its record: they were emptied, or restarted without their data"),
        (unlock, "its lease had been ended by cronlock unlock"),
        (forget, "its record had been erased by cronlock forget"),
        (take_over, "another run had taken the key, on web-2"),
        (flush_and_take_over, "another run had taken the key, on web-2"),
        (adopt, "its record had been replaced by cronlock adopt on admin"),
    ],
)
def test_a_run_that_the_voters_no_longer_know_reports_why(
    servers: list[Server], happens: Callable[[Place, list[Server]], None], why: str
) -> None:
    """An operator must not search for an `unlock` command if in fact a server was emptied."""
    place = at(*servers)
    script = "touch ready; while ! [ -e end ]; do sleep 0.05; done"
    words = ("--key", "job", "--node", "web-1", *PLAIN, "--", "sh", "-c", script)
    process = start_cronlock("run", *place, *words)
    wait_until((home() / "ready").exists, message="the command")
    happens(place, servers)
    (home() / "end").touch()
    err = process.communicate(timeout=20)[1]
    assert (process.returncode, err) == (0, f"cronlock: job: ended with status 0, but {why}\n")


@pytest.mark.parametrize(
    ("known", "why"),
    [
        ([(7, "unlocked"), (0, "")], "its lease had been ended by cronlock unlock"),
        ([(0, ""), (9, "")], "another run had taken the key, on web-2"),
        ([(7, "unlocked"), (9, "ran")], "another run had taken the key, on web-2"),
        ([(0, ""), (5, "ran")], "the voters returned to older data: they were restarted, or a replica was promoted"),
    ],
    ids=str,
)
def test_the_newest_answer_to_the_end_says_why_a_run_is_disowned(known: list[tuple[int, str]], why: str) -> None:
    """An emptied voter's answer does not matter then."""
    answers = [{"token": token, "outcome": outcome, "node": "web-2"} for token, outcome in known]
    assert superseded(answers, 7) == why


# No quorum


def label(server: Server) -> str:
    return server.url.removeprefix("redis://")


def why_not(place: Place, *words: str) -> str:
    """Return the message of a run without a quorum, less its seconds."""
    done = run(place, *words, "--", "true")
    assert done.returncode == 122
    return re.sub(r"in \d+ s ", "", done.stderr.removeprefix("cronlock: job: unreachable: ").rstrip())


def test_a_restarted_voter_beside_a_dead_one_is_told_from_a_new_key(fresh_servers: Callable[..., list[Server]]) -> None:
    """The key is known, so this is not its first run."""
    servers = fresh_servers(3, appendonly="yes", appendfsync="always")
    run(at(*servers), *TICK, "--", "sleep", "0.5")
    servers[1].restart()
    servers[2].kill()
    assert why_not(at(*servers), *NEXT) == (
        "no quorum of 3 voters (1 of 3 voters counts for this key, 1 was restarted or promoted; all count again after "
        f"a run that every voter answers: run cronlock check {' '.join(at(*servers))}: "
        f"{label(servers[2])}: connection refused)"
    )


@pytest.mark.parametrize(
    ("mode", "who"), [(("--once",), "other runs"), (("--each", "--node", "web-1"), "other runs of this node")]
)
def test_a_crowd_is_reported_as_a_crowd(server: Server, mode: tuple[str, ...], who: str) -> None:
    """With --each no other node asks for this record; and a single server has answered."""
    node = "web-1" if "--each" in mode else ""
    name = copies("cronlock", "job", node, count=1)[0].keys[0]
    lease = {"holder": "dead", "kind": "prepare", "lease_end": int(time.time() + 60) * 1000}
    server.redis.hset(name, mapping=lease)
    assert why_not(at(server), *mode, *PLAIN) == f"no lock ({who} kept trying at the same time)"


def off(seconds: int, where: str = "redis-3:6379") -> dict[str, Any]:
    side = "ahead of" if seconds > 0 else "behind"
    text = f"{where}: its clock is {abs(seconds)} s {side} this node's: {CURE}"
    return {**CLOCK, "time": CLOCK["time"] + 1000 * seconds, "clock_off": text}


def test_answers_that_split_tell_the_reason() -> None:
    """The situations: restarted, emptied, new, a wrong clock, and final failures."""
    table = [
        ([OK, restarted(), DOWN], "1 of 3 voters counts for this key, 1 was restarted or promoted; all count"),
        ([OK, forgot(), DOWN], "1 of 3 voters counts for this key, 1 has no record of it; all count"),
        ([restarted(), restarted(), DOWN], "0 of 3 voters count for this key, 2 were restarted or promoted; all count"),
        (
            [restarted(), forgot(), forgot(), DOWN, DOWN],
            "0 of 5 voters count for this key, 1 was restarted or promoted, 2 have no record of it; all",
        ),
        ([forgot(), forgot(), DOWN], "2 of 3 voters have no record of this key; a key's"),
        ([OK, DOWN, off(300)], f"{DOWN.text}; {off(300)['clock_off']}"),
        ([OK, DOWN, DOWN, DOWN, Failure("b"), Failure("c")], f"{DOWN.text}; b; c"),
    ]
    for replies, text in table:
        verdict = undecided(replies)
        assert (verdict.kind, verdict.reached) == (RETRY, False)
        assert verdict.text.startswith(text), verdict.text
    final = undecided([OK, restarted(), SHUT])
    assert (final.kind, final.text.partition(" (1 of 3 voters counts")[0]) == (REFUSED, SHUT.text)
    assert undecided([OK, BUSY, off(300)]).reached, "other runs ask, and that passes"


def test_clocks_that_differ_are_named_and_this_nodes_is_not_blamed() -> None:
    """A quorum of voters can't be right about this node when they do not agree among themselves."""
    apart = judge([off(300, "a"), off(-300, "b"), None], [True] * 3, 0)
    assert apart is not None
    assert (apart.kind, apart.text) == (REFUSED, f"{off(300, 'a')['clock_off']}; {off(-300, 'b')['clock_off']}")
    alike = judge([off(300, "a"), off(301, "b"), None], [True] * 3, 0)
    assert alike is not None
    assert (alike.kind, alike.text) == (REFUSED, "clock")
    one = judge_adoption([OK, OK, off(300)], [True] * 3, 0)
    assert one is not None
    assert (one.kind, one.text) == (REFUSED, off(300)["clock_off"])


def voters(count: int) -> Any:
    return SimpleNamespace(count=count)


def test_a_clock_against_a_single_servers_may_be_either() -> None:
    """No third clock shows which one is wrong."""
    verdict = judge([said("clock", time=int((time.time() - 300) * 1000))], [True], 0)
    assert verdict is not None
    assert refusal(verdict, voters(1)) == (
        "this node's clock is 300 s ahead of the server's: set the one that is wrong; at most 60 s are tolerated"
    )
    assert "300 s ahead of the voters': set it;" in refusal(verdict, voters(3))


def test_the_list_of_voters_of_each_is_this_nodes_own(server: Server, servers: list[Server]) -> None:
    """The record is this node's own: the new list can be adopted regardless of other nodes."""
    each = ("--each", "--node", "web-1", *PLAIN)
    run(at(server), *each, "--", "true")
    refused = run(at(*servers), *each, "--", "true").stderr
    assert "web-1 ran this key with other voters: a single server; here " in refused
    adopt = f"cronlock adopt {' '.join(at(*servers))} --each --node web-1 job"
    assert refused.endswith(f"correct --redis here; if this list is the new one, run {adopt}\n")


def test_a_restart_during_a_run_is_one_voters_of_several() -> None:
    """Only a single voter is called the server."""
    ghost = said("held", restarted=1)
    assert undecided([ghost]).text.startswith("the server was restarted or promoted during a run on web-1")
    several = undecided([ghost, OK, said("done", 9)]).text
    assert several.startswith("a voter was restarted or promoted during a run on web-1")


def test_a_replaced_run_reports_the_newer_run_when_it_is_stopped(servers: list[Server]) -> None:
    """No voter is down: an operator need not check the servers."""
    place = at(*servers)
    words = ("--key", "job", "--node", "web-1", *PLAIN, "--ttl", "7s", "--kill-after", "1s")
    process = start_cronlock("run", *place, *words, "--", "sh", "-c", "touch ready; exec sleep 60")
    wait_until((home() / "ready").exists, message="the command")
    take_over(place, servers)
    err = process.communicate(timeout=20)[1]
    why = "the voters have recorded a newer run of this key, or a different voter set"
    assert (process.returncode, err) == (123, f"cronlock: job: lost: {why}: the command was stopped (status 123)\n")
