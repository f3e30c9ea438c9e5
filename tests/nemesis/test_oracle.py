"""The nemesis's oracle reports each broken promise, and nothing else."""

from pathlib import Path
from typing import Any

import pytest

from tests.nemesis.journal import Attempt, Pause, Run, mark_open_runs, read
from tests.nemesis.oracle import Rules, find_violations, stale

TICKS = [f"2026-11-22T05:0{n}:00Z" for n in range(4)]
STRICT = Rules()
LOUD = Rules(loud=frozenset({122}), may_miss=True)
FAILOVER = Rules(loud=frozenset({121}), attempts=3, gives_back=False)
EACH = Rules(each=True)
PAUSED = Rules(pauses=(Pause(begin=20, done=21, resume=25, over=26),))
WAITING = Rules(loud=frozenset({75}), wait=15, calm=frozenset({0}))


def ran(tick: int, start: float, end: float | None, **more: Any) -> Run:
    fields: dict[str, Any] = {"token": 100 + tick, "attempt": 1, "node": "n1", "pid": 1, "beside": False, "signal": 0}
    return Run(tick=TICKS[tick], start=start, end=end, **{"won": start} | fields | more)


def tried(tick: int, start: float, end: float, **more: Any) -> Attempt:
    fields: dict[str, Any] = {"node": "n1", "pid": 1, "status": 0, "said": "held by n2"}
    return Attempt(number=tick, tick=TICKS[tick], start=start, end=end, **fields | more)


def kinds(runs: list[Run], attempts: list[Attempt] | None = None, rules: Rules = STRICT) -> list[str]:
    return [violation.kind for violation in find_violations(runs, attempts or [], rules)]


def test_runs_one_after_the_other_break_no_promise() -> None:
    """Successive runs, each with a newer token and its own tick, break no promise."""
    assert kinds([ran(0, 1, 2), ran(1, 2, 3), ran(2, 4, None)]) == []


@pytest.mark.parametrize(
    "second", [ran(1, 1.5, 3), ran(1, 2.5, 3, beside=True)], ids=["by its times", "by the lock that the first one held"]
)
def test_it_reports_an_overlap(second: Run) -> None:
    """An overlap shows in both runs' times, or in the lock if the first run was killed and wrote no end."""
    assert kinds([ran(0, 1, None if second.beside else 2), second]) == ["overlap"]


def test_it_reports_a_tick_that_ran_twice() -> None:
    """The node and the time between the runs do not matter."""
    assert kinds([ran(0, 1, 2), ran(0, 8, 9, token=101, node="n2")]) == ["twice"]


def test_an_interrupted_run_may_be_repeated() -> None:
    """An interrupted run is released. Where no operator interrupts, the guard stopped it, and it counts."""
    runs = [ran(0, 1, 2, signal=15), ran(0, 8, 9, token=101)]
    assert kinds(runs) == []
    assert kinds(runs, rules=Rules(gives_back=False)) == ["twice"]


@pytest.mark.parametrize("token", [99, 100])
def test_it_reports_a_token_that_does_not_grow(token: int) -> None:
    """A token is older than the last one, or equal."""
    assert kinds([ran(0, 1, 2), ran(1, 3, 4, token=token)]) == ["token"]


def test_it_reports_a_tick_lost_silently() -> None:
    """No node ran the tick, all exited quietly, and without a reason."""
    assert kinds([ran(0, 1, 2)], [tried(1, 20, 21), tried(1, 20, 21, node="n2")]) == ["silent"]


@pytest.mark.parametrize(
    "runs",
    [[ran(0, 19, 22)], [ran(0, 10, 18)], [ran(0, 10, None)], [ran(2, 20.5, 21)], [ran(2, 22, 23, won=20.5)]],
    ids=["an older run goes on", "its lease does", "it was killed, its lease goes on", "a newer tick was first", "won"],
)
def test_another_run_in_the_way_excuses_a_missed_tick(runs: list[Run]) -> None:
    """G3 promises a run only after the run before has ended."""
    assert kinds(runs, [tried(1, 20, 21), tried(1, 20, 21, node="n2")]) == []


def test_it_reports_a_missed_tick_that_nodes_reported() -> None:
    """Every node reported that it reached no quorum, although the fault left one."""
    rules = Rules(loud=frozenset({122}))
    assert kinds([], [tried(1, 20, 21, status=122), tried(1, 20, 21, status=122)], rules) == ["missed"]
    assert kinds([], [tried(1, 20, 21, status=122), tried(1, 20, 21)], rules) == ["missed"]


def test_a_reported_loss_is_excused_if_the_fault_takes_the_quorum() -> None:
    """A silent loss is a violation even there."""
    assert kinds([], [tried(1, 20, 21, status=122), tried(1, 20, 21)], LOUD) == []
    assert kinds([], [tried(1, 20, 21), tried(1, 20, 21)], LOUD) == ["silent"]


def test_a_node_killed_by_the_fault_excuses_its_tick() -> None:
    """A node that dies inside its commit may cost the tick: no lock can know."""
    assert kinds([], [tried(1, 20, 21, disturbed=True, status=-9), tried(1, 20, 21)]) == []


def test_a_node_cut_off_inside_its_commit_excuses_its_tick() -> None:
    """Such a node is as good as dead, and reported it."""
    cut = tried(1, 20, 25, status=122, said="unreachable: no quorum of 3 voters in 5 s (the commit was not confirmed)")
    assert kinds([], [cut, tried(1, 20, 21, status=122), tried(1, 20, 21)], Rules(loud=frozenset({122}))) == []


def test_a_command_stopped_before_its_first_line_counts_as_a_run() -> None:
    """On a slow machine the lease may be lost by then."""
    assert kinds([], [tried(1, 20, 21, status=123), tried(1, 20, 21)], Rules(loud=frozenset({123}))) == []


def test_a_death_that_must_not_cost_the_tick_excuses_nothing() -> None:
    """The node had not won a quorum, so another node has to run."""
    died = tried(1, 20, 21, disturbed=True, spent=False, status=-9)
    assert kinds([], [died, tried(1, 20, 22)]) == ["silent"]


def test_it_reports_an_unexplained_end_of_a_node() -> None:
    """A status that the fault does not explain, a traceback, and a node that never ends."""
    runs = [ran(1, 20, 21)]
    assert kinds(runs, [tried(1, 20, 21, status=122)]) == ["status"]
    assert kinds(runs, [tried(1, 20, 21, said="Traceback (most recent call last):")]) == ["status"]
    assert kinds(runs, [tried(1, 20, 21, status=None)]) == ["left over"]
    assert kinds(runs, [tried(1, 20, 21, status=122)], LOUD) == []


def test_it_reports_a_busy_node_and_a_slow_end() -> None:
    """A busy loop, and a release that takes longer than finish may."""
    assert kinds([ran(1, 20, 21)], [tried(1, 20, 30)]) == ["slow"]
    assert kinds([ran(1, 20, 21)], [tried(1, 20, 21.1, cpu=4)]) == ["slow"]


def died(tick: int, start: float, end: float | None = None, **more: Any) -> Run:
    """A run died if it failed or was killed."""
    return ran(tick, start, end, **{"open": True, "died": True} | more)


def test_waiting_nodes_may_repeat_a_run_that_died() -> None:
    """Three attempts are allowed in all, and one without --failover."""
    runs = [died(0, 1 + n, 1.5 + n, node=f"n{n}", token=100 + n) for n in range(4)]
    assert kinds(runs[:3], rules=FAILOVER) == []
    assert kinds(runs, rules=FAILOVER) == ["twice"]
    assert kinds(runs[:2]) == ["twice"]


def test_it_reports_a_takeover_of_a_run_whose_end_was_recorded() -> None:
    """A run whose end a quorum may have missed can be taken over."""
    again = ran(0, 8, 9, token=101, node="n2")
    assert kinds([ran(0, 1, 2), again], rules=FAILOVER) == ["twice"]
    assert kinds([ran(0, 1, 2, open=True), again], rules=FAILOVER) == []


def test_it_reports_a_tick_abandoned_after_its_run_died() -> None:
    """A waiting node exited because it saw the tick done, and no node runs it again."""
    stayed = tried(0, 1, 9, node="n2", said="done: the tick ran on n1")
    assert kinds([died(0, 1)], [stayed], FAILOVER) == ["abandoned"]
    assert kinds([died(0, 1), ran(0, 7, 8, token=101, node="n3")], [stayed], FAILOVER) == []
    assert kinds([ran(0, 1, 2, open=True)], [stayed], FAILOVER) == []


@pytest.mark.parametrize(
    "more",
    [
        [ran(1, 8, 9)],
        [ran(0, 3, 4, node="n3", token=101)],
    ],
    ids=["a newer tick has begun", "another one has run it"],
)
def test_a_node_need_not_take_over_a_tick_without_work_left(more: list[Run]) -> None:
    """In these cases there is nothing left to do."""
    assert kinds([died(0, 1, 2), *more], [tried(0, 1, 9, node="n2")], FAILOVER) == []


def test_it_reports_a_node_that_gives_up_too_early_or_silently() -> None:
    """After the third failed attempt all waiting nodes report it, and before that none does."""
    three = [died(0, 1 + n, 1.5 + n, node=f"n{n}", token=100 + n) for n in range(3)]
    gave_up, silent = tried(0, 1, 9, node="n9", status=121), tried(0, 1, 9, node="n9")
    assert kinds(three, [gave_up], FAILOVER) == []
    assert kinds(three, [silent], FAILOVER) == ["abandoned"]
    assert kinds(three[:2], [gave_up], FAILOVER) == ["abandoned"]
    assert kinds([*three[:2], ran(0, 4, 5, node="n4", token=102)], [gave_up], FAILOVER) == ["abandoned"]


def test_attempts_without_a_journal_line_count_if_they_may_have_started() -> None:
    """For example two nodes that were killed before the first line of their commands."""
    stayed, killed = (
        tried(0, 1, 9, node="n2"),
        [tried(0, 1, 5, node=f"n{n}", disturbed=True, status=-9) for n in (3, 4)],
    )
    assert kinds([died(0, 1)], [stayed, *killed], FAILOVER) == []
    assert kinds([died(0, 1)], [stayed, killed[0]], FAILOVER) == ["abandoned"]


def test_with_each_every_node_is_checked_by_itself() -> None:
    """Runs of two nodes may overlap and have their own tokens and ticks; on one node every promise holds."""
    assert kinds([ran(0, 1, 3), ran(0, 2, 4, node="n2", token=50)], rules=EACH) == []
    assert kinds([ran(0, 1, 3), ran(1, 2, 4)], rules=EACH) == ["overlap"]
    assert kinds([ran(0, 1, 3), ran(0, 4, 5, token=101)], rules=EACH) == ["twice"]
    assert kinds([ran(0, 1, 3), ran(1, 4, 5, token=99)], rules=EACH) == ["token"]
    assert kinds([ran(0, 1, 3)], [tried(0, 1, 3), tried(0, 1, 2, node="n2")], EACH) == ["silent"]


def test_it_reports_a_run_that_starts_during_a_pause() -> None:
    """Its voters were asked when all had recorded the pause; a run that asked before may start."""
    assert kinds([ran(0, 22, 23)], rules=PAUSED) == ["paused"]
    assert kinds([ran(0, 22, 23, won=20.9), ran(1, 25.5, 27)], rules=PAUSED) == []


def test_a_paused_tick_is_not_missed() -> None:
    """The excuse lasts only as long as the pause."""
    assert kinds([], [tried(1, 24, 25, said="paused until resumed")], PAUSED) == []
    assert kinds([], [tried(1, 27, 28, said="paused until resumed")], PAUSED) == ["silent"]


def test_it_reports_a_waiting_node_that_gives_up_too_early() -> None:
    """A node exited quietly without a run, or before its wait was over, or failed although all was well."""
    assert kinds([ran(1, 20, 21)], [tried(1, 20, 21)], WAITING) == []
    assert kinds([], [tried(1, 20, 21)], WAITING) == ["unserved"]
    assert kinds([], [tried(1, 20, 30, status=75)], WAITING) == ["unserved"]
    assert kinds([], [tried(1, 20, 36, status=75)], WAITING) == []
    assert kinds([], [tried(0, 20, 36, status=75)], WAITING) == ["unserved"]


def test_a_run_is_open_if_the_voters_may_not_know_its_end() -> None:
    """Its command died, or its cronlock was disturbed, lost the lease, or reported that no quorum recorded the end."""
    ends = [
        tried(0, 1, 2, disturbed=True),
        tried(0, 1, 2, status=123),
        tried(0, 1, 2, said="but the end could not be recorded by a quorum: x"),
    ]
    for end in ends:
        runs = [ran(0, 1, 2)]
        mark_open_runs(runs, [end])
        assert runs[0].open
    runs = [ran(0, 1, 2), ran(1, 1, 2, died=True)]
    mark_open_runs(runs, [tried(0, 1, 2), tried(1, 1, 2)])
    assert [run.open for run in runs] == [False, True]


def test_stale_writes_are_writes_that_a_resource_would_refuse() -> None:
    """A run wrote its end after a run with a newer token had started to write."""
    assert stale([ran(0, 1, 5), ran(1, 4, 6)]) == 1
    assert stale([ran(0, 1, 3), ran(1, 4, 6), ran(2, 7, None)]) == 0


def test_the_journal_gives_back_what_was_written(tmp_path: Path) -> None:
    """The journal has two lines for a run, and one for a killed run."""
    path = tmp_path / "journal"
    assert read(path, 0) == []
    path.write_text(
        f"start 1.0000 {TICKS[0]} 1000500 1 n1 1 0\nend 2.0000 {TICKS[0]} 1000500 1 n1 1 15 143\n"
        f"start 3.0000 {TICKS[1]} 1005000 2 n2 2 1\n"
    )
    assert read(path, epoch=1000) == [
        ran(0, 1, 2, token=1_000_500, won=0.5, signal=15, died=True),
        ran(1, 3, None, token=1_005_000, attempt=2, node="n2", pid=2, beside=True, died=True),
    ]


def test_a_failed_command_counts_as_dead_if_failures_are_retried(tmp_path: Path) -> None:
    """This is so only with --retry-failed."""
    path = tmp_path / "journal"
    path.write_text(f"start 1.0000 {TICKS[0]} 1000500 1 n1 1 0\nend 2.0000 {TICKS[0]} 1000500 1 n1 1 0 7\n")
    assert [run.died for run in read(path, epoch=1000, retries=True)] == [True]
    assert [run.died for run in read(path, epoch=1000)] == [False]
