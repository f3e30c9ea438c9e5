"""What servers have done, by their own count."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

from tests.support.servers import Server

TOP = ("evalsha", "eval", "cluster")  # what a node sends; all else in commandstats is called by the script
PATIENCE = 60  # s: a server that a crowd keeps busy answers late


@dataclass
class Work:
    """CPU in ms, commands and bytes of all servers together."""

    cpu: float = 0
    scripts: int = 0
    script_us: int = 0
    inner: int = 0  # commands that the script called
    others: int = 0  # what nodes sent beside it
    received: int = 0
    sent: int = 0
    connections: int = 0
    rejected: int = 0
    overflows: int = 0  # connections that found the queue of those to be accepted full

    def __sub__(self, other: Self) -> "Work":
        return Work(*(getattr(self, field.name) - getattr(other, field.name) for field in fields(self)))


def read(servers: Sequence[Server]) -> Work:
    """The work of these servers since they started."""
    work = Work(overflows=_overflows())
    for server in servers:
        with server.client(socket_timeout=PATIENCE) as client:
            info: dict[str, Any] = client.info("everything")
        work.cpu += 1000 * (info["used_cpu_user"] + info["used_cpu_sys"])
        work.received += info["total_net_input_bytes"]
        work.sent += info["total_net_output_bytes"]
        work.connections += info["total_connections_received"]
        work.rejected += info["rejected_connections"]
        for name, told in info.items():
            if not name.startswith("cmdstat_"):
                continue
            command = name.removeprefix("cmdstat_").partition("|")[0]
            if command in ("evalsha", "eval"):
                work.scripts += told["calls"]
                work.script_us += told["usec"]
            elif command in TOP:
                work.others += told["calls"]
            else:
                work.inner += told["calls"]
    return work


def memory(servers: Sequence[Server]) -> int:
    """Bytes that all of them use."""
    return sum(int(server.redis.info("memory")["used_memory"]) for server in servers)


def _overflows() -> int:
    """Of the whole machine: Linux counts no other way."""
    names, values = (line.split() for line in Path("/proc/net/netstat").read_text().splitlines()[:2])
    return int(dict(zip(names, values, strict=True)).get("ListenOverflows", 0))
