"""Where the copies lie, and what the loss of each server would cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from cronlock.commands.check.findings import GREEN, PLACEMENT, RED, YELLOW, Finding
from cronlock.lock.protocol import COPIES
from cronlock.lock.quorum import quorum
from cronlock.servers.placement import OFFSETS, SLOTS, slot_of
from cronlock.survey.clients import Server

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
    masters: Sequence[Server],
    keys: Sequence[str] | None,
    stops: Mapping[str, Sequence[str]] = MappingProxyType({}),
    todo: str = NEXT_RUNS,
) -> list[Finding]:
    """A line for each master; `keys` are those that the voters know, None when they could not tell.

    `stops`: by label, those which its loss stops as long as copies elsewhere do not count; `todo` makes them count.
    """
    findings = [_of_master(master, keys, stops.get(master.label, ()), todo) for master in masters]
    free = SLOTS - sum(len(part) for master in masters for part in master.slots)
    if free:
        text = f"{free} of {SLOTS} slots are served by nobody: copies that lie there do not answer"
        findings.append(Finding(PLACEMENT, RED, "slots", text, "redis-cli --cluster fix"))
    return findings


def _of_master(master: Server, keys: Sequence[str] | None, stops: Sequence[str], todo: str) -> Finding:
    costs = cost(master.slots, keys or ())
    replicas = f"replica {', '.join(master.replicas)}" if master.replicas else "no replica"
    front = f"{_percent(costs.share)} of the slots, {replicas}; its loss"
    if stops and not costs.percent:
        text = f"{front} stops {first(stops)} as long as copies elsewhere do not count"
        return Finding(PLACEMENT, YELLOW, master.label, text, todo)
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
    return f"of the {known} known ones {len(lost)}: {first(lost)}"


def first(keys: Sequence[str]) -> str:
    """The first of them, and how many more there are."""
    more = f" and {len(keys) - NAMED} more" if len(keys) > NAMED else ""
    return f"{', '.join(keys[:NAMED])}{more}"


def _gone(of: str, missing: int, off: int) -> tuple[str, str]:
    """That some `of` these are missing or do not vote, and what to do."""
    some = [f"{missing} of {of} {'is' if missing == 1 else 'are'} missing"] if missing else []
    some += [f"{off}{'' if missing else f' of {of}'} {'does' if off == 1 else 'do'} not vote"] if off else []
    ways = [f"bring {'it' if missing == 1 else 'them'} back"] if missing else []
    ways += [f"set {'its clock' if off == 1 else 'their clocks'}"] if off else []
    return ", ".join(some), " and ".join(ways)


def of_fewer_masters(count: int, missing: int, off: int) -> list[Finding]:
    """One line for masters of a cluster that are missing or do not vote; what they cost stands with the others."""
    if not missing and not off:
        return []
    front, todo = _gone(f"{count} masters", missing, off)
    return [Finding(PLACEMENT, YELLOW, "masters", f"{front}: no key can have its first run", todo)]


def _of_fewer(count: int, missing: int, off: int, weak: Sequence[str]) -> Finding:
    spare = count - quorum(count) - missing - off
    front, todo = _gone(f"{count} servers", missing, off)
    if spare < 0:
        return Finding(PLACEMENT, RED, "servers", f"{front}: no quorum is left, no run starts", todo)
    more = f": {spare} more may be lost" if spare else ": the loss of another one stops every run"
    if spare and weak:
        more = f", and not all others count: the loss of another one stops {first(weak)}"
    text = f"{front}{more}, and no key can have its first run"
    return Finding(PLACEMENT, YELLOW, "servers", text, todo)


def of_servers(count: int, missing: int = 0, off: int = 0, weak: Sequence[str] = ()) -> list[Finding]:
    """One line for so many independent servers, of which some are missing, and some do not vote because their clocks
    are `off`; `weak` are keys that stop with one more.
    """
    spare = count - quorum(count)
    if missing + off and count > 1:
        return [_of_fewer(count, missing, off, weak)]
    if count == 1:
        text = "one server: its loss stops every run"
        return [Finding(PLACEMENT, YELLOW, "servers", text, "name three, if that is not meant")]
    if not spare:
        text = f"{count} servers: the loss of either stops every run"
        return [Finding(PLACEMENT, YELLOW, "servers", text, "name three")]
    if weak:
        text = f"one does not count everywhere: the loss of another one stops {first(weak)}"
        return [Finding(PLACEMENT, YELLOW, "servers", text, NEXT_RUNS)]
    return [Finding(PLACEMENT, GREEN, "servers", f"any {spare} of {count} may be lost")]
