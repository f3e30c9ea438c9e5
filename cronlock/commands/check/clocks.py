"""The servers' clocks, compared with this machine's and with each other."""

from __future__ import annotations

import statistics
from collections.abc import Mapping

from cronlock.commands.check.findings import GREEN, RED, VOTERS, YELLOW, Finding
from cronlock.lock.quorum import quorum
from cronlock.lock.state_machine import CLOCK_LIMIT

CLOCK_OFF = 0.5  # s: nodes take turns fairly if clocks differ by less


def find_clock_faults(ahead: Mapping[str, float]) -> list[Finding]:
    """Return the findings about clocks: `ahead` has label -> seconds ahead of this machine's."""
    off = {label: seconds for label, seconds in ahead.items() if abs(seconds) >= CLOCK_OFF}
    spread = max(ahead.values(), default=0) - min(ahead.values(), default=0)
    several = len(ahead) > 1
    if several and len(off) == len(ahead) and spread < CLOCK_OFF:
        seconds = -statistics.median(off.values())
        text = f"its clock is {_off(seconds)} all {len(ahead)} servers'{_beyond(seconds, 'this node is refused')}"
        return [Finding(VOTERS, _level(seconds), "this machine", text, "set it, by NTP")]
    refused = sum(_level(seconds) == RED for seconds in off.values()) >= quorum(len(ahead))
    beyond = "such a voter does not vote" if several and not refused else "this node is refused"
    todo = "set it, by NTP" if several else "set the one that is wrong, by NTP"
    findings = []
    for label, seconds in off.items():
        text = f"its clock is {_off(seconds)} this machine's{_beyond(seconds, beyond)}"
        findings.append(Finding(VOTERS, _level(seconds), label, text, todo))
    if several and not findings:
        level = _level(spread) if spread >= CLOCK_OFF else GREEN
        text = f"they differ by {_length(spread)} at most"
        findings.append(Finding(VOTERS, level, "the clocks", text, "" if level == GREEN else "set them, by NTP"))
    return findings


def _level(seconds: float) -> str:
    return RED if abs(seconds) * 1000 >= CLOCK_LIMIT else YELLOW


def _off(seconds: float) -> str:
    return f"{_length(abs(seconds))} {'ahead of' if seconds > 0 else 'behind'}"


def _length(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"


def _beyond(seconds: float, what: str) -> str:
    return f": beyond 60 s {what}" if _level(seconds) == RED else ": turns are not fair then"
