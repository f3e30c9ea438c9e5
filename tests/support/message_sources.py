"""The texts in cronlock's source from which messages are made, and the messages that the guide explains."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.support.commands import ROOT
from tests.support.doc_pages import page

PAGE = "troubleshooting.md"
OF_A_RUN = ("run", "lock", "servers", "config", "cron", "process", "messages.py", "files.py")
OTHER_COMMANDS = {"command_options.py", "adoption.py"}  # in these packages, but not used by `run`
Pieces = tuple[str, ...]  # the text around the holes of an f-string


def explained() -> list[str]:
    """Return the messages and reasons in the tables of the page; a word in angle brackets varies."""
    cells = re.findall(r"^\| (`.*?`) \|", page(PAGE), re.MULTILINE)
    return [message for cell in cells for message in re.findall(r"`([^`]+)`", cell)]


def pattern(message: str) -> str:
    """Return a regular expression for a message of the page; flags may be missing."""
    varying = ".+".join(map(re.escape, re.split(r"<[^>]+>", message.replace(" <flags>", "<>"))))
    return varying.replace("<>", "(?: .+)?")


def texts_of_a_run() -> Iterator[tuple[str, Pieces]]:
    """Yield each text, with its file and line, that a message of `cronlock run` may be made of."""
    for name in OF_A_RUN:
        path = ROOT / "cronlock" / name
        for file in [path] if path.is_file() else sorted(path.rglob("*.py")):
            if file.name not in OTHER_COMMANDS:
                yield from texts(file)


def texts(file: Path) -> Iterator[tuple[str, Pieces]]:
    """Yield the texts of a module, but for docstrings, annotations, help, and lists of words."""
    tree = ast.parse(file.read_text())
    skipped = {id(part) for node in ast.walk(tree) for part in _without_messages(node)}
    place = file.relative_to(ROOT)

    def visit(node: ast.AST) -> Iterator[tuple[str, Pieces]]:
        if id(node) in skipped:
            return
        pieces = _pieces(node)
        if pieces:
            yield f"{place}:{getattr(node, 'lineno', 0)}", pieces
        for inner in _inner(node) if pieces else ast.iter_child_nodes(node):
            yield from visit(inner)

    yield from visit(tree)


def _without_messages(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the parts of a node whose texts are in no message."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        yield node  # a docstring
    if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
        yield node
    if isinstance(node, ast.arg | ast.AnnAssign) and node.annotation:
        yield node.annotation
    if isinstance(node, ast.FunctionDef) and node.returns:
        yield node.returns
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Option":
        yield node
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "split":
        yield node.func


def _pieces(node: ast.AST) -> Pieces | None:
    """Return the pieces of a text; None for a node that is not a text."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return (node.value,)
    if isinstance(node, ast.JoinedStr):
        found = [""]
        for part in node.values:
            if isinstance(part, ast.Constant):
                found[-1] += str(part.value)
            else:
                found.append("")
        return tuple(found)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = _pieces(node.left), _pieces(node.right)
        if left and right:
            return (*left[:-1], left[-1] + right[0], *right[1:])
    return None


def _inner(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the expressions in the holes of a text, which may have texts of their own."""
    if isinstance(node, ast.BinOp):
        yield from _inner(node.left)
        yield from _inner(node.right)
    elif isinstance(node, ast.JoinedStr):
        yield from (part.value for part in node.values if isinstance(part, ast.FormattedValue))
