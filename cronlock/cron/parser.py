"""A parser for crontabs: from the text of one to the lines in it that run cronlock, with their schedules.

The syntax is that of crontab(5) as Debian's cron, cronie and busybox read it. Commands are read as a POSIX shell reads
them (shell.py), but nothing is expanded. This module is on the path that cron starts, and does no input or output.
"""

from cronlock.config import options
from cronlock.cron.shell import HOLE, Word, commands

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    Variables = dict[str, str | None]  # None: the value needs expansion

DEBIAN, CRONIE, BUSYBOX, UNKNOWN_CRON = "debian", "cronie", "busybox", ""  # the implementations of cron

BLANK = " \t"
SPACE = BLANK + "\r\v\f"
DEPTH = 5  # scripts inside scripts, `sh -c "bash -c '...'"`: no real line has more
KEPT = ("CRON", "REDIS_", "PATH", "HOME")  # the first letters of the variables that concern cronlock
CRON_PATH = "/usr/bin:/bin"  # of Vixie cron, which ignores pam_env's /etc/environment (tried, Debian 12)


class Line:
    """One line that runs cronlock.

    `source` is a path or `crontab -l`, `user` the user column or the spool file's name, `fields` the five fields joined
    by one space, an @nickname, or the value of --schedule. `key` and `mode` are empty where neither the line nor its
    variables give them. `zone` is --tz, or a CRON_TZ that this cron obeys. `command` is the argv behind cronlock's
    options, with expansions as written. `ticks`: whether ticks come from this line.

    For operators: `starts` are the fields by which cron starts the line, with --schedule too; `owner` is the user of
    the crontab, empty in a file of the system's; `given` are the values of its options, empty when its words are not a
    well-formed run; `variables` those of KEPT that the run gets; both contain None for a value that needs a shell.
    `front` are the words of each command in front of cronlock, its own last, `program` is the word that calls cronlock,
    `words` are those behind `run`, and `script` is the whole row's command.
    """

    __slots__ = (
        "command", "fields", "front", "given", "key", "mode", "number", "owner", "program", "script", "source",
        "starts", "ticks", "user", "variables", "words", "zone",
    )  # fmt: skip

    def __init__(self, source: str, row: "Row", call: "CronlockCall") -> None:
        self.source = source
        self.number = row.number
        self.fields = self.starts = row.fields
        self.user = row.user
        self.owner = ""
        self.zone = row.zone
        self.key = ""
        self.mode = ""
        self.command: list[str] = []
        self.ticks = False
        self.given: dict[str, Any] = {}
        self.variables = call.variables
        self.front = call.front
        self.program = call.program
        self.words = call.words
        self.script = row.command

    @property
    def place(self) -> str:
        """The source and the number of the line, as in messages of compilers."""
        return f"{self.source}:{self.number}"


class CronlockCall:
    """One call of cronlock in a script: its subcommand, the words behind and in front of it, and its variables."""

    __slots__ = ("front", "program", "subcommand", "variables", "words")

    def __init__(self, words: list[Word], at: int, variables: "Variables", front: list[list[str]]) -> None:
        self.program, self.subcommand = (word.text for word in words[at : at + 2])
        self.words = words[at + 2 :]
        self.variables = dict(variables)
        self.front = [*front, [word.text for word in words[:at]]]


class Row:
    """One row of a crontab that has a command. `variables` are the assignments above it."""

    __slots__ = ("command", "fields", "number", "user", "variables", "zone")

    def __init__(self, number: int, text: str, system: bool, cron: str, variables: "Variables") -> None:
        self.number = number
        self.fields, self.user, self.command = columns(text, system)
        self.variables = variables
        self.zone = (variables.get("CRON_TZ") or "") if cron == CRONIE else ""
        if cron != BUSYBOX:  # which passes % on
            self.command = before_stdin(self.command)


def lines_of(
    text: str, source: str, key: str, mode: str, *, system: bool, cron: str = UNKNOWN_CRON, default_mode: str = "once"
) -> list[Line]:
    """Return the lines of one crontab whose ticks are those of this key and mode.

    `system`: it has a user column. `default_mode` is the mode of lines that name none.
    """
    return [
        line for line in every_line(text, source, system=system, cron=cron) if belongs(line, key, mode, default_mode)
    ]


def belongs(line: Line, key: str, mode: str, default_mode: str = "once") -> bool:
    """Return whether the line's ticks are those of this key and mode."""
    return line.ticks and line.key == key and (line.mode or default_mode) == mode


def every_line(
    text: str, source: str, *, system: bool, cron: str = UNKNOWN_CRON, path: str = CRON_PATH
) -> "Iterator[Line]":
    """Yield all lines of one crontab that run cronlock, of any key. `path` is the PATH that this cron gives them."""
    for row in rows(text, system, cron, path):
        if "cronlock" in row.command:
            for call in _calls(row.command, row.variables, []):
                if call.subcommand == "run":
                    line = Line(source, row, call)
                    _read_options(line, call)
                    yield line


def subcommands(row: "Row") -> set[str]:
    """Return the word behind each `cronlock` of a row: run, status and so on."""
    return {call.subcommand for call in _calls(row.command, row.variables, [])}


def rows(text: str, system: bool, cron: str, path: str = CRON_PATH) -> "Iterator[Row]":
    """Yield the rows of a crontab that have a command."""
    variables: Variables = {"PATH": path}
    for number, raw in enumerate(text.split("\n"), 1):
        stripped = raw.lstrip(BLANK)
        if not stripped or stripped[0] == "#":
            continue
        assigned = assignment(stripped)
        if assigned:
            if assigned[0].startswith(KEPT) and cron != BUSYBOX:  # which knows only MAILTO and SHELL
                variables = {**variables, assigned[0]: assigned[1]}
            continue
        row = Row(number, stripped, system, cron, variables)
        if row.command:
            yield row


def columns(row: str, system: bool) -> tuple[str, str, str]:
    """Return fields, user and command of a row; the command is empty when there are too few columns."""
    row = row.removeprefix("-")  # cronie's: don't log
    found: list[str] = []
    for _ in range((1 if row[:1] == "@" else 5) + system):
        word = row.partition(" ")[0].partition("\t")[0]
        found.append(word)
        row = row[len(word) :].lstrip(BLANK)
    user = found.pop() if system else ""
    return " ".join(found), user, row


def assignment(row: str) -> tuple[str, str] | None:
    """Return name and value of a row that cron reads as an assignment (Vixie cron, env.c: load_env)."""
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
    """Return the command up to its first bare %, which begins its standard input; \\% is %."""
    kept: list[str] = []
    for part in command.split("%"):
        backslashes = len(part) - len(part.rstrip("\\"))
        if backslashes % 2 == 0:
            kept.append(part)
            break
        kept.append(part[:-1])
    return "%".join(kept)


def _calls(
    script: str, variables: "Variables", front: list[list[str]], expanded: bool = False, depth: int = 0
) -> "Iterator[CronlockCall]":
    """Yield each call of cronlock in a script. `front` are the commands before it; variables may need expansion."""
    if depth > DEPTH or "cronlock" not in script:
        return
    try:
        parsed = commands(script, expanded)
    except ValueError:  # the shell refuses it too
        return
    front = [*front]
    for words in parsed:
        own = dict(variables)
        awaited = False  # the script of a -c
        calls = 0
        for at, word in enumerate(words):
            name, equals, _ = word.shape.partition("=")
            if equals and name.startswith(KEPT):
                own[name] = _assigned(name, word, own)
            inner = word.inner
            if word.text[:1] == "-":
                awaited = awaited or takes_script(word.text)
                if word.text.startswith("--command="):  # su's
                    inner = [*inner, word.text.partition("=")[2]]
            elif awaited:
                awaited = False
                inner = [*inner, word.text]
            for nested in inner:
                before = [*front, [word.text for word in words[:at]]]
                yield from _calls(nested, own, before, expanded or HOLE in word.shape, depth + 1)
            if calls < DEPTH and word.text.rpartition("/")[2] == "cronlock" and at + 1 < len(words):
                calls += 1
                yield CronlockCall(words, at, own, front)
        if any(word.text == "export" for word in words) or all("=" in word.text for word in words):
            variables = own
        front.append([word.text for word in words])


def _assigned(name: str, word: Word, variables: "Variables") -> str | None:
    """Return the variable's value after NAME=value; None if only a shell knows it, unless it is like PATH=$PATH:/x."""
    value = word.shape.partition("=")[2]
    if HOLE not in value:
        return value
    parts = word.text.partition("=")[2].split(":")
    parts = [variables.get(name) or "$" if part in (f"${name}", f"${{{name}}}") else part for part in parts]
    return None if any("$" in part or "`" in part for part in parts) else ":".join(parts)


def takes_script(flag: str) -> bool:
    """Return whether this is the -c of sh, alone or with other flags: -lc, -ec."""
    return flag == "--command" or (flag[1:].isalpha() and "c" in flag)


def _read_options(line: Line, call: CronlockCall) -> None:
    """Fill in the options and the command of a `cronlock run`."""
    scanned = _scan(call.words)
    if not scanned:
        return
    values, line.command = scanned
    line.given = values

    def value(name: str) -> "Any":
        """Return the value of an option: "" when it is not given, None when it needs expansion."""
        return values[name] if name in values else call.variables.get(options.BY_NAME[name].variable, "")

    schedule = value("schedule")
    mode = _mode(values, value)
    line.key = value("key") or ""
    line.mode = mode or ""
    line.zone = value("tz") or line.zone
    if value("tick") != "" or schedule is None or schedule == "none" or mode is None or line.fields == "@reboot":
        return
    line.fields = " ".join(schedule.split()) or line.fields
    line.ticks = True


def _mode(values: "dict[str, Any]", value: "Callable[[str], Any]") -> str | None:
    """Return once or each, "" when neither is given, or None when only a shell knows. Flags beat variables."""
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
    """Return options.scan of words with holes; a value that depends on their expansion is None."""
    one, two = (options.scan([word.shape.replace(HOLE, filling) for word in words]) for filling in "12")
    if not one or not two:
        return None
    values = {name: value if two[0].get(name) == value else None for name, value in one[0].items()}
    return values, [word.text for word in words[-len(one[1]) :]]
