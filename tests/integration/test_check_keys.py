"""cronlock check on the keys that the voters know: whether their nodes agree."""

import json
from collections.abc import Callable

from cronlock.commands.check.findings import GREEN, RED, YELLOW
from cronlock.commands.check.placement import find_server_placement
from tests.support.clusters import Cluster
from tests.support.commands import cronlock
from tests.support.operator import NEXT, TICK, Place, at, run
from tests.support.servers import Server


def keys(place: Place) -> list[dict[str, str]]:
    found = json.loads(cronlock("check", *place, "--format", "json").stdout)["findings"]
    return [finding for finding in found if finding["section"] == "keys"]


def test_nodes_that_differ_in_command_or_schedule_are_red(servers: list[Server]) -> None:
    """check names both, as status does; a run that never ended is yellow, since it may be over."""
    place = at(*servers)
    assert [finding["text"] for finding in keys(place)] == ["no key yet"]
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


def test_a_paused_key_is_reported(server: Server) -> None:
    """Nothing runs, and the operators may have forgotten the pause."""
    place = at(server)
    run(place, *TICK, "--", "true")
    cronlock("pause", *place, "--node", "admin", "--reason", "new disks", "job")
    found = [finding for finding in keys(place) if finding["level"] == YELLOW]
    assert [finding["text"] for finding in found] == ["paused by admin, until resumed: new disks"]
    assert found[0]["todo"] == f"cronlock resume --redis {server.url} job"


def test_keys_are_not_judged_while_a_voter_is_missing(servers: list[Server]) -> None:
    """The missing voter may have the record that matters."""
    servers[0].kill()
    [finding] = keys(at(*servers))
    assert finding["level"] == YELLOW
    assert "while a voter is missing" in finding["text"]


def test_what_may_be_lost_is_less_while_servers_are_missing() -> None:
    assert [(found.level, found.text) for count in (1, 2, 3) for found in find_server_placement(5, count)] == [
        (YELLOW, "1 of 5 servers is missing: 1 more may be lost, and no key can have its first run"),
        (
            YELLOW,
            "2 of 5 servers are missing: the loss of one more stops every run, and no key can have its first run",
        ),
        (RED, "3 of 5 servers are missing: no quorum is left, so no run starts"),
    ]


def test_a_voter_that_does_not_count_for_a_key_is_reported_with_the_cost_of_the_next_loss(
    fresh_servers: Callable[..., list[Server]],
) -> None:
    """Restarted or empty: no further voter may be lost until the keys' next runs, so nothing is green about it."""
    servers = fresh_servers(3, appendonly="yes")
    for key in ("job", "other"):
        run(at(*servers), *TICK, *SLOWLY, key=key)
    assert keys_at_risk(at(*servers)) == []
    labels = [server.url.removeprefix("redis://") for server in servers]
    servers[1].restart()
    run(at(*servers), *NEXT, *SLOWLY, key="other")
    assert keys_at_risk(at(*servers)) == [
        (labels[1], "it does not count for 1 key: it was restarted or promoted, or has no record of them"),
        ("servers", "one does not count for every key: the loss of another one stops job"),
    ]
    servers[1].redis.flushall()
    assert keys_at_risk(at(*servers)) == [
        (labels[1], "it does not count for 2 keys: it was restarted or promoted, or has no record of them"),
        ("servers", "one does not count for every key: the loss of another one stops job, other"),
    ]
    cronlock("adopt", *at(*servers), "--yes", "--all")
    assert keys_at_risk(at(*servers)) == []


def test_an_empty_master_of_a_cluster_is_reported_with_the_cost_of_the_next_loss(cluster: Cluster) -> None:
    """Its copies do not count; those of another master are then a quorum's."""
    place = ("--redis", cluster.urls[0])
    run(place, *TICK, *SLOWLY)
    assert keys_at_risk(place) == []
    empty, *others = cluster.masters()
    empty.redis.flushall()
    found = keys_at_risk(place)
    assert found[0] == (
        empty.url.removeprefix("redis://"),
        "it does not count for 1 key: it was restarted or promoted, or has no record of them",
    )
    assert {label for label, _ in found[1:]} >= {other.url.removeprefix("redis://") for other in others}
    assert all(text.endswith("its loss stops job as long as copies elsewhere do not count") for _, text in found[1:])


SLOWLY = ("--", "sleep", "0.5")  # a run ends with a quorum: on a busy machine the last voter hears of it later


def keys_at_risk(place: Place) -> list[tuple[str, str]]:
    """Return the yellow findings about voters and placement, except those about persistence."""
    found = json.loads(cronlock("check", *place, "--format", "json").stdout)["findings"]
    about = [finding for finding in found if finding["section"] in ("voters", "placement")]
    wrong = [(finding["about"], finding["text"]) for finding in about if finding["level"] != GREEN]
    return [(label, text) for label, text in wrong if not text.startswith("no append-only file")]
