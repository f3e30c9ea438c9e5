"""One of three servers hangs: how much later the command starts, and how much later the wrapper ends."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from tests.bench.install_fixture import House
from tests.bench.table import Entry, Scale, rows
from tests.bench.timing import Figures, shuffled
from tests.support.commands import wait_until
from tests.support.servers import Server

UP, UP_TOO, STOPPED = "up", "up too", "stopped"
CLOCK = 'echo "$EPOCHREALTIME" > "$0"'  # bash's own start is in all of them, and no difference
LATER = {"started": ("later, the command starts", 10.0), "ended": ("later, the wrapper ends", 100.0)}  # ms, the goals
SCALE = Scale("one of three stopped", "ms", sign="+")


@dataclass
class Moments:
    """ms from the wrapper's start."""

    started: list[float]
    ended: list[float]


def play(house: House, rounds: int) -> list[str]:
    """As many of them as runs where all are up, and again where all are up: these two differ by chance only."""
    found = {how: Moments([], []) for how in (UP, UP_TOO, STOPPED)}
    for number, how in enumerate(shuffled(list(found), rounds)):
        server = house.servers[number % len(house.servers)] if how == STOPPED else None
        _run(house, found[how], server)
    figures, entries = {}, []
    for moment, (name, goal) in LATER.items():
        middle = {how: median(getattr(moments, moment)) for how, moments in found.items()}
        floor = f"{name}: by chance"
        figures[name] = Figures(middle[STOPPED] - middle[UP], rounds)
        figures[floor] = Figures(abs(middle[UP_TOO] - middle[UP]), rounds)
        entries.append(Entry(name, (floor,), {"": goal}))
    return rows(SCALE, figures, entries)


def _run(house: House, moments: Moments, stopped: Server | None) -> None:
    """One run that is timed, after one that is not: all servers know the key as it stands."""
    file = house.folder / "started"
    words = (*house.cronlock("stopped", "--schedule", "none"), "bash", "-c", CLOCK, str(file))
    _timed(house, words)
    if stopped:
        stopped.stop_process()
    try:
        at, ended = _timed(house, words)
    finally:
        if stopped:
            stopped.continue_process()
            wait_until(stopped.redis.ping, message="a server to go on")
    moments.started.append((float(file.read_text()) - at) * 1000)
    moments.ended.append((ended - at) * 1000)


def _timed(house: House, words: Sequence[str]) -> tuple[float, float]:
    taken = house.starter.run(words, house.cronlock_env())
    if taken.status:
        raise RuntimeError(f"one of three stopped: status {taken.status}: {house.starter.said.read_text()}")
    return taken.at, taken.ended
