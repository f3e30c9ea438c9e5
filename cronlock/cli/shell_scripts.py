"""Completion in bash, zsh and fish: the line that a shell's script sends, and the answers that it reads.

A script (output/completion_scripts.py) sends the command line up to the cursor, as it was typed, in COMP_LINE. It
reads one answer a line: the kind, the word and an explanation, separated by tabs. click's own scripts fail on three
points: keys with colons, which bash splits into several words; `--option=value` in zsh and fish; and explanations with
commas in fish.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from cronlock.cron.shell import commands

CURSOR = "\1"  # marks the cursor's position: a character that is never typed


@dataclass
class CommandLine:
    """A command line up to the cursor: the words before, the word at the cursor, and the quote open in it."""

    words: list[str]
    word: str
    quote: str


def parse_line(text: str) -> CommandLine:
    """Return the line in a text, without the name of the command."""
    words, quote = _split(text)
    return CommandLine(words[1:-1], words[-1] if len(words) > 1 else "", quote)


def _split(text: str) -> tuple[list[str], str]:
    """Return the words of a text and the quote that is open; the last word may be empty or incomplete.

    When the cursor is outside every word, for example in a comment, the last word is CURSOR: no answer begins with it.
    """
    for quote in ("", '"', "'"):
        with suppress(ValueError):  # another quote is open
            words = [word.text for word in commands(text + CURSOR + quote)[-1]]
            if words and words[-1].endswith(CURSOR):
                return [*words[:-1], words[-1][: -len(CURSOR)]], quote
    return ["", CURSOR], ""


def answer_line(
    shell: str, line: CommandLine, environ: Mapping[str, str], kind: str, word: str, help: str
) -> str | None:
    """Return the line that the script reads; None when bash can't have the word typed in the open quote."""
    if kind != "plain":
        return kind
    if shell == "bash":
        replaced = _split(f"_{line.quote}{environ.get('COMP_WORD', '')}")[0][-1][1:]  # a colon, for one, begins a word
        quoted = _quoted_for_bash(word[len(line.word) - len(replaced) :], line.quote)
        return None if quoted is None else f"{kind}\t{quoted}"
    if shell == "zsh":
        word = re.sub(r"([\\:])", r"\\\1", word)  # _describe ends the word at a colon
    return f"{kind}\t{word}\t{help}"


def _quoted_for_bash(word: str, quote: str) -> str | None:
    """Return a word as it has to be typed in bash after an open quote; None when that is impossible."""
    if quote == "'":
        return None if "'" in word else word
    if quote == '"':
        return None if "!" in word else re.sub(r'(["$`\\])', r"\\\1", word)
    return re.sub(r"([^\w%+,./:=@^-])", r"\\\1", word)
