"""The promises that are checked when a node starts a run or exits."""

from collections.abc import Sequence

from cronlock.lock import state_machine
from tests.model.voter import Answer, CopyValue
from tests.model.world import RUNNING, Client, Node, Past, View


def check_start(node: Node, client: Client, others: list[Client], past: Past) -> str:
    """Return the promise that the start of this run breaks, or ""."""
    if any(other.phase == RUNNING for other in others):
        return "OVERLAP: two runs at once"
    if client.token <= past.newest:
        return f"TOKEN: a run with token {client.token} after token {past.newest}"
    if node.adopt and any(ran > client.tick for ran, _again in past.ran):
        return f"TICK LOWERED: tick {client.tick} is adopted"
    if node.tick and not node.again:
        ran = past.ran.count((node.tick, False))
        if ran and ran >= node.attempts:
            return f"TICK RUNS TWICE: tick {node.tick} {ran + 1} times, attempts {node.attempts}"
        if node.attempts == 1 and (node.tick, True) in past.ran:
            return f"TICK RUNS TWICE: tick {node.tick} after --again"
        if node.tick in past.finished:
            return f"TICK RUNS AFTER ITS END: a quorum had recorded that tick {node.tick} was done"
    if past.paused and client.begun_in_pause:
        return "RUNS DURING A PAUSE"
    return ""


def check_copy(before: CopyValue, after: CopyValue) -> str:
    """Return the promise that this change of a copy breaks, or ""."""
    if after.token < before.token:
        return f"TOKEN LOWERED: from {before.token} to {after.token} at one voter"
    return ""


def check_win(node: Node, views: Sequence[View]) -> str:
    """Return the promise that this win breaks, or "".

    One voter that recorded the end of a tick's run stops a takeover.
    """
    for view in views:
        if not isinstance(view, Answer) or node.again or not node.tick:
            continue
        if (view.answer, view.state, view.tick) == (state_machine.DONE, "done", node.tick):
            return f"TAKES OVER AN ENDED RUN: one voter answered that tick {node.tick} is done"
    return ""


def check_give_up(node: Node, past: Past) -> str:
    """Return the promise that a node breaks by giving up a tick that it waits to take over, or ""."""
    if node.tick in past.succeeded or past.won.count(node.tick) >= node.attempts:
        return ""
    return (
        f"GIVES UP TOO EARLY: no run of tick {node.tick} succeeded, and fewer than {node.attempts} attempts were made"
    )


def check_quiet_exit(tick: int, past: Past) -> str:
    """Return the promise that a node breaks by exiting quietly without having run this tick, or ""."""
    if (
        past.paused
        or any(ran >= tick for ran, _again in past.ran)
        or any(committed >= tick for committed in past.committed)
    ):
        return ""
    return f"QUIET EXIT: tick {tick} was not run, and no quorum ever recorded a run of it"
