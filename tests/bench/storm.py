"""Many lines in the same second, each with a key of its own: until the last command starts."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from statistics import median

from tests.bench.install_fixture import House
from tests.bench.peers import Peers, found
from tests.bench.table import Entry, Scale, rows
from tests.bench.timing import Figures, Taken, shuffled

CRONLOCK, PLAIN, PYTHON, DATE = "cronlock", "plain script", "python -I -c pass, to its end", "date, without a wrapper"
SHOWN = {PLAIN: "plain script"}

Words = tuple[str, ...]


@dataclass(frozen=True)
class Line:
    """Every line of a storm: the words in front of the command for a key, or all of them when there is no command."""

    entry: Entry
    before: Callable[[str], Words]
    env: dict[str, str]
    commanded: bool = True


def play(house: House, peers: Peers, rounds: int, count: int) -> list[str]:
    lines = _lines(house, peers)
    taken: dict[str, list[tuple[float, list[Taken]]]] = {line.entry.name: [] for line in lines}
    _storm(house, lines[0], count)  # the keys are known from now on, as they are from the second day on
    for line in shuffled(lines, rounds):
        taken[line.entry.name].append(_storm(house, line, count))
    figures = {
        name: Figures(
            median(last for last, _ in storms),
            len(storms),
            median(sum(one.cpu for one in those) for _, those in storms),
            median(max(one.rss for one in those) for _, those in storms),
        )
        for name, storms in taken.items()
    }
    return rows(Scale(f"storm of {count}", "ms", PYTHON, PLAIN, DATE), figures, [line.entry for line in lines])


def _lines(house: House, peers: Peers) -> list[Line]:
    lines = [
        Line(
            Entry(CRONLOCK, (PYTHON,), {PLAIN: 0.18}, SHOWN),
            lambda key: house.cronlock(key, "--schedule", "none"),
            house.cronlock_env(),
        ),
        Line(Entry(PLAIN, (PYTHON,)), house.plain, house.env),
        Line(Entry(PYTHON), lambda _key: house.python(), house.env, commanded=False),
        Line(Entry(DATE), lambda _key: (), house.env),
    ]
    return lines + [Line(Entry(name, (DATE,)), partial(peers.before, name), peers.env) for name in peers.names]


def _storm(house: House, line: Line, count: int) -> tuple[float, list[Taken]]:
    """ms until the last command starts, and what each line took. The command is the cheapest that tells the time."""
    said = house.starter.said
    before = said.stat().st_size
    command = (found("date"), "+at %s.%N") if line.commanded else ()
    taken = house.starter.run_all([(*line.before(f"storm-{n}"), *command) for n in range(count)], line.env)
    with said.open() as file:
        file.seek(before)
        told = file.read()
    starts = [float(text[3:]) for text in told.splitlines() if text.startswith("at ")]
    if any(one.status for one in taken) or len(starts) != count * line.commanded:
        raise RuntimeError(f"storm, {line.entry.name}: {told}")
    last = max(starts or [one.ended for one in taken])
    return (last - min(one.at for one in taken)) * 1000, taken
