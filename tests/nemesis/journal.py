"""What a run of the nemesis left behind, as values: runs of the command, attempts of nodes, faults."""

from dataclasses import dataclass
from pathlib import Path


@dataclass
class Run:
    """One run of the command. Times are seconds of CLOCK_MONOTONIC; `end` is none when it was killed.

    `won` is when the voters were asked for it, of which its token tells: others may be sent home from then on.
    `beside`: it found another run alive. `signal`: what told it to stop. `open`: it failed, or no quorum may have heard
    of its end, so that with --failover another node may run the tick.
    """

    tick: str
    token: int
    attempt: int
    node: str
    pid: int
    won: float
    start: float
    beside: bool
    end: float | None = None
    signal: int = 0
    open: bool = False


@dataclass
class Attempt:
    """One `cronlock run` that cron started: its tick and that tick's number, when, and what it ended with and said.

    `harmed`: a signal of the nemesis hit it; `spent`: at a time when that may cost the tick. `cpu`: seconds that it
    worked, its command included.
    """

    node: str
    number: int
    tick: str
    start: float
    pid: int
    harmed: bool = False
    spent: bool = True
    end: float = 0.0
    status: int | None = None
    cpu: float = 0.0
    said: str = ""


@dataclass
class Hit:
    """One thing that was made to go wrong, from when to when."""

    what: str
    start: float
    end: float


def read(path: Path, epoch: float) -> list[Run]:
    """The runs in a journal, in the order of their starts; `epoch` is what CLOCK_REALTIME is ahead of the other."""
    runs: list[Run] = []
    for line in path.read_text().splitlines() if path.exists() else ():
        what, at, tick, token, attempt, node, pid, more = line.split()
        if what == "start":
            won = min(float(at), int(token) / 1000 - epoch)
            runs.append(Run(tick, int(token), int(attempt), node, int(pid), won, float(at), more == "1"))
        else:
            run = next(run for run in runs if run.token == int(token) and run.pid == int(pid))
            run.end, run.signal = float(at), int(more)
    return runs
