"""What the lock promises holds in thousands of schedules, and the simulation sees what breaks it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.simulation import changes, directed, halfway
from tests.simulation.seeds import play
from tests.simulation.server import Server
from tests.support.commands import ROOT, changed_cronlock

SCHEDULES = directed.SCHEDULES | halfway.SCHEDULES

STRIDE = 100
Change = tuple[str, str, str]  # of a file of cronlock: what stands there, and what instead
Simulate = Callable[..., subprocess.CompletedProcess[str]]

QUORUM_OF_ONE = ("lock/quorum.py", "return voters // 2 + 1", "return 1")
BLANK_COPIES_VOTE = ("lock/quorum.py", "sum(not is_amnesic(answer) for answer in oks)", "len(oks)")
LATE_OKS_JOIN = ("lock/lease.py", "self._begun or self._clock() < self._prepared_until:", "True:")
SAME_HOLDER_AGAIN = ("lock/attempt.py", "state.holder = random_id()", "pass")
DEAD_COMMITS_SEND_HOME = ("lock/quorum.py", " and _of_one_run(quiet, enough, tick):", ":")
ANOTHER_SERVERS_ACK = ("lock/lease.py", "== protocol.OK and _same_server(seat, reply):", "== protocol.OK:")
NOBODY_IS_MISSED = ("lock/adoption.py", 'return "; ".join(self.missing) or self.hindrance', "return self.hindrance")
NO_CONSENT_OF_THE_OLD = ("lock/voter_set.py", "if not former.count or (", "if False and (")
WHO_FORGOT_CONSENTS = (
    "lock/voter_set.py",
    "remember = sum(not is_amnesic(answer) for answer in here)",
    "remember = len(here)",
)
IN_ONE_PHASE = (
    "lock/adoption.py",
    "if not holder.tell(former, lambda seat",
    "if False and not holder.tell(former, lambda seat",
)
EXTEND_LEAVES_THE_EXPIRY = (
    "lock/state_machine.py",
    "run_id=run_id)\n        set_expiry(copy, ask, time)",
    "run_id=run_id)",
)
NO_LOOK_AFTER_A_GAP = ("run/supervisor.py", "holder.ask_now()", "pass")
NEW_VOTERS_ARE_A_QUORUM = (
    "lock/quorum.py",
    "return len(oks) if len(oks) == len(replies) else",
    "return len(oks) if not any(reply['token'] for reply in replies if isinstance(reply, dict)) else",
)


@pytest.mark.parametrize("first", range(1, 401, STRIDE))
def test_promises_hold_in_every_schedule(first: int) -> None:
    """Each seed is another one; `python -m tests.simulation SEED` tells the story of one."""
    for seed in range(first, first + STRIDE):
        report = play(seed)
        assert not report.violations, f"seed {seed}\n{report}"


@pytest.mark.parametrize("first", range(1, 201, STRIDE))
def test_promises_hold_while_voters_are_changed(first: int) -> None:
    """Node by node, and a person adopts, is killed in the middle, or comes too early. Where nothing else goes wrong
    every tick runs. `python -m tests.simulation changes SEED` tells the story of one.
    """
    for seed in range(first, first + STRIDE):
        report = changes.play(seed)
        assert not report.violations, f"seed {seed}\n{report}"


def test_changes_of_voters_are_worth_playing() -> None:
    """Adoptions are made, refused for every reason, and broken off; nodes are refused before and after them."""
    story = "\n".join(changes.play(seed).story for seed in range(1, 81))
    for what in ("has adopted", "is killed", "is told: held", "is told: busy", "no answer", "could go on with"):
        assert what in story
    for what in ("ran this key with other voters", "adopted other voters", "was not finished"):
        assert what in story


def test_a_seed_plays_the_same_again() -> None:
    """Also what cronlock itself leaves to chance."""
    assert str(play(7)) == str(play(7))


def test_the_schedules_are_worth_playing() -> None:
    """Things do go wrong in them, runs are lost and given back, and yet there are runs."""
    reports = [play(seed) for seed in range(1, 81)]
    story = "\n".join(report.story for report in reports)
    assert sum(report.runs for report in reports) > 2 * len(reports)
    for what in ("restarts with", "forgets all", "stopped", "cut off", "pause", "die", "crash", "given back", "lost"):
        assert what in story
    for what in ("is failed back to", "is paused by its host", "no clock shows it"):
        assert what in story
    for what in ("-> yield", "waiting at most", "attempt 2", "attempt 3", "failed ran"):
        assert what in story


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_promises_hold_in_a_schedule_that_broke_them(schedule: str) -> None:
    """Written by hand, from a counter-example."""
    report = SCHEDULES[schedule]()
    assert not report.violations, str(report)


@pytest.fixture
def simulate(tmp_path: Path) -> Simulate:
    """simulate(change, *words): `python -m tests.simulation` with a cronlock that is changed in one place."""

    def start(change: Change, *words: str) -> subprocess.CompletedProcess[str]:
        ignored = shutil.ignore_patterns("__pycache__")
        for folder in ("tests/nemesis", "tests/simulation"):
            shutil.copytree(ROOT / folder, tmp_path / folder, ignore=ignored)
        shutil.copy(ROOT / "tests/__init__.py", tmp_path / "tests")
        words = (sys.executable, "-m", "tests.simulation", *words)
        env = os.environ | changed_cronlock(tmp_path, *change)
        return subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)

    return start


@pytest.mark.parametrize(
    ("change", "kinds"),
    [
        (QUORUM_OF_ONE, ("overlap", "twice", "token", "silent")),
        (BLANK_COPIES_VOTE, ("overlap", "twice")),
    ],
    ids=["quorum of one", "blank copies vote"],
)
def test_it_finds_a_rule_that_is_missing(simulate: Simulate, change: Change, kinds: tuple[str, ...]) -> None:
    """Within two hundred seeds."""
    done = simulate(change, "1", "200")
    assert done.returncode == 1, done.stdout + done.stderr
    assert any(line.startswith(kinds) for line in done.stdout.splitlines()), done.stdout + done.stderr


@pytest.mark.parametrize(
    ("change", "schedule", "kind"),
    [
        (LATE_OKS_JOIN, "on_late_ok", "overlap"),
        (SAME_HOLDER_AGAIN, "asked_again", "overlap"),
        (DEAD_COMMITS_SEND_HOME, "two_dead_commits", "silent"),
        (ANOTHER_SERVERS_ACK, "went_back_inside_commit", "overlap"),
        (ANOTHER_SERVERS_ACK, "failed_back_inside_commit", "overlap"),
        (EXTEND_LEAVES_THE_EXPIRY, "beyond_retention", "overlap"),
        (NO_LOOK_AFTER_A_GAP, "paused_host", "overlap"),
        (NEW_VOTERS_ARE_A_QUORUM, "new_voters", "overlap"),
        (NOBODY_IS_MISSED, "only_one_away", "twice"),
        (NO_CONSENT_OF_THE_OLD, "quorum_left_behind", "overlap"),
        (WHO_FORGOT_CONSENTS, "forgot_and_left_behind", "overlap"),
        (IN_ONE_PHASE, "half_adopted", "twice"),
    ],
    ids=[
        "late oks join",
        "the same holder again",
        "dead commits send home",
        "another server's ack",
        "the same, failed back to",
        "extend leaves the expiry",
        "no look after a gap",
        "new voters are a quorum",
        "nobody is missed",
        "no consent of the old",
        "who forgot consents",
        "in one phase",
    ],
)
def test_a_schedule_by_hand_holds_its_rule(simulate: Simulate, change: Change, schedule: str, kind: str) -> None:
    """Too rare for chance: without the rule the schedule breaks a promise."""
    done = simulate(change, schedule)
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"\n{kind}: " in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("schedule", ["failed_back", "failed_back_inside_commit"])
def test_a_stamp_of_the_run_id_alone_does_not_tell_of_a_promotion(
    monkeypatch: pytest.MonkeyPatch, schedule: str
) -> None:
    """A master that is failed back to is the same server: without its replication id two runs go on at once."""
    monkeypatch.setattr(Server, "run_id", property(lambda server: f"{server.name}/{server.life}"))
    assert {one.kind for one in SCHEDULES[schedule]().violations} >= {"overlap"}


@pytest.mark.parametrize(
    ("schedule", "least", "most"), [("paused_host", 0, 1_150), ("paused_host_unseen", 1_150, 4_150)]
)
def test_a_run_on_a_machine_that_was_paused_ends_soon(schedule: str, least: int, most: int) -> None:
    """Another one began meanwhile. With a lease of 12 s: a second and a trip, or a third of the lease and a trip."""
    story = SCHEDULES[schedule]().story.splitlines()
    goes_on = 31_000
    assert any(line.split()[1:3] == ["n2/12", "runs,"] for line in story)
    [end] = [float(line.split()[0]) for line in story if "n1/10" in line and "tells of its end" in line]
    assert least < end * 1_000 - goes_on < most
