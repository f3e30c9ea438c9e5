"""The sentinels of a service: those that answer, whether they agree, and what a failover would lose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from cronlock.commands.check.findings import GREEN, PLACEMENT, VOTERS, YELLOW, Finding
from cronlock.commands.check.servers import ServerFacts, describe_unreachable
from cronlock.config.redis_url import Address
from cronlock.survey.clients import Server, Servers

ENOUGH = 3  # sentinels: a majority starts a failover; of two, both must be reachable
GUARD = "min_slaves_good_slaves"  # INFO has it where min-replicas-to-write is set


def find_sentinel_faults(address: Address, all_facts: Sequence[ServerFacts]) -> list[Finding]:
    """Return the findings about one service; `all_facts` are those of the masters that answered."""
    sentinels = [Server(sentinel) for sentinel in address.sentinels]
    answers = Servers(False, sentinels, {}).ask(lambda server: _master(server, address.service))
    reports = {label: answer for label, answer in answers.items() if isinstance(answer, dict)}
    findings = [
        replace(describe_unreachable(label, answer), level=YELLOW)
        for label, answer in answers.items()
        if isinstance(answer, Exception)
    ]
    if not reports:
        return findings
    masters = {f"{answer['ip']}:{answer['port']}": label for label, answer in reports.items()}
    if len(masters) > 1:
        votes = " and ".join(f"{master} by {label}" for master, label in masters.items())
        text = f"its sentinels name different masters: {votes}"
        findings.append(Finding(VOTERS, YELLOW, address.label, text, "read the sentinels' logs"))
    info = next((one.info for one in all_facts if one.label == address.label), {})
    return [*findings, *_find_failover_faults(address, reports, next(iter(masters)), info)]


def _master(server: Server, service: str) -> dict[str, Any]:
    answer: Any = server.client.sentinel_master(service)
    return dict(answer)


def _find_failover_faults(
    address: Address, reports: Mapping[str, Any], master: str, info: Mapping[str, Any]
) -> list[Finding]:
    replicas = max(int(answer["num-slaves"]) for answer in reports.values())
    sentinels = max(int(answer["num-other-sentinels"]) for answer in reports.values()) + 1
    findings = []
    if sentinels < ENOUGH:
        text = f"{sentinels} sentinel{'s' * (sentinels > 1)}: the loss of one stops every failover"
        findings.append(Finding(PLACEMENT, YELLOW, address.label, text, "run three"))
    if not replicas:
        findings.append(Finding(PLACEMENT, YELLOW, address.label, "no replica could take over", "add a replica"))
    elif info and GUARD not in info:
        text = "a partitioned master still grants leases: two nodes may run at once"
        todo = "CONFIG SET min-replicas-to-write 1, on the replicas too, and in their files"
        if replicas == 1:
            todo = f"add a second replica, then {todo}"
        findings.append(Finding(PLACEMENT, YELLOW, address.label, text, todo))
    text = f"master {master}, replicas: {replicas}, sentinels: {sentinels}; a failover may lose the newest writes"
    return [Finding(PLACEMENT, GREEN, address.label, text), *findings]
