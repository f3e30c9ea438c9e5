"""Crontabs as people have them: check and wrap say about each what expected.txt has, and the commands get the same.

The crontabs are written for these tests, after the shapes of those in Debian's packages and in public pages. Every file
named *.system has a user column. `left` is a line that wrap leaves alone, `check` a finding about the wrapped crontab.
"""

import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cronlock.commands.check.findings import GREEN
from cronlock.commands.check.rest_of_line import find_rest
from cronlock.commands.crontab_wrapper import Wrapper, wrap_crontab
from cronlock.cron.parser import DEBIAN, assignment, every_line
from tests.integration.test_check_cron_lines import Machine
from tests.integration.test_wrap import as_cron, commands
from tests.support.commands import new_folder, remove_folder, wait_until

FOLDER = Path(__file__).parent / "crontabs"
CRONTABS = sorted(FOLDER.glob("*.cron"))
WRAPPER = Wrapper("/usr/local/bin/cronlock", "once", False, DEBIAN)
OF_THIS_MACHINE = re.compile(  # programs, folders and users that a machine of tests lacks
    r"is not on cron's PATH|does not exist: status 127|does not exist: cronlock is not|fails: there is no such folder"
)
SHELLS = ("sh", "bash", "dash")
STUB = """#!/bin/sh
name=${0##*/}
input=$(/bin/cat)
printf '%s' "$name" >> "$LOG"
printf ' <%s>' "$@" >> "$LOG"
printf ' in %s gets <%s> has <%s%s>\\n' "$PWD" "$input" "$A" "$SERVICE_MODE" >> "$LOG"
printf '%s\\n' "$input"
"""


def expected(name: str, kind: str) -> list[str]:
    rows = (line.split(" ", 2) for line in (FOLDER / "expected.txt").read_text().splitlines() if line[:1] != "#")
    return [rest for crontab, one, rest in rows if (crontab, one) == (name, kind)]


def text_of(path: Path) -> str:
    return path.read_bytes().decode()


def wrapper_of(path: Path, program: str = WRAPPER.program) -> Wrapper:
    return replace(WRAPPER, system=path.stem.endswith(".system"), program=program)


def test_there_are_enough_of_them() -> None:
    assert len(CRONTABS) >= 50
    named = {line.split(" ")[0] for line in (FOLDER / "expected.txt").read_text().splitlines() if line[:1] != "#"}
    assert named <= {path.stem for path in CRONTABS}


@pytest.mark.parametrize("path", CRONTABS, ids=lambda path: path.stem)
def test_wrap_leaves_alone_what_it_has_to(path: Path) -> None:
    """Twice is as once; no wrapped line has a rest that every node would run."""
    text = text_of(path)
    new, notes = wrap_crontab(text, wrapper_of(path))
    rows = [row.partition(" ")[::2] for row in expected(path.stem, "left")]
    assert len(notes) == len(rows), notes
    for (number, words), note in zip(rows, notes, strict=True):
        assert note.startswith(f"line {number}: ")
        assert words in note
    again, same = wrap_crontab(new, wrapper_of(path))
    assert (again, same) == (new, [note for note in notes if "newline" not in note])
    before, after = (one.split("\n") for one in (text, new))
    left = {number for number, _ in rows if "newline" not in notes[0]}
    for number, (old, line) in enumerate(zip(before, after, strict=False), 1):
        is_row = (
            old.strip()
            and old.lstrip()[0] != "#"
            and not assignment(old.lstrip())
            and (old[0] == "@" or len(old.split()) > 5)
        )
        assert old == line or (is_row and str(number) not in left)
    for line in every_line(new, "", system=wrapper_of(path).system, cron=DEBIAN):
        assert str(line.number) in left or find_rest(line.script, 0) == ("", "")


def for_check(path: Path) -> Any:
    """Return the path as a parameter: check is red about a system crontab that root does not own."""
    return pytest.param(path, id=path.stem, marks=[pytest.mark.debian] if wrapper_of(path).system else [])


@pytest.mark.parametrize("path", [for_check(path) for path in CRONTABS])
def test_check_finds_in_it_what_is_wrong_and_nothing_more(path: Path, open_folder: Path) -> None:
    """After wrap, on a machine that has the program cronlock."""
    machine = Machine(open_folder)
    program = str(machine.executable("programs/cronlock"))
    new, _ = wrap_crontab(text_of(path), wrapper_of(path, program))
    machine.write("etc/cronlock.toml", 'redis = "redis://redis-1"\n')
    system = wrapper_of(path).system
    findings = machine.of_system(new) if system else machine.findings(listed=new)
    found = [f for f in findings if f.level != GREEN and f.about != "none" and not OF_THIS_MACHINE.search(f.text)]
    rows = [row.split(" ", 2) for row in expected(path.stem, "check")]
    assert len(found) == len(rows), found
    by_line = {(finding.about.rpartition(":")[2], finding.level): finding.line_text for finding in found}
    for number, level, words in rows:
        assert words in by_line.get((number, level), ""), found


# What the commands get


@pytest.fixture(scope="module")
def stubs() -> Iterator[Path]:
    folder = new_folder()
    yield folder
    remove_folder(folder)


def moved(text: str, root: Path) -> str:
    """Return the text with all paths below another root, except shells and devices."""
    return re.sub(r"(?<![\w.*$}/:@-])/(?!bin/(?:ba|da)?sh\b|dev/)(?=[a-z])", f"{root}/", text)


def outcome(
    root: Path, text: str, named: str, shell: str, variables: dict[str, str]
) -> tuple[int, list[str], dict[str, bool]]:
    """Return status, what each stub got, and the files that there are, after a line of a crontab was run.

    There is a stub for each program that `named` contains.
    """
    remove_folder(root)
    bin_folder = root / "stubs"
    bin_folder.mkdir(parents=True)
    script, stdin = as_cron(text)
    names = {word for word in re.findall(r"[a-z][\w.-]*", named) if word not in BUILT_IN}
    programs = [bin_folder / name for name in names]
    for found in re.findall(rf"{root}(/[\w./-]+)", named):
        file = root / found[1:]
        file.parent.mkdir(parents=True, exist_ok=True)
        if re.search(rf"cd {root}{found}(?![\w/])", named):
            file.mkdir(exist_ok=True)
        elif not file.exists():
            programs.append(file)
    for file in programs:
        if not file.is_dir():
            file.write_text(STUB)
            file.chmod(0o755)
    (bin_folder / "cronlock").write_text('#!/bin/sh\nwhile [ "$1" != -- ]; do shift; done; shift; exec "$@"\n')
    (bin_folder / "cronlock").chmod(0o755)
    log = root / "log"
    env = {"HOME": str(root), **variables, "PATH": f"{bin_folder}:/nowhere", "LOG": str(log)}
    done = subprocess.run(
        [shell, "-c", script + "\nstatus=$?; wait; exit $status"], cwd=root, env=env, input=stdin, capture_output=True,
        check=False, timeout=20, text=True,
    )  # fmt: skip
    if named.rstrip().endswith("&"):
        wait_until(lambda: log.exists() and len(log.read_text().splitlines()) == len(names - {"once", "dev", "null"}))
    got = sorted(log.read_text().splitlines()) if log.exists() else []
    files = {str(file.relative_to(root)): file.stat().st_size > 0 for file in root.rglob("*") if file.is_file()}
    files = {name: filled for name, filled in files.items() if not name.startswith("stubs/")}
    return done.returncode, got, files


BUILT_IN = {
    *SHELLS, "cd", "if", "then", "else", "fi", "do", "done", "while", "for", "in", "exit", "exec", "export", "umask",
    "test", "command", "source", "echo", "printf", "true", "false", "wait", "trap", "eval", "read", "cronlock", "set",
}  # fmt: skip


@pytest.mark.parametrize("path", CRONTABS, ids=lambda path: path.stem)
def test_the_programs_get_the_same_words_input_and_folder(path: Path, stubs: Path) -> None:
    """Its shell runs each line as it was and as wrap prints it, with a stand-in for every program that it names."""
    root = stubs / "root"
    wrapper = wrapper_of(path, str(root / "stubs/cronlock"))
    text = moved(text_of(path).replace("\r", ""), root)
    new, _ = wrap_crontab(text, wrapper)
    variables: dict[str, str] = {}
    after = {given.number: given for given in commands(new, wrapper.system) if given.command}
    for line in text.split("\n"):
        if line[:1] not in ("", "#") and (assigned := assignment(line)):
            variables[assigned[0]] = assigned[1]
    for given in (given for given in commands(text, wrapper.system) if len(given.fields.split()) in (1, 5)):
        wrapped = after.get(given.number)
        if wrapped is None or wrapped.command == given.command or not given.command:
            continue
        shell = variables.get("SHELL", "/bin/sh")
        plain = outcome(root, given.command, given.command, shell, variables)
        assert outcome(root, wrapped.command, given.command, shell, variables) == plain
        assert plain[1] or path.stem in SILENT, given.command


SILENT = ("quotes.user", "ruby.user", "virtualenv.user", "variables.user", "file-system-scrub.system")  # of built-ins
