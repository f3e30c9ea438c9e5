"""The servers that the settings name, as redis-py clients: where people's commands look."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from cronlock.config.settings import Settings
from cronlock.errors import Refused
from cronlock.servers.connection import TlsError
from cronlock.servers.redis_voters import known_host
from cronlock.servers.tls import GIVE_CERTIFICATE, context_of, reason
from cronlock.servers.url import Address
from cronlock.servers.voters import NOWHERE

TIMEOUT = 3.0  # s for one answer: a person waits
NOT_A_CLUSTER = "cluster support disabled"

T = TypeVar("T")


class Insecure(redis.ConnectionError):
    """Stands for what TLS made of a connection, as `run` says it."""

    def __init__(self, unsafe: TlsError) -> None:
        super().__init__(str(unsafe))
        self.unsafe = unsafe


@dataclass
class Server:
    """One server; of a cluster a master, with its slots and its replicas' labels."""

    address: Address
    slots: list[range] = field(default_factory=list)
    replicas: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._client: redis.Redis | None = None

    @property
    def client(self) -> redis.Redis:
        """It connects when it is asked something; who is the master of a service is asked before."""
        self._client = self._client or _client(self.address)
        return self._client

    @property
    def label(self) -> str:
        return self.address.label


@dataclass
class Servers:
    """All of them. `failures` says, by label, why one of those that were named did not answer."""

    cluster: bool
    all: Sequence[Server]
    failures: dict[str, Exception]

    def ask(self, question: Callable[[Server], T]) -> dict[str, T | Exception]:
        """What each server says, by label, asked side by side; the exception where it could not be told."""

        def asked(server: Server) -> T | Exception:
            try:
                return question(server)
            except (redis.RedisError, OSError) as error:
                return _about_tls(error, server.address) or error
            except (TypeError, AttributeError, ValueError, LookupError):
                return redis.InvalidResponse("its answers are not those of Redis")

        with ThreadPoolExecutor(max(1, len(self.all))) as pool:
            return dict(zip((server.label for server in self.all), pool.map(asked, self.all), strict=True))


def find(settings: Settings, twice: bool = False) -> Servers:
    """The servers of these settings: those named, or all masters of the cluster that one of them belongs to.

    Raises Refused when there are none; and when one is named twice, unless that is `twice` allowed.
    """
    if not settings.redis:
        raise Refused(NOWHERE)
    labels = [address.label for address in settings.redis]
    if not twice and len(set(labels)) < len(labels):
        raise Refused(f"the same server twice: {max(labels, key=labels.count)}: name each server once")
    named = Servers(False, [Server(address) for address in settings.redis], {})
    answers = named.ask(_slots)
    failures = {label: answer for label, answer in answers.items() if isinstance(answer, Exception)}
    for server in named.all:
        answer = answers[server.label]
        if isinstance(answer, list):
            return Servers(True, _masters(server.address, answer), failures)
    return Servers(False, [server for server in named.all if server.label not in failures], failures)


def why(error: Exception) -> str:
    """An error of redis-py without the address, which stands in front of it, and without its own numbers."""
    cause = error.__cause__ or error.__context__
    if isinstance(cause, OSError) and cause.strerror and isinstance(error, redis.ConnectionError):
        return cause.strerror.lower()
    return str(error).rstrip(".")


def _about_tls(error: BaseException, address: Address) -> Insecure | None:
    """The fault of TLS behind an error of redis-py."""
    while not isinstance(error, ssl.SSLError):
        behind = error.__cause__ or error.__context__
        if behind is None:
            return None
        error = behind
    if not isinstance(error, ssl.SSLEOFError):
        return Insecure(reason(error))
    if "ssl_certfile" in (address.tls or {}):
        return None
    return Insecure(TlsError("it ended the connection", f"if it wants a certificate of this node, {GIVE_CERTIFICATE}"))


def _client(address: Address) -> redis.Redis:
    options: dict[str, Any] = {
        "db": address.db,
        "username": address.username or None,
        "password": address.password or None,
        "socket_timeout": TIMEOUT,
        "socket_connect_timeout": TIMEOUT,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,
    }
    if address.path:
        return redis.Redis(unix_socket_path=address.path, **options)
    if address.tls is not None:
        options |= _tls(address)
    if address.sentinels:
        return _master(address, options)
    return redis.Redis(address.host, address.port, **options)


def _tls(address: Address) -> dict[str, Any]:
    try:
        context_of(address.tls or {})
    except TlsError as error:
        raise Refused(f"{address.label}: {error}") from None
    tls: dict[str, Any] = {"ssl": True, **(address.tls or {})}
    verified = tls["ssl_cert_reqs"] == "required"
    return tls | {"ssl_check_hostname": verified and tls["ssl_check_hostname"] == "true"}


def _master(address: Address, options: dict[str, Any]) -> redis.Redis:
    """The client of a service's master, as most sentinels tell it.

    redis-py's own search refuses a master that another one has just replaced: it looks at what SENTINEL MASTERS shows.
    """
    service = address.service

    def asked(server: Server) -> tuple[str, int] | None:
        found: Any = server.client.sentinel_get_master_addr_by_name(service)
        return found and (found[0].decode() if isinstance(found[0], bytes) else found[0], int(found[1]))

    answers = Servers(False, [Server(sentinel) for sentinel in address.sentinels], {}).ask(asked)
    votes = [answer for answer in answers.values() if isinstance(answer, tuple)]
    if votes:
        return redis.Redis(*max(votes, key=votes.count), **options)
    label, answer = next(iter(answers.items()))
    reason = why(answer) if isinstance(answer, Exception) else f"it knows no master {service}"
    raise redis.ConnectionError(f"no sentinel tells its master: {label}: {reason}")


def _slots(server: Server) -> list[Any] | None:
    """Who has which slots, as the server tells it; None of a server that is no part of a cluster."""
    try:
        found = server.client.execute_command("CLUSTER", "SLOTS")  # type: ignore[no-untyped-call]
    except redis.ResponseError as error:
        if NOT_A_CLUSTER in str(error):
            return None
        raise
    try:
        if not _masters(server.address, found):
            raise redis.ConnectionError("its cluster has no slots yet")
    except (TypeError, IndexError, ValueError, AttributeError) as error:  # no list of slots
        raise redis.InvalidResponse("its answers are not those of Redis") from error
    return list(found)


def _masters(beside: Address, slots: list[Any]) -> list[Server]:
    masters: dict[str, Server] = {}
    for first, last, primary, *others in slots:
        if known_host(primary) is None:
            continue
        address = _beside(beside, primary)
        master = masters.setdefault(address.label, Server(address))
        master.slots.append(range(first, last + 1))
        replicas = [_beside(beside, node).label for node in others]
        master.replicas += [label for label in replicas if label not in master.replicas]
    return list(masters.values())


def _beside(beside: Address, node: list[Any]) -> Address:
    host = known_host(node) or b""
    return beside.beside(host.decode("utf-8", "surrogateescape") or beside.host, node[1])
