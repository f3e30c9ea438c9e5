"""The status of each node of a key, and the schedules and commands that differ between nodes."""

from __future__ import annotations

from collections.abc import Sequence

from cronlock.cron.schedule import TICK_MAX
from cronlock.lock.node_stats import JOB, RESULT
from cronlock.survey.key_status import NodeStatus
from cronlock.survey.snapshot import Snapshot

NAMED = 3  # nodes that a line names before it gives the number of the others
IN_TOUCH = 86_400  # s: without ticks, a node counts as gone when its last request is so much older than the newest one
NEWEST_TICKS = {"seen": "newest_tick", "asked": "asked", "last": "last_tick_run"}  # node statistics: field here


def node_statuses(copies: Sequence[Snapshot], only: str, enough: int) -> list[NodeStatus]:
    """Return the status of every node, or of the node `only`, by name.

    A count is the highest that `enough` voters have reached: a voter that missed the end of a run counts a death.
    """
    found: dict[str, NodeStatus] = {}
    counts: dict[tuple[str, str], list[int]] = {}
    for snapshot in copies:
        for name, value in snapshot.copy.nodes.items():
            kind, _, node = name.partition(":")
            if only and node != only:
                continue
            status = found.setdefault(node, NodeStatus(node))
            if kind == "job":
                _set_job(status, value)
            elif kind == "result":
                _set_result(status, value)
            elif kind in NEWEST_TICKS:
                field = NEWEST_TICKS[kind]
                setattr(status, field, max(getattr(status, field), value))
            else:
                counts.setdefault((node, kind), []).append(value)
    for (node, kind), values in counts.items():
        if len(values) >= min(enough, len(copies)):
            found[node].counts[kind] = sorted(values, reverse=True)[min(enough, len(values)) - 1]
    return sorted(found.values(), key=lambda status: status.node)


def _set_job(status: NodeStatus, value: str) -> None:
    job = value.split("\t", len(JOB) - 1)
    if len(job) == len(JOB):
        status.schedule, status.zone, status.command = job


def _set_result(status: NodeStatus, value: str) -> None:
    """Set the last run's result, unless another voter has given a later one."""
    result = dict(zip(RESULT, value.split("\t"), strict=False))
    numbers = {name: number_or_zero(result.get(name, "")) for name in RESULT if name != "outcome"}
    status.success = max(status.success, numbers["success"])
    if numbers["end"] >= status.end:
        status.start, status.end, status.status = numbers["start"], numbers["end"], numbers["status"]
        status.outcome = result.get("outcome", "")


def number_or_zero(text: str) -> int:
    """Return a time in ms or an exit status; 0 for a text that cronlock can't have written."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < len(str(1000 * TICK_MAX)) else 0


def job_differences(nodes: Sequence[NodeStatus], since: int) -> list[str]:
    """Return the schedules and the commands that differ between the nodes that asked since the tick `since`."""
    asked = max((node.asked for node in nodes), default=0)
    jobs: dict[tuple[str, str, str], list[str]] = {}
    for node in nodes:
        active = node.newest_tick >= since if node.newest_tick else node.asked >= asked - IN_TOUCH
        if any(node.job) and active:
            jobs.setdefault(node.job, []).append(node.node)
    differences = []
    for what, parts in (("schedules", (0, 1)), ("commands", (2,))):
        variants: dict[str, list[str]] = {}
        for job, names in jobs.items():
            variants.setdefault(" ".join(job[part] for part in parts).strip() or "none", []).extend(names)
        if len(variants) > 1:
            each = "; ".join(f"{text} on {_first_names(names)}" for text, names in sorted(variants.items()))
            differences.append(f"{what} differ: {each}")
    return differences


def _first_names(nodes: list[str]) -> str:
    more = f" and {len(nodes) - NAMED} more" if len(nodes) > NAMED else ""
    return ", ".join(sorted(nodes)[:NAMED]) + more
