"""Reading the man pages: what a reader sees of roff, and in which fonts."""

import itertools
import re
from pathlib import Path

from tests.support.commands import ROOT

MAN_PAGE = ROOT / "man" / "cronlock.1"
SETTINGS_PAGE = ROOT / "man" / "cronlock.toml.5"
ESCAPES = {r"\-": "-", r"\(aq": "'", r"\(dq": '"', r"\(ti": "~", r"\&": "", r"\e": "\\"}


def plain(text: str) -> str:
    """Roff text without its escapes."""
    text = re.sub(r"\\f[BIR]", "", text)
    for escape, meaning in ESCAPES.items():
        text = text.replace(escape, meaning)
    return text


def pieces(line: str) -> list[tuple[str, str]]:
    """Font and text of the parts of one roff line: .BI and the like alternate."""
    macro = re.match(r"\.([BIR]{1,2}) +(.*)", line)
    if not macro:
        return [("R", plain(line))]
    words = [plain(word) for word in re.findall(r'"([^"]*)"|(\S+)', macro[2]) for word in word if word]
    if len(macro[1]) == 1:
        return [(macro[1], " ".join(words))]
    return list(zip(itertools.cycle(macro[1]), words, strict=False))


def text_of(line: str) -> str:
    return "".join(text for _, text in pieces(line))


def section(name: str, page: Path = MAN_PAGE) -> str:
    """The roff text of a section of a page."""
    found = re.search(rf'^\.SH "?{re.escape(name)}"?\n(.*?)(?=^\.SH|\Z)', page.read_text(), re.MULTILINE | re.DOTALL)
    assert found, f"{page} has no section {name}"
    return found[1]


def entries(roff: str) -> list[tuple[str, str]]:
    """The headers of a section's list as roff lines, each with the plain text below it."""
    found = re.findall(r"^\.TP\n(.*)\n((?:(?!\.TP|\.SS|\.PP|\.SH).*\n)*)", roff, re.MULTILINE)
    return [(header, " ".join(text_of(line) for line in body.splitlines())) for header, body in found]


def flags_in(text: str) -> set[str]:
    """The long options that are named, but for those of the commands behind a --."""
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", re.sub(r" -- .*", "", text)))
