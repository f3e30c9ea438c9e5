"""`cronlock wrap`: a crontab in, the same crontab out, with `cronlock run` before its commands."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import dropwhile
from pathlib import Path
from typing import TYPE_CHECKING

from cronlock.config.command_options import COMMAND_OPTIONS
from cronlock.config.options import OPTIONS
from cronlock.cron.crontab import CRONTAB_MAX, Sources, is_user
from cronlock.cron.parser import BLANK, BUSYBOX, CRONIE, Line, assignment, columns, every_line, rows, subcommands
from cronlock.cron.schedule import Schedule
from cronlock.cron.shell import commands
from cronlock.errors import CronlockError, Refused
from cronlock.files import too_long
from cronlock.messages import Messages
from cronlock.process.event_loop import sha1

if TYPE_CHECKING:
    from cronlock.commands.invocation import Invocation
    from cronlock.cron.parser import Row, Variables

SUBCOMMANDS = frozenset(name for option in (*OPTIONS, *COMMAND_OPTIONS) for name in option.commands)
ONE_FILE, FOLDER = "/etc/crontab", "/etc/cron.d"  # crontabs with a user column
LONGEST = 998  # bytes: Debian's cron reads nothing of a crontab in which one command is longer
NAME_LONGEST = 100  # characters of a program's name in a key, which may have 200

DEFAULT_SHELL = "/bin/sh"  # crontab(5)
BOURNE = frozenset("sh ash bash dash ksh ksh93 lksh mksh oksh pdksh posh yash zsh".split())  # '...' ends at the next '
OF_CRON = ("MAIL", "CONTENT_", "CRON_TZ", "RANDOM_DELAY")  # variables that no command cares for
OPERATORS = re.compile(r"[|&;<>()#`\n]")
PLAIN = re.compile(r"[\w.+:@-]+")  # no assignment, no expansion, no pattern
ASSIGNMENT = re.compile(r"[A-Za-z_]\w*\+?=")
BEFORE = frozenset("if then elif else while until do ! { time exec".split())  # a command may stand behind these
OWN = BEFORE | frozenset(  # other words of sh, bash and ksh that no file of this name can replace
    """
    . : - [ [[ } alias bg bind break builtin caller case cd chdir command compgen complete compopt continue coproc
    declare dirs disown done enable esac eval exit export fc fg fi for function getopts hash help history jobs let
    local logout mapfile nameref popd print pushd read readarray readonly return select set shift shopt source stop
    suspend test times trap type typeset ulimit umask unalias unset wait whence
    """.split()
)
BUILT_IN = frozenset("echo kill printf pwd".split())  # programs, of which each shell has a version of its own

# They start what each machine has installed for itself, such as logrotate: --once would leave that out on all but one.
OF_EACH_MACHINE = re.compile(r"(?:^|[\s/])(run-parts|anacron)(?![^\s;&|])")

# What a crontab has as a command: the command, the blanks behind it or the CR of a DOS file, and its standard input,
# from the first % without a backslash on. A blank behind a backslash belongs to the command.
PARTS = re.compile(r"((?:\\.|[^\\%]|\\\Z)*?)([ \t]*|\r)(%.*|)", re.DOTALL)
PARTS_OF_BUSYBOX = re.compile(r"((?:\\.|[^\\]|\\\Z)*?)([ \t]*|\r)()", re.DOTALL)


@dataclass(frozen=True)
class Way:
    """How to wrap: the path of cronlock, once or each, whether there is a user column, whose cron reads it."""

    program: str
    mode: str
    system: bool
    cron: str

    def parts(self, raw: str) -> tuple[str, str, str]:
        """A command, what stands behind it, and its standard input."""
        found = (PARTS_OF_BUSYBOX if self.cron == BUSYBOX else PARTS).fullmatch(raw)
        assert found  # noqa: S101 - the pattern takes any text
        return found[1], found[2], found[3]

    def command(self, key: str, raw: str, read: str, variables: Variables) -> str:
        """The wrapped command. `raw` is it in the crontab, `read` what its shell reads."""
        front = f"{self._path(self.program)} run --{self.mode} --key {key} -- "
        shell = _shell(variables)
        functions = shell.endswith("/zsh") or "BASH_ENV" in variables  # from a file that the shell reads first
        if not functions and _is_one_program(read):
            return front + raw
        command, *rest = self.parts(raw)
        quoted = command.replace("'", r"'\''")
        return f"{front}{self._path(shell)} -c '{quoted}'{''.join(rest)}"

    def _path(self, path: str) -> str:
        return shlex.quote(path) if self.cron == BUSYBOX else shlex.quote(path).replace("%", r"\%")


def wrap(invocation: Invocation) -> int:
    """Print the crontab on standard output, and on standard error, a line each, what was left alone and why.

    125, and nothing on standard output, when it can't be wrapped as a whole.
    """
    messages = Messages("wrap")
    try:
        mode = _mode(invocation.given)
        path = _path(invocation.arguments)
        text = _read(path)
        cron = Sources().cron
        system = _is_system(path, text, cron, invocation.command_options.get("crontab", ""))
        crontab, notes = wrapped(text, Way(find_cronlock(sys.argv[0], invocation.environ), mode, system, cron))
        _write(crontab)
    except CronlockError as error:
        messages.error(error)
        return error.status
    for note in notes:
        messages.notice(note)
    return 0


def wrapped(text: str, way: Way) -> tuple[str, list[str]]:
    """A crontab with its command lines wrapped, and what a person should hear about it.

    Raises Refused when two different commands, or one under different variables, would share a key.
    """
    lines = text.split("\n")
    notes: list[str] = []
    keys: dict[str, tuple[Row, object]] = {}
    for row, variables in _commands(text, way):
        line = lines[row.number - 1]
        raw = columns(line.lstrip(BLANK), way.system)[2]
        why = _obstacle(row, variables) or (_other_jobs(row.command) if way.mode == "once" else "")
        if not why:
            command, behind, stdin = way.parts(raw)
            job = f"{row.user}\0{command}{behind.strip(BLANK)}{stdin}"
            key = f"{_program(row.command)}-{sha1(_bytes(job))[:4]}"
            new = way.command(key, raw, row.command, variables)
            if way.cron not in (CRONIE, BUSYBOX) and len(_bytes(new)) > LONGEST:
                why = f"with cronlock it would be longer than the {LONGEST} bytes that Debian's cron takes"
        if why:
            notes.append(f"line {row.number}: left alone: {why}")
            continue
        told = job, {name: value for name, value in variables.items() if not name.startswith(OF_CRON)}
        first, other = keys.setdefault(key, (row, told))
        if other != told:
            raise _shared(first.number, row.number, key, way)
        if first is not row and first.fields == row.fields:
            notes.append(f"line {row.number}: the same as line {first.number}: with one key they run once")
        lines[row.number - 1] = line.removesuffix(raw) + new
    if lines[-1]:
        notes.append(f"line {len(lines)}: a newline was missing at its end: cron ignores a line without one")
        lines.append("")
    crontab = "\n".join(lines)
    _judge(crontab, way, keys)
    return crontab, notes


def find_cronlock(started: str, environ: Mapping[str, str]) -> str:
    """The absolute path of cronlock, links not followed: as it was started, else on PATH, else beside its Python."""
    beside = os.path.join(os.path.dirname(sys.executable), "cronlock")
    for path in (started, shutil.which("cronlock", path=environ.get("PATH")), beside):
        if path and os.path.basename(path) == "cronlock" and os.path.isfile(path) and os.access(path, os.X_OK):
            return os.path.abspath(path)
    raise Refused("no program named cronlock is found: put its folder on PATH")


def is_in_etc(path: str) -> bool:
    """Whether this is a place of crontabs with a user column."""
    path = os.path.abspath(path)
    return path == ONE_FILE or os.path.dirname(path) == FOLDER


def _mode(given: Mapping[str, object]) -> str:
    modes = [mode for mode in ("once", "each") if given.get(mode)]
    if len(modes) != 1:
        raise Refused("--once and --each: give one of them" if modes else "say --once or --each")
    return modes[0]


def _path(words: Sequence[str]) -> str:
    """The FILE; empty for standard input, which is also called -."""
    if len(words) > 1:
        raise Refused("several files: give one of them")
    return words[0] if words and words[0] != "-" else ""


def _read(path: str) -> str:
    try:
        text = _front_of(Path(path)) if path else sys.stdin.buffer.read(CRONTAB_MAX + 1)
        if len(text) > CRONTAB_MAX:
            raise OSError(too_long(CRONTAB_MAX))
    except OSError as error:
        raise Refused(f"can't read {path or 'standard input'}: {error.strerror or error}") from None
    return text.decode("utf-8", "surrogateescape")


def _front_of(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(CRONTAB_MAX + 1)


def _write(crontab: str) -> None:
    try:
        sys.stdout.buffer.write(_bytes(crontab))
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        pass
    except OSError as error:
        raise Refused(f"can't write the crontab: {error.strerror}") from None


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _is_system(path: str, text: str, cron: str, said: str) -> bool:
    """Whether it has a user column: as it was said, else by its place."""
    if said:
        return said == "system"
    if path and is_in_etc(path):
        return True
    users = [row.user for row in rows(text, True, cron)]
    # A command of one word, as `sync`, can't be a user's name: no command would be left.
    if users and len(users) == sum(1 for _ in rows(text, False, cron)) and all(map(is_user, set(users))):
        raise Refused(
            "every command begins with the name of a user: is that a column? give --crontab system or --crontab user"
        )
    return False


def _commands(text: str, way: Way) -> Iterator[tuple[Row, Variables]]:
    """The rows with a command that does not use cronlock, each with the assignments above it."""
    found = {row.number: row for row in rows(text, way.system, way.cron)}
    variables: Variables = {}
    for number, line in enumerate(text.split("\n"), 1):
        stripped = line.lstrip(BLANK)
        row = found.get(number)
        if row and row.command[0] != "#" and not subcommands(row) & SUBCOMMANDS:
            yield row, dict(variables)
        elif not row and stripped and stripped[0] != "#" and (assigned := assignment(stripped)):
            variables[assigned[0]] = assigned[1]


def _obstacle(row: Row, variables: Variables) -> str:
    """Why a line has to be left alone; empty when nothing is in the way."""
    if row.fields == "@reboot":
        return "@reboot is no schedule"
    if _shell(variables).rpartition("/")[2] not in BOURNE:
        return f"its SHELL, {_shell(variables)}, may read quotes in another way than sh"
    try:
        commands(row.command)
        Schedule([row.fields], row.zone)
    except ValueError:
        return "a quote or a bracket in its command is not closed"
    except Refused as error:
        return str(error)
    return ""


def _other_jobs(command: str) -> str:
    """Why a command that starts jobs of each machine's own is no job for one of them; empty when it is none."""
    for words in commands(command):
        if words and words[0].text not in ("test", "["):  # which only look whether it is there
            for word in words:
                if found := OF_EACH_MACHINE.search(word.text):
                    return (
                        f"{found[1]} starts what each machine has installed for itself: "
                        "wrap it by hand with --each, or give the job that is for one machine a line of its own"
                    )
    return ""


def _shell(variables: Variables) -> str:
    return variables.get("SHELL") or DEFAULT_SHELL


def _is_one_program(command: str) -> bool:
    """Whether a command is one program and its words, so that a shell does with them behind cronlock what it did."""
    if OPERATORS.search(command):
        return False
    name = commands(command)[0][0].text
    if "=" in name or name in OWN | BUILT_IN:
        return False
    return "/" in name or PLAIN.fullmatch(name) is not None


def _program(command: str) -> str:
    """The name of the first program in a command, as a part of a key; `job` when a shell does all of it."""
    for words in commands(command):
        names = dropwhile(lambda name: name in BEFORE or ASSIGNMENT.match(name), (word.text for word in words))
        name = next(names, "")
        if name not in OWN and name[:1] != "-":
            base = re.sub(r"[^A-Za-z0-9._-]", "_", name.rpartition("/")[2]).strip("_-")
            if base:
                return base[:NAME_LONGEST]
    return "job"


def _judge(crontab: str, way: Way, keys: Mapping[str, object]) -> None:
    """Raises Refused where `cronlock run` would: one of these keys stands at two commands, or in two time zones."""
    seen: dict[tuple[str, str], Line] = {}
    for line in every_line(crontab, "", system=way.system, cron=way.cron):
        if line.ticks and line.key in keys:
            first = seen.setdefault((line.key, line.mode or "once"), line)
            if (first.command, first.zone) != (line.command, line.zone):
                raise _shared(first.number, line.number, line.key, way)


def _shared(one: int, other: int, key: str, way: Way) -> Refused:
    return Refused(
        f"line {one} and line {other} would share the key {key}: "
        f"give one of them a key by hand: cronlock run --{way.mode} --key NAME -- ..."
    )
