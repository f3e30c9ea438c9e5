"""An upgrade during a run: its Python, site-packages and cronlock are taken away once the command has started.

The run ends as if nothing had happened: the command's status, no traceback, and the voters hear of the end.
"""

import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cronsim
import hiredis
import pytest

from tests.support.clusters import Cluster
from tests.support.commands import ROOT, cronlock, home, new_folder, remove_folder, start_words, wait_until
from tests.support.sentinel import Service
from tests.support.servers import Server
from tests.support.terminals import Terminal
from tests.support.tls import Authority, ShieldedServer

NOT_NEEDED = shutil.ignore_patterns(
    "site-packages", "dist-packages", "test", "tests", "config-*", "idlelib", "tkinter", "ensurepip", "*.a"
)
STATUS = 3
KEY = ("--key", "job")
SCRIPT = f"touch began; while ! test -e enough; do sleep 0.02; done; exit {STATUS}"


def link(source: str, target: str) -> None:
    """A second name of the file where both are on one file system: no test writes to it."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


class Install:
    """A Python of its own with cronlock in its site-packages, which is there until the upgrade."""

    def __init__(self) -> None:
        self.root = new_folder()
        version = f"python{sysconfig.get_python_version()}"
        library, packages = self.root / "lib" / version, self.root / "lib" / version / "site-packages"
        shutil.copytree(sysconfig.get_path("stdlib"), library, ignore=NOT_NEEDED, copy_function=link)
        for source in (ROOT / "cronlock", Path(hiredis.__file__).parent, Path(cronsim.__file__).parent):
            shutil.copytree(source, packages / source.name, copy_function=link)
        (library / "dist-packages").symlink_to("site-packages")  # as Debian's Python calls it
        self.python = self.root / "bin" / version
        self.python.parent.mkdir()
        shutil.copy2(getattr(sys, "_base_executable", sys.executable), self.python)

    def words(self, *words: object) -> list[str]:
        return [str(self.python), "-I", "-m", "cronlock", "run", *map(str, words), "--", "sh", "-c", SCRIPT]

    def upgrade(self) -> None:
        (self.root / "lib").rename(self.root / "gone")


@pytest.fixture
def install() -> Iterator[Install]:
    made = Install()
    yield made
    remove_folder(made.root)


@contextlib.contextmanager
def upgraded(
    install: Install, *words: object, status: int = STATUS, said: str = ""
) -> Iterator["subprocess.Popen[str]"]:
    """A run whose Python is removed inside the block; at the end of the block the command ends, and then the run."""
    process = start_words(install.words(*words))
    wait_until(Path(home(), "began").exists, message="the command")
    install.upgrade()
    yield process
    Path(home(), "enough").touch()
    out, err = process.communicate(timeout=30)
    assert "Traceback" not in err
    assert (process.returncode, out) == (status, ""), err
    assert said in err
    assert bool(said) == bool(err), err


def heard(*where: object, key: str = "job") -> list[str]:
    """Return the outcomes of the runs that the voters know."""
    [told] = json.loads(cronlock("history", *where, key, "--format", "json").stdout)["keys"]
    return [run["outcome"] for run in told["runs"]]


def at(servers: list[Server]) -> list[str]:
    return [word for server in servers for word in ("--redis", server.url)]


PLAIN = ("--schedule", "none", *KEY)


@pytest.mark.parametrize(
    ("words", "status", "word"),
    [
        (["-v"], STATUS, "ran"),
        (["--syslog", "-v"], STATUS, "ran"),
        (["--syslog", "--max-runtime", "1s", "--kill-after", "1s"], 124, "timed out"),
        (["--max-runtime", "1s", "--kill-after", "1s"], 124, "timed out"),
        (["--ttl", "7s", "--kill-after", "1s"], STATUS, "ran"),
    ],
    ids=["told", "syslog", "too long, to syslog", "too long", "extended"],
)
def test_a_run_ends_as_ever(install: Install, servers: list[Server], words: list[str], status: int, word: str) -> None:
    said = "" if "--syslog" in words else "ran: status 3" if "-v" in words else ""
    said = "timed out: " if status == 124 and "--syslog" not in words else said
    with upgraded(install, *at(servers), *PLAIN, *words, status=status, said=said) as process:
        if status == 124:
            process.wait(20)
        if "--ttl" in words:
            time.sleep(3)  # an extension
    assert heard(*at(servers)) == [word]


def test_a_run_is_given_back(install: Install, servers: list[Server]) -> None:
    with upgraded(install, *at(servers), *PLAIN, status=128 + signal.SIGTERM) as process:
        process.terminate()
    assert heard(*at(servers)) == ["given back"]


def test_a_voter_that_died_is_named(install: Install, fresh_servers: Callable[..., list[Server]]) -> None:
    servers = fresh_servers(3)
    with upgraded(install, *at(servers), "-v", *PLAIN, said="voter unreachable: "):
        servers[2].kill()
    assert heard(*at(servers[:2])) == ["ran"]


def test_of_a_local_run(install: Install, local_key: str) -> None:
    words = ("--local", "--schedule", "none", "--key", local_key)
    with upgraded(install, *words):
        pass
    assert heard("--local", key=local_key) == ["ran"]


def test_with_failover_the_next_attempt_is_told(install: Install, servers: list[Server]) -> None:
    words = ("--tick", f"{time.strftime('%Y-%m-%d', time.gmtime(time.time() - 86_400))}T02:00Z", *KEY)
    with upgraded(install, *at(servers), *words, "--failover", "--retry-failed"):
        pass
    last = (
        "run",
        *at(servers),
        *words,
        "--failover",
        "--retry-failed",
        "-v",
        "--",
        "sh",
        "-c",
        "echo $CRONLOCK_RUN_ATTEMPT",
    )
    assert cronlock(*last).stdout == "2\n"


def test_a_schedule_and_its_zone_are_in_memory(install: Install, servers: list[Server]) -> None:
    """The next lease ends by the schedule: cronsim, datetime and the zone's data are asked again."""
    words = ("--schedule", "* * L * *", "--tz", "Europe/Berlin", "--ttl", "7s", "--kill-after", "1s", *KEY)
    with upgraded(install, *at(servers), *words):
        time.sleep(3)
    assert heard(*at(servers)) == ["ran"]


def test_over_tls_with_other_certificates(install: Install) -> None:
    """The certificates are renewed during the run, and the connection breaks: the next connection reads them."""
    ours = Authority(new_folder())
    with ShieldedServer() as server:
        url = server.url
        for path in (path for word in url.partition("?")[2].split("&") if (path := word.partition("=")[2])):
            name = Path(path.replace("%2F", "/"))
            shutil.copy2(name, ours.root.parent / name.name)
            url = url.replace(path, str(ours.root.parent / name.name))
        with upgraded(install, "--redis", url, *PLAIN, "--ttl", "7s", "--kill-after", "1s"):
            for name in ("ca.pem", "client.pem", "client.key"):
                renewed = ours.root.parent / f"{name}.new"
                shutil.copy(ours.root.parent / name, renewed)
                renewed.rename(ours.root.parent / name)
            server.proxy.disconnect()
            server.proxy.pass_all()
            time.sleep(3)
        assert heard("--redis", url) == ["ran"]
    remove_folder(ours.root.parent)


def test_a_failover_of_a_service_is_followed(install: Install) -> None:
    """cronlock asks the sentinels again."""
    with Service() as service:
        where = ("--redis", service.urls[0])
        with upgraded(install, *where, *PLAIN, "--ttl", "20s", "--kill-after", "1s"):
            service.failover()
            time.sleep(1)
        assert heard(*where) == ["ran"]


def test_on_a_cluster(install: Install, cluster: Cluster) -> None:
    with upgraded(install, "--redis", cluster.urls[0], *PLAIN, "--ttl", "7s", "--kill-after", "1s"):
        time.sleep(3)
    assert heard("--redis", cluster.urls[0]) == ["ran"]


def test_a_name_is_looked_up_again(install: Install, fresh_servers: Callable[..., list[Server]]) -> None:
    """By a server that was restarted, and has lost the script as well."""
    servers = fresh_servers(3, appendonly="yes", appendfsync="always")
    named = [word.replace("127.0.0.1", "localhost") for word in at(servers)]
    with upgraded(install, *named, *PLAIN, "--ttl", "12s", "--kill-after", "1s"):
        for server in servers[:2]:
            server.restart()
            server.redis.script_flush()
        time.sleep(4)
    assert heard(*named) == ["ran"]


def test_a_script_that_is_lost_is_brought_again(install: Install, server: Server) -> None:
    with upgraded(install, "--redis", server.url, *PLAIN):
        server.redis.script_flush()
    assert heard("--redis", server.url) == ["ran"]


@pytest.mark.parametrize("key", ["ctrl-c", "ctrl-z"])
def test_at_a_terminal(install: Install, server: Server, open_terminal: Callable[..., Terminal], key: str) -> None:
    """cronlock reads from /proc which signal ended the command, and restores the modes."""
    terminal = open_terminal("bash", "--norc", "--noprofile", "-i")
    terminal.prompt()
    script = "stty -echo; exec cat"
    words = [*install.words("--redis", server.url, *PLAIN)[:-1], script]
    terminal.type(f"env -u PYTHONPATH {shlex.join(words)}\n")
    wait_until(lambda: "cat" in [process.name for process in terminal.processes()], message="the command")
    install.upgrade()
    group = terminal.foreground()
    if key == "ctrl-z":
        terminal.type("\x1a")
        terminal.expect("Stopped")
        terminal.prompt()
        terminal.type("fg\n")
        terminal.expect("cronlock run")
        wait_until(lambda: terminal.foreground() == group, message="the command in the foreground")
    terminal.type("\x03")
    said = terminal.prompt()
    assert "ran: status 130" in said
    assert "Traceback" not in said
    assert terminal.run("echo status=$?").startswith("status=130")
    assert heard("--redis", server.url) == ["given back"]


def test_no_password_is_shown_when_its_pattern_cannot_be_read() -> None:
    """A rare line of the end needs re: without it the line ends where a password may begin."""
    asks = (
        "import sys; sys.modules['re'] = None; from cronlock.messages import masked;"
        "print(masked('at redis://me:secret@host'), masked('x Password=secret'), masked('plain'))"
    )
    done = subprocess.run([sys.executable, "-c", asks], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "at redis*** x *** plain\n"
