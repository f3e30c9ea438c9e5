"""The table of topologies and versions, printed after each run and written into README.md on request."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.support.binaries import VERSIONS
from tests.support.commands import ROOT, between
from tests.support.topologies.topologies import TOPOLOGIES

README = ROOT / "tests/support/topologies/README.md"
BEGIN, END = "<!-- matrix: written by the run -->\n", "<!-- end of matrix -->\n"
WORDS = {"passed": "pass", "failed": "FAIL"}
ABSENT = "-"  # not played


@dataclass(frozen=True)
class Cell:
    """One topology on one version; `how` says what is not as in the other columns, `instead` why there is nothing."""

    topology: str
    version: str
    how: str = ""
    instead: str = ""

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def lines(played: Iterable[tuple[str, str]]) -> list[str]:
    """A row for each topology, a column for each version, from cells and how their tests ended; the last one counts.

    Markdown with columns that stand below each other: README and the terminal show the same.
    """
    found = {}
    for text, outcome in played:
        cell = Cell(**json.loads(text))
        ended = WORDS.get(outcome, outcome) + (f", {cell.how}" if cell.how else "")
        found[cell.topology, cell.version] = cell.instead or ended
    table = [["", *(version.replace("-", " ") for version in VERSIONS)]]
    table += [[name, *(found.get((name, version), ABSENT) for version in VERSIONS)] for name in TOPOLOGIES]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    rows = [[f"{text:{width}}" for text, width in zip(row, widths, strict=True)] for row in table]
    return [f"| {' | '.join(row)} |" for row in (rows[0], ["-" * width for width in widths], *rows[1:])]


def write(table: Sequence[str], path: Path = README) -> None:
    between(path, BEGIN, END, "\n".join(table))
