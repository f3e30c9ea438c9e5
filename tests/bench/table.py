"""The table: one row for each figure, with the comparisons, the goals and the floor."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.bench.timing import Figures

HEAD = "| what | median | CPU ms | max RSS MB | x bare Python | x its CPU | x plain script | goal | floor | rounds |"
COLUMNS = HEAD.count("|") - 1
NOTHING = "-"
HIDDEN = 1.02  # times the RSS of the smallest program: less is not measurable


@dataclass(frozen=True)
class Entry:
    """The row of one figure: its name, the names of the figures that add up to its floor, and its goals.

    A goal is the name of another figure and the factor that the row may take; "" stands for the figure itself.
    """

    name: str
    floor: tuple[str, ...] = ()
    goals: Mapping[str, float] = field(default_factory=dict)
    shown: Mapping[str, str] = field(default_factory=dict)  # shorter names for goals


@dataclass(frozen=True)
class Scale:
    """The measure of a part, and its rows of bare Python, of the plain script, and of the smallest program."""

    part: str
    unit: str
    python: str = ""
    plain: str = ""
    least: str = ""
    sign: str = ""


def rows(scale: Scale, figures: Mapping[str, Figures], entries: Iterable[Entry]) -> list[str]:
    """Return the table's lines for one part; rows without figures are left out."""
    return [_row(scale, figures, entry) for entry in entries if entry.name in figures]


def _row(scale: Scale, figures: Mapping[str, Figures], entry: Entry) -> str:
    own = figures[entry.name]
    floor = sum(figures[name].value for name in entry.floor) if entry.floor else None
    cells = [
        f"{scale.part}: {entry.name}",
        _amount(own.value, scale),
        NOTHING if own.cpu is None else f"{own.cpu:.1f}",
        _size(own, figures.get(scale.least)),
        _times(own, figures.get(scale.python)),
        _times_cpu(own, figures.get(scale.python)),
        _times(own, figures.get(scale.plain)),
        ", ".join(_goal(figures, entry, other, most, scale) for other, most in entry.goals.items()) or NOTHING,
        NOTHING if floor is None else _amount(floor, scale),
        str(own.rounds),
    ]
    return f"| {' | '.join(cells)} |"


def _amount(value: float, scale: Scale) -> str:
    return f"{value:{scale.sign}.1f} {scale.unit}"


def _size(own: Figures, least: Figures | None) -> str:
    """Return the RSS in MB; below that of the starter it can't be seen, and the smallest program marks that."""
    if own.rss is None:
        return NOTHING
    hidden = least and least.rss and own.rss < HIDDEN * least.rss
    return f"{'<= ' if hidden else ''}{own.rss / 1024:.1f}"


def _times(own: Figures, other: Figures | None) -> str:
    return f"{own.value / other.value:.2f}" if other and other.value else NOTHING


def _times_cpu(own: Figures, other: Figures | None) -> str:
    """Return the factor of user and system time: other programs lengthen wall time, and long times more."""
    return f"{own.cpu / other.cpu:.2f}" if own.cpu is not None and other and other.cpu else NOTHING


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
    """Return the rows of an existing table, with new rows in place of those with the same name."""
    old = [line for line in before.splitlines() if line.startswith("| ")][2:]
    named = {line.split(" | ")[0]: line for line in [*old, *lines]}
    return list(named.values())
