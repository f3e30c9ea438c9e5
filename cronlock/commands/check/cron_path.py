"""The PATH that cron sets, and programs of crontab lines that are not on it."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from cronlock.commands.check.findings import LINES, RED, YELLOW, Finding
from cronlock.cron.parser import BUSYBOX, CRON_PATH, CRONIE, Line

CRONIE_PATH = "/usr/bin:/bin:/usr/sbin:/sbin"
INHERITED = (
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # the PATH of daemons: systemd, OpenRC, containers
)
CHANGES_PATH = frozenset(  # these start the rest of the line with another PATH, as another user or on another machine
    "sudo doas su runuser setpriv ssh docker podman kubectl nsenter chroot systemd-run machinectl lxc-attach".split()
)
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
