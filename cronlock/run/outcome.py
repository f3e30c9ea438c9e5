"""The lines for a run that did not start: held, done, paused, late or given up. No run that starts needs them."""

from cronlock.messages import instant, since

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any


def outcome(kind: str, answer: "Mapping[str, Any]", tick: int) -> str:
    """Return the line for a verdict of this `kind`: held, paused, late or done."""
    if kind == "held":
        return f"held by {answer['node']} since {since(answer['start'])}, pid {answer['pid']}"
    if kind == "paused":
        until = "resumed" if answer["paused_until"] == -1 else since(answer["paused_until"])
        return f"paused until {until}" + (f": {answer['pause_reason']}" if answer["pause_reason"] else "")
    if kind == "late":
        return f"late: it is too late for the tick of {instant(tick)}: not started"
    if gave_up(answer, tick):
        how = "died" if answer["state"] == "running" else "failed"
        return f"attempt {answer['attempt']} at the tick of {instant(tick)}, on {answer['node']}, {how} too"
    if answer["tick"] > tick:
        return f"done: the newer tick of {instant(answer['tick'])} started on {answer['node']}"
    return f"done: the tick of {instant(tick)} ran on {answer['node']}; --again runs it once more"


def gave_up(answer: "Mapping[str, Any]", tick: int) -> bool:
    """Return whether a tick is done only because its last allowed attempt, the second or a later one, failed."""
    return bool(answer["tick"] == tick != 0 and answer["attempt"] > 1 and answer["state"] in ("running", "failed"))


def no_node_ran(answers: "Sequence[Mapping[str, Any]]", tick: int, enough: int) -> bool:
    """Return whether a tick older than the record's tick ran on no node, as `enough` voters report.

    A voter reports its three newest ticks, and one voter may have missed a run: so the tick must be unknown to every
    voter. A tick older than the oldest reported one may have run and been forgotten.
    """
    known = [[answer[name] for name in ("tick", "tick1", "tick2")] for answer in answers]
    sure = sum(bool(answer["token"]) and not answer["restarted"] for answer in answers) >= enough
    oldest = max((min(filter(None, ticks), default=tick) for ticks in known), default=tick)
    return sure and all(tick not in ticks for ticks in known) and oldest < tick < max(map(max, known), default=0)
