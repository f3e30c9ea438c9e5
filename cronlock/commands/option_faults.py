"""The first fault in the options of a `cronlock run` on a crontab line, in the words of the program's own refusal."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

from cronlock.commands.row_faults import is_field
from cronlock.config.options import BY_FLAG, RUN, Option, scan
from cronlock.cron.shell import HOLE, Word

DASHES = "\N{EN DASH}\N{EM DASH}\N{MINUS SIGN}"  # word processors and web pages write them in place of --
HELP = ("-h", "--help")
FLAGS = [flag for flag, option in BY_FLAG.items() if RUN in option.commands]
DEFAULT_FILLING = "1"  # in the place of an expansion: a number, a duration and a name


def option_fault(words: Sequence[Word]) -> str:
    """Return what is wrong with the words behind `cronlock run`, and what to do; empty when nothing is."""
    filled = [word.shape.replace(HOLE, DEFAULT_FILLING) for word in words]
    at = 0
    while at < len(words) and words[at].text[:1] == "-" and words[at].text != "-":
        text = words[at].text
        if text in HELP:
            return ""
        at += 1
        if text == "--":
            break
        wanted, fault = _judge(text, words[at].text if at < len(words) else None, HOLE in words[at - 1].shape)
        if fault:
            return fault
        at += wanted
    if at >= len(words):
        return "the command is missing: write it after the options"
    if words[at].text[0:1] and words[at].text[0] in DASHES:
        return f"{words[at].text} begins with a long dash: write --{words[at].text.lstrip(DASHES + '-')}"
    schedule = words[at - 1].text
    if schedule and at > 1 and words[at - 2].text == "--schedule" and is_field(schedule) and is_field(words[at].text):
        return "the schedule behind --schedule is not quoted: write it in quotes"
    return "" if scan(filled) else "cronlock can't parse its options: run its command by hand to see why"


def _judge(text: str, following: str | None, expands: bool) -> tuple[int, str]:
    """Return how many words behind this option belong to it, and what is wrong with it."""
    if text[1] == "-":
        flag, given, value = text.partition("=")
    else:
        flag, given, value = text[:2], text[2:], text[2:]
    option = BY_FLAG.get(flag)
    if not option:
        near = get_close_matches(flag, FLAGS, 1, 0.5)
        if text[1] != "-" and f"-{text}" in BY_FLAG:
            near = [f"-{text}"]
        return 0, f"no such option {flag if text[1] == '-' else text}" + (f": did you mean {near[0]}?" if near else "")
    if not option.parse:
        return _judge_switch(text, given, option)
    if not given and following is None:
        return 0, f"{flag} needs a value: write {flag} {option.metavar}"
    return (0 if given else 1), _value_fault(option, flag, value if given else following or "", expands)


def _judge_switch(text: str, given: str, option: Option) -> tuple[int, str]:
    """Return 0 and the fault of an option that takes no value: alone, or before others as in -vq."""
    if not given:
        return 0, ""
    if text[1] == "-":
        return 0, f"{option.flags[-1]} takes no value"
    if f"-{text}" in BY_FLAG:
        return 0, f"no such option {text}: did you mean -{text}?"
    return _judge("-" + given, None, False)


def _value_fault(option: Option, flag: str, value: str, expands: bool) -> str:
    if expands or "$" in value or "`" in value or not option.parse:
        return ""
    try:
        option.parse(value)
    except ValueError as error:
        return f"{flag}: {error}"
    return ""
