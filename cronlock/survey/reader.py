"""Reading copies from one server, by pipelines: what is elsewhere or no record is left out, errors are raised."""

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
from cronlock.survey.snapshot import HEAD, Pairs, Snapshot, text, typed

AT_ONCE = 1_000  # names in one call of SCAN, and commands in one pipeline
ELSEWHERE = (
    redis.exceptions.MovedError,
    redis.exceptions.AskError,
    redis.exceptions.TryAgainError,
)  # other copies tell
WRONGTYPE = "WRONGTYPE"  # of one name that somebody else has taken

Progress = Callable[[int, int], None]  # so many names of so many were looked at, by one server


def scanned(server: Server, prefix: str, heads: bool, progress: Progress) -> list[Snapshot]:
    """All copies that a server has."""
    told = info(server)
    size = sum(part["keys"] for name, part in told.items() if re.fullmatch(r"db\d+", name))
    found: list[Snapshot] = []
    cursor, done = -1, 0
    while cursor:
        cursor, names = server.client.scan(max(cursor, 0), pattern(prefix), AT_ONCE)
        done = min(done + AT_ONCE, size)
        found += records(server, list(dict.fromkeys(map(os.fsencode, names))), told, heads)
        progress(done if cursor else size, size)
    return found


def info(server: Server) -> dict[str, Any]:
    """INFO; empty without the right to it."""
    try:
        return dict(server.client.info())
    except redis.exceptions.NoPermissionError:
        return {}


def records(server: Server, names: list[bytes], told: dict[str, Any], heads: bool = False) -> list[Snapshot]:
    """Their copies; with `heads` only HEAD of each. The clock is read behind them: before, a lease could seem further
    away than any is.
    """
    found: list[Snapshot] = []
    label, run_id = server.label, stamp(told)
    for start in range(0, len(names), AT_ONCE - 1):
        part = names[start : start + AT_ONCE - 1]
        reads = (("HMGET", name, *HEAD) if heads else ("HGETALL", name) for name in part)
        *answers, clock = pipelined(server, [*reads, ("TIME",)])
        now = _in_ms(clock)
        for name, answer in zip(part, answers, strict=True):
            raw = _as_pairs(answer)
            if raw:
                found.append(Snapshot(label, label, name, raw, (now, now, run_id)))
    return found


def stamp(told: dict[str, Any]) -> str:
    """What the script stamps a run with, from INFO."""
    run_id = str(told.get("run_id", ""))
    return run_id and f"{run_id}/{told.get('master_replid', '')}"


def clock_of(server: Server) -> float:
    """The server's wall clock in s."""
    [clock] = pipelined(server, [("TIME",)])
    return _in_ms(clock) / 1000


def _in_ms(clock: tuple[int, int]) -> int:
    return clock[0] * 1000 + clock[1] // 1000


def _as_pairs(answer: Any) -> Pairs:
    """The fields that are there; none of what is no record."""
    if isinstance(answer, list):
        answer = {name: value for name, value in zip(HEAD, answer, strict=True) if value is not None}
    return answer if isinstance(answer, dict) else {}


def pipelined(server: Server, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
    """The answers; None for what is elsewhere or of another type. Raises the first other error."""
    answers: list[Any] = []
    for start in range(0, len(commands), AT_ONCE):
        pipeline = server.client.pipeline(transaction=False)
        for command in commands[start : start + AT_ONCE]:
            pipeline.execute_command(*command)  # type: ignore[no-untyped-call]
        answers += pipeline.execute(raise_on_error=False)
    for at, answer in enumerate(answers):
        if isinstance(answer, Exception):
            if not isinstance(answer, ELSEWHERE) and not str(answer).startswith(WRONGTYPE):
                raise answer
            answers[at] = None
    return answers


def complete(server: Server, chosen: Sequence[Snapshot], prefix: str, heads: bool, history: bool) -> None:
    """Read of these copies what is missing: the record, where only heads were read, its nodes, its history."""
    if heads:
        *wholes, clock = pipelined(server, [*(("HGETALL", seen.name) for seen in chosen), ("TIME",)])
        for seen, record in zip(chosen, wholes, strict=True):
            seen.read(_as_pairs(record), _in_ms(clock))
    beside = [_beside(seen.name, prefix) for seen in chosen]
    names = list(dict.fromkeys(nodes for nodes, _, _ in beside))  # with --each many records share one
    answers = pipelined(server, [("HGETALL", name) for name in names])
    nodes_of = {name: _by_node(answer or {}) for name, answer in zip(names, answers, strict=True)}
    for seen, (nodes, _, node) in zip(chosen, beside, strict=True):
        groups = nodes_of[nodes]
        wanted = groups.get(node, {}) if node else {name: v for group in groups.values() for name, v in group.items()}
        seen.copy.nodes = wanted
    if history:
        lines = pipelined(server, [("LRANGE", name, 0, -1) for _, name, _ in beside])
        for seen, found in zip(chosen, lines, strict=True):
            seen.copy.history = [text(line) for line in found or ()]


def _by_node(raw: Pairs) -> dict[str, dict[str, Any]]:
    groups: dict[str, dict[str, Any]] = {}
    for name, value in typed(raw, lambda name: not name.startswith(TEXTS)).items():
        groups.setdefault(name.partition(":")[2], {})[name] = value
    return groups


def _beside(name: bytes, prefix: str) -> tuple[bytes, bytes, str]:
    """The names of the nodes and of the history that belong to a record, and its node with --each."""
    front = len(os.fsencode(prefix)) + len(":{....}:")
    kind, _, rest = name[front:].partition(b":")
    if kind == os.fsencode(MAIN):
        return name[:front] + b"nodes:" + rest, name[:front] + b"history:" + rest, ""
    node, _, key = rest.partition(b":")
    return name[:front] + b"each-nodes:" + key, name[:front] + b"each-history:" + node + b":" + key, text(node)
