"""A real cron on each of three nodes, on a real cluster: each tick runs once, and the other nodes stay silent."""

import itertools
import re
import shlex
import subprocess
import sys
import time
from datetime import datetime

import pytest

from tests.support.commands import ROOT, environment, heir, wait_until
from tests.support.doc_pages import blocks, page

pytestmark = pytest.mark.debian

MINUTES = 3
NODES = ("web-1", "web-2", "web-3")
[SHOWN] = (text for text in blocks("crontab", "monitoring.md") if "CRONLOCK_REDIS=" in text)
EACH, ONCE = "tidy", ("report", "backup")  # its keys and commands
QUIET = ("quiet", "percent")
CRONTAB = """\
SHELL=/bin/sh
PATH={programs}:/usr/bin:/bin
{path}
{shown}
* * * * * root cronlock run --once --key quiet -- quiet
* * * * * root cronlock run --once --key percent -- percent%line one%line two
* * * * * root echo "a job that is not quiet"
"""
CRONLOCK = """\
#!/bin/sh
begun=$(date +%s%N)
{python} -m cronlock "$@"
status=$?
echo "$begun $status $*" >> /var/log/calls
exit $status
"""
COMMAND = """\
#!/bin/sh
echo "$CRONLOCK_RUN_TICK $CRONLOCK_RUN_KEY $CRONLOCK_RUN_NODE $CRONLOCK_RUN_TOKEN" >> {tmp}/runs
"""
AFTERWARDS = {"backup": "sleep 2\n", "percent": "cat >> {tmp}/percent\n"}
MOUNTS = """\
set -e
hostname $1
mount --make-rprivate /
mount --bind cron.d /etc/cron.d
mount --bind crontab /etc/crontab
mount --bind spool /var/spool/cron/crontabs
mount --bind log /var/log
mount -t tmpfs none /run
mkdir sbin.upper sbin.work
cp sendmail sbin.upper/sendmail
mount -t overlay none -o lowerdir=/usr/sbin,upperdir=sbin.upper,workdir=sbin.work /usr/sbin
exec cron -f
"""
PROMPT = 0.7  # s: the node that ran last yields to the two others for 1.2 s; a busy machine may be slow to start them


class Machine:
    """A node: a cron with files, logs, mail and a host name of its own, so that the machine's crontabs sleep."""

    def __init__(self, name, folder, crontab):
        self.name, self.folder = name, folder
        for inner in ("cron.d", "spool", "log"):
            (folder / inner).mkdir(parents=True)
        (folder / "crontab").write_text("")
        executable(folder / "sendmail", f"#!/bin/sh\ncat >> {folder}/mail\n")
        file = folder / "cron.d" / "cronlock-test"
        file.write_text(crontab)
        file.chmod(0o644)
        self.process = subprocess.Popen(["unshare", "--mount", "--uts", "sh", "-c", MOUNTS, "sh", name], cwd=folder)
        heir().tell(f"+pid {self.process.pid}")

    def end(self):
        self.process.terminate()
        self.process.wait(10)
        heir().tell(f"-pid {self.process.pid}")

    def lines(self, name):
        path = self.folder / name
        return path.read_text().splitlines() if path.exists() else []

    def said(self, key):
        """Return the messages about a key, a line for each minute; on a busy machine also about a slow voter."""
        said = [line.removeprefix(f"cronlock: {key}: ") for line in self.lines("log/jobs") if f": {key}: " in line]
        return [line for line in said if not line.startswith("voter unreachable: ")]

    def starts(self, key):
        """When cronlock was started for a key, in seconds, in the order of the minutes."""
        calls = [line.split() for line in self.lines("log/calls")]
        return sorted(int(call[0]) / 1e9 for call in calls if call[call.index("--key") + 1] == key)


def executable(path, text):
    path.write_text(text)
    path.chmod(0o755)


class Minutes:
    """The runs of three machines until now. `had`: the node of a key's tick; ticks are as in the guide's log."""

    def __init__(self, machines, runs):
        self.machines = machines
        self.runs = [line.split() for line in runs.read_text().splitlines()] if runs.exists() else []
        self.had = {(tick, key): node for tick, key, node, _ in self.runs if key != EACH}
        self.said, self.starts = {}, {}
        for machine in machines:
            minutes = self.minutes_of(machine.name)
            for key in (EACH, *ONCE):
                self._fill(self.said, machine.name, key, minutes, machine.said(key))
            for key in (*ONCE, *QUIET):
                self._fill(self.starts, machine.name, key, minutes, machine.starts(key))

    @staticmethod
    def _fill(table, node, key, minutes, values):
        table |= {(tick, key, node): value for tick, value in zip(minutes, values, strict=False)}

    def minutes_of(self, node):
        """Return the ticks at which this node's cron has started all its jobs; one job runs on each node."""
        return [tick for tick, key, where, _ in self.runs if (key, where) == (EACH, node)]

    def complete(self):
        """Return the ticks at which all nodes have logged all jobs that the guide shows."""
        return [
            tick
            for tick in self.minutes_of(NODES[0])
            if all((tick, key, node) in self.said for key in (EACH, *ONCE) for node in NODES)
            and all((tick, key, node) in self.starts for key in QUIET for node in NODES)
        ]


@pytest.fixture
def machines(cluster, tmp_path):
    """Three of them, with one crontab: the guide's on our servers, and lines that must stay silent."""
    programs = tmp_path / "programs"
    programs.mkdir()
    executable(programs / "cronlock", CRONLOCK.format(python=shlex.quote(sys.executable)))
    for key in (EACH, *ONCE, *QUIET):
        executable(programs / key, (COMMAND + AFTERWARDS.get(key, "")).format(tmp=tmp_path))
    crontab = CRONTAB.format(
        programs=programs,
        path=f"PYTHONPATH={environment()['PYTHONPATH']}" if "PYTHONPATH" in environment() else "",
        shown=re.sub("(?m)^CRONLOCK_REDIS=.*", f"CRONLOCK_REDIS={cluster.urls[0]}", SHOWN),
    )
    machines = [Machine(name, tmp_path / name, crontab) for name in NODES]
    yield machines
    for machine in machines:
        machine.end()


@pytest.mark.timeout(120 + 60 * MINUTES)
def test_three_nodes_three_jobs_under_a_real_cron(machines, tmp_path):
    """The guide's demonstration, on 3 masters and 3 replicas: one job on each node, two on one of them only.

    `-v` tells who had it. Without it there is no mail, and what stands behind a crontab line's `%` is the command's
    standard input, and no part of the line's schedule or key.
    """

    def minutes():
        assert [machine.process.poll() for machine in machines] == [None] * len(NODES)
        return Minutes(machines, tmp_path / "runs")

    wait_until(lambda: len(minutes().complete()) >= MINUTES, 60 * MINUTES + 80, f"{MINUTES} minutes", interval=0.5)
    time.sleep(10)  # a second run of a tick would start now
    seen = minutes()
    assert_each_node_ran_each_minute(seen)
    assert_each_tick_ran_once(seen)
    assert_the_others_tell_who_had_it(seen)
    assert_they_take_turns(seen)
    assert all(call.split()[1] == "0" for machine in machines for call in machine.lines("log/calls"))
    for machine in machines:
        subjects = [line for line in machine.lines("mail") if line.startswith("Subject:")]
        assert subjects, "the last line's mail shows that mail would have been seen"
        assert all("a job that is not quiet" in subject for subject in subjects), subjects
    percents = [tick for tick, key, _, _ in seen.runs if key == "percent"]
    assert (tmp_path / "percent").read_bytes() == b"line one\nline two\n" * len(percents)


def assert_each_node_ran_each_minute(seen):
    for node in NODES:
        ticks = [datetime.fromisoformat(tick) for tick in seen.minutes_of(node)]
        assert [tick.second for tick in ticks] == [0] * len(ticks)
        assert [(after - tick).seconds for tick, after in itertools.pairwise(ticks)] == [60] * (len(ticks) - 1)
        assert {seen.said[tick, EACH, node] for tick in seen.complete()} == {"ran: status 0"}


def assert_each_tick_ran_once(seen):
    for key in (*ONCE, *QUIET):
        runs = [(tick, int(token)) for tick, of, _, token in seen.runs if of == key]
        ticks = [tick for tick, _ in runs]
        assert len(set(ticks)) == len(ticks)
        assert set(ticks) >= set(seen.complete())
        assert all(token < after for (_, token), (_, after) in itertools.pairwise(runs))


def assert_the_others_tell_who_had_it(seen):
    for tick in seen.complete():
        for key in ONCE:
            had = seen.had[tick, key]
            assert seen.said[tick, key, had] == "ran: status 0"
            for other in set(NODES) - {had}:
                assert re.fullmatch(ran_on(had, tick.removesuffix(":00Z") + "Z"), seen.said[tick, key, other])


def ran_on(node, tick):
    """Return the pattern of the other nodes' messages about a tick that this node has or had."""
    held = rf"held by {node} since \d\d:\d\d:\d\d, pid \d+"
    return rf"{held}|done: the tick of {tick} ran on {node}; --again runs it once more"


def assert_they_take_turns(seen):
    """Nobody has a job twice in a row when another node's cron started it at about the same time."""
    for tick, after in itertools.pairwise(seen.complete()):
        for key in (*ONCE, *QUIET):
            had = seen.had[tick, key]
            later = min(seen.starts[after, key, node] for node in NODES if node != had) - seen.starts[after, key, had]
            assert seen.had[after, key] != had or later > PROMPT, (key, after, later)


def test_the_log_that_the_guide_shows_is_of_such_a_run():
    """Each minute one node ran the job and the others name it; in three minutes it went round."""
    [text] = re.findall(r"^```\n(web-1\$ .*?)^```$", page("monitoring.md"), re.MULTILINE | re.DOTALL)
    logs = dict(re.findall(r"^(web-\d)\$ .*\n((?:cronlock: .*\n)+)", text, re.MULTILINE))
    assert tuple(logs) == NODES
    [key] = {key for key in ONCE if f" {key}: " in text}
    said = {node: re.findall(rf"^cronlock: {key}: (.*)$", log, re.MULTILINE) for node, log in logs.items()}
    minutes = [dict(zip(NODES, lines, strict=True)) for lines in zip(*said.values(), strict=True)]
    assert len(minutes) == MINUTES
    ran = [[node for node, line in minute.items() if line == "ran: status 0"] for minute in minutes]
    assert sorted(ran) == [[node] for node in NODES]
    for minute, [had] in zip(minutes, ran, strict=True):
        assert all(re.fullmatch(ran_on(had, ".+"), minute[node]) for node in NODES if node != had)


def test_a_line_of_a_users_crontab_is_found_by_that_user(tmp_path, server):
    """`crontab -l` of an unprivileged user: the dry run shows the schedule."""
    user = "nobody"
    python = "/usr/bin/python3"
    line = f"17 3 * * 1-5 cd / && {python} -m cronlock run --key mine --redis {server.url} -- true\n"
    before = subprocess.run(["crontab", "-u", user, "-l"], capture_output=True, text=True, check=False)
    subprocess.run(["crontab", "-u", user, "-"], input=line, text=True, check=True)
    try:
        probe = "from cronlock.cron.crontab import own_lines\n"
        probe += "print([(l.place, l.fields) for l in own_lines('mine', 'once')])"
        done = subprocess.run(
            [sys.executable, "-c", SETUID, str(ROOT), probe], cwd="/", capture_output=True, text=True, check=False
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
import cronlock.cron.crontab, cronlock.cron.parser
entry = pwd.getpwnam("nobody")
os.setgroups([])
os.setgid(entry.pw_gid)
os.setuid(entry.pw_uid)
os.environ.update(HOME="/", LOGNAME="nobody", PATH="/usr/bin:/bin")
exec(sys.argv[2])
"""
