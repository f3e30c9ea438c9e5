"""Which keys the voters know: by their names, scanned on every server, or by the local files."""

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

AT_ONCE = 1_000  # names that a server looks at in one call of SCAN
FINAL = (redis.AuthenticationError, redis.exceptions.NoPermissionError, clients.Insecure)


def known_keys(settings: Settings) -> list[str]:
    """The keys of --once and --each, in order. Raises Unreachable when no quorum of the servers tells."""
    return sorted(_keys(settings.prefix, _names(settings)))


def known_records(settings: Settings) -> list[tuple[str, str]]:
    """Key and node ("" for the main record) of every record, in order.

    Raises Unreachable when no quorum of the servers tells, and when those that tell know of none.
    """
    return sorted({found for name in _names(settings, everybody=True) if (found := record_of(name, settings.prefix))})


def _names(settings: Settings, *, everybody: bool = False) -> list[str]:
    if settings.local:
        return list(local_names())
    found = clients.find(settings)
    answers = found.ask(lambda server: list(server.client.scan_iter(pattern(settings.prefix), AT_ONCE)))
    failures = found.failures | {label: names for label, names in answers.items() if isinstance(names, Exception)}
    told = [names for names in answers.values() if not isinstance(names, Exception)]
    for label, error in failures.items():
        if isinstance(error, FINAL):
            raise Refused(f"{label}: {clients.why(error)}")
    named = len(found.all) if found.cluster else len(settings.redis)
    if len(told) < (1 if any(told) else named if everybody else quorum(named)):
        raise Unreachable("; ".join(f"{label}: {clients.why(error)}" for label, error in failures.items()))
    return [os.fsdecode(name) for names in told for name in names]


def pattern(prefix: str) -> bytes:
    """What SCAN looks for: the names of records, and of the lists of nodes that --each keeps."""
    return os.fsencode(re.sub(r"([*?\[\]\\])", r"\\\1", prefix) + ":{????}:[re]*")


def record_of(name: str, prefix: str) -> tuple[str, str] | None:
    """Key and node ("" for the main record) of a record's name; None for other names."""
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
    """The names of the local records."""
    folder = state_directory()
    for file in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
        if file.endswith(".json"):
            try:
                with open(os.path.join(folder, file), encoding="utf-8", errors="surrogateescape") as text:
                    yield str(json.load(text)["name"])
            except (OSError, ValueError, KeyError, TypeError, RecursionError):  # a damaged one is nobody's
                continue


def _keys(prefix: str, names: Iterable[str]) -> set[str]:
    """Those of the records, and those of which only the nodes of --each are known."""
    each_nodes = re.compile(re.escape(prefix) + r":\{[@-O]{4}\}:each-nodes:(.*)", re.DOTALL)
    keys = set()
    for name in names:
        if found := record_of(name, prefix):
            keys.add(found[0])
        elif only := each_nodes.fullmatch(name):
            keys.add(only[1])
    return keys
