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
    return lambda command, *words, **kw: cronlock(command, *where, *words, **kw)


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


# Rows of status, typed back


@pytest.fixture
def tidy(typed: Typed) -> Typed:
    """A key of --each, which ran on two nodes; its rows are `tidy on web-1` and `tidy on web-2`."""
    for node in ("web-1", "web-2"):
        assert typed("run", "--key", "tidy", "--each", "--node", node, *TICK, "--", "true").returncode == 0
    return typed


def rows(typed: Typed) -> list[str]:
    return [line.partition("  ")[0] for line in typed("status").stdout.splitlines()[1:] if " on " in line]


@pytest.mark.parametrize("words", [("tidy on web-1",), ("tidy", "on", "web-1")])
def test_a_row_is_found_as_it_is_shown(words: tuple[str, ...], tidy: Typed) -> None:
    for command in ("status", "history"):
        done = tidy(command, *words)
        assert (done.returncode, done.stderr) == (0, "")
        assert "web-1" in done.stdout
        assert "web-2" not in done.stdout
    assert tidy("status", "tidy on web-3").stderr == "cronlock: tidy on web-3: unknown key\n"


def test_forget_of_a_key_of_each_shows_its_nodes_and_erases_all(tidy: Typed) -> None:
    declined = tidy("forget", "tidy", input="n\n")
    assert declined.returncode == 1
    assert "tidy on web-1: " in declined.stdout
    assert "Erase the records of tidy on 2 nodes, their counts and their history? [y/N]" in declined.stdout
    assert rows(tidy) == ["tidy on web-1", "tidy on web-2"]
    done = tidy("forget", "--yes", "tidy")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-2:] == [f"tidy on web-{n}: forgotten at all 3 voters" for n in (1, 2)]
    assert tidy("status").stdout == "no keys found\n"
    again = tidy("run", "--key", "tidy", "--each", "--node", "web-1", *TICK, "--", "echo", "ran")
    assert again.stdout == "ran\n"


def test_forget_of_a_row_erases_that_node_only(tidy: Typed) -> None:
    assert tidy("forget", "--yes", "tidy on web-1").returncode == 0
    assert rows(tidy) == ["tidy on web-2"]


def test_a_pause_is_of_the_whole_key_and_knows_its_runs(tidy: Typed) -> None:
    refused = tidy("pause", "tidy on web-1")
    assert (refused.returncode, refused.stdout) == (125, "")
    assert refused.stderr == (
        "cronlock: tidy on web-1: refused: pause is for all nodes of a key: cronlock pause tidy\n"
    )
    assert tidy("pause", "tidy").stdout == "tidy: paused until resumed at all 3 voters\n"
    assert tidy("resume", "tidy").stdout == "tidy: resumed at all 3 voters\n"
    assert tidy("resume", "tidy").stdout.startswith("tidy: not paused at all 3 voters: nothing to resume")


def test_unlock_of_a_key_of_each_names_the_way(tidy: Typed) -> None:
    shown = tidy("unlock", "tidy").stdout
    assert shown.startswith("tidy: not held; with --each, nodes hold it on their own: cronlock unlock --redis ")
    assert shown.endswith("--each --node web-1 tidy (and 1 more)\n")


def test_nothing_but_keys_that_ran_or_are_paused_has_a_row(tidy: Typed, fakes: list[FakeServer]) -> None:
    """Neither resume --all nor a run that was refused leaves one."""
    assert tidy("resume", "--all").returncode == 0
    fakes[2].close()
    assert tidy("run", "--key", "new", *PLAIN, "--outage-wait", "0", "--", "true").returncode == 122
    found = {key["key"] for key in keys(tidy)}
    assert found == {"tidy"}
    assert rows(tidy) == ["tidy on web-1", "tidy on web-2"]
