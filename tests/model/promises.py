"""What must never happen, as far as it shows when a node begins its run, or is sent home."""

from collections.abc import Sequence

from cronlock.lock import state_machine
from tests.model.voter import Answer, Kept
from tests.model.world import RUNNING, Client, Node, Past, View


def begins_badly(node: Node, client: Client, others: list[Client], past: Past) -> str:
    """What is wrong with this run, which begins now."""
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
            return f"TICK RUNS AFTER ITS END: a quorum had heard that tick {node.tick} was done"
    if past.paused and client.warned:
        return "RUNS ALTHOUGH PAUSED"
    return ""


def loses_badly(before: Kept, after: Kept) -> str:
    """What is wrong with a request that left this of a copy."""
    if after.token < before.token:
        return f"TOKEN LOWERED: from {before.token} to {after.token} at one voter"
    return ""


def wins_badly(node: Node, views: Sequence[View]) -> str:
    """What is wrong with this quorum of ok: one voter that has heard the end of a tick's run stops a takeover."""
    for view in views:
        if not isinstance(view, Answer) or node.again or not node.tick:
            continue
        if (view.answer, view.state, view.tick) == (state_machine.DONE, "done", node.tick):
            return f"TAKES OVER WHAT HAS ENDED: one of the voters that it heard says that tick {node.tick} is done"
    return ""


def stays_badly(node: Node, past: Past) -> str:
    """What is wrong with sending a node home that stays to take this tick over."""
    if node.tick in past.over or past.won.count(node.tick) >= node.attempts:
        return ""
    return f"GOES HOME TOO EARLY: no run of tick {node.tick} ended well, and {node.attempts} attempts were not begun"


def exits_badly(tick: int, past: Past) -> str:
    """What is wrong with sending a node home that asked for this tick."""
    if past.paused or any(ran >= tick for ran, _again in past.ran) or any(stood >= tick for stood in past.stood):
        return ""
    return f"QUIET EXIT: nobody ran tick {tick}, and no run of it ever stood at a quorum"
