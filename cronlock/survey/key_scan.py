"""The keys that the voters have records of: scanned by name on every server, or read from the local files."""

import json
import os
import re
from collections.abc import Iterable

import redis

from cronlock.config.settings import Settings
from cronlock.errors import Refused, Unreachable
from cronlock.lock.local import state_directory
from cronlock.lock.protocol import MAIN
from cronlock.lock.quorum import quorum
from cronlock.survey import clients

SCAN_COUNT = 1_000  # names that a server visits in one call of SCAN: fewer calls, none of them long
FINAL = (redis.AuthenticationError, redis.exceptions.NoPermissionError, clients.Insecure)


def known_keys(settings: Settings) -> list[str]:
    """Return the keys of --once and --each, in order. Raises Unreachable when no quorum of the servers answers."""
    return sorted(_keys(settings.prefix, _names(settings)))


def known_records(settings: Settings) -> list[tuple[str, str]]:
    """Return key and node ("" for the main record) of every record, in order.

    Raises Unreachable when no quorum of the servers answers; also unless all of them answer, if no record is found.
    """
    return sorted({found for name in _names(settings, from_all=True) if (found := record_of(name, settings.prefix))})


def _names(settings: Settings, *, from_all: bool = False) -> list[str]:
    if settings.local:
        return list(local_names())
    found = clients.find_servers(settings)
    answers = found.ask(lambda server: list(server.client.scan_iter(pattern(settings.prefix), SCAN_COUNT)))
    failures = found.failures | {label: names for label, names in answers.items() if isinstance(names, Exception)}
    answered = [names for names in answers.values() if not isinstance(names, Exception)]
    for label, error in failures.items():
        if isinstance(error, FINAL):
            raise Refused(f"{label}: {clients.error_text(error)}")
    named = len(found.all) if found.cluster else len(settings.redis)
    if len(answered) < (1 if any(answered) else named if from_all else quorum(named)):
        raise Unreachable("; ".join(f"{label}: {clients.error_text(error)}" for label, error in failures.items()))
    return [os.fsdecode(name) for names in answered for name in names]


def pattern(prefix: str) -> bytes:
    """Return the pattern for SCAN: the names of records, and of the lists of nodes that --each keeps."""
    return os.fsencode(re.sub(r"([*?\[\]\\])", r"\\\1", prefix) + ":{????}:[re]*")


def record_of(name: str, prefix: str) -> tuple[str, str] | None:
    """Return key and node ("" for the main record) from a record's name; None for other names."""
    front, rest = name[: len(prefix) + 1], name[len(prefix) + 1 :]
    if front != f"{prefix}:":
        return None
    if rest[:1] == "{":  # the tag of a copy in Redis
        rest = rest[len("{....}:") :]
    kind, _, rest = rest.partition(":")
    if kind == MAIN:
        return rest, ""
    node, _, key = rest.partition(":")
    return (key, node) if kind == "each" else None


def local_names() -> Iterable[str]:
    """Yield the names of the local records."""
    folder = state_directory()
    for file in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
        if file.endswith(".json"):
            try:
                with open(os.path.join(folder, file), encoding="utf-8", errors="surrogateescape") as text:
                    yield str(json.load(text)["name"])
            except (OSError, ValueError, KeyError, TypeError, RecursionError):  # a damaged file has no name
                continue


def _keys(prefix: str, names: Iterable[str]) -> set[str]:
    """Return the keys that have a record, and those that have only a list of the nodes of --each."""
    each_nodes = re.compile(re.escape(prefix) + r":\{[@-O]{4}\}:each-nodes:(.*)", re.DOTALL)
    keys = set()
    for name in names:
        if found := record_of(name, prefix):
            keys.add(found[0])
        elif only := each_nodes.fullmatch(name):
            keys.add(only[1])
    return keys
