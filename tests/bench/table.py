"""The table: a row for each figure, with what it is compared with, the goal, and the floor."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.bench.timing import Figures

HEAD = "| what | median | CPU ms | max RSS MB | x bare Python | x its CPU | x plain script | goal | floor | rounds |"
COLUMNS = HEAD.count("|") - 1
NOTHING = "-"
HIDDEN = 1.02  # times the RSS of the smallest program: less than that tells nothing


@dataclass(frozen=True)
class Entry:
    """One row to be: its name, the names whose figures add up to its floor, and its goals.

    A goal is the name of what it is compared with, and how many times that it may take; "" for the figure itself.
    """

    name: str
    floor: tuple[str, ...] = ()
    goals: Mapping[str, float] = field(default_factory=dict)
    shown: Mapping[str, str] = field(default_factory=dict)  # the names in goals, in fewer words


@dataclass(frozen=True)
class Scale:
    """What a part measures, and the names in it of bare Python, of the plain script, and of the smallest program."""

    part: str
    unit: str
    python: str = ""
    plain: str = ""
    least: str = ""
    sign: str = ""


def rows(scale: Scale, figures: Mapping[str, Figures], entries: Iterable[Entry]) -> list[str]:
    """The lines of the table for one part; those for which there are no figures are left out."""
    return [_row(scale, figures, entry) for entry in entries if entry.name in figures]


def _row(scale: Scale, figures: Mapping[str, Figures], entry: Entry) -> str:
    mine = figures[entry.name]
    floor = sum(figures[name].value for name in entry.floor) if entry.floor else None
    cells = [
        f"{scale.part}: {entry.name}",
        _amount(mine.value, scale),
        NOTHING if mine.cpu is None else f"{mine.cpu:.1f}",
        _size(mine, figures.get(scale.least)),
        _times(mine, figures.get(scale.python)),
        _times_cpu(mine, figures.get(scale.python)),
        _times(mine, figures.get(scale.plain)),
        ", ".join(_goal(figures, entry, other, most, scale) for other, most in entry.goals.items()) or NOTHING,
        NOTHING if floor is None else _amount(floor, scale),
        str(mine.rounds),
    ]
    return f"| {' | '.join(cells)} |"


def _amount(value: float, scale: Scale) -> str:
    return f"{value:{scale.sign}.1f} {scale.unit}"


def _size(mine: Figures, least: Figures | None) -> str:
    """In MB. Less than what the starter itself has can't be seen, and is what the smallest program shows."""
    if mine.rss is None:
        return NOTHING
    hidden = least and least.rss and mine.rss < HIDDEN * least.rss
    return f"{'<= ' if hidden else ''}{mine.rss / 1024:.1f}"


def _times(mine: Figures, other: Figures | None) -> str:
    return f"{mine.value / other.value:.2f}" if other and other.value else NOTHING


def _times_cpu(mine: Figures, other: Figures | None) -> str:
    """Of user and system time: others that want the CPU too lengthen wall time, and of a longer one more."""
    return f"{mine.cpu / other.cpu:.2f}" if mine.cpu is not None and other and other.cpu else NOTHING


def _goal(figures: Mapping[str, Figures], entry: Entry, other: str, most: float, scale: Scale) -> str:
    if not other:
        return f"{_amount(most, scale)}: {_met(figures[entry.name].value <= most)}"
    if other not in figures:
        return f"{most:g} x {entry.shown.get(other, other)}: not known"
    times = figures[entry.name].value / figures[other].value
    shown = entry.shown.get(other, other)
    found = "" if other in (scale.python, scale.plain) else f" ({times:.2f})"
    return f"{most:g} x {shown}: {_met(times <= most)}{found}"


def _met(met: bool) -> str:
    return "met" if met else "NOT met"


def table(lines: Sequence[str]) -> str:
    return "\n".join([HEAD, "|" + " --- |" * COLUMNS, *lines])


def merged(before: str, lines: Sequence[str]) -> list[str]:
    """The rows of a table that stands, with new ones in place of those of the same name."""
    old = [line for line in before.splitlines() if line.startswith("| ")][2:]
    named = {line.split(" | ")[0]: line for line in [*old, *lines]}
    return list(named.values())
