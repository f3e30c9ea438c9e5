"""python -m tests.bench.crowd [--nodes N] [--ticks N] [--servers N | --cluster] [--slow N]: see the package."""

import argparse

from tests.bench.crowd import __doc__ as description
from tests.bench.crowd.tables import ALL, TICKS, crowd, say
from tests.support.commands import ROOT, between

README = ROOT / "tests/bench/README.md"
BEGIN, END = "<!-- crowd: written by the run -->\n", "<!-- end of crowd -->\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        "python -m tests.bench.crowd", description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nodes", type=int)
    parser.add_argument("--ticks", type=int, default=TICKS)
    parser.add_argument("--slow", type=int, default=1, help="let the servers run for only 1/N of the time")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--servers", type=int, default=0)
    where.add_argument("--cluster", action="store_true")
    given = parser.parse_args()
    if given.nodes:
        crowd(given.servers, given.nodes, given.ticks, given.slow)
        return
    lines = []
    for title, measure in ALL.items():
        say(title)
        lines += [title, "", *measure(), ""]
    between(README, BEGIN, END, "\n".join(lines[:-1]))


main()
