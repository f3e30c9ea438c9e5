"""tests/README.md is a map of all tests, and tests/FOUND.md names tests and schedules that exist."""

import re
from pathlib import Path

import pytest

from tests.simulation import change_schedules, schedules
from tests.support.commands import ROOT

TESTS = ROOT / "tests"
MAP = (TESTS / "README.md").read_text()
FOUND = (TESTS / "FOUND.md").read_text()
LONGEST = 120  # lines: a newcomer reads all of it
COLUMNS = ("unit", "integration", "system")


def test_the_map_is_short() -> None:
    assert len(MAP.splitlines()) <= LONGEST


@pytest.mark.parametrize("column", COLUMNS)
def test_the_map_has_every_test_file_of_a_folder(column: str) -> None:
    """A new file belongs in the row of the promise that it holds."""
    rows = re.findall(r"^\| (?!promise|---).* \|$", MAP.partition("\n| promise |")[2], re.MULTILINE)
    named = [name for row in rows for name in re.split(r",\s*|\s+", row.split("|")[2 + COLUMNS.index(column)].strip())]
    files = {path.stem.removeprefix("test_") for path in (TESTS / column).glob("test_*.py")}
    assert set(named) - {""} == files


def test_what_was_found_names_tests_that_exist() -> None:
    """A renamed test is renamed there as well."""
    named = re.findall(r"`((?:unit|integration|system)/test_\w+\.py)`(?:, `(test_\w+)`)?", FOUND + MAP)
    assert len(named) > 8
    for file, test in named:
        assert not test or f"\ndef {test}(" in Path(TESTS, file).read_text(), f"{file} has not {test}"


def test_what_was_found_names_schedules_that_exist() -> None:
    """Each rule that a schedule holds can be run by the schedule's name."""
    named = {name for row in re.findall(r"schedules? (`\w+`(?:, `\w+`)*)", FOUND) for name in row.split(", ")}
    assert len(named) > 8
    assert named <= {f"`{name}`" for name in schedules.SCHEDULES | change_schedules.SCHEDULES}
