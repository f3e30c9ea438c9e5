"""The progress bar on a terminal while the voters' key names are scanned."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import get_ident
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

STDERR = 2


@contextmanager
def scan_progress() -> Iterator[Callable[[int, int], None]]:
    """Show a bar on standard error for each server; yield a function that takes the names scanned and their total."""
    columns = (
        TextColumn("cronlock: reading the voters"),
        BarColumn(),
        TextColumn("{task.completed} of {task.total} names"),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not os.isatty(STDERR)) as bar:
        tasks: dict[int, Any] = {}  # by thread: each server is scanned by a thread of its own

        def progress(done: int, total: int) -> None:
            if get_ident() not in tasks:
                tasks[get_ident()] = bar.add_task("", total=total)
            bar.update(tasks[get_ident()], completed=done)

        yield progress
