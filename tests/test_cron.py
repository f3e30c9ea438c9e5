"""A real cron, on a real cluster: each tick runs once, and nobody hears of the others."""

import itertools
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.commands import environment, heir, wait_until

pytestmark = pytest.mark.debian

MINUTES = 3
CRONTAB = """\
SHELL=/bin/sh
PATH=/usr/bin:/bin
{path}
* * * * * root {cronlock} --node web-1 -- {command}
* * * * * root {cronlock} --node web-2 -- {command}
* * * * * root {cronlock} --node web-3 -- {command}
* * * * * root {percent} -- cat >> {tmp}/percent%line one%line two
* * * * * root echo "a job that is not quiet"
"""
HOUSE = """\
set -e
mount --make-rprivate /
mount --bind cron.d /etc/cron.d
mount --bind crontab /etc/crontab
mount --bind spool /var/spool/cron/crontabs
mount -t tmpfs none /run
mkdir sbin.upper sbin.work
cp sendmail sbin.upper/sendmail
mount -t overlay none -o lowerdir=/usr/sbin,upperdir=sbin.upper,workdir=sbin.work /usr/sbin
exec cron -f
"""


@pytest.fixture
def cron(tmp_path):
    """A cron of this test's own: its files and its mail in a mount namespace, so that the machine's crontabs sleep."""
    for folder in ("cron.d", "spool"):
        (tmp_path / folder).mkdir()
    (tmp_path / "crontab").write_text("")
    mail = tmp_path / "sendmail"
    mail.write_text(f"#!/bin/sh\ncat >> {tmp_path}/mail\n")
    mail.chmod(0o755)
    started = []

    def start(crontab):
        file = tmp_path / "cron.d" / "cronlock-test"
        file.write_text(crontab)
        file.chmod(0o644)
        process = subprocess.Popen(["unshare", "--mount", "sh", "-c", HOUSE], cwd=tmp_path)
        heir().tell(f"+pid {process.pid}")
        started.append(process)
        return process

    yield start
    for process in started:
        process.terminate()
        process.wait(10)
        heir().tell(f"-pid {process.pid}")


@pytest.mark.timeout(120 + 60 * MINUTES)
def test_three_nodes_under_a_real_cron_run_each_minute_once(cron, cluster, tmp_path):
    """Three lines of different nodes, one key, a cluster of 3 masters and 3 replicas: one run a minute, no mail.

    What stands behind a crontab line's `%` is the command's standard input, and no part of the line's schedule or key.
    """
    command = f"""sh -c 'echo "$CRONLOCK_RUN_TICK $CRONLOCK_RUN_TOKEN $CRONLOCK_RUN_NODE" >> {tmp_path}/runs'"""
    path = f"PYTHONPATH={environment()['PYTHONPATH']}" if "PYTHONPATH" in environment() else ""
    cronlock = f"{sys.executable} -m cronlock run --once --redis {cluster.urls[0]} --key "
    crontab = CRONTAB.format(
        path=path, cronlock=cronlock + "minute", percent=cronlock + "percent", command=command, tmp=tmp_path
    )
    process = cron(crontab)
    runs, mail = tmp_path / "runs", tmp_path / "mail"
    wait_until(
        lambda: process.poll() is None and runs.exists() and len(runs.read_text().splitlines()) >= MINUTES,
        timeout=60 * MINUTES + 80,
        message=f"{MINUTES} runs",
        interval=0.5,
    )
    time.sleep(10)  # what would run twice does it now
    lines = [line.split() for line in runs.read_text().splitlines()]
    ticks = [tick for tick, _, _ in lines]
    assert len(set(ticks)) == len(ticks) >= MINUTES
    assert [tick[-4:] for tick in ticks] == [":00Z"] * len(ticks)
    assert all(int(line[1]) < int(after[1]) for line, after in itertools.pairwise(lines))
    subjects = [line for line in mail.read_text().splitlines() if line.startswith("Subject:")]
    assert subjects, "the last line's mail shows that mail would have been seen"
    assert all("a job that is not quiet" in subject for subject in subjects), subjects
    assert (tmp_path / "percent").read_bytes() == b"line one\nline two\n" * len(lines)


def test_a_line_of_a_users_crontab_is_found_by_that_user(tmp_path, server):
    """`crontab -l` of an unprivileged user: the schedule stands in the dry run."""
    user = "nobody"
    python = "/usr/bin/python3"
    line = f"17 3 * * 1-5 cd / && {python} -m cronlock run --key mine --redis {server.url} -- true\n"
    before = subprocess.run(["crontab", "-u", user, "-l"], capture_output=True, text=True, check=False)
    subprocess.run(["crontab", "-u", user, "-"], input=line, text=True, check=True)
    try:
        probe = (
            "from cronlock.crontab import own_lines; print([(l.place, l.fields) for l in own_lines('mine', 'once')])"
        )
        site = Path(__file__).parent.parent
        done = subprocess.run(
            [sys.executable, "-c", SETUID, str(site), probe], cwd="/", capture_output=True, text=True, check=False
        )
        assert done.stdout == "[('crontab -l:1', '17 3 * * 1-5')]\n", done.stderr
    finally:
        if before.returncode == 0:
            subprocess.run(["crontab", "-u", user, "-"], input=before.stdout, text=True, check=True)
        else:
            subprocess.run(["crontab", "-u", user, "-r"], check=False)


SETUID = """
import os, pwd, sys
sys.path.insert(0, sys.argv[1])
import cronlock.crontab, cronlock.cronlines
entry = pwd.getpwnam("nobody")
os.setgroups([])
os.setgid(entry.pw_gid)
os.setuid(entry.pw_uid)
os.environ.update(HOME="/", LOGNAME="nobody", PATH="/usr/bin:/bin")
exec(sys.argv[2])
"""
