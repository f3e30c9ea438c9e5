"""Imports of cronlock: which way they run, and where each third-party package is used.

Every import statement counts, wherever it stands: inside a function, and for type checkers alone.
"""

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


LAYERS = (  # each may import those below it, and modules of its own
    ("__main__",),
    ("cli",),
    ("commands",),
    ("output",),
    ("survey",),
    ("run",),
    ("servers",),
    ("cron", "lock"),
    ("process",),
    ("config",),
    ("messages",),
    ("files",),
    ("errors",),
)
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
CAGES = {  # the folders in which a third-party package may be imported
    "click": {"cli"},
    "cronsim": {"cron"},
    "hiredis": {"servers"},
    "redis": {"survey", "commands/check"},
    "rich": {"output"},
}


def module_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def graph() -> dict[str, set[str]]:
    """For each module of cronlock, the modules of cronlock that it imports."""
    files = {module_of(path): path for path in PACKAGE.rglob("*.py")}
    arrows: dict[str, set[str]] = {}
    for module, path in files.items():
        found = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                inner = [f"{node.module}.{alias.name}" for alias in node.names]
                found |= {name if name in files else node.module for name in inner}
            elif isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
        arrows[module] = {name for name in found if name in files} - {module, "cronlock"}
    return arrows


def package_of(module: str) -> str:
    return module.split(".")[1]


def test_imports_run_one_way_between_packages() -> None:
    wrong = [
        f"{module} imports {other}"
        for module, others in graph().items()
        for other in sorted(others)
        if module != "cronlock"
        and package_of(module) != package_of(other)
        and LEVEL[package_of(module)] >= LEVEL[package_of(other)]
    ]
    assert wrong == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Modules that import nothing, or that nothing imports, are taken away, again and again: the rest is a circle."""
    left = graph()
    assert len(left) > 100
    while True:
        targets = set[str]().union(*left.values())
        free = [module for module, others in left.items() if not others & left.keys() or module not in targets]
        if not free:
            break
        for module in free:
            del left[module]
        left = {module: others & left.keys() for module, others in left.items()}
    assert left == {}


def test_each_third_party_package_is_imported_in_one_place() -> None:
    wrong = [
        f"{path.relative_to(PACKAGE)} imports {name}"
        for path in PACKAGE.rglob("*.py")
        for name in sorted({name.partition(".")[0] for name in imported(path)} & CAGES.keys())
        if not any(path.is_relative_to(PACKAGE / folder) for folder in CAGES[name])
    ]
    assert wrong == []


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
