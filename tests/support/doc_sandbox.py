"""Everything in README, the guide, the man pages and crontab.example that a reader may type or put into a crontab."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from cronlock.cron.parser import DEBIAN, assignment, rows
from tests.support.commands import ROOT
from tests.support.doc_blocks import plain
from tests.support.doc_pages import FENCE, pages

MAN_PAGES = ("man/cronlock.1", "man/cronlock.toml.5")
EXAMPLE = "crontab.example"
PROMPT = re.compile(r"^([a-z][\w-]*)?\$ (.*)$")
TYPED = "typed"  # one after the other, in one shell session
CRON = "cron"  # by cron, in a crontab with these variables
RUNBOOK = "runbook"  # the same, in trouble that has to be made first: below a heading of this name
SETTING = "setting"  # of Redis, name and value
OTHER = "other"  # a file or a text of another program: somebody else's test reads it
OF_REDIS = re.compile(r"(append|maxmemory|min-replicas|cluster-require|repl-)[a-z-]* \S+")
OWN = re.compile(r"^cronlock |CRONLOCK_COMPLETE=")  # a line to be typed, where no line has a prompt
CONSOLE = re.compile(r"^```\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Command:
    """One line. `node` is the machine that the prompt names, `output` what stands below it."""

    text: str
    node: str = ""
    output: str = ""


@dataclass(frozen=True)
class Block:
    """One block of a page. `text` is that of a crontab or of another program's file."""

    place: str
    kind: str
    text: str
    commands: tuple[Command, ...] = ()


MESSAGES = "troubleshooting.md"


def blocks() -> list[Block]:
    """Return all of them, page by page; what several pages show comes once."""
    found = [*_markdown(), *_man_pages(), Block(EXAMPLE, CRON, (ROOT / EXAMPLE).read_text())]
    return list({(block.kind, block.text): block for block in reversed(found)}.values())[::-1]


def prompted(text: str) -> Iterator[Command]:
    """The lines behind a prompt, with what they print."""
    node, typed, output = "", "", ""
    for line in text.splitlines():
        if prompt := PROMPT.match(line):
            if typed:
                yield Command(typed, node, output)
            node, typed, output = prompt[1] or "", prompt[2], ""
        elif typed:
            output += line + "\n"
    if typed:
        yield Command(typed, node, output)


def _fenced(kind: str, text: str, place: str) -> Block:
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    if kind == "sh" and "<<" in text:  # a script as a whole
        return Block(place, OTHER, text)
    if kind == "sh":
        return Block(place, TYPED, text, tuple(map(Command, lines)))
    if kind == "crontab":
        return Block(place, CRON, text)
    if kind:
        return Block(place, OTHER, text)
    typed = tuple(prompted(text)) or tuple(Command(line) for line in lines if OWN.search(line))
    return Block(place, TYPED if typed else OTHER, text, typed)


def _markdown() -> Iterator[Block]:
    for path in pages():
        yield from _page(path.read_text(), str(path.relative_to(ROOT)))


def _page(text: str, name: str) -> Iterator[Block]:
    start = text.find("\n## Runbook\n")
    end = text.find("\n## ", start + 1)
    runbook = range(start, end if end > 0 else len(text)) if start > 0 else ()
    for found in FENCE.finditer(text):
        if found[1] == "text":  # a diagram, or what a program prints
            continue
        block = _fenced(found[1], found[2], f"{name}:{text.count(chr(10), 0, found.start()) + 1}")
        yield replace(block, kind=RUNBOOK) if found.start() in runbook else block
    prose = FENCE.sub("", text)
    if name.endswith(MESSAGES):  # its tables begin with what cronlock prints
        prose = re.sub(r"^\| `.*?` \|", "|", prose, flags=re.MULTILINE)
    spans = re.findall(r"`([^`]+)`", prose)
    for span in dict.fromkeys(" ".join(span.split()) for span in spans):
        if " " in span and not span.startswith(("-", "|")):
            kind = SETTING if OF_REDIS.fullmatch(span) else TYPED
            yield Block(f"{name}: a span", kind, span, (Command(span),))


def _man_pages() -> Iterator[Block]:
    for page in MAN_PAGES:
        for text in re.findall(r"^\.EX\n(.*?)^\.EE", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL):
            example = plain(text)
            if list(rows(example, True, DEBIAN)) and re.match(r"[@\d*]", example):
                yield Block(page, CRON, example)
            else:
                yield _fenced("", example, page)


def crontab(block: Block) -> tuple[str, bool]:
    """The text as cron reads it, and whether it has a user column: who shows no PATH says where it has to be."""
    system = bool(re.search(r"^\S.* root\s+\S", block.text, re.MULTILINE))
    paths = [row for row in block.text.splitlines() if row and (assignment(row) or ("",))[0] == "PATH"]
    return ("" if paths else "PATH=/usr/local/bin:/usr/bin:/bin\n") + block.text, system
