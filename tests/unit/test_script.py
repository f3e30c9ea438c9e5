"""The script does what lock/state_machine.py says, in fakeredis' Lua: without a server, on any platform.

tests/integration/test_scripts.py takes the same walks on each server program of this machine.
"""

from collections import Counter
from typing import Any

from hypothesis import example, given, settings

from tests.support.fake_servers import FakeServer
from tests.support.random_steps import TOUR, walks
from tests.support.script_voter import EACH_KEYS, OnServer, Stored
from tests.support.side_by_side import missing, side_by_side

WALKS = 8  # each takes a second or so in Python


def test_the_script_and_the_pure_record_go_the_same_way(fakes: list[FakeServer]) -> None:
    """Every answer, every field, every line of history, and how long they stay."""
    met: Counter[tuple[str, str]] = Counter()
    stored = Stored(fakes[0])

    @settings(side_by_side, max_examples=WALKS)
    @example(TOUR)
    @given(walks())
    def walk(steps: list[Any]) -> None:
        OnServer(stored, met).go(steps)

    walk()
    assert not missing(met), met


def test_a_nodes_own_record_goes_the_same_way(fakes: list[FakeServer]) -> None:
    """With --each."""
    OnServer(Stored(fakes[0], EACH_KEYS)).go(TOUR)
