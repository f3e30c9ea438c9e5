"""What cronlock imports: the standard library, itself, and what pyproject.toml names."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

from tests.support.commands import ROOT

PACKAGE = ROOT / "cronlock"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NAMED = {word for text in PROJECT["dependencies"] for word in re.findall(r"[a-z]+", re.sub(r">.*", "", text))}


def imported(path: Path) -> Iterator[str]:
    """The modules of every import statement of a file, wherever it stands."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: a relative import"
            yield node.module or ""


def everywhere() -> dict[Path, set[str]]:
    return {path: {name.partition(".")[0] for name in imported(path)} for path in PACKAGE.rglob("*.py")}


def test_nothing_is_imported_but_the_standard_library_and_what_is_named() -> None:
    used = set[str]().union(*everywhere().values())
    assert used - sys.stdlib_module_names - {"cronlock"} == NAMED


def test_a_name_made_up_at_run_time_is_one_of_cronlocks_own() -> None:
    """The test above could not see it."""
    for path in PACKAGE.rglob("*.py"):
        assert not re.search(r"\b__import__\b|\bimport_module\((?!f?\"cronlock\.)", path.read_text()), path


def test_the_classifiers_begin_with_the_oldest_python_that_is_allowed() -> None:
    versions = [text.rpartition(" ")[2] for text in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", text)]
    assert PROJECT["requires-python"] == f">={versions[0]}"
    assert versions == [f"3.{minor}" for minor in range(11, 11 + len(versions))]
