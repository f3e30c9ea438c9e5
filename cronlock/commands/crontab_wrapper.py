"""The wrapping of a crontab: `cronlock run` with a key before each command; every other byte stays the same."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import dropwhile
from typing import TYPE_CHECKING

from cronlock.commands.check.rest_of_line import fault_of_rest
from cronlock.commands.option_faults import option_fault
from cronlock.commands.row_faults import SUBCOMMANDS, faults_of
from cronlock.cron.parser import BLANK, BUSYBOX, CRONIE, Line, assignment, columns, every_line, rows, subcommands
from cronlock.cron.schedule import EVERY, Schedule
from cronlock.cron.shell import commands
from cronlock.errors import Refused
from cronlock.process.event_loop import sha1

if TYPE_CHECKING:
    from cronlock.cron.parser import Row, Variables

COMMAND_MAX = 998  # bytes: Debian's cron ignores a whole crontab in which one command is longer
PROGRAM_MAX = 100  # characters of a program's name in a key, which may have 200

DEFAULT_SHELL = "/bin/sh"  # crontab(5)
BOURNE = frozenset("sh ash bash dash ksh ksh93 lksh mksh oksh pdksh posh yash zsh".split())  # '...' ends at the next '
FOR_CRON = ("MAIL", "CONTENT_", "CRON_TZ", "RANDOM_DELAY")  # variables that change nothing for a command
OPERATORS = re.compile(r"[|&;<>()#`\n]")
PLAIN = re.compile(r"[\w.+:@-]+")  # without assignment, expansion or pattern
ASSIGNMENT = re.compile(r"[A-Za-z_]\w*\+?=")
BEFORE_COMMANDS = frozenset("if then elif else while until do ! { time exec".split())  # a command may follow these
SHELL_WORDS = BEFORE_COMMANDS | frozenset(  # other words of sh, bash and ksh that no file of this name can replace
    """
    . : - [ [[ } alias bg bind break builtin caller case cd chdir command compgen complete compopt continue coproc
    declare dirs disown done enable esac eval exit export fc fg fi for function getopts hash help history jobs let
    local logout mapfile nameref popd print pushd read readarray readonly return select set shift shopt source stop
    suspend test times trap type typeset ulimit umask unalias unset wait whence
    """.split()
)
BUILT_IN = frozenset("echo kill printf pwd".split())  # programs of which each shell has a version of its own

# These programs start the jobs that a machine has installed, such as logrotate: with --once, only one machine's.
OF_EACH_MACHINE = re.compile(r"(?:^|[\s/])(run-parts|anacron)(?![^\s;&|])")

# The command of a crontab line has three parts: the command; the blanks behind it, or the CR of a DOS file; and its
# standard input, from the first % without a backslash on. A blank behind a backslash belongs to the command.
PARTS = re.compile(r"((?:\\.|[^\\%]|\\\Z)*?)([ \t]*|\r)(%.*|)", re.DOTALL)
PARTS_OF_BUSYBOX = re.compile(r"((?:\\.|[^\\]|\\\Z)*?)([ \t]*|\r)()", re.DOTALL)


@dataclass(frozen=True)
class Wrapper:
    """The way to wrap a crontab: the path of cronlock, once or each, with or without a user column, for which cron."""

    program: str
    mode: str
    system: bool
    cron: str

    def parts(self, raw: str) -> tuple[str, str, str]:
        """Return a command, the blanks behind it, and its standard input."""
        found = (PARTS_OF_BUSYBOX if self.cron == BUSYBOX else PARTS).fullmatch(raw)
        assert found  # noqa: S101 - the pattern matches any text
        return found[1], found[2], found[3]

    def wrapped_command(self, key: str, raw: str, read: str, variables: Variables) -> str:
        """Return the wrapped command. `raw` is the command in the crontab, `read` the text that its shell reads."""
        front = f"{self._quoted_path(self.program)} run --{self.mode} --key {key} -- "
        shell = _shell(variables)
        functions = shell.endswith("/zsh") or "BASH_ENV" in variables  # from a file that the shell reads first
        if not functions and _is_one_program(read):
            return front + raw
        command, *rest = self.parts(raw)
        quoted = command.replace("'", r"'\''")
        return f"{front}{self._quoted_path(shell)} -c '{quoted}'{''.join(rest)}"

    def _quoted_path(self, path: str) -> str:
        return shlex.quote(path) if self.cron == BUSYBOX else shlex.quote(path).replace("%", r"\%")

    def key_of(self, row: Row, raw: str) -> tuple[str, str]:
        """Return the key of a command, and the job that has this key."""
        command, blanks, stdin = self.parts(raw)
        job = f"{row.user}\0{command}{blanks.strip(BLANK)}{stdin}"
        return f"{_program_name(row.command)}-{sha1(encoded(job))[:4]}", job

    def shared_key(self, first: int, second: int, key: str) -> Refused:
        """Return the refusal of two lines that would have the same key."""
        return Refused(
            f"line {first} and line {second} would share the key {key}: "
            f"give one of them a key by hand: cronlock run --{self.mode} --key NAME -- ..."
        )


def wrap_crontab(text: str, wrapper: Wrapper) -> tuple[str, list[str]]:
    """Return a crontab with its command lines wrapped, and notes for the operator.

    Raises Refused when two different commands, or one command under different variables, would share a key.
    """
    lines = text.split("\n")
    left: dict[int, str] = {}
    for number, why in _find_faulty_lines(lines, wrapper):
        left[number] = f"{left[number]}; {why}" if number in left else why
    joined: dict[int, str] = {}
    keys: dict[str, tuple[Row, object]] = {}
    for row, variables in _commands(text, wrapper):
        line = lines[row.number - 1]
        raw = columns(line.lstrip(BLANK), wrapper.system)[2]
        why = left.get(row.number) or _obstacle(row, variables)
        why = why or (_other_jobs(row.command) if wrapper.mode == "once" else "")
        if not why:
            key, job = wrapper.key_of(row, raw)
            wrapped = wrapper.wrapped_command(key, raw, row.command, variables)
            if wrapper.cron not in (CRONIE, BUSYBOX) and len(encoded(wrapped)) > COMMAND_MAX:
                why = f"with cronlock it would be longer than the {COMMAND_MAX} bytes that Debian's cron takes"
        if why:
            left[row.number] = why
            continue
        context = job, {name: value for name, value in variables.items() if not name.startswith(FOR_CRON)}
        first, other = keys.setdefault(key, (row, context))
        if other != context:
            raise wrapper.shared_key(first.number, row.number, key)
        if first is not row and first.fields == row.fields:
            joined[row.number] = f"the same as line {first.number}: with one key they run once"
        lines[row.number - 1] = line.removesuffix(raw) + wrapped
    by_line = sorted([*((at, f"left alone: {why}") for at, why in left.items()), *joined.items()])
    notes = [f"line {number}: {note}" for number, note in by_line]
    if lines[-1]:
        notes.append(f"line {len(lines)}: added the missing newline at its end: cron ignores a line without a newline")
        lines.append("")
    crontab = "\n".join(lines)
    _refuse_shared_keys(crontab, wrapper, keys)
    return crontab, notes


def _find_faulty_lines(lines: Sequence[str], wrapper: Wrapper) -> Iterator[tuple[int, str]]:
    """Yield number and faults of each line that would not do what it says, with or without cronlock."""
    for number, line in enumerate(lines, 1):
        stripped = line.lstrip(BLANK)
        if not stripped.strip() or stripped[0] == "#" or assignment(stripped):
            continue
        command = columns(stripped, wrapper.system)[2]
        if command[:1] != "#" and (faults := faults_of(stripped, wrapper.system, wrapper.cron)):
            yield number, "; ".join(fault.reason for fault in faults)
    for use in every_line("\n".join(lines), "", system=wrapper.system, cron=wrapper.cron):
        if fault := option_fault(use.words):
            yield use.number, f"it would be refused: {fault}"
        elif use.mode != "each":
            status, local = use.given.get("conflict-exit-code") or 0, bool(use.given.get("local"))
            text, todo = fault_of_rest(use.script, status, local=local)
            if text:
                yield use.number, f"{text}: {todo}"


def encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _commands(text: str, wrapper: Wrapper) -> Iterator[tuple[Row, Variables]]:
    """Yield the rows with a command that does not use cronlock, each with the assignments above it."""
    found = {row.number: row for row in rows(text, wrapper.system, wrapper.cron)}
    variables: Variables = {}
    for number, line in enumerate(text.split("\n"), 1):
        stripped = line.lstrip(BLANK)
        row = found.get(number)
        if row and row.command[0] != "#" and not subcommands(row) & SUBCOMMANDS:
            yield row, dict(variables)
        elif not row and stripped and stripped[0] != "#" and (assigned := assignment(stripped)):
            variables[assigned[0]] = assigned[1]


def _obstacle(row: Row, variables: Variables) -> str:
    """Return the reason to leave a line alone; empty when there is none."""
    if row.fields == "@reboot":
        return "@reboot is not a schedule"
    if row.fields == EVERY:
        return 'cron does not know @every: write five fields, and, behind cronlock run, --schedule "@every 90m"'
    if _shell(variables).rpartition("/")[2] not in BOURNE:
        return f"its SHELL, {_shell(variables)}, may read quotes in another way than sh"
    try:
        Schedule([row.fields], row.zone)
    except Refused as error:
        return str(error)
    return ""


def _other_jobs(command: str) -> str:
    """Return the reason not to run a command on one machine only: it starts each machine's own jobs; else empty."""
    for words in commands(command):
        if words and words[0].text not in ("test", "["):  # these only test whether the program exists
            for word in words:
                if found := OF_EACH_MACHINE.search(word.text):
                    return (
                        f"{found[1]} starts the jobs that each machine has installed: "
                        "wrap it by hand with --each, or give the job that one machine should run a line of its own"
                    )
    return ""


def _shell(variables: Variables) -> str:
    return variables.get("SHELL") or DEFAULT_SHELL


def _is_one_program(command: str) -> bool:
    """Return whether a command is one program with its words, which every shell starts in the same way."""
    if OPERATORS.search(command):
        return False
    name = commands(command)[0][0].text
    if "=" in name or name in SHELL_WORDS | BUILT_IN:
        return False
    return "/" in name or PLAIN.fullmatch(name) is not None


def _program_name(command: str) -> str:
    """Return the name of the first program in a command, as part of a key; `job` when the shell does everything."""
    for words in commands(command):
        names = dropwhile(lambda name: name in BEFORE_COMMANDS or ASSIGNMENT.match(name), (word.text for word in words))
        name = next(names, "")
        if name not in SHELL_WORDS and name[:1] != "-":
            base = re.sub(r"[^A-Za-z0-9._-]", "_", name.rpartition("/")[2]).strip("_-")
            if base:
                return base[:PROGRAM_MAX]
    return "job"


def _refuse_shared_keys(crontab: str, wrapper: Wrapper, keys: Mapping[str, object]) -> None:
    """Raise Refused where `cronlock run` would: one of these keys is used with two commands, or in two time zones."""
    found: dict[tuple[str, str], Line] = {}
    for line in every_line(crontab, "", system=wrapper.system, cron=wrapper.cron):
        if line.ticks and line.key in keys:
            first = found.setdefault((line.key, line.mode or "once"), line)
            if (first.command, first.zone) != (line.command, line.zone):
                raise wrapper.shared_key(first.number, line.number, line.key)
