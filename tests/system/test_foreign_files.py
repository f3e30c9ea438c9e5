"""Files that belong to other users: none of them can hang root's `cronlock check`, fill its memory or end it."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cronlock.commands.check.cron_path import path_of_cron
from cronlock.config.settings import FILE_MAX, load
from cronlock.cron.crontab import CRONTAB_MAX, Sources, own_lines
from cronlock.errors import Refused, TlsError
from cronlock.servers.tls import context_of
from tests.integration.test_check_cron_lines import CHECKED, REDIS, Machine, cron_process
from tests.support.commands import ROOT, cronlock, environment, home, new_folder, remove_folder

NAME_ANOTHER = "pass --config with a settings file"
DEADLINE = 20  # s: a check of these crontabs takes less than one
MEMORY = 768 << 20  # bytes of address space: a file without end fails the test, not the machine
OTHER = "nobody"  # the owner of the crontab
UID = 65534
ROOTS = "0 2 * * * root cronlock run --once --key of-root -- true\n"
LOOK = f"""
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, ({MEMORY}, {MEMORY}))
from cronlock.cron.crontab import Sources
from cronlock.commands.check.crontabs import find_crontab_faults
for finding in find_crontab_faults(Sources(sys.argv[1], 0), {CHECKED!r}, sys.argv[2]):
    print(finding.level, finding.about.removeprefix(sys.argv[1] + "/"), finding.line_text)
"""

pytestmark = pytest.mark.debian


@pytest.fixture
def machine() -> Iterator[Machine]:
    folder = new_folder()
    folder.chmod(0o755)
    found = Machine(folder)
    found.write("etc/cron.d/job", f"{REDIS}\n{ROOTS}")
    yield found
    remove_folder(folder)


def check(machine: Machine, *rows: str) -> list[str]:
    """Level, place and text of all that root's check finds when the other user's crontab has these rows."""
    spool = machine.write(f"var/spool/cron/crontabs/{OTHER}", "".join(f"{row}\n" for row in rows), 0o600)
    os.chown(spool, UID, UID)
    words = [sys.executable, "-c", LOOK, str(machine.root), str(machine.programs)]
    done = subprocess.run(
        words, env=environment(), cwd="/", capture_output=True, text=True, timeout=DEADLINE, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def fifo(path: Path) -> None:
    os.mkfifo(path)


def endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


def folder(path: Path) -> None:
    path.mkdir()


def long(path: Path) -> None:
    path.write_text("#" * FILE_MAX + "\n")


def deep(path: Path) -> None:
    """tomllib takes a minute for the parts of such a name."""
    path.write_text(".".join("a" * (FILE_MAX // 2 - 2)) + "=1")


FILES = pytest.mark.parametrize(
    ("make", "reason"),
    [
        (fifo, "it is not a regular file"),
        (endless, "it is not a regular file"),
        (sparse, f"it is longer than {FILE_MAX} bytes"),
        (long, f"it is longer than {FILE_MAX} bytes"),
        (folder, "is a directory"),
        (deep, "a line has more than 300 dots"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
Make = Callable[[Path], None]


@FILES
@pytest.mark.parametrize("named", [True, False], ids=["named", "usual"])
def test_a_users_settings_file_is_a_finding_whatever_it_is(
    machine: Machine, make: Make, reason: str, named: bool
) -> None:
    """The file that a line names with --config, and ~/.config/cronlock.toml; root's own line is checked as ever."""
    file = machine.root / "home" / ".config" / "cronlock.toml"
    file.parent.mkdir(parents=True)
    make(file)
    os.chown(file, UID, UID, follow_symlinks=False)
    option = f"--config {file}" if named else ""
    home_row = f"HOME={'/nowhere' if named else machine.root / 'home'}"
    found = check(machine, REDIS, home_row, f"0 3 * * * cronlock run --key his {option} -- true")
    [his] = [line for line in found if "crontabs/nobody" in line]
    assert his.startswith("red var/spool/cron/crontabs/nobody:3 it would be refused: ")
    assert reason in his
    assert any(line.startswith("green etc/cron.d/job:2 of-root") for line in found)


SWAP = """
import os, sys
from cronlock.files import NotRegularError, read_regular
def swap(event, words):
    if event == "open" and words[0] == "file":
        os.rename("fifo", "file")
sys.addaudithook(swap)
try:
    read_regular("file", 10)
except NotRegularError:
    print(os.listdir())
"""


def test_a_file_that_turns_into_a_fifo_does_not_hang(tmp_path: Path) -> None:
    """Between the look and the open; the hook is called as the open begins."""
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "fifo")
    words = [sys.executable, "-c", SWAP]
    env = environment({"PYTHONPATH": str(ROOT)})
    done = subprocess.run(words, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=DEADLINE, check=True)
    assert done.stdout == "['file']\n"


def test_a_crontab_without_end_is_a_finding_of_root_and_stops_no_run(machine: Machine) -> None:
    """Root's own run does not even read the crontabs of other users."""
    path = machine.root / "var/spool/cron/crontabs" / OTHER
    assert check(machine, "#" * CRONTAB_MAX)[0].startswith(
        f"red {path.relative_to(machine.root)} it can't be read: it is longer than {CRONTAB_MAX} bytes"
    )
    [line] = own_lines("of-root", "once", Sources(str(machine.root), 0))
    assert line.source == str(machine.root / "etc/cron.d/job")


@pytest.mark.parametrize(
    "rows",
    [
        ["x"] * (CRONTAB_MAX // 2 - 100) + ["0 3 * * * cronlock run --key his -- true"],
        [f"CRON{number}=1" for number in range(60_000)] + ["0 3 * * * cronlock run --key his -- true"],
        ["* * * * * cronlock run -k a b"] * (CRONTAB_MAX // 31),
        ["0 3 * * * " + "sh -c $(cronlock `cronlock run -k a b`); " * 20_000],
    ],
    ids=["rows", "variables", "lines", "one row"],
)
def test_of_a_users_crontab_so_much_is_looked_at(machine: Machine, rows: list[str]) -> None:
    """As many lines as Debian's cron accepts, and more; one finding covers the rest."""
    found = check(machine, REDIS, *rows)
    his = [line for line in found if "crontabs/nobody" in line]
    assert any("only 1000 lines of a user, and 4096 bytes of a line, are checked" in line for line in his)
    assert len(his) <= 3000
    assert any(line.startswith("green etc/cron.d/job:2 of-root") for line in found)


def test_lines_that_take_long_end_with_a_finding(machine: Machine) -> None:
    """Here it is the settings file, which is read for each line anew."""
    file = machine.root / "slow.toml"
    file.write_text("".join(f"[a{number}]\n" for number in range(20_000)))
    os.chown(file, UID, UID)
    rows = [f"0 3 * * * cronlock run --key his{number} --config {file} -- true" for number in range(400)]
    assert any("the lines of nobody take too long to check" in line for line in check(machine, REDIS, *rows))


def test_only_roots_cron_gives_the_path_of_cron(tmp_path: Path) -> None:
    """Any user can call a process cron."""
    cron_process(tmp_path, ["cron", "-P"], "/evil", uid=UID)
    assert path_of_cron("debian", tmp_path) == "/usr/bin:/bin"


# Files that an operator names for one call


def test_an_own_settings_file_may_be_a_pipe_but_has_an_end() -> None:
    script = f"cat settings | {sys.executable} -m cronlock run --dry-run --config /dev/stdin --schedule none -- true"
    Path(home(), "settings").write_text('key = "piped"\nredis = "redis://127.0.0.1:1"\n')
    done = subprocess.run(
        ["sh", "-c", script], env=environment(), cwd=home(), capture_output=True, text=True, check=False
    )
    assert "piped" in done.stdout, done.stderr
    words = ("run", "--key", "job", "--redis", "redis://127.0.0.1:1", "--schedule", "none", "--config")
    done = cronlock(*words, "/dev/zero", "--", "true")
    assert (done.returncode, done.stderr) == (
        125,
        f"cronlock: job: refused: can't read /dev/zero: it is longer than {FILE_MAX} bytes: {NAME_ANOTHER}\n",
    )
    assert cronlock(*words, "/dev/null", "--dry-run", "--", "true").returncode == 0


def test_a_pipe_that_another_user_made_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    os.chown(tmp_path / "fifo", UID, UID)
    with pytest.raises(Refused, match="it is not a regular file"):
        load({"config": str(tmp_path / "fifo")}, {})


def test_an_own_usual_file_is_a_regular_one() -> None:
    """cron starts the run, and no operator is there to end a run that hangs."""
    path = Path(home(), ".config", "cronlock.toml")
    path.parent.mkdir()
    os.mkfifo(path)
    done = cronlock("run", "--key", "job", "--redis", "redis://127.0.0.1:1", "--", "true", timeout=DEADLINE)
    assert (done.returncode, done.stderr) == (
        125,
        f"cronlock: job: refused: can't read {path}: it is not a regular file: {NAME_ANOTHER}\n",
    )


@pytest.mark.parametrize("name", ["ssl_ca_certs", "ssl_certfile", "ssl_keyfile"])
def test_a_certificate_of_gigabytes_is_refused(tmp_path: Path, name: str) -> None:
    sparse(tmp_path / "big.pem")
    with pytest.raises(TlsError, match=rf"{name}: .*/big.pem is larger than \d+ bytes"):
        context_of({name: str(tmp_path / "big.pem")})


def test_a_folder_of_certificates_has_no_fifo(tmp_path: Path) -> None:
    """OpenSSL would open it in a handshake; a link that leads nowhere is none."""
    (tmp_path / "01234567.0").symlink_to("/nowhere")
    context_of({"ssl_ca_path": str(tmp_path)})
    os.mkfifo(tmp_path / "89abcdef.0")
    with pytest.raises(TlsError, match=r"ssl_ca_path: .*/89abcdef.0 is not a file"):
        context_of({"ssl_ca_path": str(tmp_path)})
