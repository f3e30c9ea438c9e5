"""Reading README and the guide, the pages that are written in Markdown."""

import re
from pathlib import Path

from tests.support.commands import ROOT

README = ROOT / "README.md"
GUIDE = ROOT / "man" / "guide"
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def pages() -> list[Path]:
    """Return README and the pages of the guide, in alphabetical order."""
    return [README, *sorted(GUIDE.glob("*.md"))]


def linked_pages() -> list[Path]:
    """Return the pages whose links are checked: also those for people who change cronlock."""
    tests = sorted((ROOT / "tests").rglob("*.md"))
    return [*pages(), ROOT / "CHANGELOG.md", *sorted((ROOT / ".github").glob("*.md")), *tests]


def page(name: str) -> str:
    """Return the text of the guide's page `name`, such as "turns.md", or of README for "/README.md"."""
    return README.read_text() if name == "/README.md" else (GUIDE / name).read_text()


def blocks(kind: str, *names: str) -> list[str]:
    """Return the fenced blocks of one kind on these pages, by default on all; what two pages show counts once."""
    texts = [page(name) for name in names] or [path.read_text() for path in pages()]
    return list(dict.fromkeys(block for text in texts for found, block in FENCE.findall(text) if found == kind))


def commands(*names: str) -> list[str]:
    """Return the lines of the `sh` blocks."""
    return [line for block in blocks("sh", *names) for line in block.splitlines()]


def table(first: str, *names: str) -> list[tuple[str, ...]]:
    """Return the rows of the only table whose first column has this title, without markup."""
    texts = [page(name) for name in names] or [path.read_text() for path in pages()]
    pattern = re.compile(rf"^\| {re.escape(first)} \|.*\n\|[-|: ]+\|\n((?:\|.*\n)+)", re.MULTILINE)
    [rows] = dict.fromkeys(rows for text in texts for rows in pattern.findall(text))
    return [tuple(cell.strip().replace("`", "") for cell in row.split("|")[1:-1]) for row in rows.splitlines()]


def section(text: str, title: str) -> str:
    """Return the part of a page below a heading of the second level."""
    [_, below] = re.split(rf"^## {re.escape(title)}\n", text, flags=re.MULTILINE)
    return below.partition("\n## ")[0]


def settings_example() -> str:
    """Return the whole settings file that the pages show, the one with a table for a key."""
    [text] = [text for text in blocks("toml") if "[keys." in text]
    return text


def slug(heading: str) -> str:
    """Return the anchor that GitHub gives to a heading."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def anchors(text: str) -> set[str]:
    """Return the anchors of a page; code in fences has no headings."""
    return {slug(heading) for heading in re.findall(r"^#+ (.*)$", FENCE.sub("", text), re.MULTILINE)}


def links(text: str) -> list[tuple[str, str]]:
    """Return path and anchor of each link that leads to a page or a file of the project."""
    found = re.findall(r"\]\((?!\w+:)([^)#\s]*)(?:#([^)\s]*))?\)", FENCE.sub("", text))
    return [(path, anchor) for path, anchor in found]
