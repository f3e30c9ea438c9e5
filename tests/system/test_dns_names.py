"""Host names with several addresses: of one cluster or one server; several servers behind a name are refused."""

import re
import socket
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from tests.integration.test_sentinel import Sentinels
from tests.support.clusters import Cluster
from tests.support.commands import cronlock
from tests.support.host_names import knowing
from tests.support.operator import PLAIN, TICK, run
from tests.support.ports import free_port
from tests.support.proxies import Proxy
from tests.support.sentinel import SERVICE
from tests.support.servers import Server

pytestmark = pytest.mark.debian

PLACES = ("127.0.0.3", "127.0.0.4")
DEAD = "127.0.0.2"


@pytest.fixture
def behind() -> Iterator[Callable[..., int]]:
    """behind(server, ...): puts each server at its own address; returns the port that all share."""
    proxies: list[Proxy] = []

    def start(*servers: Server) -> int:
        port = free_port()
        proxies.extend(Proxy(server, place, port) for server, place in zip(servers, PLACES, strict=False))
        return port

    yield start
    for proxy in proxies:
        proxy.close()


def test_one_server_may_have_several_addresses(server: Server, behind: Callable[..., int]) -> None:
    """Addresses where no server listens are passed over."""
    port = behind(server, server)
    before = knowing(*(f"{place} redis.example" for place in (DEAD, *PLACES)))
    done = run(("--redis", f"redis://redis.example:{port}"), *PLAIN, "--", "echo", "ran", before=before)
    assert (done.returncode, done.stdout, done.stderr) == (0, "ran\n", "")


def test_a_name_that_leads_to_different_servers_is_refused(servers: list[Server], behind: Callable[..., int]) -> None:
    """Two nodes could hold two locks. check names the servers."""
    port = behind(*servers)
    before = knowing(*(f"{place} redis.example" for place in PLACES))
    place = ("--redis", f"redis://redis.example:{port}")
    done = run(place, *TICK, "--", "echo", "ran", before=before)
    reason = "this name has 2 addresses, of different servers: list each server by its own address"
    assert (done.returncode, done.stderr) == (125, f"cronlock: job: refused: redis.example:{port}: {reason}\n")
    assert done.stdout == ""
    told = cronlock("check", *place, before=before)
    leads = f"leads to different servers: {PLACES[0]}:{port}, {PLACES[1]}:{port}: name each server"
    assert (told.returncode, leads in told.stdout) == (1, True)


def test_addresses_without_a_known_identity_are_refused(servers: list[Server], behind: Callable[..., int]) -> None:
    """Without the right to INFO the identity is unknown."""
    port = behind(servers[0], servers[0])
    servers[0].ask("ACL", "SETUSER", "guest", "on", ">secret", "~*", "&*", "+@all", "-info")
    before = knowing(*(f"{place} redis.example" for place in PLACES))
    done = run(("--redis", f"redis://guest:secret@redis.example:{port}"), *PLAIN, "--", "true", before=before)
    assert done.returncode == 125
    assert re.search(r"this name has 2 addresses, perhaps of different servers: .*NOPERM", done.stderr)


def test_an_address_of_each_family_is_one_server(server: Server, behind: Callable[..., int]) -> None:
    """As with localhost, where servers often listen on one address only; also without the right to INFO."""
    port = behind(server, server)
    server.ask("ACL", "SETUSER", "guest", "on", ">secret", "~*", "&*", "+@all", "-info")
    for other in ("::1", PLACES[1]):
        before = knowing(f"{other} redis.example", f"{PLACES[0]} redis.example")
        done = run(("--redis", f"redis://redis.example:{port}"), *PLAIN, "--", "echo", "ran", before=before)
        assert (done.stdout, done.stderr) == ("ran\n", "")
    before = knowing("::1 redis.example", f"{PLACES[0]} redis.example")
    done = run(("--redis", f"redis://guest:secret@redis.example:{port}"), *PLAIN, "--", "echo", "ran", before=before)
    assert done.stdout == "ran\n"


def test_addresses_of_two_families_may_not_be_two_servers(servers: list[Server], behind: Callable[..., int]) -> None:
    """The choice between the two depends on each node's settings."""
    port = behind(servers[0])
    with Proxy(servers[1], "::1", port):
        before = knowing("::1 redis.example", f"{PLACES[0]} redis.example")
        done = run(("--redis", f"redis://redis.example:{port}"), *TICK, "--", "echo", "ran", before=before)
    assert (done.returncode, "of different servers" in done.stderr) == (125, True)


def test_a_cluster_and_a_server_behind_one_name_are_refused(
    cluster: Cluster, server: Server, behind: Callable[..., int]
) -> None:
    """Two clusters are refused too; the nodes of one cluster are accepted."""
    port = behind(cluster.nodes[0], server)
    before = knowing(*(f"{place} redis.example" for place in PLACES))
    done = run(("--redis", f"redis://redis.example:{port}"), *TICK, "--", "echo", "ran", before=before)
    assert (done.returncode, "of different servers" in done.stderr) == (125, True)
    port = behind(*cluster.nodes[:2])
    done = run(("--redis", f"redis://redis.example:{port}"), *TICK, "--", "echo", "ran", before=before)
    assert (done.stdout, done.stderr) == ("ran\n", "")


def test_a_silent_address_is_passed_over(server: Server, behind: Callable[..., int]) -> None:
    """Within the time of one attempt."""
    port = behind(server)
    with socket.create_server((PLACES[1], port)):
        before = knowing(*(f"{place} redis.example" for place in PLACES))
        done = run(("--redis", f"redis://redis.example:{port}"), *PLAIN, "--", "echo", "ran", before=before)
    assert (done.stdout, done.stderr) == ("ran\n", "")


def test_a_name_for_several_sentinels_counts_as_several(servers: list[Server]) -> None:
    """A Sentinel that does not know of a failover may answer first."""
    old, new = servers[:2]
    for told in ((old, new, new), (new, old, new), (new, new, old)):
        with closing(Sentinels(*told, addresses=(DEAD, *PLACES))) as sentinels:
            before = knowing(*(f"{place} sentinel.example" for place in (DEAD, *PLACES)))
            url = f"redis+sentinel://sentinel.example:{sentinels.port}/{SERVICE}"
            done = run(("--redis", url), "--again", *TICK, "--", "echo", "ran", before=before)
            assert (done.stdout, done.stderr) == ("ran\n", "")
    assert (len(old.redis.keys("*:record:*")), len(new.redis.keys("*:record:*"))) == (0, 1)
