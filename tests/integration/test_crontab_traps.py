"""Crontab lines that can't do what they say: check, wrap and run agree about each, and check is never green for one."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cronlock.commands.check.accounts import switched_user
from cronlock.commands.check.findings import GREEN, RED, YELLOW, Finding
from cronlock.commands.check.rest_of_line import find_rest
from cronlock.commands.crontab_wrapper import Wrapper, wrap_crontab
from cronlock.commands.option_faults import option_fault
from cronlock.commands.row_faults import RowFault, faults_of
from cronlock.config.options import scan
from cronlock.cron.crontab import CRONTAB_MAX, Sources, own_lines
from cronlock.cron.parser import BUSYBOX, DEBIAN, every_line
from cronlock.cron.shell import commands
from tests.integration.test_check_cron_lines import REDIS, Machine
from tests.support.commands import environment

RUN = "cronlock run --once --key n -- true"
WRAPPER = Wrapper("/usr/local/bin/cronlock", "once", False, DEBIAN)
UNCLOSED = "a quote or a bracket in its command is not closed"


@pytest.fixture
def machine(open_folder: Path) -> Machine:
    """A machine whose files every user may see."""
    return Machine(open_folder)


def worst(findings: list[Finding]) -> tuple[str, str]:
    """Return the level and the words of the only finding that is not green."""
    [found] = [finding for finding in findings if finding.level != GREEN]
    return found.level, found.line_text


def notes(*rows: str, system: bool = False) -> list[str]:
    """Return what wrap says about rows that it must leave alone."""
    crontab = "".join(f"{row}\n" for row in rows)
    same, said = wrap_crontab(crontab, replace(WRAPPER, system=system))
    assert same == crontab
    return said


def ticks(*rows: str) -> list[str]:
    """Return the schedules that a run with the key n gets from one user's crontab."""
    sources = Sources("/nowhere", 1000, lambda: "".join(f"{row}\n" for row in rows))
    return [line.fields for line in own_lines("n", "once", sources)]


# The rest of a line

EVERY = "takes effect on every node, even where cronlock does not run the command: "


@pytest.mark.parametrize(
    ("command", "rest", "todo"),
    [
        (f"{RUN} && report", "&& report", "write cronlock run --once --key n -- sh -c 'true && report'"),
        (f"{RUN}; report", "; report", "write cronlock run --once --key n -- sh -c 'true; report'"),
        (f"{RUN} | mail root", "| mail root", "write cronlock run --once --key n -- sh -c 'true | mail root'"),
        (f"{RUN} > /srv/x", "> /srv/x", "write cronlock run --once --key n -- sh -c 'true > /srv/x'"),
        (f"{RUN} 2> /srv/x", "> /srv/x", "write cronlock run --once --key n -- sh -c 'true 2> /srv/x'"),
        (f"{RUN} & report", "& report", "put it into one shell behind cronlock: -- sh -c '...'"),
        (
            f"{RUN} && true && report",
            "&& report",
            "write cronlock run --once --key n -- sh -c 'true && true && report'",
        ),
        (
            "cronlock run -E 75 -k n true || report",
            "|| report",
            "write cronlock run -E 75 -k n -- sh -c 'true || report'",
        ),
        (
            f"{RUN} && echo 'a b'",
            "&& echo 'a b'",
            r"write cronlock run --once --key n -- sh -c 'true && echo '\''a b'\'''",
        ),
        (f"{{ {RUN}; }} > /srv/x", "> /srv/x", "put it into one shell behind cronlock: -- sh -c '...'"),
        (f"if {RUN}; then report; fi", "; then report; fi", "put it into one shell behind cronlock: -- sh -c '...'"),
        (f"sh -c '{RUN} && report'", "&& report", "put it into one shell behind cronlock: -- sh -c '...'"),
        (
            f"cd / && {RUN} && report",
            "&& report",
            "write cd / && cronlock run --once --key n -- sh -c 'true && report'",
        ),
        (f"{RUN} && date +\\%F", "&& date +%F", "put it into one shell behind cronlock: -- sh -c '...'"),
    ],
)
def test_what_follows_cronlock_runs_on_every_node(machine: Machine, command: str, rest: str, todo: str) -> None:
    """check and wrap say so with the line to write; to run it is a good line."""
    machine.executable("programs/sh")
    assert worst(machine.of_line(command)) == (YELLOW, f"{rest} {EVERY}{todo}")
    assert notes(f"0 2 * * * {command}") == [f"line 1: left alone: {rest} {EVERY}{todo}"]
    assert ticks(f"0 2 * * * {command}") == ["0 2 * * *"]
    if todo.startswith("write "):
        assert worst_level(machine.of_line(todo.removeprefix("write "))) == GREEN


def worst_level(findings: list[Finding]) -> str:
    return max((finding.level for finding in findings), key=[GREEN, YELLOW, RED].index)


@pytest.mark.parametrize(
    "command",
    [
        RUN,
        f"{RUN} >> /var/log/jobs 2>&1",
        f"{RUN} > /dev/null 2>&1",
        f"{RUN} &",
        f"{RUN} || report",
        f"{RUN} || true",
        f"{RUN} | logger -t job",
        f"{RUN} # && report",
        f"( {RUN} )",
        "cronlock run -E 75 --key n -- true && report",
        "cronlock run --each --key n -- true && report",
        "cronlock run --key n -- sh -c 'true && report > /srv/x'",
        "cronlock run --key n -- true; cronlock run --key m -- true",
    ],
)
def test_a_rest_that_does_nothing_elsewhere_is_not_a_finding(command: str) -> None:
    status = 75 if "-E" in command else 0
    assert "--each" in command or find_rest(command, status) == ("", "")
    assert wrap_crontab(f"0 2 * * * {command}\n", WRAPPER) == (f"0 2 * * * {command}\n", [])


def test_with_a_local_lock_the_rest_is_not_about_nodes(machine: Machine) -> None:
    findings = machine.of("0 2 * * * cronlock run --local --key n -- true && report")
    assert any("&& report takes effect even when cronlock does not run" in finding.text for finding in findings)


@settings(max_examples=500)
@example("$(" * 900 + "cronlock run a" + ")" * 900)
@given(st.text(alphabet="ab &|;<>()'\"$`{}#%\\\n", max_size=30))
@example("a > b && c")
def test_wrap_never_leaves_a_rest_behind_cronlock(command: str) -> None:
    new, _ = wrap_crontab(f"0 2 * * * {command}\n", WRAPPER)
    for line in every_line(new, "", system=False, cron=DEBIAN):
        assert find_rest(line.script, 0) == ("", "")


# Rows that cron, or the shell, reads in another way


@pytest.mark.parametrize(
    ("row", "level", "said"),
    [
        ("0 2 * * * cronlock run -k n -- sh -c 'true > r-$(date +%F)'", RED, f": {UNCLOSED}: write \\% for a percent"),
        ('0 2 * * * cronlock run -k n -- true "%F"', RED, UNCLOSED),
        (
            "0 2 * * * cronlock run -k n -- true --to db-%F.sql",
            YELLOW,
            "ends its command after '...k n -- true --to db-'",
        ),
        ("0 2 * * * cronlock run -k n -- true b%Y%m%d.tgz", YELLOW, "a % without a backslash ends its command after"),
        (
            "0 2 * * * true +%F && cronlock run -k n -- true",
            RED,
            "a % without a backslash ends its command after 'true +'",
        ),
        ("0 2 * * * cronlock run -k n -- sh -c 'true", RED, UNCLOSED),
        (
            "0 2 * * * cronlock --once --key n -- true",
            RED,
            "run is missing before --once: write cronlock run --once --key n",
        ),
        (
            "0 2 * * * cronlock rum -k n -- true",
            RED,
            "cronlock has no command rum: write cronlock run, or cronlock run",
        ),
        (
            "0 2 * * * CRONLOCK_RELEASE=60 cronlock true -x",
            RED,
            "cronlock has no command true; only the bash tool of this",
        ),
        ("0 2 * * * cronlock true", RED, "write cronlock run --key NAME -- true"),
        ("0 2 * * * sudo -u app /usr/bin/cronlock true", RED, "cronlock has no command true"),
        ("0 2 * * * cronlock", RED, "cronlock is started without a command of its own"),
        (
            "0 2 * * cronlock run -k n -- true",
            RED,
            "it has four schedule fields, so cron reads cronlock as the next one",
        ),
        (
            "0 2 * cronlock run -k n -- true",
            RED,
            "it has three schedule fields, so cron reads cronlock as the next one",
        ),
        (
            "0 0 2 * * * cronlock run -k n -- true",
            RED,
            "six schedule fields, so cron reads * as a command: cron knows five: rem",
        ),
        ("0 2 * * * 2027 cronlock run -k n -- true", RED, "cron knows five: remove the year"),
        ("0 0 2 ? * MON 2027 cronlock run -k n -- true", RED, "it has seven schedule fields"),
        (
            "0 2 * * mon#1 cronlock run -k n -- true",
            YELLOW,
            "cron starts the line on each mon, but cronlock reads mon#1 as",
        ),
        ("0 2 * * mon#1,tue cronlock run -k n -- true", YELLOW, "cron starts the line on each mon, but cronlock reads"),
        (
            "0 2 * * * cronlock run --onec -k n -- true",
            RED,
            "it would be refused: no such option --onec: did you mean --once?",
        ),
    ],
)
def test_a_row_that_means_something_else_is_named_by_check_and_wrap(
    machine: Machine, row: str, level: str, said: str
) -> None:
    machine.executable("programs/sh")
    (finding, *_) = [found for found in machine.of(REDIS, row) if found.level != GREEN]
    assert finding.about == "crontab -l:2"
    assert (finding.level, said in finding.line_text) == (level, True), finding
    assert level == YELLOW or GREEN not in [found.level for found in machine.of(REDIS, row)]
    [note] = notes(row)
    assert note.startswith("line 1: left alone: ")
    assert finding.text.removesuffix(": cron ignores the whole file") in note


@pytest.mark.parametrize(
    "command",
    [
        "cronlock run -k n -- mail -s hello root%Hello,%%this is it",
        "cronlock run -k n -- cat % text",
        "cronlock run -k n -- cat%",
        "cronlock run -k n -- sh -c 'cat'%a",
        "cronlock run -k n -- date +\\%F",
        "cronlock status --format prometheus > /srv/x",
        "cronlock check",
        "find / -name cronlock -delete",
        "ls -l /usr/bin/cronlock /etc",
    ],
)
def test_what_cron_and_shell_read_as_it_is_written_is_not_a_fault(command: str) -> None:
    """A standard input of a command, crontab(5); cronlock's other commands; its name as a word of another program."""
    assert faults_of(f"0 2 * * * {command}", False, DEBIAN) == []


def test_busybox_knows_no_percent_sign() -> None:
    assert faults_of("0 2 * * * cronlock run -k n -- true --to db-%F.sql", False, BUSYBOX) == []


def test_a_schedule_of_its_own_says_what_is_meant(machine: Machine) -> None:
    """With it, cron starts the line each Monday, and cronlock runs the first one's."""
    [finding] = machine.of(REDIS, "0 2 * * mon#1 cronlock run -k n --schedule '0 2 * * mon#1' -- true")
    assert finding.level == GREEN


def test_a_user_column_in_a_users_crontab_is_red(machine: Machine) -> None:
    found = worst(machine.of(REDIS, f"0 2 * * * root {RUN}"))
    assert found == (RED, "root is a user, and this crontab has no user column: remove root")
    assert worst(machine.of(REDIS, f"0 2 * * * chronik {RUN}"))[1].startswith("chronik is not on cron's PATH")


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (f"0 2 * * * no-such-user {RUN}", "user no-such-user does not exist"),
        (f"0 2 * * root {RUN}", "it has four schedule fields, so cron reads root as the next one"),
        (f"0 2 * * {RUN}", "it has four schedule fields, so cron reads cronlock as the next one"),
        (f"0 0 2 * * * root {RUN}", "it has six schedule fields, so cron reads * as a user"),
        (f"0 2 * * * {RUN}", "the user column is missing"),
    ],
)
@pytest.mark.parametrize("crond", [False, True], ids=["debian", "cronie"])
def test_the_columns_of_a_system_crontab(machine: Machine, row: str, said: str, crond: bool) -> None:
    """Debian's cron ignores the whole file; the other rows of it are not green then."""
    if crond:
        (machine.root / "usr/sbin/cron").rename(machine.root / "usr/sbin/crond")
    findings = machine.of_system(f"{REDIS}\n{row}\n")
    assert any(finding.level == RED and said in finding.line_text for finding in findings)
    assert GREEN not in [finding.level for finding in findings]


@given(
    st.lists(st.sampled_from("--once --onec --key -k n --ttl 5m soon -v -vq -vz --once=1 -- true --each -w".split()))
)
@example(["--schedule", "*", "*", "true"])
def test_a_line_has_a_fault_where_the_scanner_gives_up(words: list[str]) -> None:
    [parsed] = commands(" ".join(words))
    fault = option_fault(parsed)
    assert bool(fault) == (scan(words) is None) or "not quoted" in fault


# Another user


@pytest.mark.parametrize(
    ("command", "program", "user"),
    [
        (f'su nobody -c "{RUN}"', "su", "nobody"),
        (f'su - nobody -s /bin/sh -c "{RUN}"', "su", "nobody"),
        (f'su -s /bin/sh -c "{RUN}" nobody', "su", "nobody"),
        (f'su nobody --command="{RUN}"', "su", "nobody"),
        (f"sudo -u nobody {RUN}", "sudo", "nobody"),
        (f"sudo -Hunobody -- {RUN}", "sudo", "root"),
        (f"sudo --user=nobody sh -c '{RUN}'", "sudo", "nobody"),
        (f"sudo {RUN}", "sudo", "root"),
        (f"doas -u nobody {RUN}", "doas", "nobody"),
        (f"runuser -u nobody -- {RUN}", "runuser", "nobody"),
        (f"runuser nobody -c '{RUN}'", "runuser", "nobody"),
        (f"setpriv --reuid=65534 --clear-groups {RUN}", "setpriv", "65534"),
        (f"sudo -u app prepare && {RUN}", "", ""),
        (f"nice {RUN}", "", ""),
        ("cronlock run -k n -- sudo -u nobody true", "", ""),
    ],
)
def test_the_user_who_runs_cronlock_is_known(command: str, program: str, user: str) -> None:
    [line] = every_line(f"0 2 * * * {command}\n", "", system=False)
    assert switched_user(line.front, line.script) == (program, user)


# Times


@pytest.mark.parametrize(
    ("rows", "place", "level", "said"),
    [
        (
            [f"* * * * * {RUN}", f"* * * * * sleep 30; {RUN}"],
            3,
            RED,
            "crontab -l:2 has the same ticks and does not sleep first",
        ),
        (
            [f"* * * * * sleep 40; {RUN}", f"* * * * * sleep 20; {RUN}"],
            2,
            RED,
            "-l:3 has the same ticks and sleeps less first",
        ),
        (
            [f"0 * * * * {RUN}", f"0 2 * * * sleep 1m; {RUN}"],
            3,
            RED,
            "so this line never runs: give each line its own key",
        ),
        ([f"0 * * * * {RUN}", f"0 2 * * * sleep $((RANDOM)); {RUN}"], 3, RED, "so this line never runs"),
        (
            [f"0 * * * * {RUN}", f"0 2 * * * {RUN}"],
            3,
            YELLOW,
            "has the same ticks: with one key the two lines run once",
        ),
        (
            [f"0 2 * * * {RUN}", f"0 2 * * * {RUN}"],
            3,
            YELLOW,
            "has the same ticks: with one key the two lines run once",
        ),
    ],
)
def test_a_line_whose_ticks_another_has_run_never_runs(
    machine: Machine, rows: list[str], place: int, level: str, said: str
) -> None:
    [finding] = [finding for finding in machine.of(REDIS, *rows) if finding.level == level]
    assert (finding.about, said in finding.line_text) == (f"crontab -l:{place}", True), finding


def test_lines_with_ticks_of_their_own_may_share_a_key(machine: Machine) -> None:
    rows = [f"0 2 * * * {RUN}", f"30 2 * * * sleep 10; {RUN}", f"0 2,4 * * * {RUN}"]
    assert [finding.level for finding in machine.of(REDIS, *rows[:2])] == [GREEN, GREEN]
    assert ticks(*rows[:2]) == ["0 2 * * *", "30 2 * * *"]
    every = RUN.replace("--once", "--schedule '@every 30s'")
    assert [f.level for f in machine.of(REDIS, f"* * * * * {every}", f"* * * * * sleep 30; {every}")] == [GREEN, GREEN]


@pytest.mark.parametrize(
    ("top", "crond", "said"),
    [
        ("CRON_TZ=Asia/Tokyo", False, "this cron ignores CRON_TZ: it starts the lines below by the clock of"),
        ("TZ=Asia/Tokyo", False, "TZ reaches the commands only"),
        ("TZ=Asia/Tokyo", True, "TZ reaches the commands only"),
        ("CRON_TZ=Asia/Tokyo", True, ""),
        ("TZ=UTC", False, ""),
    ],
)
def test_a_zone_that_cron_ignores_is_yellow(machine: Machine, top: str, crond: bool, said: str) -> None:
    """The run has the ticks of cron's zone, so an operator has to be told of it."""
    if crond:
        (machine.root / "usr/sbin/cron").rename(machine.root / "usr/sbin/crond")
    findings = [found for found in machine.of(REDIS, top, f"0 2 * * * {RUN}") if found.level != GREEN]
    assert [(f.about, f.level, said in f.text) for f in findings] == ([("crontab -l:2", YELLOW, True)] if said else [])
    assert [f.level for f in machine.of(REDIS, top, f"* * * * * {RUN}")] == [GREEN]


def test_a_zone_of_the_run_that_cron_does_not_have_is_yellow(machine: Machine) -> None:
    line = "cronlock run --once --key n --tz Asia/Tokyo -- true"
    level, text = worst(machine.of(REDIS, f"0 2 * * * {line}"))
    assert level == YELLOW
    assert "but its ticks are those of Asia/Tokyo" in text
    assert [f.level for f in machine.of(REDIS, f"*/5 * * * * {line}")] == [GREEN]
    assert [f.level for f in machine.of(REDIS, f"0 2 * * * {line.replace('--tz', '--schedule @daily --tz')}")] == [
        GREEN
    ]


# Paths


@pytest.mark.parametrize(
    ("command", "level", "said"),
    [
        ("cronlock run -k n -- /nowhere/job", YELLOW, "the command /nowhere/job does not exist: status 127"),
        (
            "cronlock run -k n -- sh -c '/nowhere/job | true'",
            YELLOW,
            "the command /nowhere/job does not exist: status 127",
        ),
        ("cronlock run -k n -- sh -c '[ -x /nowhere/job ] && /nowhere/job'", GREEN, ""),
        ("cronlock run -k n -- sh -c '$X/job'", GREEN, ""),
        ("cd /nowhere && cronlock run -k n -- true", YELLOW, "cd /nowhere fails: there is no such folder here"),
        ("/nowhere/wrapper cronlock run -k n -- true", RED, "/nowhere/wrapper does not exist: cronlock is not started"),
    ],
)
def test_a_path_that_does_not_exist_is_not_green(machine: Machine, command: str, level: str, said: str) -> None:
    machine.executable("programs/sh")
    findings = machine.of_line(command)
    assert worst_level(findings) == level
    assert not said or any(said in finding.text for finding in findings)


def test_the_words_of_a_fault_are_one_line() -> None:
    assert RowFault("a", "").reason == "a"
    assert RowFault("a", "b").reason == "a: b"


UNREAD = """
import sys
from cronlock.__main__ import main
from cronlock.cron import crontab
crontab.Sources.__init__.__defaults__ = (sys.argv[1], 1000, lambda: "0 2 * * * cronlock run --once --key n -- true")
sys.argv[:2] = ["cronlock"]
main()
"""


@pytest.mark.parametrize("option", ["-v", "--dry-run", "-q"])
def test_a_run_says_what_it_could_not_read(tmp_path: Path, option: str) -> None:
    """Once, with -v and in --dry-run; a crontab that is too long stands for one of root's."""
    file = tmp_path / "etc" / "crontab"
    file.parent.mkdir()
    with file.open("wb") as long:
        long.truncate(CRONTAB_MAX + 1)
    words = [
        "run",
        "--redis",
        "redis://127.0.0.1:1",
        "--outage-wait",
        "0",
        "--once",
        "--key",
        "n",
        option,
        "--",
        "true",
    ]
    argv = [sys.executable, "-c", UNREAD, str(tmp_path), *words]
    done = subprocess.run(argv, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == (0 if option == "--dry-run" else 122)
    reason = f"{file} (it is longer than {CRONTAB_MAX} bytes)"
    said = f"cronlock: n: can't read {reason}: using the lines with this key in other crontabs\n"
    assert done.stderr.count(said) == (option == "-v")
    assert done.stdout.count(f"not read     {reason}\n") == (option == "--dry-run")
