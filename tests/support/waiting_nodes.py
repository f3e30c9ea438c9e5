"""A key that one node holds while other nodes wait: the beginning of tests of --wait and of --failover."""

import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tests.figures.handover import subscribed
from tests.support.commands import home, start_cronlock, wait_until

SLEEPER = ("--", "sh", "-c", "touch ready; exec sleep 60")


def where(servers: Iterable[Any]) -> list[str]:
    """Return the options that name the servers."""
    return [word for server in servers for word in ("--redis", server.url)]


def start(servers: Iterable[Any], *words: object, **kw: Any) -> "subprocess.Popen[str]":
    """Start `cronlock run` of the key `job`."""
    return start_cronlock("run", *where(servers), "--key", "job", *words, **kw)


def held(servers: Iterable[Any], *words: object) -> "subprocess.Popen[str]":
    """Start a run on web-1 that lasts, and return its process."""
    process = start(servers, "--node", "web-1", *words, *SLEEPER)
    wait_until(Path(home(), "ready").exists, message="the command")
    return process


def waiting_node(servers: Sequence[Any], *words: object, **kw: Any) -> "subprocess.Popen[str]":
    """Start a cronlock that waits, and return its process once it has subscribed."""
    before = subscribed(servers)
    process = start(servers, *words, **kw)
    wait_until(lambda: subscribed(servers) > before, message="the waiting node")
    return process
