"""Without what only Linux has cronlock does the same: a Python that lacks it, and nothing in /proc."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cronlock.cron.crontab import Sources
from cronlock.lock.local import state_directory
from tests.support.commands import ROOT, cronlock, home, start_cronlock, wait_until
from tests.support.processes import about, bearing, descendants, kill_all
from tests.support.servers import Server
from tests.support.terminals import BASH, Terminal

BEFORE = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /proc && exec "$@"', "sh")
WITHOUT_LINUX = {"PYTHONPATH": f"{ROOT / 'tests' / 'support' / 'macos_stub'}:{ROOT}"}
MACOS: dict[str, Any] = {"env": WITHOUT_LINUX, "before": BEFORE}
TICK = ("--tick", "2026-11-20T02:00Z")
UNTIL_TOLD = "trap 'exit 7' TERM; touch ready; while :; do sleep 0.05; done"
DAY, HOUR = 86_400_000, 3_600_000  # ms

pytestmark = pytest.mark.debian


def start(*words: str, script: str = UNTIL_TOLD) -> subprocess.Popen[str]:
    """A run there, as soon as its command is."""
    process = start_cronlock("run", "--key", "job", *words, "--", "sh", "-c", script, **MACOS)
    wait_until(Path(home(), "ready").exists, message="the command")
    return process


def family(process: subprocess.Popen[str]) -> tuple[int, int]:
    """The guard, which leads the command's group, and the command."""
    children = [pid for pid in descendants(process.pid) if about(pid)["PPid"] == str(process.pid)]
    [guard] = [pid for pid in children if os.getpgid(pid) == pid]
    [command] = [pid for pid in children if pid != guard]
    assert os.getpgid(command) == guard
    return guard, command


def test_a_run_is_won_done_and_held(server: Server) -> None:
    where = ("--redis", server.url, "-v", "--key", "job")
    for said in ("ran: status 3", "done: "):
        done = cronlock("run", *where, *TICK, "--", "sh", "-c", "exit 3", **MACOS)
        assert said in done.stderr
    start("--redis", server.url, "--schedule", "none")
    done = cronlock("run", *where, "--schedule", "none", "true", **MACOS)
    assert (done.returncode, "held by" in done.stderr) == (0, True)


def test_nothing_is_read_from_proc_and_nothing_taken_that_only_linux_has() -> None:
    """That the switches are off: else the other tests here promise nothing."""
    asks = "import os, time; print(os.listdir('/proc'), hasattr(os, 'waitid'), hasattr(time, 'CLOCK_BOOTTIME'))"
    words = [*BEFORE, sys.executable, "-c", asks]
    done = subprocess.run(words, env=os.environ | WITHOUT_LINUX, capture_output=True, text=True, check=True)
    assert done.stdout == "[] False False\n"


def test_servers_are_believed_by_a_clock_that_goes_on_in_sleep_and_the_file_by_one_that_does_not() -> None:
    asks = "import time; from cronlock.process import event_loop as system; print(system.BOOTTIME, system.UPTIME)"
    done = subprocess.run([sys.executable, "-c", asks], env=WITHOUT_LINUX, capture_output=True, text=True, check=True)
    assert done.stdout == f"{time.CLOCK_MONOTONIC} {time.CLOCK_MONOTONIC_RAW}\n"


def test_a_signal_gives_the_run_back(server: Server) -> None:
    process = start("--redis", server.url, *TICK)
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 7
    done = cronlock("run", "-v", "--redis", server.url, "--key", "job", *TICK, "true", **MACOS)
    assert "ran: status 0" in done.stderr


def test_a_killed_command_has_the_status_of_its_signal(server: Server) -> None:
    process = start("--redis", server.url, *TICK)
    os.kill(family(process)[1], signal.SIGKILL)
    assert process.wait(10) == 128 + signal.SIGKILL


def test_with_cronlock_killed_the_command_ends(server: Server) -> None:
    process = start("--redis", server.url, *TICK, "--kill-after", "1s", script="trap '' TERM; touch ready; sleep 60")
    process.kill()
    wait_until(lambda: not bearing(f"HOME={home()}"), message="the end of all")


def test_a_guard_that_dies_is_replaced(server: Server) -> None:
    """At once: macOS tells of a pipe's other end only those who ask."""
    process = start("--redis", server.url, *TICK, "--ttl", "1h", "--kill-after", "1s")
    first, command = family(process)
    os.kill(first, signal.SIGKILL)

    def children() -> set[int]:
        return {pid for pid in descendants(process.pid) if about(pid)["PPid"] == str(process.pid)}

    wait_until(lambda: children() > {command} and first not in children(), message="another guard")
    process.kill()
    wait_until(lambda: not bearing(f"HOME={home()}"), message="the end of all")


def test_a_run_that_is_too_long_is_stopped(server: Server) -> None:
    """Nobody can tell whether its group has ended, so that it has all of --kill-after."""
    words = ("--redis", server.url, *TICK, "--max-runtime", "500ms", "--kill-after", "1s")
    process = start(*words)
    begun = time.monotonic()
    assert process.wait(10) == 124
    assert time.monotonic() - begun > 1


def test_a_lease_is_extended(server: Server) -> None:
    process = start("--redis", server.url, *TICK, "--ttl", "7s")

    def lease_end() -> int:
        client = server.client()
        [name] = client.keys("*:record:*")
        return int(client.hget(name, "lease_end"))

    first = lease_end()
    wait_until(lambda: lease_end() > first, message="an extension")
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 7


def test_ctrl_z_and_fg_at_a_terminal(open_terminal: Callable[..., Terminal]) -> None:
    """A device that poll does not take must not be asked of it."""
    settings = " ".join(f"{name}={shlex.quote(value)}" for name, value in WITHOUT_LINUX.items())
    terminal = open_terminal(*BEFORE, "env", *shlex.split(settings), *BASH)
    terminal.prompt()
    terminal.type("cronlock run -- sh -c 'echo be''gun; while read -r line; do echo got=$line; done'\n")
    terminal.expect("begun")
    terminal.type("one\n")
    terminal.expect("got=one")
    terminal.type("\x1a")
    terminal.expect("Stopped")
    terminal.type("fg\n")
    terminal.type("two\n")
    terminal.expect("got=two")
    terminal.type("\x04")
    terminal.type("echo status=$?\n")
    terminal.expect("status=0")


@pytest.mark.parametrize(("uptime", "ran"), [(5 * DAY, True), (HOUR // 2, False)], ids=["long", "short"])
def test_a_start_of_the_machine_ends_a_local_lease_or_leaves_it(local_key: str, uptime: int, ran: bool) -> None:
    """Without a boot id: one that ends later than any can is of before the start; no other ends too early."""
    words = ("run", "-v", "--local", "--key", local_key, "--schedule", "none", "--")
    process = start_cronlock(*words, "sh", "-c", UNTIL_TOLD, **MACOS)
    wait_until(Path(home(), "ready").exists, message="the command")
    kill_all(process)
    [path] = Path(state_directory()).glob(f"{local_key}-*.json")
    stored = json.loads(path.read_text())
    assert stored["boot"] == "unknown"
    stored["record"]["lease_end"] += uptime
    path.write_text(json.dumps(stored))
    done = cronlock(*words, "true", **MACOS)
    assert ("ran: status 0" in done.stderr) == ran, done.stderr


@pytest.mark.parametrize("spool", ["usr/lib/cron/tabs", "var/cron/tabs"])
def test_roots_look_into_everybodys_crontab_finds_the_spools_of_macos_and_bsd(
    spool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    (tmp_path / spool).mkdir(parents=True)
    (tmp_path / spool / "root").write_text("0 2 * * * cronlock run --key k true\n")
    assert [path for path, _, _ in Sources(str(tmp_path), 0)] == [str(tmp_path / spool / "root")]
