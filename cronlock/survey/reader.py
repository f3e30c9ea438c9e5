"""Pipelined reading of copies from one server. A name on another server, or of another type, is left out."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from typing import Any

import redis

from cronlock.lock.node_stats import TEXTS
from cronlock.lock.protocol import MAIN
from cronlock.survey.clients import Server
from cronlock.survey.key_scan import pattern
from cronlock.survey.snapshot import HEAD, Hash, Snapshot, decoded, typed_fields

BATCH = 1_000  # names in one call of SCAN, and commands in one pipeline
ON_ANOTHER_SERVER = (redis.exceptions.MovedError, redis.exceptions.AskError, redis.exceptions.TryAgainError)
WRONGTYPE = "WRONGTYPE"  # the error for a name that another program uses

Progress = Callable[[int, int], None]  # number of names scanned on one server, and their total


def scan_copies(server: Server, prefix: str, heads: bool, progress: Progress) -> list[Snapshot]:
    """Return all copies on a server; with `heads`, only the fields of HEAD."""
    info = server_info(server)
    size = sum(database["keys"] for name, database in info.items() if re.fullmatch(r"db\d+", name))
    found: list[Snapshot] = []
    cursor, done = -1, 0
    while cursor:
        cursor, names = server.client.scan(max(cursor, 0), pattern(prefix), BATCH)
        done = min(done + BATCH, size)
        found += read_copies(server, list(dict.fromkeys(map(os.fsencode, names))), info, heads)
        progress(done if cursor else size, size)
    return found


def server_info(server: Server) -> dict[str, Any]:
    """Return the answer of INFO; empty without the permission for INFO."""
    try:
        return dict(server.client.info())
    except redis.exceptions.NoPermissionError:
        return {}


def read_copies(server: Server, names: list[bytes], info: dict[str, Any], heads: bool = False) -> list[Snapshot]:
    """Return the copies with these names; with `heads`, only the fields of HEAD.

    The clock is read after the copies. An earlier clock would make a lease appear longer than it is.
    """
    found: list[Snapshot] = []
    label, run_id = server.label, run_stamp(info)
    for start in range(0, len(names), BATCH - 1):
        batch = names[start : start + BATCH - 1]
        reads = (("HMGET", name, *HEAD) if heads else ("HGETALL", name) for name in batch)
        *answers, clock = pipelined(server, [*reads, ("TIME",)])
        now = _in_ms(clock)
        for name, answer in zip(batch, answers, strict=True):
            fields = _as_fields(answer)
            if fields:
                found.append(Snapshot(label, label, name, fields, (now, now, run_id)))
    return found


def run_stamp(info: dict[str, Any]) -> str:
    """Return the stamp that the script writes into a run's record, from the answer of INFO."""
    run_id = str(info.get("run_id", ""))
    return run_id and f"{run_id}/{info.get('master_replid', '')}"


def server_clock(server: Server) -> float:
    """Return the server's wall clock in s."""
    [clock] = pipelined(server, [("TIME",)])
    return _in_ms(clock) / 1000


def _in_ms(clock: tuple[int, int]) -> int:
    return clock[0] * 1000 + clock[1] // 1000


def _as_fields(answer: Any) -> Hash:
    """Return the fields in an answer of HMGET or HGETALL; empty for a name that is not a record."""
    if isinstance(answer, list):
        answer = {name: value for name, value in zip(HEAD, answer, strict=True) if value is not None}
    return answer if isinstance(answer, dict) else {}


def pipelined(server: Server, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
    """Return the answers; None for a name on another server or of another type. Raises the first other error."""
    answers: list[Any] = []
    for start in range(0, len(commands), BATCH):
        pipeline = server.client.pipeline(transaction=False)
        for command in commands[start : start + BATCH]:
            pipeline.execute_command(*command)  # type: ignore[no-untyped-call]
        answers += pipeline.execute(raise_on_error=False)
    for index, answer in enumerate(answers):
        if isinstance(answer, Exception):
            if not isinstance(answer, ON_ANOTHER_SERVER) and not str(answer).startswith(WRONGTYPE):
                raise answer
            answers[index] = None
    return answers


def complete_copies(server: Server, chosen: Sequence[Snapshot], prefix: str, heads: bool, history: bool) -> None:
    """Read the missing parts of these copies: the record, if only `heads` were read, its nodes, and its `history`."""
    if heads:
        *records, clock = pipelined(server, [*(("HGETALL", snapshot.name) for snapshot in chosen), ("TIME",)])
        for snapshot, record in zip(chosen, records, strict=True):
            snapshot.update(_as_fields(record), _in_ms(clock))
    related = [_related_names(snapshot.name, prefix) for snapshot in chosen]
    names = list(dict.fromkeys(nodes for nodes, _, _ in related))  # with --each, many records share one
    answers = pipelined(server, [("HGETALL", name) for name in names])
    statistics = {name: _by_node(answer or {}) for name, answer in zip(names, answers, strict=True)}
    for snapshot, (nodes, _, node) in zip(chosen, related, strict=True):
        groups = statistics[nodes]
        everything = {name: value for group in groups.values() for name, value in group.items()}
        snapshot.copy.nodes = groups.get(node, {}) if node else everything
    if history:
        lines = pipelined(server, [("LRANGE", name, 0, -1) for _, name, _ in related])
        for snapshot, found in zip(chosen, lines, strict=True):
            snapshot.copy.history = [decoded(line) for line in found or ()]


def _by_node(fields: Hash) -> dict[str, dict[str, Any]]:
    groups: dict[str, dict[str, Any]] = {}
    for name, value in typed_fields(fields, lambda name: not name.startswith(TEXTS)).items():
        groups.setdefault(name.partition(":")[2], {})[name] = value
    return groups


def _related_names(name: bytes, prefix: str) -> tuple[bytes, bytes, str]:
    """Return the names of a record's nodes and history, and with --each its node."""
    front = len(os.fsencode(prefix)) + len(":{....}:")
    kind, _, rest = name[front:].partition(b":")
    if kind == os.fsencode(MAIN):
        return name[:front] + b"nodes:" + rest, name[:front] + b"history:" + rest, ""
    node, _, key = rest.partition(b":")
    return name[:front] + b"each-nodes:" + key, name[:front] + b"each-history:" + node + b":" + key, decoded(node)
