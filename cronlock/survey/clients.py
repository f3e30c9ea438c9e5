"""redis-py clients of the servers that the settings name, for commands that read in bulk.

servers/ decides which servers these are: it reads the replies to CLUSTER SLOTS, and asks the Sentinels of a service.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from cronlock.config.redis_url import Address
from cronlock.config.settings import Settings
from cronlock.errors import Refused, TlsError
from cronlock.lock.protocol import Failure
from cronlock.servers import not_configured
from cronlock.servers.cluster import CLUSTER_SLOTS, MALFORMED, NO_SLOTS, NOT_A_CLUSTER, masters, refuse_repeated
from cronlock.servers.sentinel import find_masters
from cronlock.servers.tls import CERTIFICATE_REQUIRED, GIVE_CERTIFICATE, context_of, tls_error

if TYPE_CHECKING:
    from cronlock.servers.cluster import Master

TIMEOUT = 3.0  # s for one answer: an operator waits
NOT_REDIS = "its replies are not those of Redis"

REMOVED_CODES = {  # redis-py removes these words of servers/error_replies.py from the text of a reply
    redis.exceptions.ClusterDownError: "CLUSTERDOWN ",
    redis.exceptions.MasterDownError: "MASTERDOWN ",
    redis.exceptions.ReadOnlyError: "READONLY ",
}

T = TypeVar("T")


class Insecure(redis.ConnectionError):
    """Raised for a failure of TLS, with the same message as in `run`."""

    def __init__(self, error: TlsError) -> None:
        super().__init__(str(error))
        self.tls_error = error


@dataclass
class Server:
    """A server; in a cluster a master, with its slots and its replicas' labels.

    `master`: where the Sentinels of a service report its master, or the reason why they do not.
    """

    address: Address
    slots: list[range] = field(default_factory=list)
    replicas: list[str] = field(default_factory=list)
    master: tuple[str, int] | Failure | None = None

    def __post_init__(self) -> None:
        self._client: redis.Redis | None = None

    @property
    def client(self) -> redis.Redis:
        """The client, which connects with its first command. Raises redis.ConnectionError without a known master."""
        self._client = self._client or _new_client(self.address, self.master)
        return self._client

    @property
    def label(self) -> str:
        return self.address.label


@dataclass
class Servers:
    """All servers. `failures` has, by label, the error of each named server that did not answer."""

    cluster: bool
    all: Sequence[Server]
    failures: dict[str, Exception]

    def ask(self, question: Callable[[Server], T]) -> dict[str, T | Exception]:
        """Ask all servers at the same time; return the answers, or exceptions, by label."""

        def asked(server: Server) -> T | Exception:
            try:
                return question(server)
            except (redis.RedisError, OSError) as error:
                return _about_tls(error, server.address) or error
            except (TypeError, AttributeError, ValueError, LookupError):
                return redis.InvalidResponse(NOT_REDIS)

        with ThreadPoolExecutor(max(1, len(self.all))) as pool:
            return dict(zip((server.label for server in self.all), pool.map(asked, self.all), strict=True))


def find_servers(settings: Settings, twice: bool = False) -> Servers:
    """Return the servers of these settings: the named ones, or all masters of the cluster that one of them is in.

    Raises Refused when no server is named, and when a server is named twice unless `twice` allows it.
    """
    if not settings.redis:
        raise Refused(not_configured(settings))
    if not twice:
        refuse_repeated(settings.redis)
    named = Servers(False, named_servers(settings.redis), {})
    answers = named.ask(_masters_known_to)
    failures = {label: answer for label, answer in answers.items() if isinstance(answer, Exception)}
    for server in named.all:
        answer = answers[server.label]
        if isinstance(answer, list):
            members = [Server(master.address, master.slots, master.replicas) for master in answer]
            return Servers(True, members, failures)
    return Servers(False, [server for server in named.all if server.label not in failures], failures)


def named_servers(addresses: Sequence[Address]) -> list[Server]:
    """Return the servers at these addresses; the Sentinels of services are asked for their masters."""
    services = [address for address in addresses if address.sentinels]
    found = dict(zip(services, find_masters(services, int(TIMEOUT * 1000)), strict=True)) if services else {}
    return [Server(address, master=found.get(address)) for address in addresses]


def error_text(error: Exception) -> str:
    """Return the text of an error of redis-py, without the address in front and without errno numbers."""
    cause = error.__cause__ or error.__context__
    if isinstance(cause, OSError) and cause.strerror and isinstance(error, redis.ConnectionError):
        return cause.strerror.lower()
    return str(error).rstrip(".")


def reply_text(error: redis.ResponseError) -> str:
    """Return an error reply as the server sent it."""
    return REMOVED_CODES.get(type(error), "") + str(error)


def _about_tls(error: BaseException, address: Address) -> Insecure | None:
    """Return the failure of TLS behind an error of redis-py."""
    while not isinstance(error, ssl.SSLError):
        behind = error.__cause__ or error.__context__
        if behind is None:
            return None
        error = behind
    if not isinstance(error, ssl.SSLEOFError):
        return Insecure(tls_error(error))
    if "ssl_certfile" in (address.tls or {}):
        return None
    return Insecure(TlsError("the server closed the connection", f"if {CERTIFICATE_REQUIRED}, {GIVE_CERTIFICATE}"))


def _new_client(address: Address, master: tuple[str, int] | Failure | None) -> redis.Redis:
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
        options |= _tls_options(address)
    if isinstance(master, Failure):
        raise redis.ConnectionError(master.text)
    return redis.Redis(*(master or (address.host, address.port)), **options)


def _tls_options(address: Address) -> dict[str, Any]:
    try:
        context_of(address.tls or {})
    except TlsError as error:
        raise Refused(f"{address.label}: {error}") from None
    tls: dict[str, Any] = {"ssl": True, **(address.tls or {})}
    verified = tls["ssl_cert_reqs"] == "required"
    return tls | {"ssl_check_hostname": verified and tls["ssl_check_hostname"] == "true"}


def _masters_known_to(server: Server) -> list[Master] | None:
    """Return the masters of the cluster that the server belongs to; None from a server outside a cluster."""
    try:
        reply = server.client.execute_command(*CLUSTER_SLOTS)  # type: ignore[no-untyped-call]
    except redis.ResponseError as error:
        if NOT_A_CLUSTER in str(error):
            return None
        raise
    try:
        found = masters(reply, server.address)
    except MALFORMED as error:
        raise redis.InvalidResponse(NOT_REDIS) from error
    if not found:
        raise redis.ConnectionError(NO_SLOTS)
    return found
