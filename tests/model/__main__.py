"""Print the result of every row; with words, only the rows whose names contain one of them, with their traces.

A run of all rows writes the table in tests/model/README.md.
"""

import sys
from pathlib import Path

from tests.model.search import CAP, Result, search
from tests.model.tables import BOUNDED, FAILS, HOLDS, LIMITS
from tests.support.commands import between

README = Path(__file__).parent / "README.md"
BEGIN, END = "<!-- models: written by the run -->\n", "<!-- end of models -->\n"
HEAD = "| must | row | states | s | outcome |"


def verdict(result: Result) -> str:
    """Return the outcome of a search in a few words."""
    if result.broken:
        return f"{len(result.trace)} steps: {result.broken}"
    return "clean, exhaustive" if result.exhaustive else "clean so far, bounded"


def main(words: list[str]) -> int:
    """Search every chosen row; return 1 if the outcome of any row is wrong."""
    wrong, table = 0, [HEAD, "|" + " --- |" * HEAD.count(" |")]
    rows = [("must fail", name, world, kind, CAP) for name, (kind, world) in FAILS.items()]
    rows += [("must hold", name, world, "", CAP) for name, world in HOLDS.items()]
    rows += [("a limit  ", name, world, kind, CAP) for name, (kind, world) in LIMITS.items()]
    rows += [("bounded  ", name, world, "", cap) for name, (cap, world) in BOUNDED.items()]
    for must, name, world, kind, cap in rows:
        if words and not any(word in name for word in words):
            continue
        result = search(world, cap)
        ended = result.exhaustive or cap < CAP
        right = result.broken.startswith(kind) if kind else ended and not result.broken
        wrong += not right
        table.append(f"| {must.strip()} | {name} | {result.states} | {result.seconds:.1f} | {verdict(result)} |")
        line = f"{must}  {name:<82} {result.states:>8} states {result.seconds:>5.1f} s  {verdict(result)}"
        print(line + ("" if right else "   <-- WRONG"), flush=True)  # noqa: T201
        for number, step in enumerate(result.trace if words or not right else (), 1):
            print(f"    {number:>2}. {step}")  # noqa: T201
    if not words:
        between(README, BEGIN, END, "\n".join(table))
    return int(wrong > 0)


sys.exit(main(sys.argv[1:]))
