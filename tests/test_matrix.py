"""Each topology on each server version: run, held, done, the lease, and what people type. Prints the table."""

import json
import os
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest

from cronlock.people.findings import GREEN
from tests.binaries import VERSIONS, binaries, further_binaries
from tests.commands import wait_until
from tests.matrix.table import Cell
from tests.matrix.topologies import TOPOLOGIES, Site
from tests.persons import DAY, PLAIN, TICK, person, run, running

pytestmark = pytest.mark.debian

QUIET = (0, "", "")
TOKEN = ("--", "sh", "-c", "echo $CRONLOCK_RUN_TOKEN")


class Crew:
    """What nodes and people do at a site."""

    def __init__(self, site: Site) -> None:
        self.site = site

    def run(self, *words: str) -> tuple[int, str, str]:
        done = run(self.site.place, *words, *TOKEN, before=self.site.before)
        return done.returncode, done.stdout, done.stderr

    def token(self, *words: str) -> int:
        """Of a run that works, and says nothing."""
        status, out, err = self.run(*words)
        assert (status, err) == (0, ""), err
        return int(out)

    def told(self, command: str, *words: str) -> Any:
        done = person(self.site.place, command, *words, "--format", "json", before=self.site.before)
        assert done.stderr == ""
        return json.loads(done.stdout)

    def person(self, *words: str) -> None:
        done = person(self.site.place, *words, before=self.site.before)
        assert (done.returncode, done.stderr) == (0, "")

    def running(self, *words: str) -> Any:
        return running(self.site.place, *PLAIN, "--node", "web-1", *words, before=self.site.before)

    def lease_end(self) -> int:
        """In voter time, ms: the latest of all copies."""
        found = [0]
        for server in self.site.voters:
            if server.running:
                client = server.client(db=3) if self.site.place[-1].endswith("/3") else server.redis
                found += [int(client.hget(name, "lease_end") or 0) for name in client.keys("cronlock:*:record:*")]
        return max(found)


def runs_once(crew: Crew) -> int:
    """A tick runs, and then it is done; the token."""
    token = crew.token(*TICK, "--node", "web-1")
    assert token > 0
    assert crew.run(*TICK, "--node", "web-2") == QUIET
    assert f"done: the tick of {DAY}T02:00Z ran on web-1" in crew.run("-v", *TICK, "--node", "web-2")[2]
    return token


def is_held(crew: Crew) -> None:
    """While one runs, another goes home."""
    assert crew.run(*PLAIN, "--node", "web-2") == QUIET
    assert "held by web-1 since " in crew.run("-v", *PLAIN, "--node", "web-2")[2]


def is_seen(crew: Crew) -> None:
    """While it runs."""
    [key] = crew.told("status", "job")["keys"]
    assert (key["state"], key["node"]) == ("running", "web-1")
    found = [finding for finding in crew.told("check")["findings"] if finding["section"] == "voters"]
    assert [finding["text"] for finding in found if finding["level"] != GREEN] == []


def is_paused(crew: Crew, token: int) -> None:
    """And goes on when resumed, with a higher token; history has all runs."""
    crew.person("pause", "job", "--reason", "moving")
    assert crew.run(*PLAIN) == QUIET
    crew.person("resume", "job")
    assert crew.token(*PLAIN) > token
    [key] = crew.told("history", "job")["keys"]
    assert [entry["outcome"] for entry in key["runs"]] == ["ran", "given back", "ran"]


def extends(crew: Crew) -> None:
    """When a third of the lease has gone."""
    before = crew.lease_end()
    assert before
    wait_until(lambda: crew.lease_end() > before, message="the lease to be extended")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_a_topology_works_on_a_version(
    topology: str, version: str, record_property: Callable[[str, object], None]
) -> None:
    """Whatever Redis is made of, a run, a second node and people find the same."""
    record_property("cell", Cell(topology, version).to_json())
    if not (binary := (binaries() | further_binaries()).get(version)):
        missing = pytest.fail if os.environ.get("CI") else pytest.skip
        missing(f"no {version} on this machine; .ci/run installs it")
    with ExitStack() as stack:
        site = TOPOLOGIES[topology](stack, binary)
        record_property("cell", Cell(topology, version, site.how).to_json())
        crew = Crew(site)
        token = runs_once(crew)
        short = site.service or topology == "three servers"
        with crew.running(*(("--ttl", "7s") if short else ())) as process:
            is_held(crew)
            is_seen(crew)
            if site.service:
                site.service.failover()
            if short:
                extends(crew)
                is_held(crew)
            assert process.poll() is None
        is_paused(crew, token)
