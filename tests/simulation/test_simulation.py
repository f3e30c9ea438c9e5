"""The lock keeps its promises in thousands of schedules, and the simulation notices when a rule is missing."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from tests.simulation import change_schedules, schedules, voter_changes
from tests.simulation.oracle import Report
from tests.simulation.seeds import simulate
from tests.simulation.server import Server
from tests.support.commands import ROOT, changed_cronlock

SCHEDULES = schedules.SCHEDULES | change_schedules.SCHEDULES

STRIDE = 100
SEEN = (
    *("restarts with", "forgets all", "stopped", "cut off", "pause", "die", "crash", "given back", "lost"),
    *("is failed back to", "is paused by its host", "no clock shows it"),
    *("-> yield", "waiting at most", "attempt 2", "attempt 3", "failed ran"),
)
SEEN_IN_CHANGES = (
    *("has adopted", "is killed", "sees: held", "sees: busy", "no answer", "could still form a quorum of"),
    *("ran this key with other voters", "adopted other voters", "did not finish"),
)
Change = tuple[str, str, str]  # a file of cronlock, a text in it, and its replacement
RunChanged = Callable[..., subprocess.CompletedProcess[str]]

QUORUM_OF_ONE = ("lock/quorum.py", "return voters // 2 + 1", "return 1")
BLANK_COPIES_VOTE = ("lock/quorum.py", "sum(not is_amnesic(answer) for answer in oks)", "len(oks)")
LATE_OKS_JOIN = ("lock/lease.py", "self._begun or self._clock() < self._prepared_until:", "True:")
SAME_HOLDER_AGAIN = ("lock/ballot.py", "state.holder = random_id()", "pass")
DEAD_COMMITS_COUNT = ("lock/quorum.py", " and _of_one_run(quiet, enough, tick):", ":")
ANOTHER_SERVERS_ACK = ("lock/lease.py", "== protocol.OK and same_server(state, reply):", "== protocol.OK:")
MISSING_VOTERS_ARE_IGNORED = ("lock/adoption.py", "silent = [", "silent = [] and [")
NO_CONSENT_OF_OLD_VOTERS = ("lock/voter_set.py", "if not former.count or (", "if False and (")
AMNESIC_VOTERS_CONSENT = (
    "lock/voter_set.py",
    "remember = sum(not is_amnesic(answer) for answer in here)",
    "remember = len(here)",
)
IN_ONE_PHASE = (
    "lock/adoption.py",
    "if not lease.commit_to(former, lambda state",
    "if False and not lease.commit_to(former, lambda state",
)
EXTEND_LEAVES_THE_EXPIRY = (
    "lock/state_machine.py",
    "run_id=run_id)\n        set_expiry(copy, request, time)",
    "run_id=run_id)",
)
NO_EXTEND_AFTER_A_GAP = ("run/supervisor.py", "lease.extend_at_once()", "pass")
NEW_VOTERS_ARE_A_QUORUM = (
    "lock/quorum.py",
    "return len(oks) if len(oks) == len(replies) else",
    "return len(oks) if not any(reply['token'] for reply in replies if isinstance(reply, dict)) else",
)


@pytest.mark.parametrize("first", range(1, 401, STRIDE))
def test_promises_hold_in_every_schedule(first: int) -> None:
    """Each seed is another schedule; `python -m tests.simulation SEED` prints the trace of one.

    The first hundred inject every kind of fault, runs are lost and given back, and yet there are runs.
    """
    reports = {seed: simulate(seed) for seed in range(first, first + STRIDE)}
    for seed, report in reports.items():
        assert not report.violations, f"seed {seed}\n{report}"
    assert sum(report.runs for report in reports.values()) > 2 * len(reports)
    if first == 1:
        assert_seen(SEEN, reports.values())


@pytest.mark.parametrize("first", range(1, 201, STRIDE))
def test_promises_hold_while_voters_are_changed(first: int) -> None:
    """Nodes get a new list one by one while an operator adopts, is killed on the way, or comes too early.

    Every tick runs if nothing else fails. `python -m tests.simulation changes SEED` prints the trace of one.

    In each hundred seeds adoptions succeed, are refused for every reason, and are interrupted; nodes are refused before
    and after them.
    """
    reports = {seed: voter_changes.simulate(seed) for seed in range(first, first + STRIDE)}
    for seed, report in reports.items():
        assert not report.violations, f"seed {seed}\n{report}"
    assert_seen(SEEN_IN_CHANGES, reports.values())


def assert_seen(texts: Iterable[str], reports: Iterable[Report]) -> None:
    """Check that each of these texts is in a trace."""
    trace = "\n".join(report.trace for report in reports)
    assert not [text for text in texts if text not in trace]


def test_a_seed_always_gives_the_same_trace() -> None:
    """A seed also fixes the random numbers that cronlock itself draws."""
    assert str(simulate(7)) == str(simulate(7))


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_promises_hold_in_each_hand_written_schedule(schedule: str) -> None:
    """Each hand-written schedule comes from a counter-example."""
    report = SCHEDULES[schedule]()
    assert not report.violations, str(report)


@pytest.fixture
def run_changed(tmp_path: Path) -> RunChanged:
    """Provide run_changed(change, *words): `python -m tests.simulation` with one change to cronlock."""

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
def test_random_seeds_notice_a_missing_rule(run_changed: RunChanged, change: Change, kinds: tuple[str, ...]) -> None:
    """A missing rule breaks a promise within two hundred seeds."""
    done = run_changed(change, "1", "200")
    assert done.returncode == 1, done.stdout + done.stderr
    assert any(link.startswith(kinds) for link in done.stdout.splitlines()), done.stdout + done.stderr


@pytest.mark.parametrize(
    ("change", "schedule", "kind"),
    [
        (LATE_OKS_JOIN, "ok_after_the_verdict", "overlap"),
        (SAME_HOLDER_AGAIN, "asked_again", "overlap"),
        (DEAD_COMMITS_COUNT, "two_dead_commits", "silent"),
        (ANOTHER_SERVERS_ACK, "went_back_inside_commit", "overlap"),
        (ANOTHER_SERVERS_ACK, "failed_back_inside_commit", "overlap"),
        (EXTEND_LEAVES_THE_EXPIRY, "beyond_retention", "overlap"),
        (NO_EXTEND_AFTER_A_GAP, "paused_host", "overlap"),
        (NEW_VOTERS_ARE_A_QUORUM, "new_voters", "overlap"),
        (MISSING_VOTERS_ARE_IGNORED, "only_one_away", "twice"),
        (NO_CONSENT_OF_OLD_VOTERS, "quorum_left_behind", "overlap"),
        (AMNESIC_VOTERS_CONSENT, "forgot_and_left_behind", "overlap"),
        (IN_ONE_PHASE, "half_adopted", "twice"),
    ],
    ids=[
        "late oks join",
        "the same holder again",
        "dead commits count",
        "another server's ack",
        "the same, failed back to",
        "extend leaves the expiry",
        "no extension after a gap",
        "new voters are a quorum",
        "missing voters are ignored",
        "no consent of the old voters",
        "an amnesic voter consents",
        "in one phase",
    ],
)
def test_a_schedule_notices_its_missing_rule(run_changed: RunChanged, change: Change, schedule: str, kind: str) -> None:
    """These are too rare for random seeds: without its rule the schedule breaks a promise."""
    done = run_changed(change, schedule)
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"\n{kind}: " in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("schedule", ["failed_back", "failed_back_inside_commit"])
def test_a_stamp_of_the_run_id_alone_does_not_show_a_promotion(monkeypatch: pytest.MonkeyPatch, schedule: str) -> None:
    """A master that is failed back to keeps its run_id: without the replication id two runs go on at once."""
    monkeypatch.setattr(Server, "run_id", property(lambda server: f"{server.name}/{server.life}"))
    assert {one.kind for one in SCHEDULES[schedule]().violations} >= {"overlap"}


@pytest.mark.parametrize(
    ("schedule", "least", "most"), [("paused_host", 0, 1_150), ("paused_host_unseen", 1_150, 4_150)]
)
def test_a_run_whose_machine_was_paused_ends_soon(schedule: str, least: int, most: int) -> None:
    """Another run began meanwhile; with a lease of 12 s the first ends within a second, or a third of the lease."""
    trace = SCHEDULES[schedule]().trace.splitlines()
    goes_on = 31_000
    assert any(line.split()[1:3] == ["n2/12", "runs,"] for line in trace)
    [end] = [float(line.split()[0]) for line in trace if "n1/10" in line and "reports its end" in line]
    assert least < end * 1_000 - goes_on < most
