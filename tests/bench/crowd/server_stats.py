"""The servers' work, by their own statistics."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

from tests.support.servers import Server

TOP = ("evalsha", "eval", "cluster")  # sent by nodes; the script calls all else in commandstats
PATIENCE = 60  # s: a server that a crowd keeps busy answers late


@dataclass
class ServerWork:
    """CPU in ms, commands and bytes of all servers together."""

    cpu: float = 0
    scripts: int = 0
    script_us: int = 0
    inner: int = 0  # commands that the script called
    others: int = 0  # sent by nodes besides the script
    received: int = 0
    sent: int = 0
    connections: int = 0
    rejected: int = 0
    overflows: int = 0  # connections that met a full accept queue

    def __sub__(self, other: Self) -> "ServerWork":
        return ServerWork(*(getattr(self, field.name) - getattr(other, field.name) for field in fields(self)))


def read(servers: Sequence[Server]) -> ServerWork:
    """Return the work of these servers since they started."""
    work = ServerWork(overflows=_overflows())
    for server in servers:
        with server.client(socket_timeout=PATIENCE) as client:
            info: dict[str, Any] = client.info("everything")
        work.cpu += 1000 * (info["used_cpu_user"] + info["used_cpu_sys"])
        work.received += info["total_net_input_bytes"]
        work.sent += info["total_net_output_bytes"]
        work.connections += info["total_connections_received"]
        work.rejected += info["rejected_connections"]
        for name, value in info.items():
            if not name.startswith("cmdstat_"):
                continue
            command = name.removeprefix("cmdstat_").partition("|")[0]
            if command in ("evalsha", "eval"):
                work.scripts += value["calls"]
                work.script_us += value["usec"]
            elif command in TOP:
                work.others += value["calls"]
            else:
                work.inner += value["calls"]
    return work


def memory(servers: Sequence[Server]) -> int:
    """Return the bytes that all of them use."""
    return sum(int(server.redis.info("memory")["used_memory"]) for server in servers)


def _overflows() -> int:
    """Return the overflows of the whole machine; Linux has no finer count."""
    names, values = (line.split() for line in Path("/proc/net/netstat").read_text().splitlines()[:2])
    return int(dict(zip(names, values, strict=True)).get("ListenOverflows", 0))
