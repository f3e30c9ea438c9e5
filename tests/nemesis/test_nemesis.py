"""What the lock promises holds while something goes wrong: real nodes, real servers, one seed per round."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.nemesis.matrix import play
from tests.nemesis.table import broken
from tests.support.commands import changed_cronlock

SHORT = {  # fault: topology, for each commit
    "restarted old": "cluster",
    "replies lost": "five",
    "requests lost": "three",
    "dies inside commit": "five",
    "late and forgetful": "three",
    "can't hear": "three",
    "failover": "cluster",
    "slots moved": "cluster",
    "failed back": "three",
    "beyond the retention": "three",
    "clock off": "five",
    "boot ids": "local",
    "50 nodes": "three",
    "password changed": "five",
    "nodes fail over": "three",
    "waiting": "three",
    "each, paused": "five",
    "mixed": "cluster",
}


@pytest.mark.debian
@pytest.mark.timeout(180)
@pytest.mark.parametrize("fault", SHORT)
def test_promises_hold_while_something_goes_wrong(fault: str) -> None:
    """A short selection; the whole matrix is `pytest -m nemesis --seeds 20`."""
    for seed in (1, 2, 3):
        report = play(fault, SHORT[fault], seed)
        assert not broken(report), "\n".join(report.lines())
        if report.hits:  # on a slow machine the moment for it may never come
            return
    raise AssertionError("nothing went wrong")


@pytest.mark.nemesis
@pytest.mark.timeout(180)
def test_promises_hold(round: tuple[str, str, int], record_property: Callable[[str, object], None]) -> None:
    """The whole matrix, all seeds."""
    report = play(*round)
    record_property("nemesis", report.to_json())
    assert not broken(report), "\n".join(report.lines())


@pytest.fixture
def quorum_of_one(tmp_path: Path) -> dict[str, str]:
    """The environment of a cronlock for which one voter is enough."""
    return changed_cronlock(tmp_path, "lock/quorum.py", "return voters // 2 + 1", "return 1")


@pytest.mark.debian
@pytest.mark.timeout(180)
def test_the_oracle_sees_a_lock_that_does_not_lock(quorum_of_one: dict[str, str]) -> None:
    """With a quorum of one, nodes that are cut off from each other's voters all run: seen within five seeds."""
    with ThreadPoolExecutor(5) as pool:
        reports = list(pool.map(lambda seed: play("cut off", "three", seed, quorum_of_one), range(1, 6)))
    kinds = {one.kind for report in reports for one in report.violations}
    assert kinds & {"overlap", "twice"}, [report.story for report in reports]


@pytest.fixture
def no_witness(tmp_path: Path) -> dict[str, str]:
    """The environment of a cronlock that believes each clock that it reads, and nothing else."""
    return changed_cronlock(tmp_path, "lock/local_copy.py", "and witness.lives(path)", "and not path")


@pytest.mark.debian
@pytest.mark.timeout(180)
def test_the_oracle_sees_a_local_lock_that_trusts_every_clock(no_witness: dict[str, str]) -> None:
    """Another boot id is then a start of the machine, and a run that lives is over: seen within five seeds."""
    with ThreadPoolExecutor(5) as pool:
        reports = list(pool.map(lambda seed: play("boot ids", "local", seed, no_witness), range(1, 6)))
    assert "overlap" in {one.kind for report in reports for one in report.violations}, reports[0].story
