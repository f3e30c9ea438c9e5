"""What people type, and the runs that they type it about: at three servers, a cluster, or a local file (`place`)."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from subprocess import CompletedProcess, Popen
from typing import Any

from tests.commands import cronlock, home, start_cronlock, wait_until
from tests.servers import Server

TICK = ("--tick", "2026-11-20T02:00Z")
NEXT = ("--tick", "2026-11-20T03:00Z")
PLAIN = ("--schedule", "none")

Place = tuple[str, ...]


def at(*servers: Server) -> Place:
    return tuple(word for server in servers for word in ("--redis", server.url))


def run(place: Place, *words: str, key: str = "job") -> CompletedProcess[str]:
    return cronlock("run", *place, "--key", key, "--outage-wait", "0", *words)


def person(place: Place, command: str, *words: str, **kw: Any) -> CompletedProcess[str]:
    return cronlock(command, *place, *words, **kw)


@contextmanager
def running(place: Place, *words: str, key: str = "job") -> Iterator["Popen[str]"]:
    """A run that goes on until the end of the block."""
    ready = home() / f"ready-{time.monotonic_ns()}"
    process = start_cronlock("run", *place, "--key", key, *words, "--", "sh", "-c", f"touch {ready}; exec sleep 60")
    wait_until(ready.exists, message="the command")
    yield process
    process.terminate()
    process.wait()
