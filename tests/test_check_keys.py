"""cronlock check on the keys that the voters know: whether their nodes agree."""

import json

from cronlock.people.findings import GREEN, RED, YELLOW
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


def test_keys_are_not_judged_while_a_voter_is_missing(servers: list[Server]) -> None:
    """What it knows may be what makes the difference."""
    servers[0].kill()
    [finding] = keys(at(*servers))
    assert finding["level"] == YELLOW
    assert "while a voter is missing" in finding["text"]
