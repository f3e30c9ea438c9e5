"""What cronlock imports: the standard library, itself, and what pyproject.toml names."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

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


# Lowest first: a unit imports only units that stand before it. The table of options is a unit of its own, since a
# started command's environment (process/) and the lines of a crontab (cron/) depend on it.
LAYERS = (
    "config.options errors messages process files lock servers config cron run survey output commands cli __main__"
).split()
PLACES = {  # the packages that may import a library; the rights and the INFO that check reads come from redis-py
    "click": {"cli"},
    "rich": {"output"},
    "redis": {"survey", "commands.check"},
    "hiredis": {"servers"},
    "cronsim": {"cron"},
}


def everywhere() -> dict[Path, set[str]]:
    return {path: {name.partition(".")[0] for name in imported(path)} for path in PACKAGE.rglob("*.py")}


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")


def unit_of(module: str) -> str:
    return module if module in LAYERS else module.partition(".")[0]


def imports_at_run_time() -> dict[str, set[str]]:
    """The modules of cronlock that each module imports, also inside functions, but not those for types alone."""
    modules = {module_of(path): path for path in PACKAGE.rglob("*.py")}
    found: dict[str, set[str]] = {}
    for module, path in modules.items():
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
                node.body = []
        names = {
            f"{node.module}.{alias.name}".removeprefix("cronlock.")
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "cronlock"
            for alias in node.names
        }
        names = {name if name in modules else name.rpartition(".")[0] for name in names}
        found[module] = {name for name in names if name in modules} - {module, "__init__"}
    return found


def test_a_package_imports_only_packages_below_it() -> None:
    graph = imports_at_run_time()
    assert len(graph) > 100
    assert sum(map(len, graph.values())) > 400
    upwards = {
        (module, imported)
        for module, names in graph.items()
        for imported in names
        if unit_of(module) != unit_of(imported) and LAYERS.index(unit_of(module)) < LAYERS.index(unit_of(imported))
    }
    assert not upwards


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = imports_at_run_time()
    while leaves := {module for module, names in graph.items() if not names & set(graph)}:
        graph = {module: names for module, names in graph.items() if module not in leaves}
    assert not graph


@pytest.mark.parametrize("library", PLACES)
def test_a_library_is_imported_in_its_place_only(library: str) -> None:
    users = {module_of(path) for path, names in everywhere().items() if library in names}
    assert users
    assert all(any(user.startswith(f"{place}.") for place in PLACES[library]) for user in users), users


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
