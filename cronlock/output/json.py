"""What status tells as JSON; the man page describes it."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

from cronlock.messages import masked
from cronlock.survey.copies import differing_fields
from cronlock.survey.key_status import KeyStatus, NodeStatus
from cronlock.survey.snapshot import Snapshot

SCHEMA = 1  # of all that is printed as JSON; a field is never taken away under the same number


def dumped(told: dict[str, Any]) -> str:
    """One line of JSON."""
    return json.dumps(_clean({"schema": SCHEMA, **told})) + "\n"


def key_as_json(one: KeyStatus, copies: Sequence[Snapshot] = ()) -> dict[str, Any]:
    """A key; with its copies, where they are given."""
    told: dict[str, Any] = {
        "key": one.key,
        "mode": "each" if one.each else "once",
        "state": one.state,
        "node": one.node or one.each or None,
        "pid": one.pid or None,
        "start": moment(one.start),
        "end": moment(one.end) if one.outcome else None,
        "duration": None if one.duration is None else one.duration / 1000,
        "lease_left": one.left / 1000,
        "tick": moment(one.tick * 1000),
        "attempt": one.attempt or None,
        "token": one.token or None,
        "outcome": one.outcome or None,
        "exit_status": one.status if one.outcome else None,
        "missed": one.missed,
        "next_tick": moment(one.next * 1000),
        "paused": one.paused,
        "paused_until": moment(one.paused_until) if one.paused and one.paused_until > 0 else None,
        "pause_reason": one.pause_reason if one.paused else None,
        "pause_by": one.pause_by if one.paused else None,
        "command": one.command,
        "schedule": one.schedule,
        "zone": one.zone,
        "voters": one.voters,
        "voters_told": one.voters_answered,
        "nodes": [_node_as_json(node) for node in one.nodes],
        "wrong": one.problems,
    }
    if copies:
        told["copies"] = [{"voter": seen.voter, "lease_left": seen.left / 1000, **_fields(seen)} for seen in copies]
        told["differs"] = differing_fields(copies)
    return told


def _fields(seen: Snapshot) -> dict[str, Any]:
    return {"record": {name: seen.copy.get(name) for name in sorted(seen.copy.record)}, "may_be_old": seen.restarted}


def _node_as_json(node: NodeStatus) -> dict[str, Any]:
    return {
        "node": node.node,
        "last_asked": moment(node.newest_tick * 1000 or node.asked * 1000),
        "last_tick_run": moment(node.last_tick_run * 1000),
        "schedule": node.schedule,
        "zone": node.zone,
        "command": node.command,
        "start": moment(node.start),
        "end": moment(node.end),
        "outcome": node.outcome or None,
        "exit_status": node.status if node.outcome else None,
        "last_success": moment(node.success),
        "outcomes": node.counts,
    }


def moment(ms: int) -> str | None:
    """ISO 8601 in UTC, to the second; None for 0."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(ms // 1000)) if ms > 0 else None


def _clean(value: Any) -> Any:
    """Texts from elsewhere as JSON can carry them: bytes that are no UTF-8 are written as escapes, passwords as ***."""
    if isinstance(value, str):
        return masked(value).encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_clean(name): _clean(item) for name, item in value.items()}
    return [_clean(item) for item in value] if isinstance(value, list) else value
