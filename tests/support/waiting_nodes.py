"""A key that one node holds while others stay: what tests of --wait and of --failover begin with."""

import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tests.figures.handover import subscribed
from tests.support.commands import home, start_cronlock, wait_until

SLEEPER = ("--", "sh", "-c", "touch ready; exec sleep 60")


def where(servers: Iterable[Any]) -> list[str]:
    """The options that name them."""
    return [word for server in servers for word in ("--redis", server.url)]


def start(servers: Iterable[Any], *words: object, **kw: Any) -> "subprocess.Popen[str]":
    """`cronlock run` of the key `job`."""
    return start_cronlock("run", *where(servers), "--key", "job", *words, **kw)


def held(servers: Iterable[Any], *words: object) -> "subprocess.Popen[str]":
    """A run on web-1 that goes on."""
    process = start(servers, "--node", "web-1", *words, *SLEEPER)
    wait_until(Path(home(), "ready").exists, message="the command")
    return process


def staying(servers: Sequence[Any], *words: object, **kw: Any) -> "subprocess.Popen[str]":
    """A cronlock that has subscribed."""
    before = subscribed(servers)
    process = start(servers, *words, **kw)
    wait_until(lambda: subscribed(servers) > before, message="the one that stays")
    return process
