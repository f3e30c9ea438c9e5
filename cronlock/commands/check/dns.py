"""Host names that lead to several servers: nodes that reach different servers by one name do not exclude each other."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from cronlock.commands.check.findings import RED, VOTERS, Finding
from cronlock.config.redis_url import Address
from cronlock.lock.quorum import names_by_server
from cronlock.survey.clients import Server, Servers


def find_ambiguous_names(addresses: Sequence[Address]) -> list[Finding]:
    """Return a finding for each such name; for independent servers, not for a cluster."""
    return [
        finding
        for address in addresses
        if address.host and address.tls is None
        for finding in _find_servers_behind(address)
    ]


def _find_servers_behind(address: Address) -> list[Finding]:
    try:
        found = socket.getaddrinfo(address.host, address.port, 0, socket.SOCK_STREAM)
    except (OSError, UnicodeError):  # reported where the server is asked
        return []
    hosts = list(dict.fromkeys(str(place[0]) for *_, place in found))
    if len(hosts) < 2:
        return []
    asked = Servers(False, [Server(address.beside(host, address.port)) for host in hosts], {})
    answers = asked.ask(lambda server: str(server.client.info("server")["run_id"]))
    servers = names_by_server((label, run_id) for label, run_id in answers.items() if isinstance(run_id, str))
    if len(servers) < 2:
        return []
    text = f"this name leads to different servers: {', '.join(labels[0] for labels in servers)}"
    return [Finding(VOTERS, RED, address.label, text, "name each server")]
