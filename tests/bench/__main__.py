"""python -m tests.bench [start|memory|storm|stopped]...: see the package."""

import argparse
import os
import platform
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from tests.bench import memory, start, stopped, storm
from tests.bench.install_fixture import InstallFixture
from tests.bench.peers import Peers
from tests.bench.table import merged, table
from tests.support.commands import ROOT, between

README = ROOT / "tests/bench/README.md"
BEGIN, END = "<!-- bench: written by the run -->\n", "<!-- end of bench -->\n"

Part = Callable[[InstallFixture, Peers, argparse.Namespace], list[str]]

PARTS: dict[str, Part] = {
    "start": lambda install, peers, asked: start.measure(install, peers, asked.rounds),
    "memory": lambda install, peers, asked: memory.measure(install, peers, max(1, asked.rounds // 10)),
    "storm": lambda install, peers, asked: storm.measure(install, peers, max(1, asked.rounds // 20), asked.lines),
    "stopped": lambda install, _peers, asked: stopped.measure(install, asked.rounds),
}


def options(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.bench")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"one of {', '.join(PARTS)}; all by default")
    parser.add_argument("--rounds", type=int, default=100, metavar="N")
    parser.add_argument("--python", type=Path, metavar="VENV", help="use this virtual environment, which has cronlock")
    parser.add_argument("--lines", type=int, default=100, metavar="N", help="lines of the storm")
    parser.add_argument("--no-write", action="store_true", help="leave README.md alone")
    asked = parser.parse_args(words)
    if wrong := set(asked.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(wrong))}; there are {', '.join(PARTS)}")
    if asked.rounds < 1 or asked.lines < 1:
        parser.error("--rounds and --lines must be at least 1")
    if asked.python and not (asked.python / "bin" / "cronlock").exists():
        parser.error(f"{asked.python} has no bin/cronlock")
    return asked


def _programs(install: InstallFixture) -> str:
    server = install.servers[0].redis.info("server")
    kind = f"{server.get('server_name', 'redis')} {server.get('valkey_version', server['redis_version'])}"
    return f"CPython {platform.python_version()}, {kind}"


def run(asked: argparse.Namespace) -> str:
    """Run the chosen parts, print their rows, and return the new table; rows of other parts stay as they were."""
    load = os.getloadavg()[0]
    lines: list[str] = []
    with InstallFixture(asked.python and asked.python.resolve()) as install, Peers(install) as peers:
        for line in peers.missing + ([f"no rows with a crontab: {install.no_crontabs}"] if install.no_crontabs else []):
            _say(line)
        where = f"{_programs(install)}, {os.cpu_count()} cores, load {load:.1f} before the run:\n"
        _say(where)
        for name, part in PARTS.items():
            if name in (asked.parts or PARTS):
                found = part(install, peers, asked)
                _say(table(found))
                lines += found
    before = README.read_text().partition(BEGIN)[2].partition(END)[0]
    return f"{where}\n{table(merged(before, lines))}"


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _end(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def main(words: list[str]) -> int:
    """Run the benchmark and return the status. SIGTERM ends it like Ctrl-C, without leaving anything behind."""
    asked = options(words)
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGINT, _end)  # a shell's & makes programs ignore it
    try:
        text = run(asked)
    except KeyboardInterrupt:
        _say("interrupted")
        return 128 + signal.SIGINT
    if not asked.no_write:
        between(README, BEGIN, END, text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
