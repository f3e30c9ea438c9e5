"""Each topology on each server version: run, held, done, the lease, and what people type. Prints the table."""

import contextlib
import json
import os
import socket
import ssl
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest

from cronlock.commands.check.findings import GREEN
from tests.support.binaries import VERSIONS, binaries, further_binaries
from tests.support.commands import wait_until
from tests.support.operator import DAY, PLAIN, TICK, operate, run, running
from tests.support.tls import authority, tls_kind
from tests.support.topologies.table import Cell, lines
from tests.support.topologies.topologies import TOPOLOGIES, Site

QUIET = (0, "", "")
BUSY = ("it answers in ", "they differ by ", "its clock is ")  # what check says of a machine that has much to do
TOKEN = ("--", "sh", "-c", "echo $CRONLOCK_RUN_TOKEN")


def binary_of(version: str) -> Path:
    """The binary. A column that this machine does not have is skipped, which .ci/run and CI do not allow."""
    known = binaries() | further_binaries()
    if version not in known:
        missing = pytest.fail if os.environ.get("CI") else pytest.skip
        missing(f"no {version} on this machine; .ci/run installs it")
    return known[version]


class Nodes:
    """What nodes and people do at a site."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self._options: dict[str, Any] = {"before": site.before} if site.before else {}  # without any, people's fork

    def run(self, *words: str) -> tuple[int, str, str]:
        done = run(self.site.place, "--outage-wait", "20s", *words, *TOKEN, **self._options)
        return done.returncode, done.stdout, done.stderr

    def token(self, *words: str) -> int:
        """Of a run that works, and says nothing."""
        status, out, err = self.run(*words)
        assert (status, err) == (0, ""), err
        return int(out)

    def read_json(self, command: str, *words: str) -> Any:
        done = operate(self.site.place, command, *words, "--format", "json", **self._options)
        assert done.stderr == ""
        return json.loads(done.stdout)

    def operate(self, *words: str) -> None:
        done = operate(self.site.place, *words, **self._options)
        assert (done.returncode, done.stderr) == (0, "")

    def running(self, *words: str) -> Any:
        return running(self.site.place, *PLAIN, "--node", "web-1", *words, **self._options)

    def lease_end(self) -> int:
        """In voter time, ms: the latest of all copies, 0 when nobody runs."""
        found = [0]
        for server in self.site.voters:
            if server.running:
                client = server.client(db=self.site.database)
                found += [int(client.hget(name, "lease_end") or 0) for name in client.keys("cronlock:*:record:*")]
        return max(found)


def runs_once(nodes: Nodes) -> int:
    """A tick runs, and then it is done; the token."""
    token = nodes.token(*TICK, "--node", "web-1")
    assert token > 0
    assert nodes.run(*TICK, "--node", "web-2") == QUIET
    assert f"done: the tick of {DAY}T02:00Z ran on web-1" in nodes.run("-v", *TICK, "--node", "web-2")[2]
    return token


def is_held(nodes: Nodes) -> None:
    """While one runs, which the voters know, another goes home."""
    assert nodes.lease_end()
    assert nodes.run(*PLAIN, "--node", "web-2") == QUIET
    assert "held by web-1 since " in nodes.run("-v", *PLAIN, "--node", "web-2")[2]


def is_seen(nodes: Nodes) -> None:
    """While it runs."""
    [key] = nodes.read_json("status", "job")["keys"]
    assert (key["state"], key["node"]) == ("running", "web-1")
    found = [finding for finding in nodes.read_json("check")["findings"] if finding["section"] == "voters"]
    bad = [finding["text"] for finding in found if finding["level"] != GREEN]
    assert [text for text in bad if not text.startswith(BUSY)] == [*nodes.site.found]


def is_paused(nodes: Nodes, token: int) -> None:
    """And goes on when resumed, with a higher token; history has all runs."""
    nodes.operate("pause", "job", "--reason", "moving")
    assert nodes.run(*PLAIN) == QUIET
    nodes.operate("resume", "job")
    assert nodes.token(*PLAIN) > token
    [key] = nodes.read_json("history", "job")["keys"]
    assert [entry["outcome"] for entry in key["runs"]] == ["ran", "given back", "ran"]


def goes_on(nodes: Nodes, process: "Popen[str]") -> None:
    """The lease is extended when a third of it has gone."""
    before = nodes.lease_end()
    wait_until(lambda: nodes.lease_end() > before or process.poll() is not None, message="the lease to be extended")
    assert process.poll() is None, process.communicate()
    is_held(nodes)


@pytest.mark.debian
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_a_topology_works_on_a_version(
    topology: str, version: str, record_property: Callable[[str, object], None]
) -> None:
    """Whatever Redis is made of, a run, a second node and people find the same."""
    record_property("cell", Cell(topology, version).to_json())
    binary = binary_of(version)
    with ExitStack() as stack:
        site = TOPOLOGIES[topology](stack, binary)
        if isinstance(site, str):
            record_property("cell", Cell(topology, version, instead=site).to_json())
            return
        record_property("cell", Cell(topology, version, site.how).to_json())
        nodes = Nodes(site)
        token = runs_once(nodes)
        with nodes.running(*site.lease) as process:
            if site.service:
                site.service.failover()
            is_held(nodes)
            is_seen(nodes)
            if site.lease:
                goes_on(nodes, process)
        is_paused(nodes, token)


def pinged(port: int, *, certified: bool) -> bytes:
    """What a server says to a client that believes it, and may show a certificate."""
    context = ssl.create_default_context(cafile=authority().root)
    if certified:
        context.load_cert_chain(authority().client, authority().client_key)
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        try:
            with context.wrap_socket(connection, server_hostname="127.0.0.1") as secure:
                secure.sendall(b"PING\r\n")
                return secure.recv(100)
        except (ssl.SSLError, ConnectionError) as error:
            return str(error).encode()


@pytest.mark.debian
@pytest.mark.parametrize("version", VERSIONS)
def test_a_server_with_tls_demands_a_certificate(version: str) -> None:
    """Or the cells above would pass for nothing."""
    binary = binary_of(version)
    with tls_kind(binary)(binary) as server:
        assert pinged(server.port, certified=True) == b"+PONG\r\n"
        assert b"PONG" not in pinged(server.port, certified=False)
        with socket.create_connection(("127.0.0.1", server.port), 10) as plain:
            plain.sendall(b"PING\r\n")
            with contextlib.suppress(ConnectionResetError):
                assert b"PONG" not in plain.recv(100)


def test_the_table_has_all_topologies_and_versions() -> None:
    """What failed and what was not played can be seen."""
    played = [
        (Cell("one server", "redis-6.2").to_json(), "failed"),
        (Cell("one server", "redis-7.0", "by a proxy").to_json(), "passed"),
        (Cell("three servers", "redis-7.0", instead="- none").to_json(), "passed"),
    ]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines(played)]
    assert rows[0] == ["", *(version.replace("-", " ") for version in VERSIONS)]
    assert rows[2] == ["one server", "FAIL", "pass, by a proxy", "-", "-", "-"]
    assert rows[3] == ["three servers", "-", "- none", "-", "-", "-"]
    assert [row[0] for row in rows[2:]] == [*TOPOLOGIES]
