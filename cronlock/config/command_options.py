"""The options of single commands: they have no variable and no name in the settings file."""

from cronlock.config.options import (
    FAILS,
    OUTPUT,
    WHEN,
    WHO,
    Choice,
    Option,
    nonempty_text,
    positive_duration,
)


def positive_integer(text: str) -> int:
    """Return an integer of at least 1."""
    if not (text.isascii() and text.isdigit()) or len(text) > 9 or not int(text):
        raise ValueError(f"{text!r} is not a number of 1 or more")
    return int(text)


COMMAND_OPTIONS = (
    Option("--all", WHO, "All keys that the voters know.", commands="adopt pause resume"),
    Option("--for", WHEN, "Pause for D.", positive_duration, "D", "until resumed", commands="pause"),
    Option(
        "--until",
        WHEN,
        "Pause until TIME: ISO 8601, or epoch seconds.",
        nonempty_text,
        "TIME",
        "until resumed",
        commands="pause",
    ),
    Option(
        "--reason", OUTPUT, "Reason of the pause, for messages and status.", nonempty_text, "TEXT", commands="pause"
    ),
    Option(
        "--crontab",
        OUTPUT,
        "Format of the crontab: user, as crontab(1) takes it, or system, with a user column, as in /etc.",
        Choice("user", "system"),
        "user|system",
        "by its path",
        commands="wrap",
    ),
    Option("--limit", OUTPUT, "Show only the N newest runs.", positive_integer, "N", "100", commands="history"),
    Option(
        "--format",
        OUTPUT,
        "Print a table, JSON, or metrics for Prometheus.",
        Choice("table", "json", "prometheus"),
        "table|json|prometheus",
        "table",
        commands="status",
    ),
    Option(
        "--format",
        OUTPUT,
        "Print a table or JSON.",
        Choice("table", "json"),
        "table|json",
        "table",
        commands="history check",
    ),
    Option(
        "--leave-out",
        FAILS,
        "Adopt without voters that do not answer, and without earlier voters; what only they know is lost.",
        commands="adopt",
    ),
    Option("--yes", OUTPUT, "Do not ask for confirmation.", commands="adopt unlock forget"),
)
