"""Processes as the kernel shows them: descendants, guards, and their end."""

import contextlib
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

GUARD = "cronlock-guard"  # its name in the process table


def stat_of(pid: int) -> tuple[int, str]:
    """A process's parent and the time of its birth, which tells it from a later one with the same number."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0, ""
    return int(fields[1]), fields[19]


def descendants(pid: int) -> dict[int, str]:
    """The living children of a process, their children and so on, in this order: pid -> birth.

    Only the order tells who is whose: a machine's numbers start again from below.
    """
    stats = {int(entry): stat_of(int(entry)) for entry in os.listdir("/proc") if entry.isdigit()}
    found: dict[int, str] = {}
    generation = {pid}
    while generation:
        generation = {child for child, (parent, _) in stats.items() if parent in generation and child not in found}
        found.update({child: stats[child][1] for child in generation})
    return found


def about(pid: int) -> dict[str, str]:
    """Return the kernel's facts about a process; its State begins with a letter, g for a process that has gone."""
    try:
        return dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    except OSError:
        return {"State": "gone", "Name": "", "PPid": "0"}


def guards_of(pid: int) -> list[int]:
    """The guards of that cronlock."""
    return [child for child in descendants(pid) if about(child)["Name"] == GUARD]


def run_by(pid: int) -> list[int]:
    """The processes of that cronlock's command: itself first, then its children and so on."""
    return [child for child in descendants(pid) if about(child)["Name"] != GUARD]


def bearing(mark: str) -> dict[int, str]:
    """The living processes in whose environment this stands as a whole NAME=value: pid -> name."""
    found: dict[int, str] = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if mark.encode() in Path("/proc", pid, "environ").read_bytes().split(b"\0"):
                found[int(pid)] = Path("/proc", pid, "comm").read_text().strip()
    return found


def kill_all(process: subprocess.Popen[Any]) -> None:
    """The machine goes: wrapper, guard and command at once."""
    for pid in (process.pid, *descendants(process.pid)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
