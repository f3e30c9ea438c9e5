"""`cronlock status --format prometheus`: the text format of Prometheus, version 0.0.4.

https://prometheus.io/docs/instrumenting/exposition_formats/ ; for node_exporter's textfile collector.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from cronlock.lock.protocol import ADOPTED
from cronlock.messages import printable
from cronlock.survey.key_status import RUNNING, UNCERTAIN, KeyStatus

Sample = tuple[dict[str, str], float]  # labels and value


def metrics(found: Sequence[KeyStatus]) -> str:
    """All metrics of these keys."""
    known = [one for one in found if one.state != UNCERTAIN]
    return "".join(line for family in FAMILIES for line in _lines(*family, known))


def _lines(
    name: str, kind: str, help: str, samples: Callable[[KeyStatus], Iterable[Sample]], found: Sequence[KeyStatus]
) -> Iterator[str]:
    yield f"# HELP {name} {help}\n# TYPE {name} {kind}\n"
    for one in found:
        for labels, value in samples(one):
            inside = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
            yield f"{name}{{{inside}}} {value:.16g}\n"


def _escaped(text: str) -> str:
    return printable(text).replace("\\", "\\\\").replace('"', '\\"')


def _labels(one: KeyStatus, **more: str) -> dict[str, str]:
    return {"key": one.key, "mode": "each" if one.each else "once", **more}


def _of_nodes(value: Callable[..., float | None]) -> Callable[[KeyStatus], Iterable[Sample]]:
    """Of each node that ran; the nodes without a value are left out, and an older version's adoptions: nothing ran."""

    def samples(one: KeyStatus) -> Iterator[Sample]:
        for node in one.nodes:
            number = value(node) if node.outcome and node.outcome != ADOPTED else None
            if number is not None:
                yield _labels(one, node=node.node), number

    return samples


def _of_key(value: Callable[[KeyStatus], float | None]) -> Callable[[KeyStatus], Iterable[Sample]]:
    """Of the key; with --each, of the node whose record it is."""

    def samples(one: KeyStatus) -> Iterator[Sample]:
        number = value(one)
        if number is not None:
            yield _labels(one, **({"node": one.each} if one.each else {})), number

    return samples


def _attempts(one: KeyStatus) -> Iterator[Sample]:
    for node in one.nodes:
        for outcome, count in sorted(node.counts.items()):
            yield _labels(one, node=node.node, outcome=outcome), count


def _lease_left(one: KeyStatus) -> Iterator[Sample]:
    if one.node:
        yield _labels(one, node=one.node), one.left / 1000 if one.state == RUNNING else 0


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
    ("cronlock_attempts_total", "counter", "Attempts to run, by what came of them.", _attempts),
    (
        "cronlock_missed_ticks_total",
        "counter",
        "Ticks in whose time an older run went on.",
        _of_key(lambda one: max(0, one.missed - one.missed_pending)),
    ),
    ("cronlock_lease_left_seconds", "gauge", "What is left of the lease of the run that goes on.", _lease_left),
    ("cronlock_paused", "gauge", "1 while the key is paused.", _of_key(lambda one: int(one.paused))),
    (
        "cronlock_last_tick_timestamp_seconds",
        "gauge",
        "The tick of the last run.",
        _of_key(lambda one: one.tick or None),
    ),
    (
        "cronlock_next_tick_timestamp_seconds",
        "gauge",
        "The next tick by the schedule of the last run.",
        _of_key(lambda one: one.next or None),
    ),
    ("cronlock_wrong", "gauge", "How many things status shows in red.", _of_key(lambda one: len(one.problems))),
)
