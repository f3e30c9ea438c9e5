"""The modules that `run` imports, counted and by name: a hundred crontab lines start in the same second."""

import subprocess
import sys
from pathlib import Path

import pytest

import cronlock
from tests.support.commands import ROOT, environment, home, start_cronlock, wait_until

FORBIDDEN = set(
    "click redis rich asyncio logging subprocess typing dataclasses pathlib importlib.resources secrets hashlib uuid"
    " urllib urllib.parse tempfile shlex ssl json tomllib".split()
)
CRONSIMS = {"typing"}  # what cronsim imports itself; it is paid for only when there is a schedule
PROBE = """
import gc, os, sys
sys.argv = ["cronlock", *sys.argv[1:]]
from cronlock.__main__ import main
leave = os._exit
def tell(status):
    with open("modules", "w") as file:
        file.write(" ".join(sys.modules))
    with open("folders", "w") as file:
        file.write(" ".join(sys.path_importer_cache))
    with open("collects", "w") as file:
        file.write(str(gc.isenabled()))
    leave(status)
os._exit = tell
main()
"""


def modules(*words, err="", status=0):
    """Return the modules in memory after a run."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE, "run", *map(str, words)],
        env=environment(),
        cwd=home(),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, err in done.stderr, bool(done.stderr)) == (status, True, bool(err))
    return set(Path(home(), "modules").read_text().split())


def bare():
    """Return the modules in memory before cronlock: an editable install imports many."""
    done = subprocess.run(
        [sys.executable, "-c", "import sys; print(*sys.modules)"],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


BARE = 34  # modules that `python -I -c pass` has in memory
ALL, ALL_WITH_CRONSIM = 71, 112  # after a run
PLAIN_SCHEDULE = {"cronlock.cron", "cronlock.cron.schedule", "cronlock.cron.plain_schedule"}
WRAPPED = {  # what only a command needs
    "cronlock.lock.lease",
    "cronlock.process.command",
    "cronlock.process.guard",
    "cronlock.run.supervisor",
}


@pytest.mark.parametrize("place", ["server", "cluster"])
def test_a_run_without_a_schedule_imports_nothing_heavy(place, request):
    """By name, and at most 71 modules in all, on a server and on a cluster."""
    voters = request.getfixturevalue(place)
    url = voters.url if place == "server" else voters.urls[0]
    words = ("--redis", url, "--key", "job", "--schedule", "none", "--", "true")
    modules(*words)  # which brings the script, if no other test has
    added = modules(*words) - bare()
    assert added & FORBIDDEN == set()
    assert added >= WRAPPED
    assert len(added) <= ALL - BARE, sorted(added)


def test_no_folder_of_cronlock_is_listed(server):
    """Python's own finder would list each package and search in the list, which takes 3 % of a start."""
    modules("--redis", server.url, "--key", "job", "--schedule", "* * * * *", "--again", "--", "true")
    listed = Path(home(), "folders").read_text().split()
    assert listed
    assert [folder for folder in listed if Path(folder).is_relative_to(Path(cronlock.__file__).parent)] == []


def test_a_plain_schedule_adds_nothing_but_its_own_modules(server):
    """Numbers, stars, ranges, steps and lists in the local zone; and an interval, which has one more module."""
    without = modules("--redis", server.url, "--key", "job", "--schedule", "none", "--", "true")
    found = modules("--redis", server.url, "--key", "job", "--schedule", "*/5 1-5,7 * * *", "--again", "--", "true")
    assert found - without == PLAIN_SCHEDULE
    found = modules("--redis", server.url, "--key", "job", "--schedule", "@every 90m", "--again", "--", "true")
    assert found - without == PLAIN_SCHEDULE | {"cronlock.cron.interval"}


def test_other_schedules_add_cronsim_and_little_else(server):
    """cronsim is imported only then, and of the forbidden modules only those that cronsim imports."""
    found = modules("--redis", server.url, "--key", "job", "--schedule", "0 2 L * *", "--again", "--", "true") - bare()
    assert "cronsim" in found
    assert found & (FORBIDDEN - CRONSIMS) == set()
    assert len(found) <= ALL_WITH_CRONSIM - BARE, sorted(found)


def test_a_held_run_imports_no_more(server):
    """A node that exits quietly imports least."""
    words = ("--redis", server.url, "--key", "job", "--tick", "2026-11-20T02:00Z", "--", "true")
    modules(*words)
    found = modules(*words)
    assert (found - bare()) & FORBIDDEN == set()
    assert not found & WRAPPED


def test_a_node_that_exits_does_not_import_what_waiting_needs(server):
    """Without a terminal a waiting node does not import rich, which takes 100 ms."""
    words = ("--redis", server.url, "--key", "job", "--tick", "2026-11-20T02:00Z", "--", "true")
    modules(*words)
    assert not modules(*words) & {"cronlock.run.waiting", "cronlock.servers.subscriptions"}
    start_cronlock("run", *words[:4], "--schedule", "none", "--", "sh", "-c", "touch ready; sleep 2")
    wait_until(Path(home(), "ready").exists)
    waited = modules(*words[:4], "--schedule", "none", "--wait", "20s", "--", "true", err="waiting at most 20s")
    assert "cronlock.run.waiting" in waited
    assert (waited - bare()) & FORBIDDEN == set()


def test_a_plain_file_is_read_without_tomllib(server):
    """Servers are usually named in this file; tomllib imports re, datetime and more."""
    file = Path(home(), ".config", "cronlock.toml")
    file.parent.mkdir()
    words = ("--key", "job", "--schedule", "none", "--", "true")
    for text, module in (
        (f'redis = ["{server.url}"]', "cronlock.config.toml_subset"),
        (f'redis = "{server.url}" # one', "tomllib"),
    ):
        file.write_text(text)
        found = modules(*words) - bare()
        assert module in found
        assert ("tomllib" in found) == (module == "tomllib")


def collects(*words, **how):
    """Check that garbage collection is on at the end of a run."""
    modules(*words, **how)
    return Path(home(), "collects").read_text() == "True"


def test_garbage_is_collected_in_all_that_may_last(server):
    """It is off during the start; a command, a wait and an outage may last for months."""
    key, tick = ("--key", "job"), ("--tick", "2026-11-20T02:00Z")
    assert collects("--redis", server.url, *key, *tick, "--", "true"), "a command"
    assert not collects("--redis", server.url, *key, *tick, "--", "true"), "its tick is done"
    nowhere = ("--redis", "redis://127.0.0.1:1", "--outage-wait", "300ms")
    assert collects(*nowhere, *key, *tick, "--", "true", err="unreachable", status=122), "an outage"
    start_cronlock("run", "--redis", server.url, *key, "--schedule", "none", "--", "sh", "-c", "touch up; sleep 1")
    wait_until(Path(home(), "up").exists)
    waits = ("--redis", server.url, *key, "--schedule", "none", "--wait", "100ms")
    assert collects(*waits, "--", "true", err="gave up waiting", status=75), "a wait"


def test_only_local_imports_json(local_key):
    """The file of the local voter is JSON; nothing else needs it."""
    found = modules("--local", "--key", local_key, "--schedule", "none", "--", "true") - bare()
    assert "json" in found
    assert found & (FORBIDDEN - {"json"}) == set()


def test_private_modules_stand_in_one_place():
    """`_socket` and `_signal` save milliseconds: process/event_loop.py gives the reason, and is the only importer."""
    package = ROOT / "cronlock"
    users = {
        path.name
        for path in package.rglob("*.py")
        for line in path.read_text().splitlines()
        if line.lstrip().startswith(("import _", "from _")) and "from __future__" not in line
    }
    assert users == {"event_loop.py"}


def test_click_stands_in_one_place():
    """Only cli/ knows how the command line is read; the functions that it calls take plain values."""
    package = ROOT / "cronlock"
    users = {path.parent.name for path in package.rglob("*.py") if "import click" in path.read_text().splitlines()}
    assert users == {"cli"}


def test_the_console_script_is_cronlocks_own():
    """An entry point of older pips imports re, which costs as much as all of cronlock."""
    script = Path(sys.prefix, "bin", "cronlock").read_text().splitlines()
    assert script[1:] == (Path(cronlock.__file__).parent / "scripts" / "cronlock").read_text().splitlines()[1:]
