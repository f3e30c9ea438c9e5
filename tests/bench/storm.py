"""Many lines in the same second, each with its own key: the time until the last command starts."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from statistics import median

from tests.bench.install_fixture import InstallFixture
from tests.bench.peers import Peers, found
from tests.bench.table import Entry, Scale, rows
from tests.bench.timing import Figures, Taken, shuffled

CRONLOCK, PLAIN, PYTHON, DATE = "cronlock", "plain script", "python -I -c pass, to its end", "date, without a wrapper"
SHOWN = {PLAIN: "plain script"}

Words = tuple[str, ...]


@dataclass(frozen=True)
class Line:
    """Every line of a storm: the words before the command for a key, or all words if there is no command."""

    entry: Entry
    before: Callable[[str], Words]
    env: dict[str, str]
    commanded: bool = True


def measure(install: InstallFixture, peers: Peers, rounds: int, count: int) -> list[str]:
    lines = _lines(install, peers)
    taken: dict[str, list[tuple[float, list[Taken]]]] = {line.entry.name: [] for line in lines}
    _storm(install, lines[0], count)  # from now on the keys are known, as they are in daily use
    for line in shuffled(lines, rounds):
        taken[line.entry.name].append(_storm(install, line, count))
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


def _lines(install: InstallFixture, peers: Peers) -> list[Line]:
    lines = [
        Line(
            Entry(CRONLOCK, (PYTHON,), {PLAIN: 0.18}, SHOWN),
            lambda key: install.cronlock(key, "--schedule", "none"),
            install.cronlock_env(),
        ),
        Line(Entry(PLAIN, (PYTHON,)), install.plain, install.env),
        Line(Entry(PYTHON), lambda _key: install.python(), install.env, commanded=False),
        Line(Entry(DATE), lambda _key: (), install.env),
    ]
    return lines + [Line(Entry(name, (DATE,)), partial(peers.before, name), peers.env) for name in peers.names]


def _storm(install: InstallFixture, line: Line, count: int) -> tuple[float, list[Taken]]:
    """Return the ms until the last command starts, and each line's measurements; the command prints the time."""
    output = install.starter.output
    before = output.stat().st_size
    command = (found("date"), "+at %s.%N") if line.commanded else ()
    taken = install.starter.run_all([(*line.before(f"storm-{n}"), *command) for n in range(count)], line.env)
    with output.open() as file:
        file.seek(before)
        summary = file.read()
    starts = [float(text[3:]) for text in summary.splitlines() if text.startswith("at ")]
    if any(one.status for one in taken) or len(starts) != count * line.commanded:
        raise RuntimeError(f"storm, {line.entry.name}: {summary}")
    last = max(starts or [one.ended for one in taken])
    return (last - min(one.at for one in taken)) * 1000, taken
