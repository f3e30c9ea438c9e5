"""The nemesis's oracle: what it must see, and what it must not take for a violation."""

from pathlib import Path
from typing import Any

import pytest

from tests.nemesis.faults import FAULTS
from tests.nemesis.journal import Attempt, Pause, Run, look_at_ends, read
from tests.nemesis.oracle import Rules, judge, stale
from tests.nemesis.report import Report
from tests.nemesis.table import BEGIN, END, broken, write

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
    return [violation.kind for violation in judge(runs, attempts or [], rules)]


def test_one_run_after_the_other_is_fine() -> None:
    """Each with a newer token, one per tick."""
    assert kinds([ran(0, 1, 2), ran(1, 2, 3), ran(2, 4, None)]) == []


@pytest.mark.parametrize(
    "second", [ran(1, 1.5, 3), ran(1, 2.5, 3, beside=True)], ids=["by its times", "by the lock that the first one held"]
)
def test_it_sees_an_overlap(second: Run) -> None:
    """By what both wrote, or by the lock, also when the first one was killed and wrote no end."""
    assert kinds([ran(0, 1, None if second.beside else 2), second]) == ["overlap"]


def test_it_sees_a_tick_that_ran_twice() -> None:
    """On whichever node, however long after."""
    assert kinds([ran(0, 1, 2), ran(0, 8, 9, token=101, node="n2")]) == ["twice"]


def test_a_run_that_was_told_to_end_may_be_repeated() -> None:
    """It was given back; but not where nobody gives anything back, for then it was the guard that told it."""
    runs = [ran(0, 1, 2, signal=15), ran(0, 8, 9, token=101)]
    assert kinds(runs) == []
    assert kinds(runs, rules=Rules(gives_back=False)) == ["twice"]


@pytest.mark.parametrize("token", [99, 100])
def test_it_sees_a_token_that_does_not_grow(token: int) -> None:
    """Older than the last one, or the same."""
    assert kinds([ran(0, 1, 2), ran(1, 3, 4, token=token)]) == ["token"]


def test_it_sees_a_silent_loss() -> None:
    """Nobody ran it, everybody went home, and there was no reason to."""
    assert kinds([ran(0, 1, 2)], [tried(1, 20, 21), tried(1, 20, 21, node="n2")]) == ["silent"]


@pytest.mark.parametrize(
    "runs",
    [[ran(0, 19, 22)], [ran(0, 10, 18)], [ran(0, 10, None)], [ran(2, 20.5, 21)], [ran(2, 22, 23, won=20.5)]],
    ids=["an older run goes on", "its lease does", "it was killed, its lease goes on", "a newer tick was first", "won"],
)
def test_another_run_in_the_way_excuses_a_tick_that_nobody_ran(runs: list[Run]) -> None:
    """G3 promises a run when the run before is over."""
    assert kinds(runs, [tried(1, 20, 21), tried(1, 20, 21, node="n2")]) == []


def test_it_sees_a_tick_that_was_missed_aloud() -> None:
    """Every node said that it reached no quorum, and the fault left one."""
    rules = Rules(loud=frozenset({122}))
    assert kinds([], [tried(1, 20, 21, status=122), tried(1, 20, 21, status=122)], rules) == ["missed"]
    assert kinds([], [tried(1, 20, 21, status=122), tried(1, 20, 21)], rules) == ["missed"]


def test_a_loss_that_was_told_is_fine_where_the_fault_takes_the_quorum() -> None:
    """But a silent one is not, even there."""
    assert kinds([], [tried(1, 20, 21, status=122), tried(1, 20, 21)], LOUD) == []
    assert kinds([], [tried(1, 20, 21), tried(1, 20, 21)], LOUD) == ["silent"]


def test_a_node_that_died_of_the_fault_excuses_its_tick() -> None:
    """A node that dies inside commit may cost that tick: no lock can tell."""
    assert kinds([], [tried(1, 20, 21, harmed=True, status=-9), tried(1, 20, 21)]) == []


def test_a_node_that_was_cut_off_inside_its_commit_excuses_its_tick() -> None:
    """It is as good as dead, and it said so."""
    cut = tried(1, 20, 25, status=122, said="unreachable: no quorum of 3 voters in 5 s (the commit was not confirmed)")
    assert kinds([], [cut, tried(1, 20, 21, status=122), tried(1, 20, 21)], Rules(loud=frozenset({122}))) == []


def test_a_command_that_was_stopped_before_its_first_line_has_run() -> None:
    """On a slow machine the lease may be lost by then."""
    assert kinds([], [tried(1, 20, 21, status=123), tried(1, 20, 21)], Rules(loud=frozenset({123}))) == []


def test_a_death_that_must_not_cost_the_tick_excuses_nothing() -> None:
    """It had reached no quorum: the others have to run."""
    died = tried(1, 20, 21, harmed=True, spent=False, status=-9)
    assert kinds([], [died, tried(1, 20, 22)]) == ["silent"]


def test_it_sees_what_a_node_must_not_end_with() -> None:
    """A status that the fault does not explain, a traceback, no end at all."""
    runs = [ran(1, 20, 21)]
    assert kinds(runs, [tried(1, 20, 21, status=122)]) == ["status"]
    assert kinds(runs, [tried(1, 20, 21, said="Traceback (most recent call last):")]) == ["status"]
    assert kinds(runs, [tried(1, 20, 21, status=None)]) == ["left over"]
    assert kinds(runs, [tried(1, 20, 21, status=122)], LOUD) == []


def test_it_sees_a_node_that_is_busy_or_does_not_end() -> None:
    """A loop without a pause; a farewell that takes longer than finish may."""
    assert kinds([ran(1, 20, 21)], [tried(1, 20, 30)]) == ["slow"]
    assert kinds([ran(1, 20, 21)], [tried(1, 20, 21.1, cpu=4)]) == ["slow"]


def died(tick: int, start: float, end: float | None = None, **more: Any) -> Run:
    """A run that failed, or was killed."""
    return ran(tick, start, end, **{"open": True, "died": True} | more)


def test_a_run_that_died_may_be_repeated_by_nodes_that_stay() -> None:
    """Three times in all, and not without --failover."""
    runs = [died(0, 1 + n, 1.5 + n, node=f"n{n}", token=100 + n) for n in range(4)]
    assert kinds(runs[:3], rules=FAILOVER) == []
    assert kinds(runs, rules=FAILOVER) == ["twice"]
    assert kinds(runs[:2]) == ["twice"]


def test_it_sees_a_takeover_of_a_run_whose_end_was_told() -> None:
    """But one whose end no quorum may have heard of can be taken over."""
    again = ran(0, 8, 9, token=101, node="n2")
    assert kinds([ran(0, 1, 2), again], rules=FAILOVER) == ["twice"]
    assert kinds([ran(0, 1, 2, open=True), again], rules=FAILOVER) == []


def test_it_sees_a_tick_that_was_left_when_its_run_had_died() -> None:
    """A node stayed, was told that the tick was done, and nobody runs it any more."""
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
def test_what_excuses_who_does_not_take_over(more: list[Run]) -> None:
    """There is nothing left to be done."""
    assert kinds([died(0, 1, 2), *more], [tried(0, 1, 9, node="n2")], FAILOVER) == []


def test_it_sees_who_gives_up_too_early_or_without_a_word() -> None:
    """When the third attempt has come to nothing everybody who stayed says so, and before that nobody does."""
    three = [died(0, 1 + n, 1.5 + n, node=f"n{n}", token=100 + n) for n in range(3)]
    gave_up, silent = tried(0, 1, 9, node="n9", status=121), tried(0, 1, 9, node="n9")
    assert kinds(three, [gave_up], FAILOVER) == []
    assert kinds(three, [silent], FAILOVER) == ["abandoned"]
    assert kinds(three[:2], [gave_up], FAILOVER) == ["abandoned"]
    assert kinds([*three[:2], ran(0, 4, 5, node="n4", token=102)], [gave_up], FAILOVER) == ["abandoned"]


def test_attempts_that_wrote_nothing_count_where_they_may_have_begun() -> None:
    """Two nodes that were killed before their commands' first lines, say."""
    stayed, killed = tried(0, 1, 9, node="n2"), [tried(0, 1, 5, node=f"n{n}", harmed=True, status=-9) for n in (3, 4)]
    assert kinds([died(0, 1)], [stayed, *killed], FAILOVER) == []
    assert kinds([died(0, 1)], [stayed, killed[0]], FAILOVER) == ["abandoned"]


def test_with_each_every_node_is_judged_by_itself() -> None:
    """Runs of two nodes may overlap, and their tokens and ticks are their own; on one node nothing of that may be."""
    assert kinds([ran(0, 1, 3), ran(0, 2, 4, node="n2", token=50)], rules=EACH) == []
    assert kinds([ran(0, 1, 3), ran(1, 2, 4)], rules=EACH) == ["overlap"]
    assert kinds([ran(0, 1, 3), ran(0, 4, 5, token=101)], rules=EACH) == ["twice"]
    assert kinds([ran(0, 1, 3), ran(1, 4, 5, token=99)], rules=EACH) == ["token"]
    assert kinds([ran(0, 1, 3)], [tried(0, 1, 3), tried(0, 1, 2, node="n2")], EACH) == ["silent"]


def test_it_sees_a_run_that_begins_in_a_pause() -> None:
    """For which the voters were asked when all of them had it; one that had asked before may begin."""
    assert kinds([ran(0, 22, 23)], rules=PAUSED) == ["paused"]
    assert kinds([ran(0, 22, 23, won=20.9), ran(1, 25.5, 27)], rules=PAUSED) == []


def test_a_tick_that_was_paused_is_not_missed() -> None:
    """Only as long as the pause lasts."""
    assert kinds([], [tried(1, 24, 25, said="paused until resumed")], PAUSED) == []
    assert kinds([], [tried(1, 27, 28, said="paused until resumed")], PAUSED) == ["silent"]


def test_it_sees_who_waits_for_a_lock_and_goes_home_too_early() -> None:
    """Without a run and without a word, or before the wait is over; also in vain, where all is well."""
    assert kinds([ran(1, 20, 21)], [tried(1, 20, 21)], WAITING) == []
    assert kinds([], [tried(1, 20, 21)], WAITING) == ["unserved"]
    assert kinds([], [tried(1, 20, 30, status=75)], WAITING) == ["unserved"]
    assert kinds([], [tried(1, 20, 36, status=75)], WAITING) == []
    assert kinds([], [tried(0, 20, 36, status=75)], WAITING) == ["unserved"]


def test_a_run_is_open_when_the_voters_may_not_know_of_its_end() -> None:
    """Its command died, or its cronlock was harmed, lost the lease, or says that nobody heard."""
    ends = [
        tried(0, 1, 2, harmed=True),
        tried(0, 1, 2, status=123),
        tried(0, 1, 2, said="but no quorum heard of it: x"),
    ]
    for end in ends:
        runs = [ran(0, 1, 2)]
        look_at_ends(runs, [end])
        assert runs[0].open
    runs = [ran(0, 1, 2), ran(1, 1, 2, died=True)]
    look_at_ends(runs, [tried(0, 1, 2), tried(1, 1, 2)])
    assert [run.open for run in runs] == [False, True]


def test_stale_writes_are_those_that_a_resource_would_refuse() -> None:
    """The end of a run, written after a newer token had begun to write."""
    assert stale([ran(0, 1, 5), ran(1, 4, 6)]) == 1
    assert stale([ran(0, 1, 3), ran(1, 4, 6), ran(2, 7, None)]) == 0


def test_the_journal_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Two lines for a run, one for a run that was killed."""
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


def test_a_command_that_failed_died_where_that_is_tried_again(tmp_path: Path) -> None:
    """With --retry-failed."""
    path = tmp_path / "journal"
    path.write_text(f"start 1.0000 {TICKS[0]} 1000500 1 n1 1 0\nend 2.0000 {TICKS[0]} 1000500 1 n1 1 0 7\n")
    assert [run.died for run in read(path, epoch=1000, retries=True)] == [True]
    assert [run.died for run in read(path, epoch=1000)] == [False]


def reports() -> list[Report]:
    return [Report(fault.name, topology, seed=1) for fault in FAULTS.values() for topology in fault.topologies]


def test_a_conceded_violation_is_seen_and_is_not_counted() -> None:
    """Only in its own row."""
    runs = [ran(0, 1, 5), ran(1, 4, 6, token=1)]
    frozen = Report("node frozen", "three", 1, violations=judge(runs, [], Rules()))
    assert [line.split(":")[0] for line in broken(frozen)] == ["token"]
    assert len(broken(Report("calm", "three", 1, violations=frozen.violations))) == 2
    assert Report.from_json(frozen.to_json()) == frozen


def test_the_table_takes_its_place_and_nothing_else(tmp_path: Path) -> None:
    """A run of all rows writes all of it."""
    path = tmp_path / "README.md"
    path.write_text(f"before\n{BEGIN}last year's\n{END}after\n")
    write(reports(), path)
    text = path.read_text()
    assert text.startswith(f"before\n{BEGIN}| fault | ")
    assert text.endswith(f"\n{END}after\n")
    assert "last year's" not in text
    assert all(f"\n| {fault} | " in text for fault in FAULTS)


def test_rows_that_were_not_played_again_stay(tmp_path: Path) -> None:
    """So that one row can be looked at without all the others."""
    path = tmp_path / "README.md"
    path.write_text(f"{BEGIN}{END}")
    write(reports(), path)
    before = path.read_text().splitlines()
    write([Report("calm", "three", 2, hits=17), Report("node frozen", "three", 2, stale=5)], path)
    after = path.read_text().splitlines()
    changed = [
        new.split(" | ")[0].strip("|- ").split(":")[0] for old, new in zip(before, after, strict=True) if old != new
    ]
    assert changed == ["calm", "node frozen", "node frozen"]
