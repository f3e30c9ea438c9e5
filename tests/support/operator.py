"""The operator's commands, and the runs that they are about: on three servers, a cluster, or a local file (`place`)."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from subprocess import CompletedProcess, Popen
from typing import Any

from tests.support.commands import cronlock, home, start_cronlock, wait_until
from tests.support.servers import Server

DAY = time.strftime("%Y-%m-%d", time.gmtime(time.time() - 86_400))  # nodes are forgotten after a month
TICK = ("--tick", f"{DAY}T02:00Z")
NEXT = ("--tick", f"{DAY}T03:00Z")
PLAIN = ("--schedule", "none")

Place = tuple[str, ...]


def at(*servers: Server) -> Place:
    return tuple(word for server in servers for word in ("--redis", server.url))


def run(place: Place, *words: str, key: str = "job", **kw: Any) -> CompletedProcess[str]:
    return cronlock("run", *place, "--key", key, "--outage-wait", "0", *words, forked=True, **kw)


def operate(place: Place, command: str, *words: str, **kw: Any) -> CompletedProcess[str]:
    return cronlock(command, *place, *words, **kw)


@contextmanager
def running(place: Place, *words: str, key: str = "job", **kw: Any) -> Iterator["Popen[str]"]:
    """Yield a run that lasts until the end of the block."""
    ready = home() / f"ready-{time.monotonic_ns()}"
    command = ("--", "sh", "-c", f"touch {ready}; exec sleep 60")
    process = start_cronlock("run", *place, "--key", key, *words, *command, **kw)
    wait_until(ready.exists, message="the command")
    yield process
    process.terminate()
    process.wait()
