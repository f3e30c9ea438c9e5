"""After a run with a clock that was ahead, its future tick does not block today's ticks, and is reported."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.clusters import Cluster
from tests.support.commands import cronlock, environment, home
from tests.support.operator import Place, at
from tests.support.servers import Server

EVERY_MINUTE = ("--schedule", "* * * * *", "--tz", "UTC")
RAN = ("--", "echo", "ran")
FAR = int(time.time()) // 60 * 60 + 4 * 366 * 86_400


def red(place: Place) -> list[str]:
    """Return the red findings of check about keys."""
    found = json.loads(cronlock("check", *place, "--format", "json").stdout)["findings"]
    return [f"{one['text']}: {one['todo']}" for one in found if one["section"] == "keys" and one["level"] == "red"]


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
