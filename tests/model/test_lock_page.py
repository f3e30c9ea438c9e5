"""The guide's page on the lock names the rows of the models and the schedules of the simulation, and no others."""

import re

from tests.model.tables import FAILS, LIMITS
from tests.simulation import change_schedules, schedules
from tests.support.commands import ROOT

PAGE = ROOT / "man" / "guide" / "how-it-works.md"
VARIANT = "the same"  # begins the name of a row that repeats the one above in another world


def named(column: str) -> list[str]:
    """Return what the last column of the page's tables with this title names."""
    tables = re.findall(rf"^\|[^\n]*\| {column} \|\n\|[-|]+\|\n((?:\|.*\n)+)", PAGE.read_text(), re.MULTILINE)
    cells = [row.rstrip().rstrip("|").rpartition("|")[2] for table in tables for row in table.splitlines()]
    return [name.strip() for cell in cells for name in cell.split(";")]


def test_the_page_names_each_rule_that_a_model_holds_once() -> None:
    assert sorted(named("row")) == sorted(name for name in FAILS if not name.startswith(VARIANT))


def test_the_page_names_each_limit_once() -> None:
    assert sorted(named("rows")) == sorted(LIMITS)


def test_the_page_names_schedules_that_exist() -> None:
    names = named("schedule")
    assert set(change_schedules.SCHEDULES) < set(names)
    assert set(names) <= {*change_schedules.SCHEDULES, *schedules.SCHEDULES}
