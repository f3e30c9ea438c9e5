"""The JSON of status and history, as the man page describes it."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

from cronlock.messages import masked
from cronlock.survey.copies import differing_fields
from cronlock.survey.key_status import KeyStatus, NodeStatus
from cronlock.survey.snapshot import Snapshot

SCHEMA = 1  # of all JSON output: fields are only added under the same number


def as_line(fields: dict[str, Any]) -> str:
    """Return one line of JSON."""
    return json.dumps(_clean({"schema": SCHEMA, **fields})) + "\n"


def key_as_json(status: KeyStatus, copies: Sequence[Snapshot] = ()) -> dict[str, Any]:
    """Return the fields of a key, and of its copies if they are given."""
    fields: dict[str, Any] = {
        "key": status.key,
        "mode": "each" if status.each else "once",
        "state": status.state,
        "node": status.node or status.each or None,
        "pid": status.pid or None,
        "start": moment(status.start),
        "end": moment(status.end) if status.outcome else None,
        "duration": None if status.duration_ms is None else status.duration_ms / 1000,
        "lease_left": status.left / 1000,
        "tick": moment(status.tick * 1000),
        "attempt": status.attempt or None,
        "token": status.token or None,
        "outcome": status.outcome or None,
        "exit_status": status.status if status.outcome else None,
        "missed": status.missed,
        "next_tick": moment(status.next * 1000),
        "paused": status.paused,
        "paused_until": moment(status.paused_until) if status.paused and status.paused_until > 0 else None,
        "pause_reason": status.pause_reason if status.paused else None,
        "pause_by": status.pause_by if status.paused else None,
        "command": status.command,
        "schedule": status.schedule,
        "zone": status.zone,
        "voters": status.voters,
        "voters_answered": status.voters_answered,
        "nodes": [_node_as_json(node) for node in status.nodes],
        "problems": status.problems,
    }
    if copies:
        fields["copies"] = [_copy_as_json(snapshot) for snapshot in copies]
        fields["differing_fields"] = differing_fields(copies)
    return fields


def _copy_as_json(snapshot: Snapshot) -> dict[str, Any]:
    return {
        "voter": snapshot.voter,
        "lease_left": snapshot.left / 1000,
        "record": {name: snapshot.copy.get(name) for name in sorted(snapshot.copy.record)},
        "may_be_old": snapshot.restarted,
    }


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
    """Return a time as ISO 8601 in UTC, to the second; None for 0."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(ms // 1000)) if ms > 0 else None


def _clean(value: Any) -> Any:
    """Return the value as JSON can carry it: bytes outside UTF-8 become escapes, passwords become ***."""
    if isinstance(value, str):
        return masked(value).encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_clean(name): _clean(item) for name, item in value.items()}
    return [_clean(item) for item in value] if isinstance(value, list) else value
