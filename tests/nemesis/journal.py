"""What a run of the nemesis left behind, as values: runs of the command, attempts of nodes, faults."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cronlock.errors import LOST

UNHEARD = "no quorum heard of it"  # what it says when the voters don't know of the end


@dataclass
class Run:
    """One run of the command. Times are seconds of CLOCK_MONOTONIC; `end` is none when it was killed.

    `won` is when the voters were asked for it, of which its token tells: others may be sent home from then on.
    `beside`: it found another run alive. `signal`: what told it to stop. `died`: it failed, was stopped, or killed.
    `open`: that, or no quorum may have heard of its end, so that with --failover another node may run the tick.
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
    died: bool = False


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


@dataclass(frozen=True)
class Pause:
    """A pause of the key: when the first voter was told, when all had it, when the first was told to go on, when all
    had that.
    """

    begin: float
    done: float
    resume: float
    over: float


@dataclass
class Hit:
    """One thing that was made to go wrong, from when to when."""

    what: str
    start: float
    end: float


def read(path: Path, epoch: float, retries: bool = False) -> list[Run]:
    """The runs in a journal, in the order of their starts; `epoch` is what CLOCK_REALTIME is ahead of the other.

    `retries`: a command that failed counts as one that died.
    """
    runs: list[Run] = []
    for line in path.read_text().splitlines() if path.exists() else ():
        what, at, tick, token, attempt, node, pid, more, *status = line.split()
        if what == "start":
            won = min(float(at), int(token) / 1000 - epoch)
            runs.append(Run(tick, int(token), int(attempt), node, int(pid), won, float(at), more == "1", died=True))
        else:
            run = next(run for run in runs if run.token == int(token) and run.pid == int(pid))
            run.end, run.signal = float(at), int(more)
            run.died = bool(run.signal or (retries and int(*status)))
    return runs


def look_at_ends(runs: Iterable[Run], attempts: Iterable[Attempt]) -> None:
    """Says of each run whether it is open, by what became of the cronlock that ran it."""
    called = {(attempt.node, attempt.tick): attempt for attempt in attempts}
    for run in runs:
        attempt = called[run.node, run.tick]
        run.open = run.died or attempt.harmed or attempt.status in (None, LOST) or UNHEARD in attempt.said
