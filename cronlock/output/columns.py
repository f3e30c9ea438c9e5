"""The columns of a table that fit a width: in a fixed order columns give way, and long names are wrapped.

Names are never cut off, because an operator types them back.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len, chop_cells

GAP = "  "
EMPTY = frozenset(("", "-", "0"))  # texts of cells that show nothing
NARROWEST = 8  # cells, to which a column is wrapped when no other one is left to give way
BREAK_AFTER = re.compile(r"(?<=[\s./_:@-])(?=\S)")


@dataclass(frozen=True)
class Column:
    """A column: the one with the lowest `gives_way` is left out first, one with 0 never.

    A column with `narrowest` is wrapped to that many cells before others give way.
    """

    title: str
    gives_way: int = 0
    narrowest: int = 0


@dataclass
class Fit:
    """The numbers and widths of the columns that fit, and the titles of those that do not, unless they are empty."""

    kept: list[int]
    widths: list[int]
    hidden: list[str]


def fit(columns: Sequence[Column], natural: Sequence[int], empty: Sequence[bool], width: int | None) -> Fit:
    """Return the columns that fit `width` cells; `natural` are their full widths, None is any width.

    Where not all fit, columns without content go first, then the others in their order.
    """
    every = list(range(len(columns)))
    if width is None or _total(natural) <= width:
        return Fit(every, list(natural), [])
    leaving = sorted((n for n in every if columns[n].gives_way), key=lambda n: (not empty[n], columns[n].gives_way))
    kept, least = every, _least(columns, natural, every)
    while leaving and _total(least) > width:
        gone = leaving.pop(0)
        kept = [n for n in kept if n != gone]
        least = _least(columns, natural, kept)
    hidden = [columns[n].title for n in every if n not in kept and not empty[n] and columns[n].title]
    for place, n in enumerate(kept):
        if _total(least) > width and columns[n].narrowest:
            least[place] = max(min(NARROWEST, least[place]), least[place] - (_total(least) - width))
    _widen(least, [natural[n] for n in kept], width)
    return Fit(kept, least, hidden)


def _widen(widths: list[int], natural: Sequence[int], width: int) -> None:
    """Give the cells that are left to the columns that are wrapped most."""
    for _ in range(width - _total(widths)):
        place = max(range(len(widths)), key=lambda n: natural[n] / widths[n])
        widths[place] += widths[place] < natural[place]


def _least(columns: Sequence[Column], natural: Sequence[int], kept: Sequence[int]) -> list[int]:
    return [min(natural[n], columns[n].narrowest or natural[n]) for n in kept]


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + len(GAP) * (len(widths) - 1)


def wrap(text: str, width: int) -> list[str]:
    """Return the text in lines of at most `width` cells: broken after a blank, - . / _ : or @, else anywhere."""
    if cells(text) <= width:
        return [text]
    lines = [""]
    for part in BREAK_AFTER.split(text):
        if cells((lines[-1] + part).rstrip()) <= width:
            lines[-1] += part
            continue
        pieces = chop_cells(part, width) if cells(part.rstrip()) > width else [part]
        lines += pieces
    return [line.rstrip() for line in lines if line.strip()]


def wrap_words(text: str, width: int, indent: str) -> str:
    """Return a paragraph broken at blanks, if it is longer than `width`; `indent` precedes all lines but the first."""
    first, *words = text.split(" ")
    lines = [first]
    for word in words:
        longer = f"{lines[-1]} {word}"
        if cells(longer) <= width or not lines[-1].strip():
            lines[-1] = longer
        else:
            lines.append(indent + word)
    return "\n".join(line.rstrip() for line in lines)


def cells(text: str) -> int:
    """Return the cells of a terminal that a text takes."""
    return len(text) if text.isascii() else cell_len(text)
