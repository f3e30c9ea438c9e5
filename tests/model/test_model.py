"""Within bounds, the lock's rules keep their promises in every order of events, and each known-bad rule is found.

Slow rows run only with `pytest -m long tests/model/test_model.py`; `python -m tests.model` prints all rows.
"""

from typing import Any

import pytest

from tests.model.search import search
from tests.model.tables import BOUNDED, FAILS, HOLDS, LIMITS, LONG
from tests.model.world import World

pytestmark = pytest.mark.timeout(600)  # s: a row takes up to a minute on a slow machine


def marked(rows: dict[str, Any]) -> list[Any]:
    """Return the rows as parameters with their names as ids; slow rows get the mark `long`."""
    return [
        pytest.param(*row, id=name, marks=[pytest.mark.long] if name in LONG else [])
        for name, value in rows.items()
        for row in [value if isinstance(value, tuple) else (value,)]
    ]


@pytest.mark.parametrize("world", marked(HOLDS))
def test_the_rules_keep_every_promise(world: World) -> None:
    """No order of the steps of nodes, voters and leases breaks a promise."""
    result = search(world)
    assert not result.broken, "\n".join([result.broken, *result.trace])
    assert result.exhaustive


@pytest.mark.parametrize(("broken", "world"), marked(FAILS))
def test_a_known_bad_rule_breaks_its_promise(broken: str, world: World) -> None:
    """Each known-bad rule yields a counter-example, so the search can find one."""
    result = search(world)
    assert result.broken.startswith(broken)
    assert result.trace


@pytest.mark.parametrize(("broken", "world"), marked(LIMITS))
def test_each_known_limit_still_exists(broken: str, world: World) -> None:
    """Beyond these bounds the project's own rules fail. A row that holds here would be a promise to make."""
    result = search(world)
    assert result.broken.startswith(broken)
    assert result.trace


@pytest.mark.parametrize(("cap", "world"), marked(BOUNDED))
def test_a_world_too_large_to_exhaust_is_clean_up_to_its_bound(cap: int, world: World) -> None:
    """The search is breadth first, so it misses no short counter-example."""
    assert not search(world, cap).broken
