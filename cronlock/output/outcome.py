"""The cell of a table that shows how a run ended."""

from __future__ import annotations

from cronlock.messages import printable
from cronlock.output.table import Cell

WELL = frozenset(("ran", "given back", "adopted", "forgotten"))


def outcome_cell(outcome: str, status: int) -> Cell:
    """Return the outcome of a run, in yellow when an operator should look into it."""
    if not outcome:
        return "-"
    well = outcome in WELL and (not status or outcome == "given back")
    return printable(f"{outcome}, status {status}" if outcome == "ran" else outcome), "" if well else "yellow"
