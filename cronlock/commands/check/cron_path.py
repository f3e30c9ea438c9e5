"""Where cron looks for programs, and whether cronlock and a line's command are there."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from cronlock.commands.check.findings import LINES, RED, YELLOW, Finding
from cronlock.cron.parser import BUSYBOX, CRON_PATH, CRONIE, Line

CRONIE_PATH = "/usr/bin:/bin:/usr/sbin:/sbin"
INHERITED = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # of daemons: systemd, OpenRC, containers
ELSEWHERE = frozenset(  # these start what follows with another PATH, as another user or on another machine
    "sudo doas su runuser setpriv ssh docker podman kubectl nsenter chroot systemd-run machinectl lxc-attach".split()
)
SHELLS = frozenset("sh bash dash ash zsh ksh".split())


def path_of_cron(cron: str, proc: Path = Path("/proc")) -> str:
    """The PATH of lines that set none.

    busybox's crond hands on its own, as Ubuntu's cron does, which is started with -P; else the constant in the daemon.
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
            if os.readlink(folder / "ns" / "mnt") == os.readlink("/proc/self/ns/mnt"):  # no container's
                pairs = (folder / "environ").read_text(errors="surrogateescape").split("\0")
                return next((pair[5:] for pair in pairs if pair.startswith("PATH=")), own)
        except OSError:  # gone, or another user's
            continue
    return own


def _is_roots(folder: Path) -> bool:
    """Whether root itself started the process: any user can call one cron, also one of a setuid program."""
    lines = (folder / "status").read_text(errors="replace").splitlines()
    return any(line.split()[1:] == ["0"] * 4 for line in lines if line.startswith("Uid:"))


def judge(line: Line) -> list[Finding]:
    """Whether the line's programs are found; nothing where that can't be told from the line."""
    path = line.variables.get("PATH")
    if path is None or _starts_elsewhere(line.front):
        return []
    program = _program(line)
    if fault := _missing(program, path):
        text = f"{program} {fault}"
        if "$" in path:
            text += ": cron expands nothing in an assignment"
        return [Finding(LINES, RED, line.place, text, _advice(program))]
    command = line.command[0] if line.command else ""
    if fault := _missing(command, path):
        text = f"the command {command} {fault}: status 127"
        return [Finding(LINES, YELLOW, line.place, text, "write its whole path")]
    return []


def _starts_elsewhere(front: list[list[str]]) -> bool:
    """Whether something in front gives cronlock another PATH than the line has."""
    for words in front:
        names = [word.rpartition("/")[2] for word in words if "=" not in word]
        if ELSEWHERE & set(names) or names[:1] in (["."], ["source"], ["eval"]):
            return True
        flags = [word for word in words if word[:1] == "-"]
        login = any(flag == "--login" or (flag[:2] != "--" and "l" in flag) for flag in flags)
        if (SHELLS & set(names) and login) or ("env" in names and {"-", "-i", "--ignore-environment"} & set(flags)):
            return True
    return False


def _program(line: Line) -> str:
    """What has to be found: cronlock, or the Python that runs it as a module."""
    words = line.front[-1]
    if words and words[-1][:1] == "-" and words[-1].endswith("m"):
        return next((word for word in reversed(words) if word[:1] != "-"), line.program)
    return line.program


def _missing(program: str, path: str) -> str:
    """What is wrong with it; empty when it is there, and when that can't be told."""
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
        return "install it for all users, or write its whole path"
    return f"write {there}, or PATH={os.path.dirname(there)}:{CRON_PATH} above the line"
