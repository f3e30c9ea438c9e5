"""Tables and colours for operators: colours on a terminal only, and not with NO_COLOR."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from functools import cached_property

from rich.cells import cell_len
from rich.color import ColorSystem
from rich.console import Console
from rich.style import Style

from cronlock.errors import Refused

GAP = "  "
BLOCKS = "▏▎▍▌▋▊▉█"  # eighths of a cell

Cell = str | tuple[str, str]  # a text, and its style


class Printer:
    """Tables, colours and writing to standard output. rich's own tables take 6 s for ten thousand rows."""

    @cached_property
    def _colors(self) -> bool:
        console = Console()
        return console.color_system is not None and not console.no_color

    def paint(self, text: str, style: str) -> str:
        """Return the text in one of rich's styles, if colours are wanted."""
        return Style.parse(style).render(text, color_system=ColorSystem.STANDARD) if style and self._colors else text

    def table(self, titles: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
        """Return the rows in columns below their titles. Cells have no line breaks."""
        cells = [[(title, "bold") for title in titles], *([_text_and_style(cell) for cell in row] for row in rows)]
        widths = [
            max(map(_width, column)) for column in zip(*([text for text, _ in row] for row in cells), strict=True)
        ]
        lines = []
        for row in cells:
            pieces = []
            for (text, style), width in zip(row, widths, strict=True):
                pieces.append(self.paint(text, style) + " " * (width - _width(text)))
            lines.append(GAP.join(pieces).rstrip())
        return "\n".join(lines) + "\n"

    def write(self, text: str, encoding: str = "") -> None:
        """Write in this encoding, or in that of standard output. Raises Refused on a failure.

        A closed pipe is not a failure: its reader wants no more.
        """
        if sys.stdout is None:
            raise Refused("standard output is closed")
        data = memoryview(text.encode(encoding or sys.stdout.encoding, "backslashreplace"))
        try:
            while data:
                data = data[os.write(1, data) :]
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


def _width(text: str) -> int:
    return len(text) if text.isascii() else cell_len(text)
