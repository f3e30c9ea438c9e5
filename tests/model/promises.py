"""What must never happen, as far as it shows when a node begins its run, or is sent home."""

from typing import TYPE_CHECKING

from tests.model.world import RUNNING, Client, Node, Past

if TYPE_CHECKING:
    from tests.model.model import Model, State


def begins_badly(node: Node, client: Client, others: list[Client], past: Past) -> str:
    """What is wrong with this run, which begins now."""
    if any(other.phase == RUNNING for other in others):
        return "OVERLAP: two runs at once"
    if client.token <= past.newest:
        return f"TOKEN: a run with token {client.token} after token {past.newest}"
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


def exits_badly(model: "Model", state: "State", c: int) -> str:
    """What is wrong with sending this node home: nobody ran its tick, and no quorum holds it."""
    tick, past = model.world.nodes[c].tick, model.past(state)
    copies = [model.columns.values[column].copy for column in state[: model.voters]]
    clients = [model.client(state, d) for d in range(len(model.world.nodes))]
    claimed = sum(
        bool(copy.token) and (copy.tick > tick or (copy.tick == tick and (copy.state == "done" or copy.attempt > 0)))
        for copy in copies
    )
    held = [sum(copy.kind == "run" and copy.holder == d for copy in copies) for d in range(len(clients))]
    ran = any(ran >= tick for ran, _again in past.ran) or any(client.phase == RUNNING for client in clients)
    if past.paused or ran or max(claimed, *held) >= model.enough:
        return ""
    return f"QUIET EXIT: no quorum holds tick {tick}, and nobody ran it"
