"""What stands around `cronlock run` on a crontab line: cron's shell does that on every node, also where cronlock exits.

cronlock decides about its own command only. On a node where the lock is held or the tick is done it exits with 0, or
with the status of -E, and the shell goes on: behind &&, ; and |, and it has opened the files of a redirection before.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from cronlock.config.options import RUN, scan
from cronlock.cron.parser import DEPTH, takes_script
from cronlock.cron.shell import BLANK, HOLE, REDIRECTIONS, SEPARATORS, Word, blank_end, read_word, redirection_end

SHOWN = 60  # characters of the rest of a line
CURE_MAX = 300  # characters of a line to be copied: a longer one is harder to read than its rule
HARMLESS = frozenset("true : exit logger systemd-cat ts cat wait".split())  # these do nothing, or pass output on
GROUPS = frozenset("( ) { } if then elif else fi while until do done for case esac !".split())


@dataclass
class Part:
    """One simple command with its place in the script, its redirections, and the operator behind it."""

    start: int
    words: list[Word] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)  # of each word
    redirections: list[tuple[str, str]] = field(default_factory=list)  # operator and target
    end: int = 0
    operator: str = ""

    @property
    def texts(self) -> list[str]:
        return [word.text for word in self.words]

    @property
    def call(self) -> int | None:
        """The place of the word behind `cronlock run` in a part that starts it."""
        pairs = enumerate(pairwise(self.texts), 2)
        return next((at for at, (a, b) in pairs if a.rpartition("/")[2] == "cronlock" and b == RUN), None)


def parts_of(script: str) -> list[Part]:
    """Return the simple commands of a script. Raises ValueError as shell.commands does."""
    found = [Part(0)]
    at = 0
    while (at := blank_end(script, at)) < len(script):
        char, part = script[at], found[-1]
        if char in REDIRECTIONS or script.startswith("&>", at):
            at = _add_redirection(script, at, part)
        elif char in SEPARATORS:
            operator = char * 2 if script.startswith(char * 2, at) and char in "&|;" else char
            part.operator = operator
            at += len(operator)
            found.append(Part(at))
        else:
            word, end = read_word(script, at, False)
            if not (script[end : end + 1] in tuple(REDIRECTIONS) and script[at:end].isdigit()):
                part.words.append(word)
                part.starts.append(at)
            at = part.end = end
    return found


def _add_redirection(script: str, at: int, part: Part) -> int:
    end = redirection_end(script, at)
    operator = script[at:end]
    while script[end : end + 1] in tuple(BLANK):
        end += 1
    target = ""
    if script[end : end + 1] != "#":
        word, end = read_word(script, end, False)
        target = word.text
    part.redirections.append((operator, target))
    part.end = end
    return end


def empties(operator: str, target: str) -> bool:
    """Return whether a redirection makes or empties a file."""
    if ">>" in operator or operator[:1] == "<" or target.startswith("/dev/") or not target:
        return False
    return not (operator == ">&" and (target.isdigit() or target == "-"))


def find_rest(script: str, status: int, depth: int = 0) -> tuple[str, str]:
    """Return what every node does of a script that contains `cronlock run`, and the line that does it once.

    `status` is that of a run that is held. The first text is empty when there is no such part, the second one when the
    line has to be rewritten by hand.
    """
    parts = parts_of(script)
    for number, part in enumerate(parts):
        for inner in _scripts_in(part):
            if depth < DEPTH and (rest := find_rest(inner, status, depth + 1))[0]:
                return rest[0], ""
        if part.call is None and not any(_calls_run(inner) for inner in _scripts_in(part)):
            continue
        closing = [other for other in parts[number + 1 :] if other.words and set(other.texts) <= GROUPS]
        opened = [pair for one in (part, *closing) for pair in one.redirections]
        files = [f"{operator} {target}" for operator, target in opened if empties(operator, target)]
        follower = _follower(parts[number:], status)
        if not files and follower is None:
            continue
        shown = script[part.end if follower is None else _before(parts, number, follower) :].strip()
        if follower is None:
            shown = files[0]
        return _shortened(shown), _whole(script, parts, part) if not depth else ""
    return "", ""


def fault_of_rest(script: str, status: int, *, local: bool) -> tuple[str, str]:
    """Return what is wrong with the rest of a line, and what to do; both are empty when nothing is."""
    rest, cure = find_rest(script, status)
    if not rest:
        return "", ""
    where = "even when" if local else "on every node, even where"
    todo = f"write {cure}" if cure and "%" not in cure else "put it into one shell behind cronlock: -- sh -c '...'"
    return f"{rest} takes effect {where} cronlock does not run the command", todo


def _scripts_in(part: Part) -> Iterator[str]:
    awaited = False
    for word in part.words:
        if word.text[:1] == "-":
            awaited = awaited or takes_script(word.text)
            if word.text.startswith("--command="):
                yield word.text.partition("=")[2]
        elif awaited:
            awaited = False
            yield word.text
        yield from word.inner


def _calls_run(script: str, depth: int = 0) -> bool:
    if depth > DEPTH or "cronlock" not in script:
        return False
    try:
        parts = parts_of(script)
    except ValueError:
        return False
    inner = (script for part in parts for script in _scripts_in(part))
    return any(part.call is not None for part in parts) or any(_calls_run(script, depth + 1) for script in inner)


def _follower(parts: list[Part], status: int) -> int | None:
    """Return the index of the first command behind parts[0] that a node with this status of cronlock starts."""
    operator = parts[0].operator
    for index, part in enumerate(parts[1:], 1):
        words = [text for text in part.texts if text not in GROUPS]
        runs = {"&&": not status, "||": bool(status)}.get(operator, True)
        if words and runs:
            own = part.call is not None or any(map(_calls_run, _scripts_in(part)))
            if own or words[0] == "exit":
                return None
            if words[0] not in HARMLESS:
                return index
        if not words and not part.operator:
            return None
        operator = part.operator if words or part.operator not in SEPARATORS else operator
    return None


def _before(parts: list[Part], number: int, follower: int) -> int:
    """Return the place of the operator in front of a following command."""
    return parts[number + follower].start - len(parts[number + follower - 1].operator)


def _whole(script: str, parts: list[Part], part: Part) -> str:
    """Return the line with everything behind cronlock's options in one shell; empty where that is not enough."""
    call = part.call
    if call is None or any(set(other.texts) & GROUPS or other.operator in ("(", ")", "&") for other in parts):
        return ""
    scanned = scan([word.shape.replace(HOLE, "1") for word in part.words[call:]])
    if not scanned:
        return ""
    start = part.starts[len(part.starts) - len(scanned[1])]
    inside = script[start:].strip()
    if inside.startswith(("sh -c ", "/bin/sh -c ", "bash -c ", "/bin/bash -c ")) or len(script) > CURE_MAX:
        return ""
    quoted = inside.replace("'", "'\\''")
    front = script[:start]
    return f"{front}sh -c '{quoted}'" if front.rstrip().endswith("--") else f"{front}-- sh -c '{quoted}'"


def _shortened(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
