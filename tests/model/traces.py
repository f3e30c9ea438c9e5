"""The counter-examples that a search finds late, kept in traces.json: a replay shows them in no time.

`python -m tests.model.traces` searches for them again and writes the file. A row whose trace does not fit any more, or
that has none, is searched to its end.
"""

import json
from pathlib import Path

from tests.model.search import replay, search
from tests.model.tables import FAILS, LIMITS, LONG

SOON = 3_000  # states: a fifth of a second
FILE = Path(__file__).with_name("traces.json")


def kept() -> dict[str, list[str]]:
    """Return the steps of each row that has its trace in the file."""
    traces: dict[str, list[str]] = json.loads(FILE.read_text(encoding="utf-8"))
    return traces


def write() -> None:
    """Search every row whose counter-example is not found soon."""
    traces = {}
    for name, (_, world) in (FAILS | LIMITS).items():
        if not search(world, SOON).broken and name not in LONG:
            result = search(world)
            if replay(world, result.trace) == result.broken:
                traces[name] = result.trace
    FILE.write_text(json.dumps(traces, indent=0, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write()
