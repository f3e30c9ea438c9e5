"""Every order of events, within bounds: the lock's rules keep their promises, and each known-bad rule is found out."""

import pytest

from tests.model.search import search
from tests.model.tables import FAILS, HOLDS, LIMITS
from tests.model.world import World

pytestmark = pytest.mark.timeout(600)  # s: a row takes up to a minute on a slow machine


@pytest.mark.parametrize("world", HOLDS.values(), ids=HOLDS.keys())
def test_every_promise_holds(world: World) -> None:
    """However the steps of nodes, voters and leases follow each other."""
    result = search(world)
    assert not result.broken, "\n".join([result.broken, *result.trace])
    assert result.exhaustive


@pytest.mark.parametrize(("broken", "world"), FAILS.values(), ids=FAILS.keys())
def test_a_known_bad_rule_is_found_out(broken: str, world: World) -> None:
    """The search sees what it is for."""
    result = search(world)
    assert result.broken.startswith(broken)
    assert result.trace


@pytest.mark.parametrize(("broken", "world"), LIMITS.values(), ids=LIMITS.keys())
def test_what_the_rules_do_not_promise_is_known(broken: str, world: World) -> None:
    """Beyond these bounds the project's own rules fail; a row that holds here would be a promise to make."""
    result = search(world)
    assert result.broken.startswith(broken)
    assert result.trace
