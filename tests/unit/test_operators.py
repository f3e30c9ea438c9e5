"""What people type, through redis-py and cronlock's own connections, on three servers of fakeredis."""

import json
from collections.abc import Callable
from subprocess import CompletedProcess

import pytest

from tests.support.commands import cronlock
from tests.support.fake_servers import FakeServer
from tests.support.operator import NEXT, PLAIN, TICK, running
from tests.support.processes import kill_all

Typed = Callable[..., "CompletedProcess[str]"]


@pytest.fixture
def typed(fakes: list[FakeServer]) -> Typed:
    """typed("status", ...): the command, told where the servers are."""
    where = [word for server in fakes for word in ("--redis", server.url)]
    return lambda command, *words: cronlock(command, *where, *words)


@pytest.fixture
def run(typed: Typed) -> Typed:
    """run(...): of the key `job`, which asks once."""
    return lambda *words: typed("run", "--key", "job", "--outage-wait", "0", *words)


def keys(typed: Typed) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(typed("status", "--format", "json").stdout)["keys"]
    return found


def test_a_tick_runs_once_and_status_and_history_show_it(typed: Typed, run: Typed) -> None:
    assert run(*TICK, "--node", "web-1", "--", "echo", "ran").stdout == "ran\n"
    assert run(*TICK, "--node", "web-2", "--", "echo", "again").stdout == ""
    assert run(*NEXT, "--node", "web-2", "--", "false").returncode == 1
    [key] = keys(typed)
    assert (key["key"], key["node"], key["outcome"], key["exit_status"]) == ("job", "web-2", "ran", 1)
    assert (key["voters"], key["voters_answered"]) == (3, 3)
    [told] = json.loads(typed("history", "job", "--format", "json").stdout)["keys"]
    assert sorted(each["node"] for each in told["runs"]) == ["web-1", "web-2"]
    tokens = [each["token"] for each in told["runs"]]
    assert len(set(tokens)) == 2


def test_all_keys_are_found(typed: Typed) -> None:
    """Those of --each, too."""
    for key, *mode in (("backup",), ("tidy", "--each", "--node", "web-1"), ("tidy", "--each", "--node", "web-2")):
        assert typed("run", "--key", key, *mode, *PLAIN, "--", "true").returncode == 0
    found = [(key["key"], key["mode"], key["node"]) for key in keys(typed)]
    assert found[0][:2] == ("backup", "once")
    assert found[1:] == [("tidy", "each", "web-1"), ("tidy", "each", "web-2")]
    lines = typed("status", "--format", "prometheus").stdout.splitlines()
    assert len({line.partition("{")[2].partition(",")[0] for line in lines if line[0] != "#"} & {'key="backup"'}) == 1


def test_a_pause_holds_until_it_is_taken_back(typed: Typed, run: Typed) -> None:
    assert typed("pause", "--reason", "migration", "job").returncode == 0
    assert run(*PLAIN, "--", "echo", "ran").stdout == ""
    [key] = keys(typed)
    assert (key["paused"], key["pause_reason"]) == (True, "migration")
    assert typed("resume", "--all").returncode == 0
    assert run(*PLAIN, "--", "echo", "ran").stdout == "ran\n"


def test_a_dead_nodes_lease_is_ended_by_unlock(typed: Typed, run: Typed, fakes: list[FakeServer]) -> None:
    """As long as the lease runs the key can be neither taken nor forgotten."""
    with running(tuple(word for server in fakes for word in ("--redis", server.url)), *PLAIN) as process:
        kill_all(process)
        assert run(*PLAIN, "--", "echo", "ran").stdout == ""
        assert typed("forget", "--yes", "job").returncode != 0
        assert typed("unlock", "--yes", "job").returncode == 0
    assert run(*PLAIN, "--", "echo", "ran").stdout == "ran\n"
    assert typed("unlock", "--yes", "job").stdout == "job: not held\n"


def test_what_is_forgotten_begins_anew(typed: Typed, run: Typed) -> None:
    """A tick that ran may run again, with a higher token."""
    assert run(*TICK, "--", "true").returncode == 0
    [before] = keys(typed)
    assert typed("forget", "--yes", "job").returncode == 0
    assert run(*TICK, "--", "echo", "again").stdout == "again\n"
    [after] = keys(typed)
    assert int(str(after["token"])) > int(str(before["token"]))


def test_a_server_that_is_gone_is_named_and_a_quorum_is_enough(
    typed: Typed, run: Typed, fakes: list[FakeServer]
) -> None:
    assert run(*PLAIN, "--", "true").returncode == 0
    fakes[0].close()
    assert run(*PLAIN, "--", "echo", "ran").stdout == "ran\n"
    done = typed("status")
    assert fakes[0].url.removeprefix("redis://") in done.stderr
    [key] = keys(typed)
    assert key["voters_answered"] == 2
