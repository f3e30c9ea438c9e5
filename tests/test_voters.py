"""Changing the voters of a key node by node: whoever has the old list and whoever has the new one never both run."""

from collections.abc import Callable

from tests.commands import cronlock, home, start_cronlock, wait_until
from tests.persons import at
from tests.servers import Server

TICK, NEXT = ("--tick", "2026-11-20T02:00Z"), ("--tick", "2026-11-20T03:00Z")
Servers = Callable[..., list[Server]]


def run(servers, *words, **kw):
    return cronlock("run", *at(*servers), "--key", "job", "--outage-wait", "0", *words, **kw)


def adopt(servers, *words):
    return cronlock("adopt", *at(*servers), "--yes", *words, "job")


def test_a_key_without_ticks_does_not_start_on_new_voters_beside_a_run_on_the_old_one(fresh_servers: Servers) -> None:
    """Two that know nothing of the key are no quorum as long as the one that may know it does not answer."""
    servers = fresh_servers(3)
    words = ("--key", "job", "--schedule", "none")
    start_cronlock("run", *at(servers[0]), *words, "--", "sh", "-c", "touch ready; sleep 60")
    wait_until((home() / "ready").exists, message="the command")
    servers[0].stop_process()
    done = run(servers, "--schedule", "none", "--", "echo", "beside")
    assert (done.returncode, done.stdout) == (122, "")


def test_nothing_is_adopted_while_the_only_voter_of_before_is_away(fresh_servers: Servers) -> None:
    """What it knows would be lost, and the nodes that ask it alone would go on."""
    servers = fresh_servers(3)
    run(servers[:1], *TICK, "--", "true")
    servers[0].stop_process()
    done = adopt(servers)
    assert done.returncode == 122
    servers[0].continue_process()
    assert adopt(servers).returncode == 0


def test_nothing_is_adopted_that_the_old_voters_could_go_on_without(fresh_servers: Servers) -> None:
    """Three of five are a quorum, but the two that are away are one for who has the old list."""
    servers = fresh_servers(5)
    run(servers[:3], *TICK, "--", "true")
    for server in servers[:2]:
        server.stop_process()
    done = adopt(servers)
    assert done.returncode == 122
    for server in servers[:2]:
        server.continue_process()
    assert run(servers[:3], *NEXT, "--", "echo", "old").stdout == "old\n"
