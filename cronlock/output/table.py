"""Tables and colours for operators: colours on a terminal only, and not with NO_COLOR."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from functools import cached_property

from rich.color import ColorSystem
from rich.console import Console
from rich.style import Style

from cronlock.errors import Refused
from cronlock.output.columns import EMPTY, GAP, Column, cells, fit, wrap, wrap_words

STDOUT = 1
BLOCKS = "▏▎▍▌▋▊▉█"  # eighths of a cell

Cell = str | tuple[str, str]  # a text, and its style


class Printer:
    """Tables, colours and writing to standard output. rich's own tables take 6 s for ten thousand rows.

    Tables fit the terminal, or COLUMNS; they are whole with `wide`, and where a program reads them.
    """

    def __init__(self, wide: bool = False) -> None:
        self._wide = wide

    @property
    def width(self) -> int | None:
        """The number of cells in a line; None is any number."""
        columns = os.environ.get("COLUMNS", "")
        if self._wide:
            return None
        if columns.isascii() and columns.isdigit() and int(columns):
            return int(columns)
        try:
            return os.get_terminal_size(STDOUT).columns or None
        except OSError:
            return None

    @cached_property
    def _colors(self) -> bool:
        console = Console()
        return console.color_system is not None and not console.no_color

    def paint(self, text: str, style: str) -> str:
        """Return the text in one of rich's styles, if colours are wanted."""
        return Style.parse(style).render(text, color_system=ColorSystem.STANDARD) if style and self._colors else text

    def table(self, columns: Sequence[Column | str], rows: Iterable[Sequence[Cell]]) -> str:
        """Return the rows below the columns' titles, as far as the columns fit. Cells have no line breaks."""
        layout = [column if isinstance(column, Column) else Column(column) for column in columns]
        body = [[_text_and_style(cell) for cell in row] for row in rows]
        lines = [[(column.title, "bold") for column in layout], *body]
        natural = [max(cells(text) for text, _ in column) for column in zip(*lines, strict=True)]
        empty = [all(text in EMPTY for text, _ in column) for column in zip(*body, strict=True)] or [True] * len(layout)
        fitted = fit(layout, natural, empty, self.width)
        shown = [line for row in lines for line in self._lines([row[n] for n in fitted.kept], fitted.widths)]
        if fitted.hidden:
            note = wrap_words(f"(not shown: {', '.join(fitted.hidden)}; --wide shows all)", self.width or 0, "")
            shown += [self.paint(line, "dim") for line in note.split("\n")]
        return "\n".join(shown) + "\n"

    def _lines(self, row: Sequence[tuple[str, str]], widths: Sequence[int]) -> Iterable[str]:
        """Yield the lines of a row; a cell that is too wide takes several."""
        parts = [wrap(text, width) for (text, _), width in zip(row, widths, strict=True)]
        for number in range(max(map(len, parts))):
            pieces = []
            for lines, (_, style), width in zip(parts, row, widths, strict=True):
                text = lines[number] if number < len(lines) else ""
                pieces.append(self.paint(text, style if text else "") + " " * (width - cells(text)))
            yield GAP.join(pieces).rstrip()

    def write(self, text: str, encoding: str = "") -> None:
        """Write in this encoding, or in that of standard output. Raises Refused on a failure.

        A closed pipe is not a failure: its reader wants no more.
        """
        if sys.stdout is None:
            raise Refused("standard output is closed")
        data = memoryview(text.encode(encoding or sys.stdout.encoding, "backslashreplace"))
        try:
            while data:
                data = data[os.write(STDOUT, data) :]
        except BrokenPipeError:
            pass
        except OSError as error:
            raise Refused(f"can't write to standard output: {error.strerror}") from None


def bar(value: float, most: float, width: int = 20) -> str:
    """Return a bar for `value`; the bar for `most` has `width` cells."""
    eighths = round(8 * width * value / most) if most else 0
    if "utf" not in (sys.stdout.encoding if sys.stdout else "").lower():
        return "#" * ((eighths + 4) // 8)
    whole, rest = divmod(eighths, 8)
    return BLOCKS[-1] * whole + (BLOCKS[rest - 1] if rest else "")


def length(ms: int) -> str:
    """Return a duration as an operator reads it: 0.25s, 12.3s, 4m 05s, 2h 03m, 3d 04h."""
    if ms < 10_000:
        return f"{ms / 1000:.2f}s"
    if ms < 60_000:
        return f"{ms / 1000:.1f}s"
    seconds = ms // 1000
    for large, small, of in ((86_400, 3_600, "dh"), (3_600, 60, "hm"), (60, 1, "ms")):
        if seconds >= large:
            return f"{seconds // large}{of[0]} {seconds % large // small:02}{of[1]}"
    raise AssertionError


def _text_and_style(cell: Cell) -> tuple[str, str]:
    return (cell, "") if isinstance(cell, str) else cell
