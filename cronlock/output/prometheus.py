"""`cronlock status --format prometheus`: the text format of Prometheus, version 0.0.4.

https://prometheus.io/docs/instrumenting/exposition_formats/ ; for node_exporter's textfile collector.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from cronlock.lock.protocol import ADOPTED
from cronlock.messages import printable
from cronlock.survey.key_status import RUNNING, UNCERTAIN, KeyStatus, NodeStatus

Sample = tuple[dict[str, str], float]  # labels and value


def metrics(found: Sequence[KeyStatus]) -> str:
    """Return all metrics of these keys, without the keys whose state is uncertain."""
    known = [status for status in found if status.state != UNCERTAIN]
    return "".join(line for family in FAMILIES for line in _lines(*family, known))


def _lines(
    name: str, kind: str, help: str, samples: Callable[[KeyStatus], Iterable[Sample]], found: Sequence[KeyStatus]
) -> Iterator[str]:
    yield f"# HELP {name} {help}\n# TYPE {name} {kind}\n"
    for status in found:
        for labels, value in samples(status):
            pairs = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
            yield f"{name}{{{pairs}}} {value:.16g}\n"


def _escaped(text: str) -> str:
    return printable(text).replace("\\", "\\\\").replace('"', '\\"')


def _labels(status: KeyStatus, **more: str) -> dict[str, str]:
    return {"key": status.key, "mode": "each" if status.each else "once", **more}


def _of_nodes(value: Callable[[NodeStatus], float | None]) -> Callable[[KeyStatus], Iterable[Sample]]:
    """Return samples of each node that has ended a run and has a value; adoptions by old versions are not runs."""

    def samples(status: KeyStatus) -> Iterator[Sample]:
        for node in status.nodes:
            number = value(node) if node.outcome and node.outcome != ADOPTED else None
            if number is not None:
                yield _labels(status, node=node.node), number

    return samples


def _of_key(value: Callable[[KeyStatus], float | None]) -> Callable[[KeyStatus], Iterable[Sample]]:
    """Return samples of the key; with --each, of the node that owns the record."""

    def samples(status: KeyStatus) -> Iterator[Sample]:
        number = value(status)
        if number is not None:
            yield _labels(status, **({"node": status.each} if status.each else {})), number

    return samples


def _attempts(status: KeyStatus) -> Iterator[Sample]:
    for node in status.nodes:
        for outcome, count in sorted(node.counts.items()):
            yield _labels(status, node=node.node, outcome=outcome), count


def _lease_left(status: KeyStatus) -> Iterator[Sample]:
    if status.node:
        yield _labels(status, node=status.node), status.left / 1000 if status.state == RUNNING else 0


FAMILIES: tuple[tuple[str, str, str, Callable[[KeyStatus], Iterable[Sample]]], ...] = (
    (
        "cronlock_last_run_timestamp_seconds",
        "gauge",
        "Start of the last run that ended on the node.",
        _of_nodes(lambda node: node.start / 1000),
    ),
    (
        "cronlock_last_success_timestamp_seconds",
        "gauge",
        "End of the last run on the node with exit status 0.",
        _of_nodes(lambda node: node.success / 1000 or None),
    ),
    (
        "cronlock_last_duration_seconds",
        "gauge",
        "Duration of the last run that ended on the node.",
        _of_nodes(lambda node: max(0, node.end - node.start) / 1000),
    ),
    (
        "cronlock_last_exit_status",
        "gauge",
        "Exit status of the last run that ended on the node.",
        _of_nodes(lambda node: node.status),
    ),
    ("cronlock_attempts_total", "counter", "Attempts to run, by outcome.", _attempts),
    (
        "cronlock_missed_ticks_total",
        "counter",
        "Ticks missed because an older run was still active.",
        _of_key(lambda status: max(0, status.missed - status.missed_pending)),
    ),
    ("cronlock_lease_left_seconds", "gauge", "Time left of the active run's lease.", _lease_left),
    ("cronlock_paused", "gauge", "1 while the key is paused.", _of_key(lambda status: int(status.paused))),
    (
        "cronlock_last_tick_timestamp_seconds",
        "gauge",
        "Tick of the last run.",
        _of_key(lambda status: status.tick or None),
    ),
    (
        "cronlock_next_tick_timestamp_seconds",
        "gauge",
        "Next tick by the schedule of the last run.",
        _of_key(lambda status: status.next or None),
    ),
    (
        "cronlock_problems",
        "gauge",
        "Number of problems that status shows in red.",
        _of_key(lambda status: len(status.problems)),
    ),
)
