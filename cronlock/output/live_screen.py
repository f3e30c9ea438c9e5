"""A screen that is redrawn when its text has changed, until q is typed."""

from __future__ import annotations

import os
import select
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.text import Text

from cronlock.errors import Refused

STDIN, STDOUT = 0, 1
PERIOD = 2.0  # s between two looks at the voters: an operator watches, and each look reads all keys
LEAVE = b"qQ\x03\x04"  # q, Ctrl-C and Ctrl-D
FOOT = f"every {PERIOD:.0f} s; q leaves"


def watch(draw: Callable[[], str]) -> None:
    """Show what `draw` returns, again and again, until the operator leaves. Raises Refused without a terminal."""
    if not os.isatty(STDIN) or not os.isatty(STDOUT):
        raise Refused("--watch needs a terminal: run it there, or print once without --watch")
    shown = ""
    with _typed_keys(), Live(console=Console(), screen=True, auto_refresh=False) as live:
        while True:
            text = draw() + f"\n{FOOT}"
            size = f"{os.get_terminal_size(STDOUT)}"
            if size + text != shown:
                shown = size + text
                live.update(_cut(text), refresh=True)
            if select.select([STDIN], [], [], PERIOD)[0] and _leaves(os.read(STDIN, 1)):
                return


def _leaves(key: bytes) -> bool:
    return not key or key in LEAVE


def _cut(text: str) -> Text:
    """Return the text as far as the screen has lines; the last line is kept."""
    lines, height = text.split("\n"), os.get_terminal_size(STDOUT).lines
    if len(lines) > height > 1:
        hidden = len(lines) - height + 1
        lines = [*lines[: height - 1], f"{hidden} more lines; {FOOT}"]
    return Text.from_ansi("\n".join(lines), no_wrap=True, overflow="crop")


@contextmanager
def _typed_keys() -> Iterator[None]:
    """Have keys read one by one and not shown, until the end of the block."""
    before = termios.tcgetattr(STDIN)
    tty.setcbreak(STDIN)
    try:
        yield
    except KeyboardInterrupt:
        sys.stdout.flush()
    finally:
        termios.tcsetattr(STDIN, termios.TCSADRAIN, before)
