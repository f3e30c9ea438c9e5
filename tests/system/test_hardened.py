"""Crontabs that other users may not read, and users who may not execute: check, and the runs that it speaks of."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cronlock.commands.check.debian_fields import first_bad_part
from cronlock.commands.check.findings import GREEN, RED, YELLOW
from tests.integration.test_check_cron_lines import CHECKED, REDIS, Machine
from tests.integration.test_crontab_traps import RUN, machine
from tests.support.commands import environment

__all__ = ["machine"]

pytestmark = pytest.mark.debian


@pytest.mark.skipif(not os.path.exists("/usr/bin/crontab"), reason="needs Debian's crontab")
@pytest.mark.parametrize(
    "field",
    "mon#1 mon#1,tue 1#2 mon. 1? *# */2# *-5 5L L 1/2 1- 1, ,1 *,5 monx 1-5/2#3 8 7 ** ? mon-fri fri-mon".split(),
)
def test_debians_crontab_takes_the_fields_that_check_takes(tmp_path: Path, field: str) -> None:
    """It skips what stands behind a number or a name, so that mon#1 is each Monday."""
    file = tmp_path / "crontab"
    file.write_text(f"0 2 * * {field} true\n")
    done = subprocess.run(["crontab", "-n", str(file)], capture_output=True, check=False)
    assert (not done.returncode) == (not first_bad_part(f"0 2 * * {field}"))


@pytest.mark.parametrize(
    "front", ["su nobody -c '{}'", "sudo -u nobody {}", "runuser -u nobody -- {}", "setpriv --reuid nobody {}"]
)
def test_another_user_does_not_see_roots_crontab(machine: Machine, front: str) -> None:
    """The run has no ticks then; in a file of the system's it has, and with --schedule too."""
    command = front.format("/bin/true").replace("/bin/true", f"{machine.programs}/cronlock run --once --key n -- true")
    spool = machine.write("var/spool/cron/crontabs/root", f"{REDIS}\n0 2 * * * {command}\n", 0o600)
    [finding] = machine.findings(uid=0)
    program = front.split(maxsplit=1)[0]
    assert (finding.level, finding.text) == (
        YELLOW,
        f"n (once): {program} starts it as nobody, who can't see this crontab: no ticks",
    )
    assert finding.todo.startswith(
        "pass --schedule '0 2 * * *', or move the line to /etc/cron.d with nobody as its user"
    )
    spool.write_text(f"{REDIS}\n0 2 * * * {command.replace('--once', '--schedule @daily')}\n")
    assert [found.level for found in machine.findings(uid=0)] == [GREEN]
    spool.unlink()
    machine.write("etc/cron.d/job", f"{REDIS}\n0 2 * * * root {command}\n")
    assert [found.level for found in machine.findings(uid=0)] == [GREEN]


def test_a_program_that_the_lines_user_may_not_execute_is_red(machine: Machine) -> None:
    """root may execute all of them: a cronlock in /root is the usual one, or the Python of its first line."""
    machine.executable("home/venv/bin/cronlock")
    (machine.root / "home").chmod(0o700)
    for path, mode in (("home/venv/bin/cronlock", 0o700), ("programs/cronlock", 0o750)):
        (machine.root / path).chmod(mode)
    cronlock = machine.root / "home/venv/bin/cronlock"
    line = f"{cronlock} run --once --key m -- true"
    machine.write(
        "etc/cron.d/job", f"{REDIS}\n0 2 * * * nobody {line}\n0 2 * * * nobody {RUN}\n0 3 * * * root {line}\n"
    )
    by_row = {number: [f for f in machine.findings(uid=0) if f.about.endswith(f":{number}")] for number in (2, 3, 4)}
    assert [f.text for f in by_row[2]] == [f"nobody may not execute {cronlock}: {machine.root}/home has mode 700"]
    assert [f.text for f in by_row[3]] == [f"nobody may not execute cronlock: {machine.programs}/cronlock has mode 750"]
    assert [f.level for f in by_row[4]] == [GREEN]


def test_a_python_that_the_lines_user_may_not_execute_is_red(machine: Machine) -> None:
    python = machine.executable("closed/python")
    python.parent.chmod(0o700)
    machine.write("programs/cronlock", f"#!{python} -I\n", 0o755)
    machine.write("etc/cron.d/job", f"{REDIS}\n0 2 * * * nobody {RUN}\n")
    [finding] = machine.findings(uid=0)
    assert finding.level == RED
    assert f"its interpreter is {python}, and {python.parent} has mode 700" in finding.text
    python.unlink()
    [gone] = machine.findings(uid=0)
    assert f"its interpreter {python} does not exist" in gone.text


DROP = """
import os, sys, random, hashlib, cronsim, zoneinfo, datetime, pwd, grp  # the user may not read what is imported later
from cronlock.commands.check.crontabs import find_crontab_faults
from cronlock.commands.crontab_wrapper import Wrapper, wrap_crontab
from cronlock.cron import crontab, schedule
from cronlock.cron.crontab import Sources, own_lines
from cronlock.errors import Refused
import encodings.idna
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
"""


def as_nobody(script: str, *words: object) -> str:
    """Return the output of a script that runs as a user without rights."""
    argv = [sys.executable, "-c", DROP + script, *map(str, words)]
    done = subprocess.run(argv, env=environment(), cwd="/", capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


CHECK = f"""
own = open(sys.argv[3], errors="surrogateescape", newline="").read() if len(sys.argv) > 3 else ""
for finding in find_crontab_faults(Sources(sys.argv[1], crontab=lambda: own), {CHECKED!r}, sys.argv[2]):
    print(finding.level, finding.about.removeprefix(sys.argv[1] + "/"), ascii(finding.line_text)[1:-1])
"""


LINES = """
sources = Sources(sys.argv[1], crontab=lambda: open(sys.argv[2]).read())
try:
    print([line.fields for line in own_lines("n", "once", sources)], len(sources.unread))
except Refused as error:
    print(error)
"""


CLOSED = pytest.mark.parametrize(
    "closed", [{"etc/crontab": 0o600}, {"etc/cron.d": 0o700}, {"etc/crontab": 0o600, "etc/cron.d/other": 0o600}]
)


@CLOSED
def test_a_run_goes_on_by_the_lines_that_its_user_may_read(machine: Machine, closed: dict[str, int]) -> None:
    """Only when no line is found at all it is refused; root's check says both before they happen."""
    machine.write("etc/crontab", f"{REDIS}\n0 3 * * * root {RUN.replace('key n', 'key m')}\n")
    machine.write("etc/cron.d/other", "# nothing\n")
    own = machine.write("own", f"{REDIS}\n0 2 * * * {RUN}\n")
    for name, mode in closed.items():
        (machine.root / name).chmod(mode)
    assert as_nobody(LINES, machine.root, own) == f"['0 2 * * *'] {len(closed)}\n"
    spool = machine.write("var/spool/cron/crontabs/nobody", own.read_text(), 0o600)
    os.chown(spool, 65534, 65534)
    findings = machine.findings(uid=0)
    assert {finding.level for finding in findings} == {GREEN}
    left_out = {
        finding.about.removeprefix(f"{machine.root}/") for finding in findings if "leave it out" in finding.text
    }
    assert left_out == set(closed)
    found = as_nobody(CHECK, machine.root, machine.programs, own).splitlines()
    assert sorted(line.split()[1] for line in found if line.startswith("yellow")) == sorted(closed)
    assert any(line.startswith("green crontab -l:2") for line in found)

    own.write_text("# nothing\n")
    said = as_nobody(LINES, machine.root, own)
    assert said.startswith("no crontab line with this key was found, but can't read ")
    assert said.endswith("(Permission denied): pass --schedule\n")
    assert all(f"{machine.root}/{name} (Permission denied)" in said for name in closed)


@pytest.mark.parametrize("closed", ["etc/cron.d/job", "etc/cron.d"])
def test_a_line_that_its_user_may_not_read_is_red_for_root(machine: Machine, closed: str) -> None:
    file = machine.write("etc/cron.d/job", f"{REDIS}\n0 2 * * * nobody {RUN}\n")
    (machine.root / closed).chmod(0o700)
    [finding] = machine.findings(uid=0)
    assert finding.level == RED
    reason = f"it would be refused: as nobody, cronlock can't read {file}: {machine.root}/{closed} has mode 700: "
    assert finding.text == f"{reason}let that user read it, or pass --schedule '0 2 * * *'"
    file.write_text(file.read_text().replace("--once", "--schedule '0 2 * * *'"))
    assert [found.level for found in machine.findings(uid=0)] == [GREEN]
    assert as_nobody(CHECK, machine.root, machine.programs).startswith(
        f"yellow {closed} this user can't read it (Permission"
    )


WEIRD = [
    b"",
    b"\0",
    b"\n\0\n",
    b"* * * * * cronlock run -k n -- true",
    b"\xff\xfe * * * cronlock run\n",
    b"0 2 * * * cronlock run -k n -- '\n",
    b"@ cronlock run\n",
    b"SHELL=\0\n* * * * * cronlock run -k n a\n",
    b"* * * * * cronlock run -k \0 a\n",
    b"* * * * * \0/cronlock run -k n a\n",
    b"* * * * * cd /\0 && cronlock run -k n a\n",
    b"* * * * * cronlock run -k n -- /\0/x\n",
    b"* * * * * cronlock run -k n -- sh -c '/\0'\n",
    b"TZ=\0\n0 2 * * * cronlock run -k n a\n",
    b"0 2 * * * su \0 -c 'cronlock run -k n a'\n",
    b"0 2 * * * su 99999999999999999999 -c 'cronlock run -k n a'\n",
    b"0 2 * * * cronlock run --tz \0 -k n a\n",
    b"CRON_TZ=../../etc/passwd\n0 2 * * * cronlock run -k n a\n",
    b"- * * * * cronlock run -k n a\n",
    b"cronlock\n",
    b"cronlock run\n",
    b"1 cronlock\n",
    b"0 2 * * * sleep \0; cronlock run -k n a\n",
    b"0 2 * * * sleep 1e999; cronlock run -k n a\n",
    b"0 2 * * * sleep nan; cronlock run -k n a\n* * * * * cronlock run -k n a\n",
    b"0 2 * * * cronlock run --config \0 -k n a\n",
    b"HOME=/root\n0 2 * * * cronlock run -k n a\n",
    b"PATH=\0:\n0 2 * * * cronlock run -k n a\n",
]


@pytest.mark.parametrize("text", WEIRD, ids=range(len(WEIRD)))
def test_a_weird_crontab_is_not_the_end_of_a_users_check(machine: Machine, text: bytes) -> None:
    """As the own crontab and as one of the system's; with FIFOs and folders beside it that the user can't read."""
    own = machine.root / "own"
    own.write_bytes(text)
    machine.write("etc/cron.d/job", "")
    (machine.root / "etc/cron.d/job").write_bytes(text)
    os.mkfifo(machine.root / "etc/cron.d/fifo")
    os.mkfifo(machine.root / "etc/cron.d/fifo.conf")
    (machine.root / "etc/cron.d/folder").mkdir(0o700)
    (machine.root / "etc/cron.d/loop").symlink_to("loop")
    (machine.root / "etc/crontab").mkdir(0o700)
    as_nobody(CHECK, machine.root, machine.programs, own)
    machine.findings(uid=0, listed=os.fsdecode(text))


def test_check_as_an_ordinary_user_prints_no_traceback_for_any_crontab(machine: Machine) -> None:
    """A thousand crontabs of pieces that lines are made of, in one process."""
    script = f"""
pieces = {PIECES!r}
choose = random.Random(20)
for _ in range(1000):
    text = "".join(choose.choice(pieces) for _ in range(choose.randrange(40)))
    find_crontab_faults(Sources(sys.argv[1], crontab=lambda: text), {CHECKED!r}, sys.argv[2])
    try:
        wrap_crontab(text, Wrapper("/c/cronlock", "once", choose.random() < .5, "debian"))
    except Refused:
        pass
"""
    as_nobody(script, machine.root, machine.programs)


PIECES = [
    *("0 2 * * *", "\n", " ", "\t", "cronlock", " run", " --key n", " -k m", " --once", " --each", " -- ", "true", "#"),
    *(
        "/bin/sh -c ",
        "'",
        '"',
        "&& ",
        "| ",
        "; ",
        "& ",
        "> x",
        "%",
        "\\%",
        "$(",
        ")",
        "`",
        "{ ",
        "; }",
        "\\",
        "\0",
        "é",
    ),
    *("su nobody -c ", "sudo ", "-u x ", "sleep 9", "SHELL=", "TZ=", "CRON_TZ=", "Asia/Tokyo", "root ", "@daily "),
    *("mon#1", "\udcff", "cd /x", "--schedule ", "'0 2 * * *'"),
]
