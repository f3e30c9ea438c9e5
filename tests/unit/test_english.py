"""The language and the shape of cronlock's code: words that have to be read twice, and what has grown too long."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.support.commands import ROOT

PACKAGE = ROOT / "cronlock"
TREES = {path: ast.parse(path.read_text()) for path in sorted(PACKAGE.rglob("*.py"))}
IS_NO = re.compile(r"\b(?:is|are|was|were|be) no (?!longer\b)", re.IGNORECASE)
QUESTION = re.compile(r"\s*(?:What|Whether|Who|Whom|Whose|Where|How|Why|Which)\b")
VAGUE = re.compile(r"(?<![a-zA-Z])(?:tells?|told|stands|nobody|somebody|whoever)(?![a-zA-Z])", re.IGNORECASE)
FUNCTION_MAX, FILE_MAX = 40, 320  # lines


def places(pattern: re.Pattern[str]) -> list[str]:
    """Where a pattern occurs in cronlock's sources, and in the scripts for Redis."""
    return [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in sorted([*TREES, *PACKAGE.rglob("*.lua")])
        for number, line in enumerate(path.read_text().splitlines(), 1)
        for _ in pattern.findall(line)
    ]


def docstrings(trees: dict[Path, ast.Module]) -> Iterator[tuple[str, str]]:
    for path, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                text = ast.get_docstring(node)
                if text:
                    yield f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}", text


def test_what_is_not_something_is_said_with_not() -> None:
    """ "is not a", never "is no"."""
    assert len(places(IS_NO)) <= 4, places(IS_NO)


def test_a_docstring_begins_with_what_the_thing_does() -> None:
    questions = [f"{place}: {text.splitlines()[0]}" for place, text in docstrings(TREES) if QUESTION.match(text)]
    assert len(questions) <= 15, questions


def test_a_helper_of_tests_says_what_it_does() -> None:
    """A contributor reads tests/support first."""
    files = [*sorted((ROOT / "tests/support").rglob("*.py")), *sorted((ROOT / "tests").glob("conftest.py"))]
    trees = {path: ast.parse(path.read_text()) for path in files}
    assert [f"{place}: {text.splitlines()[0]}" for place, text in docstrings(trees) if QUESTION.match(text)] == []


def test_words_that_name_nothing_are_rare() -> None:
    assert len(places(VAGUE)) <= 60, places(VAGUE)


def test_functions_are_short() -> None:
    long = [
        f"{path.relative_to(ROOT)}:{node.lineno}: {node.name}, {node.end_lineno - node.lineno + 1} lines"
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.end_lineno and node.end_lineno - node.lineno >= FUNCTION_MAX
    ]
    assert long == []


def test_files_are_short() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in TREES}
    assert {name: length for name, length in lengths.items() if length > FILE_MAX} == {}
