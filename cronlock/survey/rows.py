"""The rows that status prints, as an operator types them back: a key, or `KEY on NODE` for a node's own record."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

ON = "on"  # the word between the key and the node in a row's name


class Row(NamedTuple):
    """A key; with `each`, only the record that this node has of its own. None: all records of the key."""

    key: str
    each: str | None = None

    @property
    def name(self) -> str:
        return self.key if self.each is None else f"{self.key} {ON} {self.each}"


def keys_to_read(words: Iterable[str]) -> list[str]:
    """Return the keys that these words may mean: each word, and what precedes ` on ` in it."""
    return list(dict.fromkeys(key for word in words for key in (word, *(row.key for row in _as_rows(word)))))


def rows_named(words: Sequence[str], records: Iterable[tuple[str, str]]) -> list[Row]:
    """Return the rows that these words mean, in their order, by the records that exist.

    A key goes before a row of the same name. `tidy on web-1` may be one word or three.
    """
    known = set(records)
    keys = {key for key, _ in known}
    rows: list[Row] = []
    left = list(words)
    while left:
        word = left.pop(0)
        if left[:1] == [ON] and ON not in keys and len(left) > 1 and (word, left[1]) in known:
            rows.append(Row(word, left[1]))
            del left[:2]
            continue
        nodes = [] if word in keys else [row for row in _as_rows(word) if (row.key, row.each) in known]
        rows.append(nodes[0] if nodes else Row(word))
    return list(dict.fromkeys(rows))


def _as_rows(word: str) -> list[Row]:
    """Return the rows that have this name: both the key and the node may have ` on ` in them."""
    between, found = f" {ON} ", []
    at = word.find(between)
    while at >= 0:
        found.append(Row(word[:at], word[at + len(between) :]))
        at = word.find(between, at + 1)
    return [row for row in found if row.key and row.each]
