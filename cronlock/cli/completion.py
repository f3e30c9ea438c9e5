"""Completion at a shell's prompt: the scripts, the line that they send, the answers that they read, and the keys.

A script sends the command line up to the cursor as it was typed, in COMP_LINE, and reads one answer a line: its kind,
the word and an explanation, with tabs between. click's own scripts would do but for keys with colons, which bash takes
for several words, `--option=value` in zsh and fish, and texts with commas in fish.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from threading import Thread
from typing import Any

from cronlock.config.settings import load
from cronlock.cron.shell import commands

LOOK = 1.0  # s: somebody who pressed Tab waits
HERE = "\1"  # stands for the cursor; nobody types it

BASH = r"""_cronlock_completion() {
    local kind word
    COMPREPLY=()
    while IFS=$'\t' read -r kind word; do
        case $kind in
            plain) COMPREPLY+=("$word") ;;
            file) compopt -o default ;;
            command)
                compopt -o default
                [[ $2 == */* ]] || mapfile -t COMPREPLY < <(compgen -c -- "$2") ;;
        esac
    done < <(env COMP_LINE="${COMP_LINE:0:COMP_POINT}" COMP_WORD="$2" _CRONLOCK_COMPLETE=bash_complete "$1" 2>/dev/null)
}
complete -F _cronlock_completion cronlock
"""
ZSH = r"""_cronlock_completion() {
    local answer line="${(j: :)words[1,CURRENT-1]} $QIPREFIX$PREFIX"
    local -a parts found
    for answer in ${(f)"$(env COMP_LINE=$line _CRONLOCK_COMPLETE=zsh_complete $words[1] 2>/dev/null)"}; do
        parts=("${(@ps:\t:)answer}")
        case $parts[1] in
            plain) found+=("$parts[2]${parts[3]:+:$parts[3]}") ;;
            file) compset -P '--[a-z-]#='; _files ;;
            command) _command_names -e ;;
        esac
    done
    (( $#found )) && _describe cronlock found
}
compdef _cronlock_completion cronlock
"""
FISH = r"""function _cronlock_completion
    set -l line (commandline -cp | string join ' ')
    for answer in (env COMP_LINE=$line _CRONLOCK_COMPLETE=fish_complete cronlock 2>/dev/null)
        set -l parts (string split \t -- $answer)
        switch $parts[1]
            case plain
                printf '%s\t%s\n' $parts[2] $parts[3]
            case file
                set -l option (string match -r -- '^--[a-z-]+=' (commandline -ct))
                string join \n -- "$option"(__fish_complete_path (string replace -- "$option" '' (commandline -ct)))
            case command
                complete -C (commandline -ct)
        end
    end
end
complete -c cronlock -f -a '(_cronlock_completion)'
"""
SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}


@dataclass
class Line:
    """A command line up to the cursor: the words before, the one that the cursor is in, and the quote open there."""

    words: list[str]
    word: str
    quote: str


def read(text: str) -> Line:
    """The line in a text, behind the name of the command."""
    words, quote = _split(text)
    return Line(words[1:-1], words[-1] if len(words) > 1 else "", quote)


def _split(text: str) -> tuple[list[str], str]:
    """The words of a text, the last of which may be empty or not ended yet, and the quote that is open.

    Where the cursor is in no word, in a comment say, the last one is HERE, which no answer begins with.
    """
    for quote in ("", '"', "'"):
        with suppress(ValueError):  # it is another one
            words = [word.text for word in commands(text + HERE + quote)[-1]]
            if words and words[-1].endswith(HERE):
                return [*words[:-1], words[-1][: -len(HERE)]], quote
    return ["", HERE], ""


def answer(shell: str, line: Line, environ: Mapping[str, str], kind: str, word: str, help: str) -> str | None:
    """What the script reads; None of a word that it can't be told."""
    if kind != "plain":
        return kind
    if shell == "bash":
        replaced = _split(f"_{line.quote}{environ.get('COMP_WORD', '')}")[0][-1][1:]  # what stands behind a colon, say
        told = _typed(word[len(line.word) - len(replaced) :], line.quote)
        return None if told is None else f"{kind}\t{told}"
    if shell == "zsh":
        word = re.sub(r"([\\:])", r"\\\1", word)  # _describe reads it up to a colon
    return f"{kind}\t{word}\t{help}"


def _typed(word: str, quote: str) -> str | None:
    """A word as bash would have it typed, behind a quote that is open; None when that is impossible."""
    if quote == "'":
        return None if "'" in word else word
    if quote == '"':
        return None if "!" in word else re.sub(r'(["$`\\])', r"\\\1", word)
    return re.sub(r"([^\w%+,./:=@^-])", r"\\\1", word)


def keys(given: Mapping[str, Any], environ: Mapping[str, str]) -> list[str]:
    """The keys that the voters know; none when that can't be told within a second, whatever the reason."""
    from cronlock.survey.key_scan import known_keys  # not part of that second: a machine may be slow

    found: list[str] = []

    def look() -> None:
        with suppress(Exception):
            found.extend(known_keys(load(given, environ)))

    thread = Thread(target=look, daemon=True)
    thread.start()
    thread.join(LOOK)
    return [key for key in found if key.isprintable() and not key.startswith("-")]
