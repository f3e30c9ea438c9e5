"""Every order of events, within bounds: the lock's rules keep their promises, and each known-bad rule is found out.

Rows that take long are left to `pytest -m long tests/model/test_model.py`; `python -m tests.model` prints all rows.
"""

from typing import Any

import pytest

from tests.model.search import search
from tests.model.tables import BOUNDED, FAILS, HOLDS, LIMITS, LONG
from tests.model.world import World

pytestmark = pytest.mark.timeout(600)  # s: a row takes up to a minute on a slow machine


def marked(rows: dict[str, Any]) -> list[Any]:
    """The rows under their names; those that take long have a mark."""
    return [
        pytest.param(*row, id=name, marks=[pytest.mark.long] if name in LONG else [])
        for name, value in rows.items()
        for row in [value if isinstance(value, tuple) else (value,)]
    ]


@pytest.mark.parametrize("world", marked(HOLDS))
def test_every_promise_holds(world: World) -> None:
    """However the steps of nodes, voters and leases follow each other."""
    result = search(world)
    assert not result.broken, "\n".join([result.broken, *result.trace])
    assert result.exhaustive


@pytest.mark.parametrize(("broken", "world"), marked(FAILS))
def test_a_known_bad_rule_is_found_out(broken: str, world: World) -> None:
    """The search sees what it is for."""
    result = search(world)
    assert result.broken.startswith(broken)
    assert result.trace


@pytest.mark.parametrize(("broken", "world"), marked(LIMITS))
def test_what_the_rules_do_not_promise_is_known(broken: str, world: World) -> None:
    """Beyond these bounds the project's own rules fail; a row that holds here would be a promise to make."""
    result = search(world)
    assert result.broken.startswith(broken)
    assert result.trace


@pytest.mark.parametrize(("cap", "world"), marked(BOUNDED))
def test_what_is_too_large_holds_as_far_as_it_is_tried(cap: int, world: World) -> None:
    """Breadth first, so that no short counter-example is left out."""
    assert not search(world, cap).broken
