"""The options of single commands, which no variable and no file can set; and the help of each command.

Only cli/ imports this module: the path that cron starts pays for none of these texts.
"""

from cronlock.config.options import (
    OPTIONS,
    OUTPUT,
    REDIS,
    Choice,
    Option,
    nonempty_text,
    positive_duration,
)

RECORDS, PAUSE, MISSING = "Which records", "The pause", "If voters are missing"
NEW_LINES, CRONTAB, CONFIRMATION = "The new lines", "The crontab", "Confirmation"
KEYS, FILES = "Which keys", "The files"
COMMAND_GROUPS = (KEYS, RECORDS, PAUSE, MISSING, NEW_LINES, CRONTAB, FILES, REDIS, OUTPUT, CONFIRMATION)


def positive_integer(text: str) -> int:
    """Return an integer of at least 1."""
    if not (text.isascii() and text.isdigit()) or len(text) > 9 or not int(text):
        raise ValueError(f"{text!r} is not a number of 1 or more")
    return int(text)


COMMAND_OPTIONS = (
    Option("--all", KEYS, "All keys that the voters know.", commands="pause resume"),
    Option("--all", RECORDS, "All records of all keys, those of single nodes too.", commands="adopt"),
    Option("--for", PAUSE, "Pause for D.", positive_duration, "D", "until resumed", commands="pause"),
    Option(
        "--until",
        PAUSE,
        "Pause until TIME: ISO 8601, or epoch seconds.",
        nonempty_text,
        "TIME",
        "until resumed",
        commands="pause",
    ),
    Option("--reason", PAUSE, "Reason of the pause, for messages and status.", nonempty_text, "TEXT", commands="pause"),
    Option(
        "--crontab",
        CRONTAB,
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
    Option("--problems", OUTPUT, "Show only keys with problems; exit with 1 if there are any.", commands="status"),
    Option("--summary", OUTPUT, "Print one line: how many keys are well, and which are not.", commands="status"),
    Option("--watch", OUTPUT, "Keep the screen up to date until q is typed.", commands="status"),
    Option("--raw", OUTPUT, "With KEY, show all fields of each voter's record.", commands="status"),
    Option("-v --verbose", OUTPUT, "Show green findings too.", commands="check"),
    Option(
        "--wide", OUTPUT, "Show all columns and whole lines, wider than the terminal.", commands="status history check"
    ),
    Option(
        "--leave-out",
        MISSING,
        "Adopt without voters that do not answer, and without earlier voters; what only they know is lost.",
        commands="adopt",
    ),
    Option("--yes", CONFIRMATION, "Do not ask for confirmation.", commands="adopt unlock forget"),
    Option(
        "--prefix",
        FILES,
        "Write below DIR, into bin and share; ~/.local is for one user.",
        nonempty_text,
        "DIR",
        "/usr/local",
        commands="install",
    ),
    Option("--uninstall", FILES, "Remove what `cronlock install` wrote there, and nothing else.", commands="install"),
    Option("--dry-run", FILES, "Print what would be written or removed, and change nothing.", commands="install"),
)


class Help:
    """The help of an option as one command shows it: the title that it is under, its text and its default."""

    def __init__(self, group: str, text: str, default: str) -> None:
        self.group, self.text, self.default = group, text, default


OWN_RECORD = Help(RECORDS, "Work on the record that a node has of its own when its runs are started with --each.", "")
PAUSER = Help(REDIS, "Name of this node, recorded with the pause.", "the host name")
OWNER = Help(RECORDS, "With --each, the node whose record is meant.", "the host name")
HELP = {  # by command and option, where an option of `run` does something else in another command
    ("wrap", "once"): Help(NEW_LINES, "Run each command on one node per tick.", ""),
    ("wrap", "each"): Help(NEW_LINES, "Run each command on every node, once per tick.", ""),
    ("pause", "node"): PAUSER,
    ("resume", "node"): PAUSER,
    **{(command, "each"): OWN_RECORD for command in ("unlock", "forget", "adopt")},
    **{(command, "node"): OWNER for command in ("unlock", "forget", "adopt")},
}
LOCAL = Help(REDIS, "Use the lock files of this machine instead of Redis.", "")


def options_of(command: str | None) -> list[Option]:
    """Return the options of a command, in the order of the tables."""
    return [option for option in (*OPTIONS, *COMMAND_OPTIONS) if command in option.commands]


def help_of(option: Option, command: str | None) -> Help:
    """Return the help of an option as a command shows it."""
    if command != "run" and option.name == "local":
        return LOCAL
    return HELP.get((command or "", option.name)) or Help(option.group, option.help, option.default)
