"""The text of one crontab -> the lines in it that run cronlock, with their schedules.

The syntax is that of crontab(5) as Debian's cron, cronie and busybox read it. Commands are read as a POSIX shell would
(shellwords.py), and nothing is expanded. This module is on the path that cron starts, and does no input or output.
"""

from cronlock import options
from cronlock.shellwords import HOLE, Word, commands

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    Variables = dict[str, str | None]  # None: the value needs expansion

DEBIAN, CRONIE, BUSYBOX, UNKNOWN = "debian", "cronie", "busybox", ""  # whose cron reads it

BLANK = " \t"
SPACE = BLANK + "\r\v\f"
DEPTH = 5  # scripts inside scripts, `sh -c "bash -c '...'"`: more of them nobody writes


class Line:
    """One line that runs cronlock.

    `source` is a path or `crontab -l`, `user` the user column or the spool file's name, `fields` the five fields joined
    by one space, an @nickname, or what --schedule says instead. `key` and `mode` are empty where the line, its
    variables included, does not tell them. `zone` is --tz, or a CRON_TZ that this cron obeys. `command` is the argv
    behind cronlock's options, with expansions as written.
    """

    __slots__ = ("command", "fields", "key", "mode", "number", "source", "user", "zone")

    def __init__(self, source: str, row: "Row") -> None:
        self.source = source
        self.number = row.number
        self.fields = row.fields
        self.user = row.user
        self.zone = row.zone
        self.key = ""
        self.mode = ""
        self.command: list[str] = []

    @property
    def place(self) -> str:
        """Where it stands, as people write it."""
        return f"{self.source}:{self.number}"


class Row:
    """One row that cron starts a command by. `variables` are the assignments above it."""

    __slots__ = ("command", "fields", "number", "user", "variables", "zone")

    def __init__(self, number: int, text: str, system: bool, cron: str, variables: "Variables") -> None:
        self.number = number
        self.fields, self.user, self.command = columns(text, system)
        self.variables = variables
        self.zone = (variables.get("CRON_TZ") or "") if cron == CRONIE else ""
        if cron != BUSYBOX:  # which passes % on
            self.command = before_stdin(self.command)


def lines_of(
    text: str, source: str, key: str, mode: str, *, system: bool, cron: str = UNKNOWN, default_mode: str = "once"
) -> list[Line]:
    """The lines of one crontab that run cronlock with this key and mode.

    `system`: it has a user column. `default_mode` is that of lines which do not say theirs.
    """
    return [
        line
        for line in every_line(text, source, system=system, cron=cron)
        if line.key == key and (line.mode or default_mode) == mode
    ]


def every_line(text: str, source: str, *, system: bool, cron: str = UNKNOWN) -> "Iterator[Line]":
    """All lines of one crontab that run cronlock by a schedule, whatever their key."""
    for row in rows(text, system, cron):
        if "cronlock" not in row.command or row.fields == "@reboot":
            continue
        for words, variables in _runs(row.command, row.variables):
            line = Line(source, row)
            if _tell(line, words, variables):
                yield line


def rows(text: str, system: bool, cron: str) -> "Iterator[Row]":
    """The rows of a crontab that have a command."""
    variables: Variables = {}
    for number, raw in enumerate(text.split("\n"), 1):
        stripped = raw.lstrip(BLANK)
        if not stripped or stripped[0] == "#":
            continue
        assigned = assignment(stripped)
        if assigned:
            if assigned[0].startswith("CRON"):  # CRON_TZ and cronlock's own
                variables = {**variables, assigned[0]: assigned[1]}
            continue
        row = Row(number, stripped, system, cron, variables)
        if row.command:
            yield row


def columns(row: str, system: bool) -> tuple[str, str, str]:
    """Fields, user and command of a row; the command is empty when there are too few columns."""
    row = row.removeprefix("-")  # cronie's: don't log
    found: list[str] = []
    for _ in range((1 if row[:1] == "@" else 5) + system):
        word = row.partition(" ")[0].partition("\t")[0]
        found.append(word)
        row = row[len(word) :].lstrip(BLANK)
    user = found.pop() if system else ""
    return " ".join(found), user, row


def assignment(row: str) -> tuple[str, str] | None:
    """Name and value of a row that cron reads as an assignment (Vixie cron, env.c: load_env)."""
    if row[0] in "'\"":
        name, closed, rest = row[1:].partition(row[0])
        if not closed or "=" in name:
            return None
    else:
        name = row.partition("=")[0]
        for blank in SPACE:
            name = name.partition(blank)[0]
        rest = row[len(name) :]
    rest = rest.lstrip(SPACE)
    if rest[:1] != "=":
        return None
    value = rest[1:].strip(SPACE)
    if value and value[0] in "'\"":
        if value.find(value[0], 1) != len(value) - 1:
            return None
        value = value[1:-1]
    return name, value


def before_stdin(command: str) -> str:
    """The command up to its first bare %, which begins its standard input; \\% is %."""
    kept: list[str] = []
    for part in command.split("%"):
        backslashes = len(part) - len(part.rstrip("\\"))
        if backslashes % 2 == 0:
            kept.append(part)
            break
        kept.append(part[:-1])
    return "%".join(kept)


def _runs(
    script: str, variables: "Variables", expanded: bool = False, depth: int = 0
) -> "Iterator[tuple[list[Word], Variables]]":
    """For each `cronlock run` of a script the words behind it, and the variables it sees; None: needs expansion."""
    if depth > DEPTH or "cronlock" not in script:
        return
    try:
        parsed = commands(script, expanded)
    except ValueError:  # the shell refuses it too
        return
    for words in parsed:
        own = dict(variables)
        awaited = False  # the script of a -c
        for at, word in enumerate(words):
            name, equals, value = word.shape.partition("=")
            if equals and name.startswith("CRONLOCK_"):
                own[name] = None if HOLE in value else value
            inner = word.inner
            if word.text[:1] == "-":
                awaited = awaited or _takes_script(word.text)
                if word.text.startswith("--command="):  # su's
                    inner = [*inner, word.text.partition("=")[2]]
            elif awaited:
                awaited = False
                inner = [*inner, word.text]
            for nested in inner:
                yield from _runs(nested, own, expanded or HOLE in word.shape, depth + 1)
            if word.text.rpartition("/")[2] == "cronlock" and at + 1 < len(words) and words[at + 1].text == "run":
                yield words[at + 2 :], dict(own)
        if any(word.text == "export" for word in words) or all("=" in word.text for word in words):
            variables = own


def _takes_script(flag: str) -> bool:
    """Whether this is sh's -c, alone or with others: -lc, -ec."""
    return flag == "--command" or (flag[1:].isalpha() and "c" in flag)


def _tell(line: Line, words: list[Word], variables: "Variables") -> bool:
    """Fill in what the words behind `cronlock run` say; False when no tick of theirs comes from this line."""
    scanned = _scan(words)
    if not scanned:
        return False
    values, line.command = scanned

    def value(name: str) -> "Any":
        """What is said of an option: "" when nothing, None when that needs expansion."""
        return values[name] if name in values else variables.get(options.BY_NAME[name].variable, "")

    schedule = value("schedule")
    if value("tick") != "" or schedule is None or schedule == "none":
        return False
    line.fields = " ".join(schedule.split()) or line.fields
    line.zone = value("tz") or line.zone
    line.key = value("key") or ""
    mode = _mode(values, value)
    line.mode = mode or ""
    return mode is not None


def _mode(values: "dict[str, Any]", value: "Callable[[str], Any]") -> str | None:
    """once, each, or "" when neither is said; None when that can't be told. Flags beat variables."""
    for name in ("each", "once"):
        if name in values:
            return name
    try:
        each, once = (options.boolean(value(name) or "") for name in ("each", "once"))
    except ValueError:
        return None
    if value("each") is None or value("once") is None:
        return None
    return "each" if each else "once" if once or value("each") else ""


def _scan(words: list[Word]) -> "tuple[dict[str, Any], list[str]] | None":
    """options.scan over words with holes: a value that depends on what fills them is None."""
    one, two = (options.scan([word.shape.replace(HOLE, filling) for word in words]) for filling in "12")
    if not one or not two:
        return None
    values = {name: value if two[0].get(name) == value else None for name, value in one[0].items()}
    return values, [word.text for word in words[-len(one[1]) :]]
