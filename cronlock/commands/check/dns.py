"""Host names with several addresses: nodes that come to different servers by one name hold different locks."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from cronlock.commands.check.findings import RED, VOTERS, Finding
from cronlock.servers.url import Address
from cronlock.survey.clients import Server, Servers


def look(addresses: Sequence[Address]) -> list[Finding]:
    """Of servers that are no cluster."""
    return [finding for address in addresses if address.host and address.tls is None for finding in _look(address)]


def _look(address: Address) -> list[Finding]:
    try:
        found = socket.getaddrinfo(address.host, address.port, 0, socket.SOCK_STREAM)
    except (OSError, UnicodeError):  # said where the server is asked
        return []
    hosts = list(dict.fromkeys(str(place[0]) for *_, place in found))
    if len(hosts) < 2:
        return []
    asked = Servers(False, [Server(address.beside(host, address.port)) for host in hosts], {})
    run_ids = asked.ask(lambda server: str(server.client.info("server")["run_id"]))
    servers: dict[str, str] = {}
    for label, run_id in run_ids.items():
        if isinstance(run_id, str):
            servers.setdefault(run_id, label)
    if len(servers) < 2:
        return []
    text = f"that name leads to different servers: {', '.join(servers.values())}"
    return [Finding(VOTERS, RED, address.label, text, "name each one")]
