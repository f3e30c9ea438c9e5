"""`cronlock check` on a Debian machine, as root: other users' crontabs, cron's own reading of them, wrong clocks."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cronlock.commands.check.findings import GREEN, RED, YELLOW
from cronlock.cron.parser import CRON_PATH
from tests.integration.test_blocked_keys import findings, wrong
from tests.integration.test_check import check, label, only, urls
from tests.integration.test_check_cron_lines import CHECKED, REDIS, RUN, Machine, levels, red
from tests.support.commands import cronlock, environment, faked_clock, heir, home, wait_until
from tests.support.operator import at, operate
from tests.support.servers import Place, Server
from tests.support.servers import Place as Where

pytestmark = pytest.mark.debian


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.mark.parametrize("end", ["\n", "\n# the end", "\n   "])
def test_a_last_line_without_a_newline_may_be_a_comment(machine: Machine, end: str) -> None:
    machine.write("programs/true", "", 0o755)
    assert levels(machine.of_system(f"{REDIS}\n0 2 * * * root {RUN}{end}")) == [GREEN]


def test_another_cron_ignores_the_last_line_only(machine: Machine) -> None:
    """cronie; busybox reads it."""
    (machine.root / "usr/sbin/cron").rename(machine.root / "usr/sbin/crond")
    assert red(machine.of_system(f"{REDIS}\n0 2 * * * root {RUN}")).startswith(
        "the last line has no newline: cron ignores it"
    )
    assert levels(machine.of_system(f"{REDIS}\n0 2 * * * root {RUN}\n0 3 * * * root job")) == [GREEN]
    (machine.root / "usr/sbin/crond").unlink()
    (machine.root / "usr/sbin/crond").symlink_to("/bin/busybox")
    assert RED not in levels(machine.of_system(f"0 2 * * * root CRONLOCK_REDIS=redis://redis-1 {RUN}"))


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o777])
def test_a_file_that_others_may_write_is_red(machine: Machine, mode: int) -> None:
    findings = machine.of_system(f"{REDIS}\n0 2 * * * root {RUN}\n", mode=mode)
    assert f"its mode is {mode:o}: cron ignores the whole file: chown root and chmod 644" in red(findings)


def test_a_users_own_settings_file_is_good_for_the_users_line(open_machine: Machine) -> None:
    """Also if root runs check; for a line of root's the file is refused."""
    machine = open_machine
    file = machine.write("home/.config/cronlock.toml", 'redis = "redis://redis-1"\n')
    os.chown(file, 1, 1)
    home = f"HOME={machine.root}/home"
    for user, levels_of_it in (("daemon", [GREEN]), ("root", [RED])):
        machine.write("etc/cron.d/job", f"{home}\n0 2 * * * {user} {RUN}\n")
        assert levels(machine.findings(uid=0)) == levels_of_it


def test_a_file_of_another_user_is_red(machine: Machine) -> None:
    machine.write("etc/cron.d/job", "")
    os.chown(machine.root / "etc/cron.d/job", 65534, 0)
    findings = machine.of_system(f"{REDIS}\n0 2 * * * root {RUN}\n")
    assert "it is owned by uid 65534: cron ignores the whole file" in red(findings)


@pytest.fixture
def open_machine(open_folder: Path) -> Machine:
    """A machine whose files every user may see."""
    return Machine(open_folder)


def test_a_crontab_that_cannot_be_read_is_a_finding_and_not_the_end(open_machine: Machine) -> None:
    """The others are looked at all the same."""
    open_machine.write("etc/crontab", f"{REDIS}\n0 2 * * * root {RUN}\n", 0)
    open_machine.write("etc/cron.d/job", f"{REDIS}\n0 2 * * * root {RUN}\n")
    script = f"""
import os
from cronlock.cron.crontab import Sources
from cronlock.commands.check.crontabs import find_crontab_faults
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
sources = Sources({str(open_machine.root)!r}, crontab=str)
for finding in find_crontab_faults(sources, {CHECKED!r}, {str(open_machine.programs)!r}):
    print(finding.level, finding.about, finding.text)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment(), capture_output=True, check=True, text=True
    ).stdout.splitlines()
    assert done[0].startswith(f"yellow {open_machine.root}/etc/crontab this user can't read it (Permission denied)")
    assert done[1].startswith(f"green {open_machine.root}/etc/cron.d/job:2 nightly (once)")


MOUNTS = """\
set -e
mount --make-rprivate /
mount --bind "$1/cron.d" /etc/cron.d
mount --bind "$1/crontab" /etc/crontab
mount --bind "$1/spool" /var/spool/cron/crontabs
shift
exec "$@"
"""


@pytest.fixture
def on_crontab(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """on_crontab(text, *words): `cronlock check` on a machine with this file in /etc/cron.d, and no other crontab."""

    def start(text: str, *words: str) -> subprocess.CompletedProcess[str]:
        for folder in ("cron.d", "spool"):
            (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / "crontab").write_text("")
        (tmp_path / "cron.d" / "job").write_text(text)
        (tmp_path / "cron.d" / "job").chmod(0o644)
        unshare = ["unshare", "--mount", "sh", "-c", MOUNTS, "sh", str(tmp_path), sys.executable, "-m", "cronlock"]
        return subprocess.run(
            [*unshare, "check", "-v", *words],
            env=environment({"PATH": f"{tmp_path}:{os.environ['PATH']}"}),
            cwd=home(),
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    (tmp_path / "cronlock").write_text("#!/bin/sh\n")
    (tmp_path / "cronlock").chmod(0o755)
    return start


JOB = "* * * * * root touch {out}/{name}; : cronlock run --key {name} --schedule none --local -- true"


FILES = {  # in /etc/cron.d
    "good": (0o644, "{job}\n"),
    "comment": (0o600, "{job}\n# no newline"),
    "blank": (0o755, "{job}\n  "),
    "crlf": (0o644, "A=b\r\n{job}\r\n"),
    "dot.name": (0o644, "{job}\n"),
    "group-writes": (0o664, "{job}\n"),
    "others-write": (0o646, "{job}\n"),
    "no-newline": (0o644, "{job}\n0 0 1 1 * root true"),
    "assigned": (0o644, "{job}\nA=b"),
    "no-such-user": (0o644, "{job}\n0 0 1 1 * nobody-here true\n"),
    "columns": (0o644, "{job}\n0 0 1 1 * root\n"),
}


CRON = """\
set -e
mount --make-rprivate /
mount --bind etc/cron.d /etc/cron.d
mount --bind etc/crontab /etc/crontab
mount --bind spool /var/spool/cron/crontabs
mount -t tmpfs none /run
exec env "$@" cron -f
"""


def test_debians_cron_ignores_just_the_files_that_are_red(tmp_path: Path) -> None:
    """A real one, whose clock is a moment before a full minute."""
    machine = Machine(tmp_path)
    for folder in ("out", "spool"):
        (tmp_path / folder).mkdir()
    machine.write("etc/crontab", "")
    for name, (mode, text) in FILES.items():
        job = JOB.format(out=tmp_path / "out", name=name)
        machine.write(f"etc/cron.d/{name}", text.format(job=job), mode)
    machine.write("etc/cron.d/path", f"* * * * * root echo $PATH > {tmp_path}/path\n")
    machine.write("etc/cron.d/foreign", FILES["good"][1].format(job=JOB.format(out=tmp_path / "out", name="foreign")))
    os.chown(tmp_path / "etc/cron.d/foreign", 65534, 0)
    refused = [f for f in machine.findings(uid=0) if "cron ignores" in f.text or "cron does not read" in f.text]
    red_files = {Path(finding.about.partition(":")[0]).name for finding in refused}
    assert set(FILES) - red_files == {"good", "comment", "blank", "crlf"}
    clock = faked_clock(FAKETIME=f"+{(56 - time.time()) % 60:.0f}s")
    words = ["unshare", "--mount", "sh", "-c", CRON, "sh", *(f"{name}={value}" for name, value in clock.items())]
    process = subprocess.Popen(words, cwd=tmp_path)
    heir().tell(f"+pid {process.pid}")
    try:
        started = set(FILES) - red_files
        wait_until(lambda: {path.name for path in (tmp_path / "out").iterdir()} >= started, 90, "the jobs")
        assert {path.name for path in (tmp_path / "out").iterdir()} == started
        wait_until((tmp_path / "path").exists, message="the last job")
        assert wait_until((tmp_path / "path").read_text) == f"{CRON_PATH}\n"
    finally:
        process.terminate()
        process.wait(10)
        heir().tell(f"-pid {process.pid}")


def test_the_command_is_red_for_a_line_that_is(
    on_crontab: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """A cronlock that is not on cron's PATH, and two commands under one key; by its exit status too."""
    lost = on_crontab("CRONLOCK_LOCAL=1\n0 2 * * * root cronlock run --once --key a -- true\n", "--local")
    assert (lost.returncode, lost.stderr) == (1, "")
    assert "red     /etc/cron.d/job:2  cronlock is not on cron's PATH (/usr/bin:/bin): write " in lost.stdout
    path = f"PATH=/usr/bin:/bin:{tmp_path}"
    line = "0 2 * * * root cronlock run --once --key a -- true\n"
    found = on_crontab(f"CRONLOCK_LOCAL=1\n{path}\n{line}", "--local", "-v")
    assert (found.returncode, found.stderr) == (0, "")
    assert "a (once): 0 2 * * * " in found.stdout
    assert "  red " not in found.stdout
    line = "0 {} * * * root cronlock run --once --key a -- sleep {}\n"
    two = on_crontab(f"CRONLOCK_LOCAL=1\n{path}\n{line.format(2, 1)}{line.format(3, 2)}", "--local")
    assert two.returncode == 1
    assert two.stdout.count("key a is used with two different commands: /etc/cron.d/job:3 and /etc/cron.d/job:4") == 2


@pytest.mark.parametrize(("offset", "side"), [("+120s", "ahead of"), ("-120s", "behind")])
def test_a_clock_two_minutes_off_is_red(servers: list[Server], offset: str, side: str) -> None:
    """This machine's clock, if all servers agree; with one server either clock may be wrong."""
    env = faked_clock(FAKETIME=offset)
    finding = only(check(*urls(*servers), env=env), RED)
    assert finding["about"] == "this machine"
    assert finding["text"] == f"its clock is 120 s {side} all 3 servers': beyond 60 s this node is refused"
    assert only(check(*urls(servers[0]), env=env), RED)["todo"] == "set the one that is wrong, by NTP"


def test_a_voter_whose_clock_is_two_minutes_off_is_red(
    servers: list[Server], fresh_servers: Callable[..., list[Server]]
) -> None:
    """It is the one that is named: such a voter does not vote."""
    place = Place(env=tuple(faked_clock(FAKETIME="+120s").items()))
    [odd] = fresh_servers(1, places=[place])
    finding = only(check(*urls(servers[0], odd, servers[1])), RED)
    assert finding["about"] == label(odd)
    assert finding["text"] == "its clock is 120 s ahead of this machine's: beyond 60 s such a voter does not vote"


def test_a_voter_whose_clock_is_off_is_counted_as_lost(
    servers: list[Server], fresh_servers: Callable[..., list[Server]]
) -> None:
    """It does not vote: one more may not be lost, and no key can have its first run."""
    [odd] = fresh_servers(1, places=[Where(env=tuple(faked_clock(FAKETIME="+300s").items()))])
    place = at(*servers[:2], odd)
    operate(place, "pause", "new")
    assert findings(place, "placement", GREEN) == []
    [(_, placed)] = findings(place, "placement", YELLOW)
    assert placed == (
        "1 of 3 servers does not vote: the loss of one more stops every run, and no key can have its first run: "
        "set its clock"
    )
    text = (
        f"no run of it can start: it never ran, and a first run needs all 3 voters: {label(odd)}: its clock is 300 s "
    )
    assert findings(place, "keys", RED) == [
        ("new", f"{text}ahead, and it does not vote: set the clock of {label(odd)}, by NTP")
    ]
    assert [said.startswith(f"new: {text}") for said in wrong(place)] == [True]
    env = faked_clock(FAKETIME="+300s")
    done = cronlock("check", *place, "--format", "json", env=env)
    placed = [row["text"] for row in json.loads(done.stdout)["findings"] if row["section"] == "placement"]
    assert placed == ["any 1 of 3 may be lost"], "here it is this machine's clock that is wrong"
