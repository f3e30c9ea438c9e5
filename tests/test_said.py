"""What run says, situation by situation: the right culprit, the right number, the right cure; and quiet turns."""

import time
from collections.abc import Callable
from subprocess import CompletedProcess

import pytest

from cronlock.hold import disowned
from cronlock.say import instant, nobody_ran
from tests.commands import cronlock, faked_clock, home, start_cronlock, wait_until
from tests.persons import PLAIN, Place, at, person, run
from tests.servers import Server

MINUTELY = ("--schedule", "* * * * *", "--tz", "UTC", "--outage-wait", "0")
MIDDLE = 45  # s of a minute that leave time for three runs before the next tick


# A tick that nobody ran


def this_tick() -> int:
    """The tick of this minute, once enough of the minute is left."""
    wait_until(lambda: time.time() % 60 < MIDDLE, timeout=60 - MIDDLE + 1)
    return int(time.time()) // 60 * 60


def minute(place: Place, node: str, ahead: float = 0, *words: str) -> "CompletedProcess[str]":
    """One minutely run of a node whose clock is so many seconds ahead."""
    env = faked_clock(FAKETIME=f"{ahead:+.0f}s") if ahead else {}
    return cronlock("run", *place, "--key", "job", "--node", node, *MINUTELY, *words, "--", "true", env=env)


def before(place: Place, tick: int, *words: str) -> None:
    """A run of an earlier tick, so that the voters' memory reaches further back than the tick in question."""
    assert run(place, "--tick", str(tick), "--node", "web-0", *words, "--", "true").returncode == 0


def newer(place: Place, tick: int, *words: str) -> None:
    """The next minute's run, by a node whose clock is fast."""
    done = minute(place, words[-1] if words else "web-1", tick + 57 - time.time(), *words)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.debian
def test_a_tick_that_nobody_ran_is_told_by_the_node_that_comes_too_late(servers: list[Server]) -> None:
    """An outage over the minute, and a node 50 s ahead: what is lost is said, and the status is that of done."""
    place = at(*servers)
    tick = this_tick()
    before(place, tick - 60)
    newer(place, tick)
    late = minute(place, "web-2")
    said = f"done: the newer tick of {instant(tick + 60)} was on web-1: nobody ran the tick of {instant(tick)}"
    assert (late.returncode, late.stderr) == (0, f"cronlock: job: {said}\n")
    assert minute(place, "web-2", 0, "-E", "9").returncode == 9
    assert minute(place, "web-2", 0, "-q").stderr == ""


@pytest.mark.debian
def test_a_tick_that_another_node_ran_is_passed_over_quietly(servers: list[Server]) -> None:
    """Turns as they always are: not one byte, though one of the voters missed that run."""
    place = at(*servers)
    tick = this_tick()
    before(place, tick - 60)
    servers[2].stop_process()
    assert minute(place, "web-3").returncode == 0
    servers[2].continue_process()
    newer(place, tick)
    late = minute(place, "web-2")
    assert (late.returncode, late.stdout, late.stderr) == (0, "", "")


@pytest.mark.debian
def test_a_tick_of_each_that_this_node_did_not_run_is_told_of_this_node(servers: list[Server]) -> None:
    """Its record is its own: what other nodes ran is not known there."""
    place = at(*servers)
    each = ("--each", "--node", "web-1")
    tick = this_tick()
    before(place, tick - 60, *each)
    newer(place, tick, *each)
    late = minute(place, "web-1", 0, "--each")
    said = f"the newer tick of {instant(tick + 60)} was on web-1: this node did not run the tick of {instant(tick)}"
    assert (late.returncode, late.stderr) == (0, f"cronlock: job: done: {said}\n")


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
def test_only_a_tick_that_no_voter_knows_and_all_would_know_is_told(
    known: list[tuple[int, int, int]], aloud: bool
) -> None:
    """One voter may have missed its run; and what is older than the oldest that a voter knows may have run."""
    answers = [dict(zip(("tick", "tick1", "tick2"), ticks, strict=True), token=7, reborn=0) for ticks in known]
    assert nobody_ran(answers, 8, len(known)) is aloud
    assert not nobody_ran(answers, 0, len(known))
    assert not nobody_ran(answers, 8, len(known) + 1), "a quorum has to know"
    forgot = [answer | {"reborn": 1} for answer in answers]
    assert not nobody_ran([*forgot[:1], *answers[1:]], 8, len(known) or 1), "and who may have gone back does not"


# The end of a run that the voters do not know any more


def flush(_place: Place, servers: list[Server]) -> None:
    for server in servers:
        server.redis.flushall()


def unlock(place: Place, _servers: list[Server]) -> None:
    assert person(place, "unlock", "--yes", "job").returncode == 0


def forget(place: Place, servers: list[Server]) -> None:
    unlock(place, servers)
    assert person(place, "forget", "--yes", "job").returncode == 0


def take_over(place: Place, servers: list[Server]) -> None:
    unlock(place, servers)
    assert run(place, *PLAIN, "--node", "web-2", "--", "true").returncode == 0


def flush_and_take_over(place: Place, servers: list[Server]) -> None:
    flush(place, servers)
    assert run(place, *PLAIN, "--node", "web-2", "--", "true").returncode == 0


def adopt(place: Place, servers: list[Server]) -> None:
    unlock(place, servers)
    servers[2].redis.flushall()
    assert person(place, "adopt", "--yes", "--node", "admin", "job").returncode == 0


@pytest.mark.parametrize(
    ("happens", "why"),
    [
        (flush, "the voters forgot its record: they were emptied, or restarted without their data"),
        (unlock, "its lease had been ended before, by cronlock unlock"),
        (forget, "its record had been erased before, by cronlock forget"),
        (take_over, "another run took the key before, on web-2"),
        (flush_and_take_over, "another run took the key before, on web-2"),
        (adopt, "its record had been replaced before, by cronlock adopt on admin"),
    ],
)
def test_a_run_that_the_voters_disown_says_why(
    servers: list[Server], happens: Callable[[Place, list[Server]], None], why: str
) -> None:
    """An operator who looks for whoever typed unlock, when a server was emptied, looks in vain."""
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
        ([(7, "unlocked"), (0, "")], "its lease had been ended before, by cronlock unlock"),
        ([(0, ""), (9, "")], "another run took the key before, on web-2"),
        ([(7, "unlocked"), (9, "ran")], "another run took the key before, on web-2"),
        ([(0, ""), (5, "ran")], "the voters went back to older data: they were restarted, or a replica was promoted"),
    ],
    ids=str,
)
def test_the_newest_answer_to_the_end_says_why_a_run_is_disowned(known: list[tuple[int, str]], why: str) -> None:
    """Whatever an emptied voter does not know any more."""
    answers = [{"token": token, "outcome": outcome, "node": "web-2"} for token, outcome in known]
    assert disowned(answers, 7) == why
