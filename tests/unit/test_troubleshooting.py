"""The guide's page on messages: it has each message that `cronlock run` can print, and no other."""

import errno
import functools
import os
import re

import pytest

from cronlock.config.options import ALL, GROUPS, NAMED, ONE_RECORD
from cronlock.config.unknown_names import REPLACEMENTS
from cronlock.errors import CronlockError
from tests.support.message_sources import Pieces, explained, texts_of_a_run

EXPLAINED = explained()
TEXTS = list(texts_of_a_run())
NO_MESSAGES = {  # texts of several words in the source that no message of a run has, and the reason
    "host name": "the source of a value in --dry-run",
    "command line": "the same",
    "REDIS_HOST and REDIS_PORT": "the same",
    "given back": "an outcome in the record",
    "crontab -l": "a command",
    "local time": "the name of a zone",
    "cluster support disabled": "a reply of Redis that is recognized",
    "no tag for slot ": "an error of the program",
    **dict.fromkeys((ALL, NAMED, ONE_RECORD, *GROUPS), "the table of options"),
    **dict.fromkeys(REPLACEMENTS.values(), "what to write instead of a variable of the bash tool"),
    " from 1970-01-01T00:00Z on": "printed by --dry-run and check",
    "s from 1970-01-01T00:00Z on": "the same",
    "nodes such as ": "said by cronlock adopt",
    "unknown here": "the same",
    " of them remember it here, ": "the same",
    " \\(at line (\\d+), column \\d+\\)$": "a pattern",
    "Cannot declare": "a message of tomllib",
    "Cannot overwrite": "the same",
    'no closing "': "said by cronlock check and wrap",
    "an expansion is not closed": "the same",
}
OF_OTHERS = (  # words of messages that other programs write
    "No such option '",  # click
    "'.",
    "Option '",
    "' requires an argument.",
    "' does not take a value.",
    "Missing argument 'COMMAND...'.",
    "Invalid value for '",
    "NOPERM",  # Redis
    "ERR",
    "name resolution failed",
    *(os.strerror(number).lower() for number in errno.errorcode),
    *(kind.__name__.lower() for kind in CronlockError.__subclasses__()),
)


@functools.cache  # there are more texts than re keeps patterns
def pattern(pieces: Pieces) -> re.Pattern[str]:
    """Return the regular expression of all that a text of the source may write."""
    parts = [rf"({re.escape(piece)})" for piece in pieces]
    ends = [r"(?<!\w)" if pieces[0][:1].isalnum() else "", r"(?!\w)" if pieces[-1][-1:].isalnum() else ""]
    return re.compile(f"{ends[0]}{'.*?'.join(parts)}{ends[1]}")


def matches(pieces: Pieces, message: str) -> list[re.Match[str]]:
    """Return the places in a message of the page that a text of the source may have written."""
    return list(pattern(pieces).finditer(message)) if all(piece in message for piece in pieces) else []


def is_sentence(pieces: Pieces) -> bool:
    """Return whether a text has words of its own: a path, a list of fields or a lone word says nothing."""
    return any(re.search(r"[a-z]{2,}.* .*[a-z]{2,}", piece) for piece in pieces)


@pytest.mark.parametrize(("place", "pieces"), [(p, t) for p, t in TEXTS if is_sentence(t)], ids=lambda v: str(v)[:60])
def test_a_message_of_the_source_is_explained(place: str, pieces: Pieces) -> None:
    """A new message needs a row of the page, or of NO_MESSAGES."""
    if any(text in NO_MESSAGES for text in pieces):
        return
    assert any(matches(pieces, message) for message in EXPLAINED), (place, "<...>".join(pieces))


@pytest.mark.parametrize("message", EXPLAINED, ids=lambda message: message[:60])
def test_a_message_of_the_page_exists(message: str) -> None:
    """Each of its words is in a text of the source that fits the message."""
    written = set()
    for pieces in [*(pieces for _, pieces in TEXTS), *((text,) for text in OF_OTHERS)]:
        for match in matches(pieces, message):
            for group in range(1, len(pieces) + 1):
                written.update(range(*match.span(group)))
    text = re.sub(r"<[^>]+>", lambda varies: " " * len(varies[0]), message)
    unwritten = [word[0] for word in re.finditer(r"[\w'-]+", text) if word.start() not in written]
    assert unwritten == []


def test_a_message_is_explained_once() -> None:
    assert len(EXPLAINED) == len(set(EXPLAINED))


def test_the_sources_have_the_messages() -> None:
    """The collector finds messages in each package that a run has."""
    assert len(EXPLAINED) > 150
    assert {place.split("/")[1] for place, pieces in TEXTS if is_sentence(pieces)} >= {
        *("run", "lock", "servers", "config", "cron", "process"),
    }


def test_no_exception_is_left_over() -> None:
    assert set(NO_MESSAGES) <= {piece for _, pieces in TEXTS for piece in pieces}
