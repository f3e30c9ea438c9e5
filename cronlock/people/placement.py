"""Where the copies lie, and what the loss of each server would cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from cronlock.lock.quorum import quorum
from cronlock.lock.slots import COPIES, OFFSETS, SLOTS, slot_of
from cronlock.people.findings import GREEN, PLACEMENT, RED, YELLOW, Finding
from cronlock.people.servers import Server

NEXT_RUNS = "wait for their next runs, or cronlock adopt --all"
NAMED = 3  # keys that a line names before it says how many more there are


@dataclass
class Cost:
    """What one master's loss costs: in hundredths of all possible keys, and which of those that are known."""

    share: float  # of the slots
    percent: float
    keys: list[str]


def cost(slots: Sequence[range], keys: Sequence[str]) -> Cost:
    """The cost of a master with these slots: a key stops when a quorum of its copies lies there."""
    here = bytearray(SLOTS)
    for part in slots:
        here[part.start : part.stop] = b"\1" * len(part)
    stops = [sum(here[(first + offset) % SLOTS] for offset in OFFSETS) >= quorum(COPIES) for first in range(SLOTS)]
    lost = [key for key in keys if stops[slot_of(key.encode("utf-8", "surrogateescape"))]]
    return Cost(100 * sum(here) / SLOTS, 100 * sum(stops) / SLOTS, lost)


def of_cluster(
    masters: Sequence[Server], keys: Sequence[str] | None, stops: Mapping[str, Sequence[str]] = MappingProxyType({})
) -> list[Finding]:
    """A line for each master; `keys` are those that the voters know, None when they could not tell.

    `stops`: by label, those which its loss stops as long as copies elsewhere do not count.
    """
    findings = [_of_master(master, keys, stops.get(master.label, ())) for master in masters]
    free = SLOTS - sum(len(part) for master in masters for part in master.slots)
    if free:
        text = f"{free} of {SLOTS} slots are served by nobody: copies that lie there do not answer"
        findings.append(Finding(PLACEMENT, RED, "slots", text, "redis-cli --cluster fix"))
    return findings


def _of_master(master: Server, keys: Sequence[str] | None, stops: Sequence[str]) -> Finding:
    costs = cost(master.slots, keys or ())
    replicas = f"replica {', '.join(master.replicas)}" if master.replicas else "no replica"
    front = f"{_percent(costs.share)} of the slots, {replicas}; its loss"
    if stops and not costs.percent:
        text = f"{front} stops {_first(stops)} as long as copies elsewhere do not count"
        return Finding(PLACEMENT, YELLOW, master.label, text, NEXT_RUNS)
    if not costs.percent:
        return Finding(PLACEMENT, GREEN, master.label, f"{front} costs no key its quorum")
    known = "" if keys is None else f", {_names(costs.keys, len(keys))}"
    text = f"{front} costs {_percent(costs.percent)} of all possible keys their quorum{known}"
    if master.replicas:
        text += ", until a replica takes over, and then the writes that it had not yet"
        todo = "spread the slots: redis-cli --cluster rebalance"
    else:
        todo = "give it a replica: redis-cli --cluster add-node --cluster-slave; or spread the slots"
    return Finding(PLACEMENT, YELLOW, master.label, text, todo)


def _percent(value: float) -> str:
    return f"{value:.0f} %" if value >= 10 or value == int(value) else f"{value:.1g} %"


def _names(lost: Sequence[str], known: int) -> str:
    if not lost:
        return f"of the {known} known ones none"
    return f"of the {known} known ones {len(lost)}: {_first(lost)}"


def _first(keys: Sequence[str]) -> str:
    more = f" and {len(keys) - NAMED} more" if len(keys) > NAMED else ""
    return f"{', '.join(keys[:NAMED])}{more}"


def of_servers(count: int, missing: int = 0, weak: Sequence[str] = ()) -> list[Finding]:
    """One line for so many independent servers, of which some are missing; `weak` are keys that stop with one more."""
    spare = count - quorum(count)
    if missing and count > 1:
        front = f"{missing} of {count} servers are missing: "
        if missing > spare:
            return [Finding(PLACEMENT, RED, "servers", f"{front}no quorum is left, no run starts", "bring them back")]
        more = f"{spare - missing} more may be lost" if missing < spare else "the loss of another one stops every run"
        return [Finding(PLACEMENT, YELLOW, "servers", front + more, "bring them back")]
    if count == 1:
        text = "one server: its loss stops every run"
        return [Finding(PLACEMENT, YELLOW, "servers", text, "name three, if that is not meant")]
    if not spare:
        text = f"{count} servers: the loss of either stops every run"
        return [Finding(PLACEMENT, YELLOW, "servers", text, "name three")]
    if weak:
        text = f"one does not count everywhere: the loss of another one stops {_first(weak)}"
        return [Finding(PLACEMENT, YELLOW, "servers", text, NEXT_RUNS)]
    return [Finding(PLACEMENT, GREEN, "servers", f"any {spare} of {count} may be lost")]
