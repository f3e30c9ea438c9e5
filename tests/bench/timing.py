"""The timing of whole processes, in rounds: each case once a round, in random order."""

import os
import random
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TypeVar

from tests.bench.starter import FIELD, WORD
from tests.support.commands import heir
from tests.support.servers import Closing

STARTER = Path(__file__).with_name("starter.py")

T = TypeVar("T")


@dataclass(frozen=True)
class Taken:
    """The measurements of one process: `at` and `ended` in epoch seconds, `wall` and `cpu` in ms, `rss` in KiB.

    `cpu` and `rss` include the children that the process waited for; `rss` is that of the largest.
    """

    at: float
    ended: float
    wall: float
    cpu: float
    rss: int
    status: int

    @classmethod
    def from_text(cls, text: str) -> "Taken":
        at, ended, wall, cpu, rss, status = text.split()
        return cls(float(at), float(ended), float(wall) * 1000, float(cpu) * 1000, int(rss), int(status))


@dataclass(frozen=True)
class Figures:
    """Medians over all rounds: the figure, in its part's unit; CPU ms and max RSS in KiB if they are known."""

    value: float
    rounds: int
    cpu: float | None = None
    rss: float | None = None


def medians(taken: Sequence[Taken]) -> Figures:
    """Return the medians of whole processes; the figure is wall ms."""
    return Figures(
        median(one.wall for one in taken),
        len(taken),
        median(one.cpu for one in taken),
        median(one.rss for one in taken),
    )


def shuffled(cases: Sequence[T], rounds: int) -> Iterator[T]:
    """Yield each case once a round, in a new order each round, so that a slow moment can hit any case."""
    for _ in range(rounds):
        yield from random.sample(cases, len(cases))


class Starter(Closing):
    """The process that starts the cases; `words` precede its command line. Their output goes to `output`."""

    def __init__(self, folder: Path, words: Sequence[str] = ()) -> None:
        self.output = folder / "output"
        self.process = subprocess.Popen(
            [*words, sys.executable, "-I", "-S", str(STARTER), str(self.output)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={"PATH": os.defpath},
            start_new_session=True,  # Ctrl-C is meant for the benchmark only
        )
        heir().tell(f"+pid {self.process.pid}")

    def run(self, words: Sequence[str], env: Mapping[str, str]) -> Taken:
        return self.run_all([words], env)[0]

    def run_all(self, commands: Sequence[Sequence[str]], env: Mapping[str, str]) -> list[Taken]:
        """Start all commands at once, and return when the last one has ended."""
        variables = WORD.join(f"{name}={value}" for name, value in env.items())
        line = FIELD.join([variables, *(WORD.join(words) for words in commands)])
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the process that starts the cases has ended, with {self.process.wait()}")
        return [Taken.from_text(text) for text in answer.split(FIELD)]

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream:
                stream.close()
        heir().tell(f"-pid {self.process.pid}")
