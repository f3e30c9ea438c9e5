"""The cell of a table that shows how a run ended."""

from __future__ import annotations

from cronlock.messages import printable
from cronlock.output.table import Cell

STYLES = {"timed out": "red", "lost": "red", "died": "red", "unlocked": "yellow"}  # outcomes to look into


def outcome_cell(outcome: str, status: int) -> Cell:
    """Return the outcome of a run: ok, failed with its status, or cronlock's own word."""
    if not outcome:
        return "-"
    if outcome == "ran":
        return (f"failed {status}", "red") if status else ("ok", "green")
    return printable(outcome), STYLES.get(outcome, "")
