"""`cronlock unlock`: end the lease of a run whose node is dead, so that the next run need not wait for its end."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from cronlock.commands.invocation import DECLINED, Invocation, nodes_with_records, print_line
from cronlock.config.settings import Settings
from cronlock.config.suggested_command import suggested_command
from cronlock.errors import Unreachable
from cronlock.lock.protocol import OK
from cronlock.lock.quorum import quorum
from cronlock.messages import instant, printable, since
from cronlock.run.outcome import outcome
from cronlock.survey.broadcast import Broadcast

if TYPE_CHECKING:
    from cronlock.lock.requests import Answer
    from cronlock.lock.voters import Voters


def unlock(invocation: Invocation) -> int:
    """Show each key's holder, ask for confirmation, and end the lease; return the exit status."""

    def unlock_key(settings: Settings, voters: Voters) -> int:
        runs = Broadcast(voters, "read", {}).live_runs
        if not runs:
            nodes = [] if settings.each else nodes_with_records(settings)
            own = f"; with --each, nodes hold it on their own: {_commands(settings, voters, nodes)}" if nodes else ""
            print_line(_name(settings), f"not held{own}")
            return 0
        newest = max(runs, key=lambda run: int(run["token"]))
        for line in _run_lines([run for run in runs if run["token"] == newest["token"]], voters.count):
            print_line(settings.key, line)
        if not invocation.confirm(
            f"Is {printable(newest['node'])} dead, so that its lease on {printable(settings.key)} can end now?"
        ):
            return DECLINED
        return _end_lease(settings, voters, newest)

    return invocation.for_each(unlock_key)


def _name(settings: Settings) -> str:
    return f"{settings.key} on {settings.node}" if settings.each else settings.key or ""


def _commands(settings: Settings, voters: Voters, nodes: list[str]) -> str:
    """Return the command for the first of these nodes, and the number of the others."""
    command = suggested_command("unlock", voters.location_flags(), settings.key or "", nodes[0])
    return command + (f" (and {len(nodes) - 1} more)" if len(nodes) > 1 else "")


def _run_lines(answers: list[Answer], voters: int) -> list[str]:
    """Return lines on a run: its node, and until when its command may still run; `answers` are the voters' with it."""
    run = answers[0]
    left = max(int(answer["left"]) for answer in answers)
    held = outcome("held", run, 0)
    lines = [
        f"{held}, according to {len(answers)} of {voters} voters" if voters > 1 else held,
        f"its command may still run until {since(int(time.time() * 1000) + left)}: if the node is only cut off, it "
        "stops the command by then, and another run may overlap with it",
    ]
    if run["run_tick"]:
        tick = instant(run["run_tick"])
        lines.append(f"the attempt at the tick of {tick} stays used: to repeat the tick, use cronlock run --again")
    return lines


def _end_lease(settings: Settings, voters: Voters, run: Answer) -> int:
    broadcast = Broadcast(voters, "unlock", {"token": run["token"]})
    ended = sum(answer["answer"] == OK for answer in broadcast.answers.values())
    if len(broadcast.answers) - len(broadcast.live_runs) < quorum(voters.count):
        raise Unreachable(f"the lease ended at only {ended} of {voters.count} voters: run the command again")
    print_line(settings.key, f"unlocked{broadcast.reach}" if ended else "the run has ended in the meantime")
    return 0
