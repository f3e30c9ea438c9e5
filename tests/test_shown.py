"""Every command that README, the man pages and crontab.example show is run, as it stands, on a machine like theirs.

A command that is new on a page is run too: nobody has to remember it. What can't be run here has a row in WAYS that
names the test or the script that does.
"""

import re
from dataclasses import dataclass

import pytest

from cronlock.cronlines import DEBIAN, Row, every_line, rows
from cronlock.schedule import Schedule
from tests.commands import ROOT
from tests.shown import CRON, OTHER, SETTING, TYPED, Block, Command, blocks, crontab
from tests.stage import Stage

pytestmark = pytest.mark.debian

PEOPLE = re.compile(r"cronlock (status|history|unlock|forget|adopt|pause|resume)\b.*")
KNOWN = 'cronlock run --key "{key}" --schedule none -- true'  # makes the voters know a key


@dataclass(frozen=True)
class Way:
    """How a command that fits `pattern` as a whole is tried.

    `by`: it is not run here, but there. `foreign`: it is another program's, which is not here. `instead`: words that are no whole command stand for this one, with the
    pattern's groups in it. `first`: what is typed before. `stays`: it goes on until SIGTERM. `status`: what it may end
    with. `says`: a pattern that stands in what it prints.
    """

    pattern: str
    by: str = ""
    foreign: bool = False
    instead: str = ""
    first: str = ""
    stays: bool = False
    status: tuple[int, ...] = (0,)
    says: str = ""
    shell: str = "/bin/sh"


WAYS = (
    # setting up: others do it in full
    Way(r"python3 -m venv \.venv && .*", by=".ci/run"),
    Way(r"\.venv/bin/pip install '\.\[test\]' && .*", by=".ci/run"),
    Way(r"python3 -m venv /opt/cronlock && .*", by="tests/bench/house.py"),
    Way(r"python -m tests\.bench", by="tests/test_bench.py"),
    Way(r"python -m tests\.bench\.crowd", by="tests/test_crowd.py"),
    # names of commands
    Way(r"cronlock (run|wrap)", instead="cronlock {0} --help"),
    Way(r"cronlock (\w+) KEY\.\.\.", instead="cronlock {0} --help"),
    Way(r"python -m cronlock run", instead="python -m cronlock run --help"),
    Way(r"cd x && cronlock run \.\.\.", by="tests/test_crontab.py"),
    Way(r"sh -c( '\.\.\.')?", by="tests/test_crontab.py"),
    Way(r"systemctl stop", by="tests/test_systemd.py"),
    Way(r"flock -n|etcdctl lock", by="tests/bench/peers.py"),
    Way(r"time\(\) - max by \(key\) .*", by="tests/test_status.py"),
    Way(r"cat /var/log/jobs", by="tests/test_cron.py"),
    # whole commands with something of their own
    Way(r".*_CRONLOCK_COMPLETE=bash_source.*", shell="bash"),
    Way(r".*_CRONLOCK_COMPLETE=zsh_source.*", shell="zsh", first="autoload -U compinit; compinit -D"),
    Way(r".*_CRONLOCK_COMPLETE=fish_source.*", shell="fish"),
    Way(r"cronlock run .*--wait forever -- (/usr/local/bin/)?scheduler", stays=True, status=(143,)),
    Way(r"CRONLOCK_HOST=redis-1 cronlock mail", status=(125,), says="No such command 'mail'; what to run goes behind"),
    Way(r"flock .*"),
    Way(r"consul lock .*", foreign=True),
    Way(r"crontab -l > old && cronlock wrap .* && diff old new", status=(1,), says="> .*/cronlock run --once --key"),
    Way(r"cronlock check", status=(0, 1), says=r"\d+ green, \d+ yellow, \d+ red"),
    Way(r"cronlock run --once --key month .*", status=(0, 1)),  # on the first of a month
    Way(r"cronlock run .*--tick \"\$JOB_NAME\" .*", first="JOB_NAME=nightly-$(($(date +%s) / 60))"),
    Way(r"man .*|mkdir -p .*|crontab (new|-l)"),
    Way(r".*\bcronlock\b.*"),
)
OTHERS = {  # texts for other programs, and who gives them to these
    "apiVersion": "tests/test_kubernetes.py",
    "# /etc/systemd": "tests/test_systemd.py",
    "ACL SETUSER": "tests/test_docs.py",
    "redis = ": "tests/test_docs.py tests/test_settings_page.py",
    "/etc/cronlock.toml: ": "tests/test_settings_page.py",
    "local = ": "tests/test_settings_page.py",
}


def way_of(command: str) -> Way:
    found = next((way for way in WAYS if re.fullmatch(way.pattern, command, re.DOTALL)), None)
    assert found, f"no test runs this: give it a row in WAYS: {command}"
    return found


def kept(kind: str) -> list[Block]:
    return [block for block in blocks() if block.kind == kind]


def name(block: Block) -> str:
    return f"{block.place}: {block.commands[0].text if block.commands else block.text.splitlines()[0]}"


# What is shown


@pytest.mark.parametrize("block", kept(TYPED), ids=name)
def test_what_can_be_typed_runs(block: Block, stage: Stage) -> None:
    """One line after the other; none is refused, and a command behind `cronlock run` is started."""
    for command in block.commands:
        way = way_of(command.text)
        if not (way.by or way.foreign):
            run(command, way, stage)


def run(command: Command, way: Way, stage: Stage) -> None:
    if people := PEOPLE.search(command.text):
        for key in keys_of(people[0]):
            assert stage.run(KNOWN.format(key=key)).returncode == 0
    if way.stays:
        assert stage.daemon(command.text, way.shell) in way.status
        return
    groups = re.fullmatch(way.pattern, command.text, re.DOTALL)
    line = way.instead.format(*groups.groups()) if way.instead and groups else command.text
    env = {"CRONLOCK_NODE": command.node} if command.node else {}
    done = stage.run(f"{way.first}\n{line}" if way.first else line, way.shell, **env)
    assert done.returncode in way.status, (line, done.stdout, done.stderr)
    assert "refused" not in done.stderr or 125 in way.status
    assert re.search(way.says, done.stdout + done.stderr), (line, done.stdout)
    if "cronlock run" in line and not re.search("--(dry-run|help)|wrap", line):
        assert stage.ran(), f"{line} started nothing: {done.stderr}"


def keys_of(line: str) -> list[str]:
    """The keys that a command of people names, where the voters are those of the settings."""
    words = re.sub(r"--(format|limit|for|reason|until|redis) (\"[^\"]*\"|\S+)", "", line.partition(" >")[0]).split()[2:]
    return [] if "--local" in words else [word for word in words if not word.startswith("-") and word != "KEY..."]


@pytest.mark.parametrize("block", kept(SETTING), ids=name)
def test_a_setting_of_redis_is_one(block: Block, stage: Stage) -> None:
    assert stage.servers[0].ask("CONFIG", "SET", *block.text.split())


@pytest.mark.parametrize("block", kept(CRON), ids=name)
def test_a_crontab_that_is_shown_runs(block: Block, stage: Stage) -> None:
    """Each line where cron reads it, in cron's environment; one that has `cronlock run` finds its own schedule there."""
    text, system = crontab(block)
    stage.crontab(text) if system else stage.own_crontab(text)
    lines = {line.number: line for line in every_line(text, "shown", system=system, cron=DEBIAN)}
    found = list(rows(text, system, DEBIAN))
    assert found, "no row that cron would start"
    for row in found:
        Schedule([row.fields], "UTC").upcoming(0, 1)
        said = run_row(row, stage)
        if row.number in lines and "late: it is too late for the tick of" not in said:
            assert (lines[row.number].key, row.fields) in stage.ran(), said


def run_row(row: Row, stage: Stage) -> str:
    """What it says on standard error. README's settings file lets it start for two hours, and the hour is any."""
    way = way_of(row.command)
    env = {name: value for name, value in row.variables.items() if value is not None}
    done = stage.run(row.command, **{"CRONLOCK_START_WITHIN": "1d", "CRONLOCK_VERBOSE": "1", **env})
    assert done.returncode in way.status, (row.command, done.stdout, done.stderr)
    return done.stderr


# The table


def test_no_way_is_left_over() -> None:
    """Each row is the first that fits some command."""
    typed = [command.text for block in kept(TYPED) for command in block.commands]
    in_crontabs = [row.command for block in kept(CRON) for row in rows(*crontab(block), DEBIAN)]
    used = {way_of(command).pattern for command in (*typed, *in_crontabs)}
    assert [way.pattern for way in WAYS if way.pattern not in used] == []


def test_a_text_for_another_program_is_read_by_a_test() -> None:
    for block in kept(OTHER):
        assert any(block.text.startswith(front) for front in OTHERS), f"no test reads this: {block.place}"


def test_those_who_do_it_elsewhere_are_there() -> None:
    places = {place for way in WAYS for place in way.by.split()} | {
        p for files in OTHERS.values() for p in files.split()
    }
    assert [place for place in places if not (ROOT / place).is_file()] == []
