"""The table of topologies and versions: printed at the end of each run, and put into tests/README.md when asked."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.binaries import VERSIONS
from tests.commands import between
from tests.matrix.topologies import TOPOLOGIES

README = Path(__file__).parent.parent / "README.md"
BEGIN, END = "<!-- matrix: written by the run -->\n", "<!-- end of matrix -->\n"
ABSENT = "-"  # a cell that was not played


@dataclass(frozen=True)
class Cell:
    """One topology on one version; `how` says what is not as in the other columns."""

    topology: str
    version: str
    how: str = ""
    outcome: str = ""

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @property
    def text(self) -> str:
        passed = {"passed": "pass", "failed": "FAIL"}.get(self.outcome, self.outcome)
        return f"{passed}, {self.how}" if self.how else passed


def rows(cells: Iterable[Cell]) -> list[list[str]]:
    """The heading and a row for each topology, whether or not it was played."""
    found = {(cell.topology, cell.version): cell.text for cell in cells}
    heading = ["", *(version.replace("-", " ") for version in VERSIONS)]
    played = ([name, *(found.get((name, version), ABSENT) for version in VERSIONS)] for name in TOPOLOGIES)
    return [heading, *played]


def lines(cells: Iterable[Cell]) -> list[str]:
    """As Markdown whose columns stand below each other, for README and terminal alike."""
    table = rows(cells)
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    told = [
        "| " + " | ".join(f"{text:{width}}" for text, width in zip(row, widths, strict=True)) + " |" for row in table
    ]
    return [told[0], "| " + " | ".join("-" * width for width in widths) + " |", *told[1:]]


def write(cells: Iterable[Cell], path: Path = README) -> None:
    between(path, BEGIN, END, "\n".join(lines(cells)))
