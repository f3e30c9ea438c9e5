"""What stays in memory while the command runs: the proportional set size of wrapper and guard, without the command."""

import os
import signal
import subprocess
import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from statistics import median

from tests.bench.install_fixture import House, running
from tests.bench.peers import Peers
from tests.bench.table import Entry, Scale, rows
from tests.bench.timing import Figures, shuffled
from tests.support.commands import about, descendants, wait_until

CRONLOCK, PLAIN, PYTHON = "cronlock, wrapper and guard", "plain script", "python -I -c 'import time; time.sleep(5)'"
COMMAND = "sleep"
SETTLED = 0.5  # s after the command's start: the wrapper has let go of what only the start needed
SHOWN = {PLAIN: "plain script"}

Process = subprocess.Popen[bytes]
Found = dict[str, list[float]]


def play(house: House, peers: Peers, rounds: int) -> list[str]:
    """One of each at the same moment, and ten of each: pages that processes share are divided among them."""
    lines = []
    for copies in (1, 10):
        found: Found = {}
        for _ in range(rounds if copies == 1 else max(1, rounds // 3)):
            for name, sizes in _round(house, peers, copies).items():
                found.setdefault(name, []).append(median(sizes))
        figures = {name: Figures(median(sizes), len(sizes)) for name, sizes in found.items()}
        scale = Scale(f"memory, {copies} of each at once", "MB", PYTHON, PLAIN)
        lines += rows(scale, figures, _entries(peers))
    return lines


def _entries(peers: Peers) -> list[Entry]:
    own = [Entry(CRONLOCK, (PYTHON,), {PLAIN: 0.4}, SHOWN), Entry(PYTHON), Entry(PLAIN, (PYTHON,))]
    return own + [Entry(name) for name in peers.names]


def _round(house: House, peers: Peers, copies: int) -> Found:
    """Starts all, in random order, and looks at all when all of their commands run: Pss in MB."""
    started: list[tuple[str, Process]] = []
    for name, number in shuffled([(name, number) for name in _names(peers) for number in range(copies)], 1):
        words, env = _words(house, peers, name, f"memory-{number}")
        started.append((name, house.start(words, env)))
    for name, process in started:
        if name != PYTHON:
            wait_until(partial(_commands, process), 30, f"the command of {name}")
    time.sleep(SETTLED)
    found: Found = {}
    for name, process in started:
        mine = [process.pid, *(pid for pid in descendants(process.pid) if about(pid)["Name"] != COMMAND)]
        found.setdefault(name, []).append(sum(_pss(pid) for pid in mine) / 1024)
    for name, process in started:
        _finish([process.pid] if name == PYTHON else _commands(process))
    for _, process in started:
        process.wait(30)
    return found


def _names(peers: Peers) -> list[str]:
    return [CRONLOCK, PLAIN, PYTHON, *peers.names]


def _words(house: House, peers: Peers, name: str, key: str) -> tuple[tuple[str, ...], dict[str, str]]:
    command = (COMMAND, "1000")
    if name == CRONLOCK:
        return (*house.cronlock(key, "--schedule", "none"), *command), house.cronlock_env()
    if name == PLAIN:
        return (*house.plain(key), *command), house.env
    if name == PYTHON:
        return house.python("import time; time.sleep(1000)"), house.env
    return (*peers.before(name, key), *command), peers.env


def _commands(process: Process) -> list[int]:
    return running(process.pid, COMMAND)


def _finish(pids: Iterable[int]) -> None:
    """The command ends, and who runs it gives the lock back."""
    for pid in pids:
        os.kill(pid, signal.SIGTERM)


def _pss(pid: int) -> int:
    """KiB."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    raise LookupError(f"no Pss of {pid}")
