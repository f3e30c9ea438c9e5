"""The placement of copies, and the cost of losing each server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from cronlock.commands.check.findings import GREEN, PLACEMENT, RED, YELLOW, Finding
from cronlock.lock.protocol import COPIES
from cronlock.lock.quorum import quorum
from cronlock.servers.placement import OFFSETS, SLOTS, slot_of
from cronlock.survey.clients import Server

NAMED = 3  # keys that a line names before it says how many more there are


def wait_for_next_runs(flags: str) -> str:
    """Return what makes amnesic copies count; `flags` name the servers on a command line."""
    return f"wait for their next runs, or cronlock adopt {flags}--all"


NEXT_RUNS = wait_for_next_runs("")


@dataclass
class LossCost:
    """The cost of losing one master: percent of all possible keys, and the known keys among them."""

    share: float  # of the slots
    percent: float
    keys: list[str]


def loss_cost(slots: Sequence[range], keys: Sequence[str]) -> LossCost:
    """Return the cost of losing a master with these slots: a key stops if a quorum of its copies is in them."""
    here = bytearray(SLOTS)
    for part in slots:
        here[part.start : part.stop] = b"\1" * len(part)
    stops = [sum(here[(first + offset) % SLOTS] for offset in OFFSETS) >= quorum(COPIES) for first in range(SLOTS)]
    lost = [key for key in keys if stops[slot_of(key.encode("utf-8", "surrogateescape"))]]
    return LossCost(100 * sum(here) / SLOTS, 100 * sum(stops) / SLOTS, lost)


def find_cluster_placement(
    masters: Sequence[Server],
    keys: Sequence[str] | None,
    lost_with: Mapping[str, Sequence[str]] = MappingProxyType({}),
    todo: str = NEXT_RUNS,
) -> list[Finding]:
    """Return a finding for each master; `keys` are the known keys, None when the voters could not list them.

    `lost_with`: label -> keys that its loss stops as long as copies elsewhere do not count; `todo` makes them count.
    """
    findings = [_describe_master(master, keys, lost_with.get(master.label, ()), todo) for master in masters]
    free = SLOTS - sum(len(part) for master in masters for part in master.slots)
    if free:
        text = f"{free} of {SLOTS} slots have no master: copies in them do not answer"
        findings.append(Finding(PLACEMENT, RED, "slots", text, "redis-cli --cluster fix"))
    return findings


def _describe_master(master: Server, keys: Sequence[str] | None, lost_with: Sequence[str], todo: str) -> Finding:
    costs = loss_cost(master.slots, keys or ())
    replicas = f"replica {', '.join(master.replicas)}" if master.replicas else "no replica"
    front = f"{_percent(costs.share)} of the slots, {replicas}; its loss"
    if lost_with and not costs.percent:
        text = f"{front} stops {first_names(lost_with)} as long as copies elsewhere do not count"
        return Finding(PLACEMENT, YELLOW, master.label, text, todo)
    if not costs.percent:
        return Finding(PLACEMENT, GREEN, master.label, f"{front} costs no key its quorum")
    known = "" if keys is None else f", {_name_lost_keys(costs.keys, len(keys))}"
    text = f"{front} costs {_percent(costs.percent)} of all possible keys their quorum{known}"
    if master.replicas:
        text += ", until a replica takes over, which may lack the newest writes"
        todo = "spread the slots: redis-cli --cluster rebalance"
    else:
        todo = "give it a replica: redis-cli --cluster add-node --cluster-slave; or spread the slots"
    return Finding(PLACEMENT, YELLOW, master.label, text, todo)


def _percent(value: float) -> str:
    return f"{value:.0f} %" if value >= 10 or value == int(value) else f"{value:.1g} %"


def _name_lost_keys(lost: Sequence[str], known: int) -> str:
    if not lost:
        return f"none of the {known} known ones"
    return f"{len(lost)} of the {known} known ones: {first_names(lost)}"


def first_names(keys: Sequence[str]) -> str:
    """Return the first names, and how many more there are."""
    more = f" and {len(keys) - NAMED} more" if len(keys) > NAMED else ""
    return f"{', '.join(keys[:NAMED])}{more}"


def _describe_missing(of: str, missing: int, off: int) -> tuple[str, str]:
    """Return how many of `of` are missing or do not vote, and what to do."""
    some = [f"{missing} of {of} {'is' if missing == 1 else 'are'} missing"] if missing else []
    some += [f"{off}{'' if missing else f' of {of}'} {'does' if off == 1 else 'do'} not vote"] if off else []
    ways = [f"bring {'it' if missing == 1 else 'them'} back"] if missing else []
    ways += [f"set {'its clock' if off == 1 else 'their clocks'}"] if off else []
    return ", ".join(some), " and ".join(ways)


def find_missing_masters(count: int, missing: int, off: int) -> list[Finding]:
    """Return one finding for masters that are missing or do not vote; the others' findings name the costs."""
    if not missing and not off:
        return []
    front, todo = _describe_missing(f"{count} masters", missing, off)
    return [Finding(PLACEMENT, YELLOW, "masters", f"{front}: no key can have its first run", todo)]


def _describe_fewer_servers(count: int, missing: int, off: int, keys_at_risk: Sequence[str]) -> Finding:
    spare = count - quorum(count) - missing - off
    front, todo = _describe_missing(f"{count} servers", missing, off)
    if spare < 0:
        return Finding(PLACEMENT, RED, "servers", f"{front}: no quorum is left, so no run starts", todo)
    more = f": {spare} more may be lost" if spare else ": the loss of one more stops every run"
    if spare and keys_at_risk:
        more = f", and not all others count: the loss of one more stops {first_names(keys_at_risk)}"
    text = f"{front}{more}, and no key can have its first run"
    return Finding(PLACEMENT, YELLOW, "servers", text, todo)


def find_server_placement(
    count: int, missing: int = 0, off: int = 0, keys_at_risk: Sequence[str] = (), todo: str = NEXT_RUNS
) -> list[Finding]:
    """Return one finding for `count` independent servers.

    `missing` ones do not answer, `off` ones do not vote because of their clocks;
    `keys_at_risk` stop with one more loss, unless `todo` makes all copies count.
    """
    spare = count - quorum(count)
    if missing + off and count > 1:
        return [_describe_fewer_servers(count, missing, off, keys_at_risk)]
    if count == 1:
        text = "one server: its loss stops every run"
        return [Finding(PLACEMENT, YELLOW, "servers", text, "run three servers, unless one is intended")]
    if not spare:
        text = f"{count} servers: the loss of either stops every run"
        return [Finding(PLACEMENT, YELLOW, "servers", text, "run three servers")]
    if keys_at_risk:
        text = f"one does not count for every key: the loss of another one stops {first_names(keys_at_risk)}"
        return [Finding(PLACEMENT, YELLOW, "servers", text, todo)]
    return [Finding(PLACEMENT, GREEN, "servers", f"any {spare} of {count} may be lost")]
