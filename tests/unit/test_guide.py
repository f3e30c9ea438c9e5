"""The guide: each page opens in the same way, is short, and is on the list."""

import re
from pathlib import Path

import pytest

from cronlock.config.options import OPTIONS
from tests.support.doc_pages import FENCE, GUIDE, README, page, pages, table

LONGEST = {
    "how-it-works.md": 300,
    "troubleshooting.md": 300,
    "monitoring.md": 240,
    "crontab.md": 220,
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


@pytest.mark.parametrize("path", [README, *TOPICS], ids=lambda path: path.name)
def test_a_page_is_read_in_one_sitting(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= (250 if path == README else LONGEST.get(path.name, 200))
    prose = FENCE.sub("", text).splitlines()  # what is typed or printed has the length that it has
    assert [line for line in prose if len(line) > 100 and not re.match(r"[|`\[ 0-9]|https?:", line)] == []


@pytest.mark.parametrize("path", TOPICS, ids=lambda path: path.name)
def test_a_page_is_on_the_list(path: Path) -> None:
    assert f"]({path.name})" in page("README.md")


def test_there_are_24_questions_each_with_a_short_answer_and_a_link() -> None:
    """The answer is one to three sentences; the rest is on the page that the link leads to."""
    questions = re.findall(r"^### ([^\n]*)\n(.*?)(?=^##|\Z)", page("questions.md"), re.MULTILINE | re.DOTALL)
    assert len(questions) == 24
    for question, answer in questions:
        assert question.endswith("?")
        assert re.search(r"\]\(\w[\w-]*\.md", answer), question
        sentences = re.split(r"[.?:](?:\s|$)", re.sub(r"\[[^\]]*\]\([^)]*\)", "", FENCE.sub("", answer)))
        assert 1 <= len([sentence for sentence in sentences if re.search(r"\w", sentence)]) <= 4, question


# Each fact in one place

FACTS = {  # a text that nobody writes about anything else: the only page that has it; others link to that page
    r"^\| exit status \| when \|": "/README.md",
    r"ACL SETUSER cronlock on": "redis.md",
    r"a tenth of the period": "running.md",
    r"at least 30 s and at most 1 h": "running.md",
    r"at most a third of the lease": "running.md",
    r"1\.2 s": "turns.md",
    r"^pipx install|^uv tool install": "install.md",
    r"^\| `ssl_check_hostname": "redis.md",
    r"cluster-require-full-coverage no": "servers.md",
    r"^\| variable \| meaning \|": "running.md",
    r"^OnCalendar=": "systemd.md",
    r"^kind: CronJob": "kubernetes.md",
    r"first 1,000 characters": "security.md",
    r"^\| `cronlock_last_success_timestamp_seconds`": "monitoring.md",
}


@pytest.mark.parametrize("fact", FACTS)
def test_a_fact_is_on_one_page(fact: str) -> None:
    found = {path for path in pages() if re.search(fact, path.read_text(), re.MULTILINE)}
    assert found == {README if FACTS[fact] == "/README.md" else GUIDE / FACTS[fact]}


def test_the_limits_have_the_defaults_of_the_options() -> None:
    defaults = {f"--{option.name}": option.default for option in OPTIONS}
    rows = table("limit", "running.md")
    assert len(rows) > 4
    assert [default for _, _, default in rows] == [defaults[option] for _, option, _ in rows]
