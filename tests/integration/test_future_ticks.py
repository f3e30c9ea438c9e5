"""After a run with a clock that was ahead, its future tick does not block today's ticks, and is reported."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.commands import cronlock, environment, faked_clock, home
from tests.support.operator import Place, at
from tests.support.servers import Cluster, Server

EVERY_MINUTE = ("--schedule", "* * * * *", "--tz", "UTC")
RAN = ("--", "echo", "ran")
FAR = int(time.time()) // 60 * 60 + 4 * 366 * 86_400


def red(place: Place) -> list[str]:
    """Return the red findings of check about keys."""
    found = json.loads(cronlock("check", *place, "--format", "json").stdout)["findings"]
    return [f"{one['text']}: {one['todo']}" for one in found if one["section"] == "keys" and one["level"] == "red"]


@pytest.mark.debian
@pytest.mark.parametrize("how", ["--once", "--each"])
def test_a_local_run_at_a_wrong_date_stops_no_other(local_key: str, how: str) -> None:
    """Each run reports it and check is red until a run has begun; later runs are as usual."""
    place = ("--local", "--prefix", local_key)
    words = ("run", *place, how, "--key", local_key, "--node", "web-1", *EVERY_MINUTE)
    ahead = faked_clock(FAKETIME="+1500d")
    assert cronlock(*words, *RAN, env=ahead).stdout == "ran\n"
    [finding] = red(place)
    assert " 4 years ahead of the voter's clock" in finding
    own = "--each --node web-1 " if how == "--each" else ""
    assert finding.endswith(f"then cronlock forget {' '.join(place)} {own}{local_key}")
    held = cronlock("pause", *place, local_key)
    assert held.returncode == 0
    cronlock("resume", *place, local_key)
    done = cronlock(*words, *RAN)
    assert (done.returncode, done.stdout) == (0, "ran\n")
    assert done.stderr.count("\n") == 1
    assert f"cronlock: {local_key}: the record has the tick 20" in done.stderr
    assert "Z, 4 years ahead of this clock: that tick does not count; if the clock is wrong, set it" in done.stderr
    assert red(place) == []
    again = cronlock(*words, *RAN)
    assert (again.returncode, again.stderr) == (0, "")


@pytest.mark.debian
def test_a_clock_that_is_set_back_runs_no_tick_twice(local_key: str) -> None:
    """The clock goes back ten minutes; the last two ticks are known, and the newest tick counts again at its time."""
    words = ("run", "--local", "--key", local_key, "--node", "web-1", *EVERY_MINUTE)
    cronlock(*words, *RAN)
    for minutes in (10, 11):
        assert cronlock(*words, *RAN, env=faked_clock(FAKETIME=f"+{minutes}m")).stdout == "ran\n"
    told = cronlock(*words, "--tick", f"{int(time.time()) // 60 * 60 - 60}", *RAN)
    assert told.stdout == ""
    assert "that tick does not count" in told.stderr
    for minutes in (11, 10):
        done = cronlock(*words, *RAN, env=faked_clock(FAKETIME=f"+{minutes}m"))
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("kind", ["server", "servers", "cluster"])
def test_with_servers_it_is_refused_with_the_cure(kind: str, request: pytest.FixtureRequest) -> None:
    """A silent `done` would mean that no tick runs until then."""
    found: Server | list[Server] | Cluster = request.getfixturevalue(kind)
    servers = [found] if isinstance(found, Server) else found.masters() if isinstance(found, Cluster) else found
    place = at(*servers[:1]) if isinstance(found, Cluster) else at(*servers)
    words = ("run", *place, "--key", "job", *EVERY_MINUTE)
    cronlock(*words, *RAN)
    for tick, status in ((int(time.time()) + 50, 0), (FAR, 125)):
        for server in servers:
            for name in server.redis.keys("*:record:job"):
                server.redis.hset(name, mapping={"tick": tick, "run_tick": tick})
        done = cronlock(*words, *RAN)
        assert (done.returncode, done.stdout) == (status, ""), done.stderr
        assert bool(done.stderr) == bool(status)
    assert "cronlock: job: refused: a recorded run of 20" in done.stderr
    forget = f"cronlock forget {' '.join(place)} job"
    assert done.stderr.endswith(f"every earlier tick: set the clock that is wrong, then run {forget}\n")
    [finding] = red(place)
    assert "years ahead of the voter's clock" in finding
    assert cronlock("forget", *place, "--yes", "job").returncode == 0
    assert cronlock(*words, *RAN).stdout == "ran\n"
    assert red(place) == []


HOMELESS = """
import os, sys
os.getuid = os.geteuid = lambda: 54321  # who has no entry in passwd
sys.argv = ["cronlock", *sys.argv[1:]]
from cronlock.__main__ import main
main()
"""


def homeless(*words: str, **env: str | None) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", HOMELESS, *words],
        env=environment({"HOME": None, **env}),
        cwd=home(),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.parametrize("env", [{}, {"HOME": "here"}, {"HOME": "here", "XDG_STATE_HOME": "there"}], ids=str)
def test_without_a_home_nothing_is_locked_in_the_working_directory(env: dict[str, str]) -> None:
    """Two directories would be two locks. The message names the variable to set; so does check."""
    run = ("run", "--local", "--key", "job", "--schedule", "none", *RAN)
    done = homeless(*run, **env)
    assert (done.returncode, done.stdout) == (125, "")
    assert done.stderr == (
        "cronlock: job: refused: --local can't find this user's state directory: set HOME, or XDG_STATE_HOME, "
        "to an absolute path that all runs share\n"
    )
    for words in (("status", "--local"), ("run", "--dry-run", *run[1:])):
        assert "set HOME, or XDG_STATE_HOME" in homeless(*words, **env).stderr
    told = json.loads(homeless("check", "--local", "--format", "json", **env).stdout)["findings"][0]
    assert (told["level"], told["about"]) == ("red", "--local")
    assert told["todo"].startswith("set HOME, or XDG_STATE_HOME")
    assert os.listdir(home()) == []


def test_without_a_home_no_settings_file_is_read_in_the_working_directory(server: Server) -> None:
    """The owner of the directory could redirect the lock."""
    for folder in ("~/.config", "here/.config"):
        Path(home(), folder).mkdir(parents=True)
        Path(home(), folder, "cronlock.toml").write_text('redis = "redis://127.0.0.1:1"\noutage-wait = "100ms"\n')
    for env in ({}, {"HOME": "here"}):
        done = homeless("run", "--key", "job", "--schedule", "none", *RAN, REDIS_URL=server.url, **env)
        assert (done.returncode, done.stdout) == (0, "ran\n"), done.stderr
