"""The lock's promises hold during faults: real nodes, real servers, one seed per round."""

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
    "late and amnesic": "three",
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
def test_promises_hold_during_a_selection_of_faults(fault: str) -> None:
    """Run a short selection; the whole matrix is `pytest -m nemesis --seeds 20`."""
    for seed in (1, 2, 3):
        report = play(fault, SHORT[fault], seed)
        assert not broken(report), "\n".join(report.lines())
        if report.hits:  # on a slow machine the moment for the fault may never come
            return
    raise AssertionError("no fault was injected")


@pytest.mark.nemesis
@pytest.mark.timeout(180)
def test_promises_hold(round: tuple[str, str, int], record_property: Callable[[str, object], None]) -> None:
    """Run one cell of the whole matrix: a fault, a topology and a seed."""
    report = play(*round)
    record_property("nemesis", report.to_json())
    assert not broken(report), "\n".join(report.lines())


@pytest.fixture
def quorum_of_one(tmp_path: Path) -> dict[str, str]:
    """Provide the environment of a cronlock for which one voter is enough."""
    return changed_cronlock(tmp_path, "lock/quorum.py", "return voters // 2 + 1", "return 1")


@pytest.mark.debian
@pytest.mark.timeout(180)
def test_the_oracle_sees_a_lock_that_does_not_lock(quorum_of_one: dict[str, str]) -> None:
    """With a quorum of one, nodes that are cut off from each other's voters all run: seen within five seeds."""
    with ThreadPoolExecutor(5) as pool:
        reports = list(pool.map(lambda seed: play("cut off", "three", seed, quorum_of_one), range(1, 6)))
    kinds = {one.kind for report in reports for one in report.violations}
    assert kinds & {"overlap", "twice"}, [report.trace for report in reports]


@pytest.fixture
def no_witness(tmp_path: Path) -> dict[str, str]:
    """Provide the environment of a cronlock that believes every clock it reads."""
    return changed_cronlock(tmp_path, "lock/local_copy.py", "and witness.is_alive(path)", "and not path")


@pytest.mark.debian
@pytest.mark.timeout(180)
def test_the_oracle_sees_a_local_lock_that_trusts_every_clock(no_witness: dict[str, str]) -> None:
    """Such a lock takes another boot id for a reboot and considers a live run dead: seen within five seeds."""
    with ThreadPoolExecutor(5) as pool:
        reports = list(pool.map(lambda seed: play("boot ids", "local", seed, no_witness), range(1, 6)))
    assert "overlap" in {one.kind for report in reports for one in report.violations}, reports[0].trace
