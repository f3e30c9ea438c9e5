"""The remains of a round, as values: runs of the command, attempts of nodes, faults."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cronlock.errors import LOST

NOT_RECORDED = "could not be recorded by a quorum"  # in cronlock's message if the voters don't know the end


@dataclass
class Run:
    """One run of the command, in seconds of CLOCK_MONOTONIC; `end` is None if the command was killed.

    `won`: when the voters were asked, as the token shows; other nodes may exit quietly from then on. `beside`: the run
    found another run alive. `signal`: the signal that stopped it. `died`: it failed, was stopped, or was killed.
    `open`: it died, or a quorum may have missed its end, so that with --failover another node may run the tick.
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
    """One `cronlock run` that cron started: its tick and the tick's number, its times, its status and its output.

    `disturbed`: a signal of the nemesis hit it. `spent`: at a time when that may cost the tick. `cpu`: seconds
    of work, the command included.
    """

    node: str
    number: int
    tick: str
    start: float
    pid: int
    disturbed: bool = False
    spent: bool = True
    end: float = 0.0
    status: int | None = None
    cpu: float = 0.0
    said: str = ""


@dataclass(frozen=True)
class Pause:
    """A pause of the key.

    Its start, its arrival at all voters, the start of the resume, and its arrival at all voters.
    """

    begin: float
    done: float
    resume: float
    over: float


@dataclass
class Hit:
    """One injected fault, from start to end."""

    what: str
    start: float
    end: float


def read(path: Path, epoch: float, retries: bool = False) -> list[Run]:
    """Return the runs in a journal by their starts; CLOCK_REALTIME is `epoch` ahead of CLOCK_MONOTONIC.

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


def mark_open_runs(runs: Iterable[Run], attempts: Iterable[Attempt]) -> None:
    """Set `open` of each run, by the end of the cronlock that ran it."""
    called = {(attempt.node, attempt.tick): attempt for attempt in attempts}
    for run in runs:
        attempt = called[run.node, run.tick]
        run.open = run.died or attempt.disturbed or attempt.status in (None, LOST) or NOT_RECORDED in attempt.said
