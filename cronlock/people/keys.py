"""Which keys the voters know: by their names, scanned on every server, or by the local files."""

import json
import os
import re
from collections.abc import Iterable
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.cluster import RedisCluster
from redis.retry import Retry

from cronlock.config import Settings
from cronlock.errors import Refused, Unreachable
from cronlock.lock.address import Address
from cronlock.lock.local import state_directory
from cronlock.lock.quorum import quorum
from cronlock.lock.slots import MAIN
from cronlock.voters import NOWHERE

TIMEOUT = 3.0  # s for one answer
AT_ONCE = 1_000  # names that a server looks at in one call of SCAN
FINAL = (redis.AuthenticationError, redis.exceptions.NoPermissionError)


def known_keys(settings: Settings) -> list[str]:
    """The keys of --once and --each, in order. Raises Unreachable when no quorum of the servers tells."""
    if settings.local:
        return sorted(_keys(settings.prefix, _local_names()))
    if not settings.redis:
        raise Refused(NOWHERE)
    names: set[bytes] = set()
    failures: list[str] = []
    for address in settings.redis:
        try:
            names.update(_scan(address, settings.prefix))
        except FINAL as error:
            raise Refused(f"{address.label}: {error}") from None
        except redis.RedisError as error:
            failures.append(f"{address.label}: {error}")
    if len(settings.redis) - len(failures) < (1 if names else quorum(len(settings.redis))):
        raise Unreachable("; ".join(failures))
    return sorted(_keys(settings.prefix, (os.fsdecode(name) for name in names)))


def _scan(address: Address, prefix: str) -> Iterable[bytes]:
    options: dict[str, Any] = {
        "username": address.username or None,
        "password": address.password or None,
        "socket_timeout": TIMEOUT,
        "socket_connect_timeout": TIMEOUT,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,
    }
    if address.path:
        client = redis.Redis(unix_socket_path=address.path, db=address.db, **options)
    else:
        client = redis.Redis(address.host, address.port, db=address.db, **options)
    pattern = os.fsencode(re.sub(r"([*?\[\]\\])", r"\\\1", prefix) + ":{????}:*")
    if _is_cluster(client):
        cluster = RedisCluster(host=address.host, port=address.port, **options)
        return cluster.scan_iter(pattern, count=AT_ONCE, target_nodes=RedisCluster.PRIMARIES)
    return client.scan_iter(pattern, count=AT_ONCE)


def _is_cluster(client: redis.Redis) -> bool:
    try:
        client.execute_command("CLUSTER SLOTS")  # type: ignore[no-untyped-call]
    except redis.ResponseError as error:
        if "cluster support disabled" in str(error):
            return False
        raise
    return True


def _local_names() -> Iterable[str]:
    folder = state_directory()
    for file in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
        if file.endswith(".json"):
            try:
                with open(os.path.join(folder, file), encoding="utf-8", errors="surrogateescape") as text:
                    yield str(json.load(text)["name"])
            except (OSError, ValueError, KeyError, TypeError):  # a damaged one is nobody's
                continue


def _keys(prefix: str, names: Iterable[str]) -> set[str]:
    """Records of --once, and what --each keeps for a key or for each of its nodes."""
    pattern = re.compile(
        re.escape(prefix) + r":(?:\{[@-O]{4}\}:)?(?:" + MAIN + r"|each-nodes|each:[^:]*):(.*)", re.DOTALL
    )
    return {found[1] for name in names if (found := pattern.fullmatch(name))}
