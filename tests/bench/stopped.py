"""One of three servers hangs: the delay of the command's start and of the wrapper's end."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from tests.bench.install_fixture import InstallFixture
from tests.bench.table import Entry, Scale, rows
from tests.bench.timing import Figures, shuffled
from tests.support.commands import wait_until
from tests.support.servers import Server

UP, UP_TOO, STOPPED = "up", "up too", "stopped"
CLOCK = 'echo "$EPOCHREALTIME" > "$0"'  # bash's own start is in all of them and cancels out
LATER = {"started": ("later, the command starts", 10.0), "ended": ("later, the wrapper ends", 100.0)}  # ms, the goals
SCALE = Scale("one of three stopped", "ms", sign="+")


@dataclass
class Moments:
    """Times in ms from the wrapper's start."""

    started: list[float]
    ended: list[float]


def measure(install: InstallFixture, rounds: int) -> list[str]:
    """Compare runs with one server stopped to runs with all up, and these to each other, which shows chance alone."""
    found = {how: Moments([], []) for how in (UP, UP_TOO, STOPPED)}
    for number, how in enumerate(shuffled(list(found), rounds)):
        server = install.servers[number % len(install.servers)] if how == STOPPED else None
        _run(install, found[how], server)
    figures, entries = {}, []
    for moment, (name, goal) in LATER.items():
        middle = {how: median(getattr(moments, moment)) for how, moments in found.items()}
        floor = f"{name}: by chance"
        figures[name] = Figures(middle[STOPPED] - middle[UP], rounds)
        figures[floor] = Figures(abs(middle[UP_TOO] - middle[UP]), rounds)
        entries.append(Entry(name, (floor,), {"": goal}))
    return rows(SCALE, figures, entries)


def _run(install: InstallFixture, moments: Moments, stopped: Server | None) -> None:
    """Time one run after an untimed one, so that all servers know the key."""
    file = install.folder / "started"
    words = (*install.cronlock("stopped", "--schedule", "none"), "bash", "-c", CLOCK, str(file))
    _timed(install, words)
    if stopped:
        stopped.stop_process()
    try:
        at, ended = _timed(install, words)
    finally:
        if stopped:
            stopped.continue_process()
            wait_until(stopped.redis.ping, message="a server to continue")
    moments.started.append((float(file.read_text()) - at) * 1000)
    moments.ended.append((ended - at) * 1000)


def _timed(install: InstallFixture, words: Sequence[str]) -> tuple[float, float]:
    taken = install.starter.run(words, install.cronlock_env())
    if taken.status:
        raise RuntimeError(f"one of three stopped: status {taken.status}: {install.starter.output.read_text()}")
    return taken.at, taken.ended
