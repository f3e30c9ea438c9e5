"""The topologies of Redis, each made of real servers of one version."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cronlock.messages import VISIBLE_IN_PS
from tests.integration.test_check import PEOPLE
from tests.integration.test_docs import rights
from tests.support.binaries import speaks_tls
from tests.support.clusters import Cluster
from tests.support.commands import wait_until
from tests.support.host_names import knowing
from tests.support.operator import Place, at
from tests.support.ports import free_port
from tests.support.proxies import Proxy
from tests.support.sentinel import Service
from tests.support.servers import Place as Where
from tests.support.servers import Server, start_servers
from tests.support.tls import tls_kind

KEPT = {"appendonly": "yes", "appendfsync": "always"}  # as check requires it
NAMES = ("redis-1.example", "redis-2.example", "redis-3.example")
HEADLESS = "redis.example"
DEAD, LIVING, SILENT = "127.0.0.2", ("127.0.0.3", "127.0.0.4"), "127.0.0.5"


@dataclass(frozen=True)
class Site:
    """The options that name the voters, and the peculiarities of the topology.

    `how` is shown in the table after a pass and names a difference to the other columns. `lease`: options of a lease so
    short that a test can see its extension.
    """

    place: Place
    voters: Sequence[Server] = ()
    before: tuple[str, ...] = ()  # words before cronlock
    how: str = ""
    lease: tuple[str, ...] = ()
    database: int = 0
    service: Service | None = None
    found: tuple[str, ...] = ()  # what check warns about


Maker = Callable[[ExitStack, Path], Site | str]  # or the reason why this version can't have it


def _site(servers: Sequence[Server], **kw: Any) -> Site:
    return Site(at(*servers), servers, **kw)


def _servers(stack: ExitStack, binary: Path, count: int = 1, **options: Any) -> list[Server]:
    return [stack.enter_context(server) for server in start_servers(count, binary, **KEPT | options)]


def _cluster(stack: ExitStack, binary: Path, **options: Any) -> Cluster:
    """Start a cluster without replicas, which is ready sooner; check warns about that unless a master may be lost."""
    return stack.enter_context(Cluster(binary, replicas=0, cluster_require_full_coverage="no", **KEPT | options))


def _on(cluster: Cluster, url: str = "", **kw: Any) -> Site:
    return Site(("--redis", url or cluster.nodes[0].url), cluster.nodes, **kw)


def _shielded(binary: Path) -> str:
    return "" if speaks_tls(binary) else "TLS by a proxy"


def one_server(stack: ExitStack, binary: Path) -> Site:
    return _site(_servers(stack, binary))


def three_servers(stack: ExitStack, binary: Path) -> Site:
    return _site(_servers(stack, binary, 3), lease=("--ttl", "7s"))


def cluster(stack: ExitStack, binary: Path) -> Site:
    return _on(_cluster(stack, binary))


def tls(stack: ExitStack, binary: Path) -> Site:
    return _site(_servers(stack, binary, kind=tls_kind(binary)), how=_shielded(binary))


def tls_cluster(stack: ExitStack, binary: Path) -> Site:
    return _on(_cluster(stack, binary, kind=tls_kind(binary)), how=_shielded(binary))


def least_rights(stack: ExitStack, binary: Path) -> Site:
    """Use exactly the rights of README, with the two that it names for operators."""
    [server] = _servers(stack, binary)
    server.ask("ACL", "SETUSER", "cronlock", "on", ">secret", *rights(), *PEOPLE)
    server.ask("ACL", "SETUSER", "default", "resetpass", ">another")
    server.options["requirepass"] = "another"
    server.redis = server.client()
    place = ("--redis", server.url.replace("://", "://cronlock:secret@"))
    return Site(place, [server], found=(VISIBLE_IN_PS,))


def unix_socket(stack: ExitStack, binary: Path) -> Site:
    servers = _servers(stack, binary)
    return Site(("--redis", servers[0].unix_url), servers)


def database(stack: ExitStack, binary: Path) -> Site:
    servers = _servers(stack, binary)
    return Site(("--redis", f"{servers[0].url}/3"), servers, database=3)


def ipv6(stack: ExitStack, binary: Path) -> Site:
    return _on(_cluster(stack, binary, places=[Where("::1")] * 3))


def host_names(stack: ExitStack, binary: Path) -> Site:
    """Use nodes that report names to clients instead of addresses, which Redis can do since 7.0."""
    addresses = [f"127.0.0.{number}" for number in (1, 2, 3)]
    places = [Where(address) for address in addresses]
    before = knowing(*(f"{address} {name}" for address, name in zip(addresses, NAMES, strict=True)))
    if b"cluster-preferred-endpoint-type" not in binary.read_bytes():
        plain = _cluster(stack, binary, places=places)
        return _on(plain, f"redis://{NAMES[0]}:{plain.nodes[0].port}", before=before, how="a seed by name")
    named = _cluster(stack, binary, places=places, cluster_preferred_endpoint_type="hostname")
    for node, name in zip(named.nodes, NAMES, strict=True):
        node.ask("CONFIG", "SET", "cluster-announce-hostname", name)

    def reports_names(node: Server) -> bool:
        return {
            slots[2][0].decode() for slots in node.client(decode_responses=False).execute_command("CLUSTER SLOTS")
        } == {*NAMES}

    for node in named.nodes:
        wait_until(lambda node=node: reports_names(node), message="the names of all nodes")
    return _on(named, f"redis://{NAMES[0]}:{named.nodes[0].port}", before=before)


def headless(stack: ExitStack, binary: Path) -> Site:
    """Use one name for all nodes at the same port; one address is dead, and one accepts connections but is silent."""
    nodes, port = _cluster(stack, binary), free_port()
    for address, node in zip((*LIVING, SILENT), nodes.nodes, strict=True):
        proxy = stack.enter_context(Proxy(node, address, port))
    proxy.drop_requests()
    before = knowing(*(f"{address} {HEADLESS}" for address in (DEAD, SILENT, *LIVING)))
    return _on(nodes, f"redis://{HEADLESS}:{port}", before=before)


def _service(stack: ExitStack, binary: Path, **options: Any) -> Site:
    """Start a service of which one of two sentinels is down; a run survives 9.9 s without extension, for a failover."""
    service = stack.enter_context(Service(binary, **KEPT | options))
    lease, found = ("--ttl", "12s", "--kill-after", "1s"), ("connection refused",)
    return Site(("--redis", service.urls[0]), service.servers, lease=lease, service=service, found=found)


def sentinel(stack: ExitStack, binary: Path) -> Site:
    return _service(stack, binary)


def tls_sentinel(stack: ExitStack, binary: Path) -> Site | str:
    """Use no proxy, since sentinels report the server behind it."""
    return _service(stack, binary, tls=True) if speaks_tls(binary) else "- built without TLS"


TOPOLOGIES: dict[str, Maker] = {
    "one server": one_server,
    "three servers": three_servers,
    "a cluster of three masters": cluster,
    "TLS: private authority, client certificate": tls,
    "TLS: the same, a cluster": tls_cluster,
    "a user with README's rights": least_rights,
    "a unix socket": unix_socket,
    "database 3": database,
    "IPv6, a cluster on ::1": ipv6,
    "a cluster behind host names": host_names,
    "a name with four addresses, two useless": headless,
    "Sentinel: the master dies during a run": sentinel,
    "Sentinel: the same over TLS": tls_sentinel,
}
