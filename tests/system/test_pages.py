"""Every command that README, the guide, the man pages and crontab.example show is run, on a machine like theirs.

A command that is new on a page is run too: nobody has to remember it. What can't be run here has a row in WAYS that
names the test or the script that does.
"""

import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass

import pytest

from cronlock.cron.parser import DEBIAN, Row, every_line, rows
from cronlock.cron.schedule import Schedule
from tests.support.commands import ROOT, environment, home
from tests.support.doc_sandbox import CRON, OTHER, SETTING, TYPED, Block, Command, blocks, crontab
from tests.support.namespace_host import NamespaceHost
from tests.support.processes import about

pytestmark = pytest.mark.debian

PEOPLE = re.compile(r"cronlock (status|history|unlock|forget|adopt|pause|resume)\b.*")
CRONLOCK = (sys.executable, "-m", "cronlock", "run", "--local", "--schedule", "none")
KNOWN = 'cronlock run --key "{key}" --schedule none -- true'  # makes the voters know a key


@dataclass(frozen=True)
class Way:
    """How a command that fits `pattern` as a whole is tried.

    `by`: it is not run here, but in that file, which has this text. `foreign`: it is another program's, which is not
    here. `instead`: words that are no whole command stand for this one, with the pattern's groups in it. `first`: what
    is typed before. `stays`: it goes on until SIGTERM. `status`: what it may end with. `says`: a pattern that stands in
    what it prints. `prompt`: the shell.
    """

    pattern: str
    by: str = ""
    foreign: bool = False
    instead: str = ""
    first: str = ""
    stays: bool = False
    status: tuple[int, ...] = (0,)
    says: str = ""
    prompt: str = "/bin/sh"


WAYS = (
    # setting up: others do it in full
    Way(r"python3 -m venv \.venv && .*", by=".ci/run: -m venv .venv"),
    Way(r"\.venv/bin/pip install '\.\[test\]' && .*", by=".ci/run: .venv/bin/pip install"),
    Way(r"python3 -m venv /opt/cronlock\S* && .*", by="tests/system/test_package.py: for_all_users"),
    Way(r"/opt/cronlock\S*/bin/cronlock install", by="tests/system/test_package.py: for_all_users"),
    Way(r"cronlock install.*", by="tests/integration/test_install.py: uninstalling_removes_what_it_wrote"),
    Way(r"rm -\w+ (/opt/cronlock|/usr/local|/var/lib).*", by='tests/system/test_package.py: typed("Uninstall")'),
    Way(r"pipx .*|uv tool .*", by="tests/system/test_package.py: for_one_user"),
    Way(r"shiv .*", by="tests/system/test_package.py: single_file"),
    Way(r".*pip install tzdata", by="tests/system/test_package.py: pip install tzdata"),
    Way(r"docker run --init", foreign=True),
    Way(r"python -m tests\.bench", by="tests/bench/test_bench.py: tests.bench"),
    Way(r"python -m tests\.bench\.crowd", by="tests/bench/test_crowd.py: tests.bench.crowd"),
    # names of commands
    Way(r"cronlock (?!(?:check|status)$)(\w+)(?: KEY\.\.\.)?", instead="cronlock {0} --help"),
    Way(r"python -I -m cronlock run", instead="python -m cronlock run --help"),
    Way(r"cd x && cronlock run \.\.\.", by="tests/unit/test_crontab.py: && cronlock run"),
    Way(r"sh -c( '\.\.\.')?", by="tests/unit/test_crontab.py: sh -c"),
    Way(r"ps -ef?"),
    Way(r"systemctl stop", by="tests/system/test_systemd.py: KillMode"),
    Way(r"flock -n|etcdctl lock", by="tests/bench/peers.py: flock -n"),
    Way(r"time\(\) - max by \(key\) .*", by="tests/integration/test_status.py: last_success_timestamp_seconds"),
    Way(r"(cat|grep report) /var/log/jobs", by="tests/system/test_cron.py: log/jobs"),
    # whole commands with something of their own
    Way(r"cronlock run .* \./deploy", first="ln -sf /bin/true deploy"),
    Way(r".*_CRONLOCK_COMPLETE=bash_source.*", prompt="bash"),
    Way(r".*_CRONLOCK_COMPLETE=zsh_source.*", prompt="zsh", first="autoload -U compinit; compinit -D"),
    Way(r".*_CRONLOCK_COMPLETE=fish_source.*", prompt="fish"),
    Way(r"cronlock run .*--wait forever -- (/usr/local/bin/)?scheduler", stays=True, status=(143,)),
    Way(r"CRONLOCK_HOST=redis-1 cronlock mail", status=(125,), says="No such command 'mail'. To run a command:"),
    Way(r"flock .*"),
    Way(r"consul lock( .*)?", foreign=True),
    Way(r"crontab -l > old && cronlock wrap .* && diff old new", status=(1,), says="> .*/cronlock run --once --key"),
    Way(r"cronlock check", status=(0, 1), says=r"\d+ green, \d+ yellow, \d+ red"),
    Way(r"cronlock run --once --key month .*", status=(0, 1)),  # on the first of a month
    Way(r"man .*|mkdir -p .*|crontab (new|-l)"),
    Way(r".*\bcronlock\b.*"),
)
OTHERS = {  # how texts for other programs begin, and who gives them to these
    "apiVersion": 'tests/system/test_kubernetes.py: blocks("yaml"',
    "redis=redis://": 'tests/system/test_readme.py: blocks("sh"',
    "# .git": 'tests/integration/test_ci_page.py: blocks("yaml"',
    "# /etc/systemd": 'tests/system/test_systemd.py: blocks("ini"',
    "FROM ": 'tests/system/test_package.py: blocks("dockerfile"',
    "ACL SETUSER": 'tests/integration/test_docs.py: blocks("redis"',
    "redis = ": 'tests/integration/test_docs.py: blocks("toml"',
    "/etc/cronlock.toml: ": "tests/integration/test_settings_page.py: examples",
    "local = ": "tests/integration/test_settings_page.py: files",
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
def test_what_can_be_typed_runs(block: Block, namespace_host: NamespaceHost) -> None:
    """One line after the other; none is refused, and a command behind `cronlock run` is started."""
    for command in block.commands:
        way = way_of(command.text)
        if not (way.by or way.foreign):
            run(command, way, namespace_host)


def run(command: Command, way: Way, namespace_host: NamespaceHost) -> None:
    if people := PEOPLE.search(command.text):
        for key in keys_of(people[0]):
            assert namespace_host.run(KNOWN.format(key=key)).returncode == 0
    if way.stays:
        assert namespace_host.daemon(command.text, way.prompt) in way.status
        return
    groups = re.fullmatch(way.pattern, command.text, re.DOTALL)
    line = way.instead.format(*groups.groups()) if way.instead and groups else command.text
    env = {"CRONLOCK_NODE": command.node} if command.node else {}
    done = namespace_host.run(f"{way.first}\n{line}" if way.first else line, way.prompt, **env)
    assert done.returncode in way.status, (line, done.stdout, done.stderr)
    assert "refused" not in done.stderr or 125 in way.status
    assert re.search(way.says, done.stdout + done.stderr), (line, done.stdout)
    if "cronlock run" in line and not re.search("--(dry-run|help)|wrap", line):
        assert namespace_host.ran(), f"{line} started nothing: {done.stderr}"


def keys_of(line: str) -> list[str]:
    """The keys that a command of people names, where the voters are those of the settings."""
    words = re.sub(r"--(format|limit|for|reason|until|redis) (\"[^\"]*\"|\S+)", "", line.partition(" >")[0]).split()[2:]
    return [] if "--local" in words else [word for word in words if not word.startswith("-") and word != "KEY..."]


@pytest.mark.parametrize("block", kept(SETTING), ids=name)
def test_a_setting_of_redis_is_one(block: Block, namespace_host: NamespaceHost) -> None:
    assert namespace_host.servers[0].ask("CONFIG", "SET", *block.text.split())


@pytest.mark.parametrize("block", kept(CRON), ids=name)
def test_a_crontab_that_is_shown_runs(block: Block, namespace_host: NamespaceHost) -> None:
    """Each line where cron reads it, in cron's environment; `cronlock run` finds its own schedule there."""
    text, system = crontab(block)
    namespace_host.crontab(text) if system else namespace_host.own_crontab(text)
    lines = {line.number: line for line in every_line(text, "shown", system=system, cron=DEBIAN)}
    found = list(rows(text, system, DEBIAN))
    assert found, "no row that cron would start"
    for row in found:
        Schedule([row.fields], "UTC").upcoming(0, 1)
        said = run_row(row, namespace_host)
        if row.number in lines and "late: it is too late for the tick of" not in said:
            schedule = lines[row.number].given.get("schedule", row.fields)
            assert (lines[row.number].key, schedule) in namespace_host.ran(), said


def run_row(row: Row, namespace_host: NamespaceHost) -> str:
    """What it says on standard error. README's settings file lets it start for two hours, and the hour is any."""
    way = way_of(row.command)
    env = {name: value for name, value in row.variables.items() if value is not None}
    command = re.sub(r"^sleep \d+; ", "", row.command)
    done = namespace_host.run(command, **{"CRONLOCK_START_WITHIN": "1d", "CRONLOCK_VERBOSE": "1", **env})
    assert done.returncode in way.status, (row.command, done.stdout, done.stderr)
    return done.stderr


# What is said of others


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_signal_for_flock_leaves_the_command_and_the_lock(number: signal.Signals) -> None:
    words = ["flock", "-n", "lock", "sh", "-c", "echo $$; exec sleep 20"]
    with subprocess.Popen(words, cwd=home(), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        process.send_signal(number)
        process.wait()
        held = subprocess.run(["flock", "-n", "lock", "true"], cwd=home(), check=False)
        assert held.returncode == 1
        assert about(pid)["State"][0] in "RS"
        os.kill(pid, signal.SIGKILL)


def test_what_stays_in_the_background_keeps_the_lock_of_flock_and_not_of_cronlock(local_key: str) -> None:
    script = "sleep 20 <&- >&- 2>&- & echo $!"
    for words in (["flock", "-n", "lock"], [*CRONLOCK, "--key", local_key, "-E", "1"]):
        pid = int(subprocess.check_output([*words, "sh", "-c", script], cwd=home(), env=environment()))
        again = subprocess.run([*words, "true"], cwd=home(), env=environment(), check=False)
        assert again.returncode == (1 if words[0] == "flock" else 0)
        os.kill(pid, signal.SIGKILL)


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
    for by in [*filter(None, (way.by for way in WAYS)), *OTHERS.values()]:
        file, _, text = by.partition(": ")
        assert text in (ROOT / file).read_text(), by
