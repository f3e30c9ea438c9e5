"""tests/README.md: the tests and schedules that it names exist."""

import re
from pathlib import Path

from tests.simulation import change_schedules, schedules
from tests.support.commands import ROOT

TESTS = ROOT / "tests"
OVERVIEW = (TESTS / "README.md").read_text()


def test_the_overview_names_tests_that_exist() -> None:
    """A renamed test is renamed there as well."""
    named = re.findall(r"`((?:unit|integration|system)/test_\w+\.py)`(?:, `(test_\w+)`)?", OVERVIEW)
    assert len(named) > 8
    for file, test in named:
        assert not test or f"\ndef {test}(" in Path(TESTS, file).read_text(), f"{file} has not {test}"


def test_the_overview_names_schedules_that_exist() -> None:
    """Each rule that a schedule holds can be run by the schedule's name."""
    named = {name for row in re.findall(r"schedules? (`\w+`(?:, `\w+`)*)", OVERVIEW) for name in row.split(", ")}
    assert len(named) > 8
    assert named <= {f"`{name}`" for name in schedules.SCHEDULES | change_schedules.SCHEDULES}
