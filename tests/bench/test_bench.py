"""The benchmark measures each row and leaves nothing behind; tests do not judge speed."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.bench.table import COLUMNS
from tests.support.commands import ROOT, environment, new_folder, remove_folder, wait_until

pytestmark = pytest.mark.debian

README = ROOT / "tests/bench/README.md"
ROWS = """\
start: true, without a wrapper
start: python -I -c pass
start: cronlock run --schedule none, won
start: the same as won, by the launcher of cronlock install
start: cronlock run --schedule none, held by another one
start: the same as won, servers in ~/.config/cronlock.toml
start: the same on a cluster of three masters
start: the line in /etc/cron.d, */5 * * * *, won
start: the same line, --tz Europe/Berlin, won
start: the same, 0 2 L * *, won
start: the same line, the tick is done
start: plain script, won
start: plain script, held
start: flock -n, won
start: etcdctl lock, won
start: flock -n, held
memory, 1 of each at once: cronlock, wrapper and guard
memory, 1 of each at once: python -I -c 'import time; time.sleep(5)'
memory, 1 of each at once: plain script
memory, 1 of each at once: flock -n
memory, 1 of each at once: etcdctl lock
memory, 10 of each at once: cronlock, wrapper and guard
memory, 10 of each at once: python -I -c 'import time; time.sleep(5)'
memory, 10 of each at once: plain script
memory, 10 of each at once: flock -n
memory, 10 of each at once: etcdctl lock
storm of 3: cronlock
storm of 3: plain script
storm of 3: python -I -c pass, to its end
storm of 3: date, without a wrapper
storm of 3: flock -n
storm of 3: etcdctl lock
one of three stopped: later, the command starts
one of three stopped: later, the wrapper ends
""".splitlines()

Start = Callable[..., "subprocess.Popen[str]"]


def about(folder: Path) -> list[str]:
    """Return the processes with this folder in their command line or environment."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            words = Path("/proc", pid, "cmdline").read_bytes()
            if str(folder).encode() in words + Path("/proc", pid, "environ").read_bytes():
                found.append(f"{pid} {words.decode(errors='replace')}")
    return found


@pytest.fixture
def folder() -> Iterator[Path]:
    """Provide a folder that contains all folders of the benchmark."""
    folder = new_folder()
    yield folder
    remove_folder(folder)


@pytest.fixture
def bench(folder: Path) -> Iterator[Start]:
    """Provide bench(*words): the benchmark with the cronlock under test; it leaves the README alone."""
    started = []

    def start(*words: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "tests.bench", "--no-write", "--python", sys.prefix, *words]
        env = environment({"TMPDIR": str(folder)})
        pipe = subprocess.PIPE
        started.append(subprocess.Popen(command, env=env, cwd=ROOT, stdout=pipe, stderr=pipe, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def left_in(folder: Path) -> list[str]:
    """Return the remaining processes and folders, once killed processes have had time to end."""
    with contextlib.suppress(AssertionError):
        wait_until(lambda: not about(folder), 5)
    return [*about(folder), *map(str, folder.iterdir())]


def number(cell: str) -> float:
    return float(cell.removeprefix("<= ").split()[0])


def test_each_row_is_measured(bench: Start, folder: Path) -> None:
    """The figures are plausible; two rounds can't show which of two cases is faster."""
    before = README.read_text()
    process = bench("--rounds", "2", "--lines", "3")
    out, err = process.communicate(timeout=100)
    assert (process.returncode, err) == (0, "")
    cells = [line[2:-2].split(" | ") for line in out.splitlines() if line.startswith("| ")]
    table = {name: rest for name, *rest in cells if name not in ("what", "---")}
    assert list(table) == ROWS
    assert {len(row) + 1 for row in table.values()} == {COLUMNS}
    for name, (median, cpu, rss, python, its_cpu, plain, _goal, floor, rounds) in table.items():
        part = name.partition(": ")[0]
        assert int(rounds) >= 1
        if part.startswith(("start", "storm")):
            assert 0 < number(median) < 60_000
            assert number(cpu) >= 0
            assert 5 < number(rss) < 500
            assert number(its_cpu) >= 0
        if "stopped" not in part:
            assert number(python) >= 0
            assert number(plain) >= 0
        if "cronlock" in name:
            assert number(floor) > 0
        if name.startswith("memory") and "flock" not in name:
            assert 1 < number(median) < 500
        if "stopped" in part:
            assert abs(number(median)) < 10_000
            assert number(floor) >= 0
    assert README.read_text() == before
    assert left_in(folder) == []


@pytest.mark.parametrize("part", ["start", "memory"])
def test_ctrl_c_leaves_nothing_behind(bench: Start, folder: Path, part: str) -> None:
    """It comes while a case is timed or runs for a while."""
    process = bench("--rounds", "100000", part)

    def under_way() -> bool:
        return any("--key" in words for words in about(folder))

    wait_until(under_way, 60, "the first case")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "")
    assert out.endswith("interrupted\n")
    assert left_in(folder) == []
