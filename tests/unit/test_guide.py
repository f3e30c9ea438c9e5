"""The guide: each page opens in the same way, is short, and is on the list."""

import re
from pathlib import Path

import pytest

from tests.support.doc_pages import FENCE, GUIDE, page

LONGEST = {
    "how-it-works.md": 300,
    "troubleshooting.md": 300,
    "monitoring.md": 240,
}  # lines: what a reader goes through in one sitting
TOPICS = sorted(path for path in GUIDE.glob("*.md") if path.name != "README.md")


@pytest.mark.parametrize("path", TOPICS, ids=lambda path: path.name)
def test_a_page_opens_with_the_term_it_defines_and_one_example(path: Path) -> None:
    """Title, a paragraph that defines a term in bold, and a block of code before the first heading."""
    title, _, body = path.read_text().partition("\n")
    assert re.fullmatch(r"# [A-Z].*", title)
    opening = body.partition("\n## ")[0]
    first = opening.strip().partition("\n\n")[0]
    assert re.match(r"[^.]*?\*\*.+?\*\*", first.replace("\n", " ")), f"no term in the first sentence: {first}"
    assert len(FENCE.findall(opening)) >= 1


@pytest.mark.parametrize("path", TOPICS, ids=lambda path: path.name)
def test_a_page_is_read_in_one_sitting(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= LONGEST.get(path.name, 200)
    prose = FENCE.sub("", text).splitlines()  # what is typed or printed has the length that it has
    assert [line for line in prose if len(line) > 100 and not re.match(r"[|`\[ 0-9]|https?:", line)] == []


@pytest.mark.parametrize("path", TOPICS, ids=lambda path: path.name)
def test_a_page_is_on_the_list(path: Path) -> None:
    assert f"]({path.name})" in page("README.md")
