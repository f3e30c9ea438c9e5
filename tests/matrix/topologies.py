"""The topologies in which Redis can be had, each made of real servers of one version."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.binaries import speaks_tls
from tests.commands import home, wait_until
from tests.persons import Place, at
from tests.sentinel import Service
from tests.servers import Cluster, Proxy, Server, free_port, start_servers
from tests.servers import Place as Where
from tests.test_check import PEOPLE
from tests.test_docs import rights
from tests.tls import tls_kind

KEPT = {"appendonly": "yes"}  # as check wants it
NAMES = ("redis-1.example", "redis-2.example", "redis-3.example")
HEADLESS = "redis.example"
DEAD, LIVING = ("127.0.0.2", "127.0.0.5"), ("127.0.0.3", "127.0.0.4")

# cronlock's own view of the machine, in which /etc/hosts has names that only these tests know.
HOUSE = 'mount --bind "$0" /etc/hosts; exec "$@"'


@dataclass(frozen=True)
class Site:
    """Where the voters are. `how` stands in the table behind a pass: what is not as in the other columns."""

    place: Place
    voters: Sequence[Server] = ()
    before: tuple[str, ...] = ()  # words in front of cronlock
    how: str = ""
    service: Service | None = None


Maker = Callable[[ExitStack, Path], Site]


def _site(servers: Sequence[Server], **kw: Any) -> Site:
    return Site(at(*servers), servers, **kw)


def _servers(stack: ExitStack, binary: Path, count: int = 1, **options: Any) -> list[Server]:
    return [stack.enter_context(server) for server in start_servers(count, binary, **KEPT | options)]


def _cluster(stack: ExitStack, binary: Path, **options: Any) -> Cluster:
    """Without replicas, to be soon there; check is yellow about that unless a master may go alone."""
    return stack.enter_context(Cluster(binary, replicas=0, cluster_require_full_coverage="no", **KEPT | options))


def _on(cluster: Cluster, url: str = "", **kw: Any) -> Site:
    return Site(("--redis", url or cluster.nodes[0].url), cluster.nodes, **kw)


def _shielded(binary: Path) -> str:
    return "" if speaks_tls(binary) else "TLS by a proxy"


def _hosts(*lines: str) -> tuple[str, ...]:
    """The words in front of a cronlock that knows these names."""
    file = home() / "hosts"
    file.write_text("\n".join(("127.0.0.1 localhost", *lines, "")))
    return "unshare", "--mount", "sh", "-ec", HOUSE, str(file)


def one_server(stack: ExitStack, binary: Path) -> Site:
    return _site(_servers(stack, binary))


def three_servers(stack: ExitStack, binary: Path) -> Site:
    return _site(_servers(stack, binary, 3))


def cluster(stack: ExitStack, binary: Path) -> Site:
    return _on(_cluster(stack, binary))


def tls(stack: ExitStack, binary: Path) -> Site:
    return _site(_servers(stack, binary, kind=tls_kind(binary)), how=_shielded(binary))


def tls_cluster(stack: ExitStack, binary: Path) -> Site:
    return _on(_cluster(stack, binary, kind=tls_kind(binary)), how=_shielded(binary))


def least_rights(stack: ExitStack, binary: Path) -> Site:
    """The very rule of README, and the two rights that it names for what people type."""
    [server] = _servers(stack, binary)
    server.ask("ACL", "SETUSER", "cronlock", "on", ">secret", *rights(), *PEOPLE)
    server.ask("ACL", "SETUSER", "default", "resetpass", ">another")
    server.options["requirepass"] = "another"
    server.redis = server.client()
    return Site(("--redis", server.url.replace("://", "://cronlock:secret@")), [server])


def unix_socket(stack: ExitStack, binary: Path) -> Site:
    servers = _servers(stack, binary)
    return Site(("--redis", servers[0].unix_url), servers)


def database(stack: ExitStack, binary: Path) -> Site:
    servers = _servers(stack, binary)
    return Site(("--redis", f"{servers[0].url}/3"), servers)


def ipv6(stack: ExitStack, binary: Path) -> Site:
    return _on(_cluster(stack, binary, places=[Where("::1")] * 3))


def host_names(stack: ExitStack, binary: Path) -> Site:
    """Nodes that tell clients a name each, and no address; before 7.0 there is no such thing."""
    before = _hosts(*(f"127.0.0.1 {name}" for name in NAMES))
    if b"cluster-preferred-endpoint-type" not in binary.read_bytes():
        plain = _cluster(stack, binary)
        return _on(plain, f"redis://{NAMES[0]}:{plain.nodes[0].port}", before=before, how="a seed by name")
    named = _cluster(stack, binary, cluster_preferred_endpoint_type="hostname")
    for node, name in zip(named.nodes, NAMES, strict=True):
        node.ask("CONFIG", "SET", "cluster-announce-hostname", name)

    def told(node: Server) -> bool:
        return {
            slots[2][0].decode() for slots in node.client(decode_responses=False).execute_command("CLUSTER SLOTS")
        } == {*NAMES}

    for node in named.nodes:
        wait_until(lambda node=node: told(node), message="the names of all nodes")
    return _on(named, f"redis://{NAMES[0]}:{named.nodes[0].port}", before=before)


def headless(stack: ExitStack, binary: Path) -> Site:
    """One name for all nodes, some of which are gone; every node behind it is asked at the same port."""
    nodes, port = _cluster(stack, binary), free_port()
    for address, node in zip(LIVING, nodes.nodes, strict=False):
        stack.enter_context(Proxy(node, address, port))
    before = _hosts(*(f"{address} {HEADLESS}" for address in sorted((*DEAD, *LIVING))))
    return _on(nodes, f"redis://{HEADLESS}:{port}", before=before)


def sentinel(stack: ExitStack, binary: Path) -> Site:
    service = stack.enter_context(Service(binary, **KEPT))
    return Site(("--redis", service.urls[0]), service.servers, service=service)


TOPOLOGIES: dict[str, Maker] = {
    "one server": one_server,
    "three servers": three_servers,
    "a cluster of three masters": cluster,
    "TLS, private authority, client certificate": tls,
    "the same, a cluster": tls_cluster,
    "a user with README's rights": least_rights,
    "a unix socket": unix_socket,
    "database 3": database,
    "IPv6, a cluster on ::1": ipv6,
    "a cluster behind host names": host_names,
    "a name with four addresses, two dead": headless,
    "Sentinel, a master dies during a run": sentinel,
}
