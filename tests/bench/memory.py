"""Memory while the command runs: the proportional set size of wrapper and guard, without the command."""

import os
import signal
import subprocess
import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from statistics import median

from tests.bench.install_fixture import InstallFixture, running
from tests.bench.peers import Peers
from tests.bench.table import Entry, Scale, rows
from tests.bench.timing import Figures, shuffled
from tests.support.commands import wait_until
from tests.support.processes import about, descendants

CRONLOCK, PLAIN, PYTHON = "cronlock, wrapper and guard", "plain script", "python -I -c 'import time; time.sleep(5)'"
COMMAND = "sleep"
SETTLED = 0.5  # s after the command's start, when the wrapper has freed the memory of its start
SHOWN = {PLAIN: "plain script"}

Process = subprocess.Popen[bytes]
Found = dict[str, list[float]]


def measure(install: InstallFixture, peers: Peers, rounds: int) -> list[str]:
    """Measure one of each at the same time, and ten of each: shared pages are divided among processes."""
    lines = []
    for copies in (1, 10):
        found: Found = {}
        for _ in range(rounds if copies == 1 else max(1, rounds // 3)):
            for name, sizes in _round(install, peers, copies).items():
                found.setdefault(name, []).append(median(sizes))
        figures = {name: Figures(median(sizes), len(sizes)) for name, sizes in found.items()}
        scale = Scale(f"memory, {copies} of each at once", "MB", PYTHON, PLAIN)
        lines += rows(scale, figures, _entries(peers))
    return lines


def _entries(peers: Peers) -> list[Entry]:
    own = [Entry(CRONLOCK, (PYTHON,), {PLAIN: 0.4}, SHOWN), Entry(PYTHON), Entry(PLAIN, (PYTHON,))]
    return own + [Entry(name) for name in peers.names]


def _round(install: InstallFixture, peers: Peers, copies: int) -> Found:
    """Start all cases in random order, and return their Pss in MB while all commands run."""
    started: list[tuple[str, Process]] = []
    for name, number in shuffled([(name, number) for name in _names(peers) for number in range(copies)], 1):
        words, env = _words(install, peers, name, f"memory-{number}")
        started.append((name, install.start(words, env)))
    for name, process in started:
        if name != PYTHON:
            wait_until(partial(_commands, process), 30, f"the command of {name}")
    time.sleep(SETTLED)
    found: Found = {}
    for name, process in started:
        own = [process.pid, *(pid for pid in descendants(process.pid) if about(pid)["Name"] != COMMAND)]
        found.setdefault(name, []).append(sum(_pss(pid) for pid in own) / 1024)
    for name, process in started:
        _finish([process.pid] if name == PYTHON else _commands(process))
    for _, process in started:
        process.wait(30)
    return found


def _names(peers: Peers) -> list[str]:
    return [CRONLOCK, PLAIN, PYTHON, *peers.names]


def _words(install: InstallFixture, peers: Peers, name: str, key: str) -> tuple[tuple[str, ...], dict[str, str]]:
    command = (COMMAND, "1000")
    if name == CRONLOCK:
        return (*install.cronlock(key, "--schedule", "none"), *command), install.cronlock_env()
    if name == PLAIN:
        return (*install.plain(key), *command), install.env
    if name == PYTHON:
        return install.python("import time; time.sleep(1000)"), install.env
    return (*peers.before(name, key), *command), peers.env


def _commands(process: Process) -> list[int]:
    return running(process.pid, COMMAND)


def _finish(pids: Iterable[int]) -> None:
    """End the commands; their wrappers release the lock."""
    for pid in pids:
        os.kill(pid, signal.SIGTERM)


def _pss(pid: int) -> int:
    """Return the Pss of a process in KiB."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    raise LookupError(f"no Pss of {pid}")
