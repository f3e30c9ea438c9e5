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


def test_there_are_twenty_questions_each_with_a_short_answer_and_a_link() -> None:
    """The answer is one to three sentences; the rest is on the page that the link leads to."""
    questions = re.findall(r"^### ([^\n]*)\n(.*?)(?=^##|\Z)", page("questions.md"), re.MULTILINE | re.DOTALL)
    assert len(questions) == 20
    for question, answer in questions:
        assert question.endswith("?")
        assert re.search(r"\]\(\w[\w-]*\.md", answer), question
        sentences = re.split(r"[.?:](?:\s|$)", re.sub(r"\[[^\]]*\]\([^)]*\)", "", FENCE.sub("", answer)))
        assert 1 <= len([sentence for sentence in sentences if re.search(r"\w", sentence)]) <= 4, question
