"""cronlock check on the keys that the voters know: whether their nodes agree."""

import json

from cronlock.people.findings import GREEN, RED, YELLOW
from cronlock.people.placement import of_servers
from tests.commands import cronlock
from tests.persons import TICK, Place, at, run
from tests.servers import Server


def keys(place: Place) -> list[dict[str, str]]:
    found = json.loads(cronlock("check", *place, "--format", "json").stdout)["findings"]
    return [finding for finding in found if finding["section"] == "keys"]


def test_nodes_that_differ_in_command_or_schedule_are_red(servers: list[Server]) -> None:
    """check names both, as status does; a run that never ended is yellow, since it may be over."""
    place = at(*servers)
    assert [finding["text"] for finding in keys(place)] == ["none is known yet"]
    run(place, *TICK, "--node", "web-1", "--", "true")
    [fine] = keys(place)
    assert (fine["level"], fine["text"]) == (GREEN, "1 known: their nodes agree on schedules and commands")
    run(place, *TICK, "--node", "web-2", "--", "false")
    [finding] = keys(place)
    assert (finding["level"], finding["about"]) == (RED, "job")
    assert finding["text"] == "commands differ: false on web-2; true on web-1"
    for server in servers:
        server.redis.hset(server.redis.keys("*:record:job")[0], "outcome", "")
    assert [finding["level"] for finding in keys(place)] == [RED, YELLOW]


def test_a_paused_key_is_told(server: Server) -> None:
    """Nothing runs, and nobody may remember why."""
    place = at(server)
    run(place, *TICK, "--", "true")
    cronlock("pause", *place, "--node", "admin", "--reason", "new disks", "job")
    found = [finding for finding in keys(place) if finding["level"] == YELLOW]
    assert [finding["text"] for finding in found] == ["paused by admin, until resumed: new disks"]
    assert found[0]["todo"] == "cronlock resume job"


def test_keys_are_not_judged_while_a_voter_is_missing(servers: list[Server]) -> None:
    """What it knows may be what makes the difference."""
    servers[0].kill()
    [finding] = keys(at(*servers))
    assert finding["level"] == YELLOW
    assert "while a voter is missing" in finding["text"]


def test_what_may_be_lost_is_less_while_servers_are_missing() -> None:
    assert [(found.level, found.text) for count in (1, 2, 3) for found in of_servers(5, count)] == [
        (YELLOW, "1 of 5 servers are missing: 1 more may be lost"),
        (YELLOW, "2 of 5 servers are missing: the loss of another one stops every run"),
        (RED, "3 of 5 servers are missing: no quorum is left, no run starts"),
    ]
