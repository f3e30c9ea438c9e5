"""The PATH that cron sets, and programs of crontab lines that are not on it."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

from cronlock.commands.check.accounts import EXECUTE, READ, Account
from cronlock.commands.check.findings import LINES, RED, YELLOW, Finding
from cronlock.commands.row_faults import STARTERS
from cronlock.cron.crontab import is_user
from cronlock.cron.parser import BUSYBOX, CRON_PATH, CRONIE, Line, takes_script
from cronlock.cron.shell import commands

CRONIE_PATH = "/usr/bin:/bin:/usr/sbin:/sbin"
INHERITED = (
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # the PATH of daemons: systemd, OpenRC, containers
)
CHANGES_PATH = frozenset(  # these start the rest of the line with another PATH, as another user or on another machine
    "sudo doas su runuser setpriv ssh docker podman kubectl nsenter chroot systemd-run machinectl lxc-attach".split()
)
ASSIGNED = re.compile(r"[A-Za-z_]\w*=")
TESTS = frozenset(("test", "[", "command", "type", "which", "ls"))
FIRST_LINE = 256  # bytes: execve(2) reads no more of a script
SHELLS = frozenset("sh bash dash ash zsh ksh".split())


def path_of_cron(cron: str, proc: Path = Path("/proc")) -> str:
    """Return the PATH of lines that set none.

    busybox's crond passes its own PATH on, and so does Ubuntu's cron, run with -P; others have a constant.
    """
    own = {BUSYBOX: INHERITED, CRONIE: CRONIE_PATH}.get(cron, CRON_PATH)
    for folder in proc.iterdir() if proc.is_dir() else ():
        try:
            if not folder.name.isdigit() or (folder / "comm").read_text().strip() not in ("cron", "crond"):
                continue
            if not _is_roots(folder):
                continue
            words = (folder / "cmdline").read_text(errors="replace").split("\0")[1:]
            if cron != BUSYBOX and not any(word[:1] == "-" and "P" in word for word in words):
                continue
            own = INHERITED
            if os.readlink(folder / "ns" / "mnt") == os.readlink("/proc/self/ns/mnt"):  # not in a container
                pairs = (folder / "environ").read_text(errors="surrogateescape").split("\0")
                return next((pair[5:] for pair in pairs if pair.startswith("PATH=")), own)
        except OSError:  # ended meanwhile, or another user's
            continue
    return own


def _is_roots(folder: Path) -> bool:
    """Return whether root started the process: any user can name a process cron, and run a setuid program."""
    lines = (folder / "status").read_text(errors="replace").splitlines()
    return any(line.split()[1:] == ["0"] * 4 for line in lines if line.startswith("Uid:"))


def find_missing_programs(line: Line) -> list[Finding]:
    """Return findings for the line's programs that are not found; none where the line does not show its PATH."""
    path = line.variables.get("PATH")
    if path is None or _starts_elsewhere(line.front):
        return []
    program = _program(line)
    if fault := _fault_of(program, path):
        text = f"{program} {fault}"
        if "$" in path:
            text += ": cron expands nothing in an assignment"
        return [Finding(LINES, RED, line.place, text, _advice(program))]
    command = line.command[0] if line.command else ""
    if fault := _fault_of(command, path):
        text = f"the command {command} {fault}: status 127"
        return [Finding(LINES, YELLOW, line.place, text, "write its absolute path")]
    return []


def find_closed_programs(line: Line, account: Account | None) -> list[Finding]:
    """Return a finding for cronlock or the command where the user of the line may not execute it."""
    if not account:
        return []
    found = []
    command = line.command[0] if line.command else ""
    for program, level in ((_program(line), RED), (command, YELLOW)):
        path = _resolved(program, line)
        if path and (obstacle := _obstacle(path, account)):
            text = f"{account.name} may not execute {program}: {obstacle}"
            if level == RED:
                todo = f"install cronlock where {account.name} may read it, as in /opt/cronlock"
            else:
                todo = f"let {account.name} execute it"
            found.append(Finding(LINES, level, line.place, text, todo))
    return found


def _resolved(program: str, line: Line) -> str:
    """Return the absolute path of a program; empty where the line does not show it."""
    if "$" in program or "`" in program or "\0" in program:
        return ""
    if program[:1] == "/":
        return program
    path = line.variables.get("PATH")
    if not path or "/" in program or _starts_elsewhere(line.front):
        return ""
    return shutil.which(program, path=path) or ""


def _obstacle(path: str, account: Account) -> str:
    """Return what keeps a user from executing a program or the interpreter of its first line."""
    real = os.path.realpath(path)
    if obstacle := account.obstacle(path, EXECUTE) or account.obstacle(real, EXECUTE):
        return obstacle
    interpreter = _interpreter(real)
    if interpreter and not os.path.exists(interpreter):
        return f"its interpreter {interpreter} does not exist"
    if interpreter and (obstacle := account.obstacle(os.path.realpath(interpreter), EXECUTE)):
        return f"its interpreter is {interpreter}, and {obstacle}"
    return account.obstacle(real, READ) if interpreter else ""


def _interpreter(path: str) -> str:
    """Return the program that the first line of a script names."""
    try:
        if not os.path.isfile(path):
            return ""
        with Path(path).open("rb") as file:
            first = os.fsdecode(file.read(FIRST_LINE).split(b"\n")[0])
    except (OSError, ValueError):
        return ""
    words = first[2:].split() if first[:2] == "#!" else []
    return words[0] if words and words[0][0] == "/" and "\0" not in words[0] else ""


def find_missing_paths(line: Line) -> list[Finding]:
    """Return findings for programs around cronlock, folders of cd, and programs of the command's own shell."""
    found: list[Finding] = []
    path = line.variables.get("PATH")
    for words in line.front:
        if words[:1] == ["cd"] and len(words) == 2 and words[1][0] == "/" and _is_missing(words[1]):
            text = f"cd {words[1]} fails: there is no such folder here"
            found.append(Finding(LINES, YELLOW, line.place, text, "create it, or correct the line"))
    names = [word for word in line.front[-1] if not ASSIGNED.match(word)]
    starter = names[0] if names and path and not _starts_elsewhere(line.front) else ""
    if starter and starter not in STARTERS and starter != _program(line) and (fault := _fault_of(starter, path or "")):
        text, todo = f"{starter} {fault}: cronlock is not started", "write its absolute path"
        if is_user(starter):
            text, todo = f"{starter} is a user, and this crontab has no user column", f"remove {starter}"
        found.append(Finding(LINES, RED, line.place, text, todo))
    return found + [
        Finding(LINES, YELLOW, line.place, f"the command {name} does not exist: status 127", "correct its path")
        for name in _programs_of_shell(line.command)
        if _is_missing(name)
    ]


def _is_missing(path: str) -> bool:
    return "\0" not in path and not os.path.lexists(path)


def _programs_of_shell(command: list[str]) -> list[str]:
    """Return the absolute paths of programs that `sh -c '...'` starts, except those that its script tests for."""
    if len(command) < 3 or command[0].rpartition("/")[2] not in SHELLS or not takes_script(command[1]):
        return []
    try:
        parsed = commands(command[2])
    except ValueError:
        return []
    tested = {word.text for words in parsed if words and words[0].text in TESTS for word in words}
    first = (next((word for word in words if not ASSIGNED.match(word.text)), None) for words in parsed)
    return [
        word.text
        for word in first
        if word
        and word.shape == word.text
        and word.text[0:1] == "/"
        and word.text not in tested
        and not set(word.text) & set("*?[")
    ]


def _starts_elsewhere(front: list[list[str]]) -> bool:
    """Return whether a word before cronlock changes its PATH."""
    for words in front:
        names = [word.rpartition("/")[2] for word in words if "=" not in word]
        if CHANGES_PATH & set(names) or names[:1] in (["."], ["source"], ["eval"]):
            return True
        flags = [word for word in words if word[:1] == "-"]
        login = any(flag == "--login" or (flag[:2] != "--" and "l" in flag) for flag in flags)
        if (SHELLS & set(names) and login) or ("env" in names and {"-", "-i", "--ignore-environment"} & set(flags)):
            return True
    return False


def _program(line: Line) -> str:
    """Return the program to be found: cronlock, or the Python that runs it as a module."""
    words = line.front[-1]
    if words and words[-1][:1] == "-" and words[-1].endswith("m"):
        return next((word for word in reversed(words) if word[:1] != "-"), line.program)
    return line.program


def _fault_of(program: str, path: str) -> str:
    """Return what is wrong with a program; empty when it is found, or when that can't be decided."""
    if not program or "$" in program or "`" in program:
        return ""
    if "/" not in program:
        return "" if shutil.which(program, path=path) else f"is not on cron's PATH ({path})"
    if program[0] != "/" or (os.path.isfile(program) and os.access(program, os.X_OK)):
        return ""
    return "can't be executed" if os.path.exists(program) else "does not exist"


def _advice(program: str) -> str:
    name = os.path.basename(program)
    beside = os.path.join(os.path.dirname(sys.executable), name)
    there = shutil.which(name) or (beside if os.access(beside, os.X_OK) else "")
    if not there:
        return "install it for all users, or write its absolute path"
    return f"write {there}, or PATH={os.path.dirname(there)}:{CRON_PATH} above the line"
