"""Fuzz targets and print the outcomes; a run of all targets writes the table in README.md."""

import argparse
import random
import sys
from pathlib import Path

from tests.fuzz.harness import Outcome, fuzz
from tests.fuzz.targets import TARGETS
from tests.support.commands import between

README = Path(__file__).parent / "README.md"
BEGIN, END = "<!-- fuzz: written by the run -->\n", "<!-- end of fuzz -->\n"
MILLION = 1_000_000
HEAD = "| what | inputs | s | inputs a second | slowest | failures |"


def row(outcome: Outcome) -> str:
    rate = round(outcome.inputs / outcome.seconds)
    slowest = f"{outcome.slowest * 1000:.0f} ms"
    what = f"{outcome.target.name}: {outcome.target.what}"
    return f"| {what} | {outcome.inputs:,} | {outcome.seconds:.0f} | {rate:,} | {slowest} | {len(outcome.failures)} |"


def main(words: list[str]) -> int:
    """Run the chosen targets; return 1 if any input failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("targets", nargs="*", choices=[*TARGETS, []], metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--inputs", type=int, default=MILLION, help="inputs of all targets together")
    parser.add_argument("--seed", type=int, default=None)
    call = parser.parse_args(words)
    chosen = [TARGETS[name] for name in call.targets or TARGETS]
    shares = sum(target.share for target in chosen)
    seed = random.randrange(2**40) if call.seed is None else call.seed
    outcomes = []
    for target in chosen:
        outcomes.append(fuzz(target, max(1, call.inputs * target.share // shares), seed))
        print(row(outcomes[-1]), flush=True)  # noqa: T201
        for failure in outcomes[-1].failures:
            print(failure, flush=True)  # noqa: T201
    failed = sum(len(outcome.failures) for outcome in outcomes)
    print(f"seed {seed}: {sum(outcome.inputs for outcome in outcomes):,} inputs, {failed} failures")  # noqa: T201
    if not call.targets and call.inputs >= MILLION:
        table = [f"Seed {seed}:", "", HEAD, "|" + " --- |" * HEAD.count(" |"), *map(row, outcomes)]
        between(README, BEGIN, END, "\n".join(table))
    return int(failed > 0)


sys.exit(main(sys.argv[1:]))
