"""`cronlock wrap` on a Debian machine: its crontab(1) accepts the output."""

import subprocess
from pathlib import Path

import pytest

from cronlock.commands.crontab_wrapper import wrap_crontab
from tests.integration.test_wrap import USER, WRAPPER, commands, one, wrap
from tests.support.commands import home

pytestmark = pytest.mark.debian


def test_debians_crontab_takes_what_comes_out() -> None:
    """Commands of up to 998 bytes are accepted."""
    short = len(one("job"))
    edge = f"@daily job {'x' * (998 - short - 1)}\n@daily job {'x' * (998 - short)}\n"
    new, notes = wrap_crontab(USER + edge, WRAPPER)
    assert [note.partition(":")[0] for note in notes] == [f"line {(USER + edge).count(chr(10))}"]
    assert max(len(line.command) for line in commands(new)) == 998
    file = home() / "crontab"
    file.write_text(new)
    done = subprocess.run(["crontab", "-n", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    file.write_text(new.replace("x\n@daily job ", "xx\n@daily job "))
    assert subprocess.run(["crontab", "-n", file], capture_output=True, check=False).returncode == 1


def test_debians_own_crontab_is_for_each_machine() -> None:
    before = Path("/etc/crontab").read_text()
    out, err = wrap("--once", "/etc/crontab")
    assert out.decode() == before
    assert err.count(b": left alone: run-parts starts the jobs that each machine has installed: ") == 4


def test_debians_own_crontab_keeps_its_users() -> None:
    before = Path("/etc/crontab").read_text()
    out, err = wrap("--each", "/etc/crontab")
    assert err == b""
    assert out.count(b"cronlock run --each --key ") == 4
    users = [(line.fields, line.user) for line in commands(before, system=True)]
    assert [(line.fields, line.user) for line in commands(out.decode(), system=True)] == users
    assert set(users) == {(fields, "root") for fields, _ in users}
