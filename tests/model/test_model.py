"""Within bounds, the lock's rules keep their promises in every order of events, and each known-bad rule is found.

By default a row is searched as far as a fifth of a second takes it, breadth first, so that no short counter-example is
left out; a known-bad rule's counter-example that lies beyond is replayed from traces.json. `pytest -m whole
tests/model` searches rows to their end, but for the slow ones, which `pytest -m long tests/model` does; `python -m
tests.model` prints all rows.
"""

from typing import Any

import pytest

from tests.model.search import replay, search
from tests.model.tables import BOUNDED, FAILS, HOLDS, LIMITS, LONG
from tests.model.traces import SOON, kept
from tests.model.world import World

pytestmark = pytest.mark.timeout(600)  # s: a row takes up to a minute on a slow machine


def rows(table: dict[str, Any]) -> list[Any]:
    """Return the rows as parameters with their names as ids."""
    return [pytest.param(*(value if isinstance(value, tuple) else (value,)), id=name) for name, value in table.items()]


def marked(table: dict[str, Any]) -> list[Any]:
    """Return the rows with the mark `long` or `whole`."""
    return [
        pytest.param(*row.values, id=row.id, marks=pytest.mark.long if row.id in LONG else pytest.mark.whole)
        for row in rows(table)
    ]


def named(table: dict[str, tuple[str, World]]) -> dict[str, tuple[str, str, World]]:
    return {name: (name, *row) for name, row in table.items()}


@pytest.mark.parametrize("world", rows(HOLDS))
def test_no_short_trace_breaks_a_promise(world: World) -> None:
    """No order of the first steps of nodes, voters and leases does."""
    result = search(world, SOON)
    assert not result.broken, "\n".join([result.broken, *result.trace])


@pytest.mark.parametrize(("name", "broken", "world"), rows(named({n: r for n, r in FAILS.items() if n not in LONG})))
def test_a_known_bad_rule_has_its_counter_example(name: str, broken: str, world: World) -> None:
    """It is on record, or else a search finds it."""
    found = replay(world, kept().get(name, [])) or search(world).broken
    assert found.startswith(broken)


@pytest.mark.parametrize(("name", "broken", "world"), rows(named({n: r for n, r in LIMITS.items() if n not in LONG})))
def test_a_limit_has_its_counter_example(name: str, broken: str, world: World) -> None:
    """As for a known-bad rule."""
    test_a_known_bad_rule_has_its_counter_example(name, broken, world)


@pytest.mark.parametrize("world", rows({name: world for name, (_, world) in BOUNDED.items()}))
def test_no_short_trace_breaks_a_promise_in_a_large_world(world: World) -> None:
    assert not search(world, SOON).broken


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
