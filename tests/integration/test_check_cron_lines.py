"""`cronlock check` on crontab lines: the findings about each line, and rows and files that cron ignores."""

import os
import sys
import time
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cronlock.commands.check.cron_lines import LOCAL
from cronlock.commands.check.cron_path import CRONIE_PATH, INHERITED, path_of_cron
from cronlock.commands.check.crontabs import find_crontab_faults
from cronlock.commands.check.debian_fields import first_bad_part
from cronlock.commands.check.findings import GREEN, RED, YELLOW, Finding
from cronlock.cron.crontab import Sources
from cronlock.cron.parser import BUSYBOX, CRON_PATH, CRONIE, DEBIAN
from tests.support.commands import cronlock

REDIS = "CRONLOCK_REDIS=redis://redis-1"
CHECKED = {"redis-1:6379"}
RUN = "cronlock run --once --key nightly -- true"


class Machine:
    """A machine's files under a folder of their own, with a cronlock in `programs`, which is all of cron's PATH."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.programs = self.executable("programs/cronlock").parent
        self.executable("programs/true")
        self.write("usr/sbin/cron", "")

    def write(self, name: str, text: str, mode: int = 0o644) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, errors="surrogateescape")
        path.chmod(mode)
        return path

    def executable(self, name: str) -> Path:
        return self.write(name, "#!/bin/sh\n", 0o755)

    def findings(self, uid: int = 1000, listed: str = "") -> list[Finding]:
        sources = Sources(str(self.root), uid, lambda: listed)
        return find_crontab_faults(sources, CHECKED, str(self.programs))

    def of(self, *rows: str) -> list[Finding]:
        """Return the findings about the rows of one user's crontab."""
        return self.findings(listed="".join(f"{row}\n" for row in rows))

    def of_line(self, command: str) -> list[Finding]:
        """Return the findings about a command at two o'clock, with Redis configured, except its green line."""
        findings = self.of(REDIS, f"0 2 * * * {command}")
        assert {finding.about for finding in findings} == {"crontab -l:2"}
        return findings

    def of_system(self, text: str, name: str = "etc/cron.d/job", mode: int = 0o644) -> list[Finding]:
        self.write(name, text, mode)
        return self.findings()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def levels(findings: list[Finding]) -> list[str]:
    return [finding.level for finding in findings]


def red(findings: list[Finding]) -> str:
    """The only red finding in words."""
    [found] = [finding for finding in findings if finding.level == RED]
    return found.line_text


# The run of a line


def test_a_good_line_is_one_green_finding(machine: Machine) -> None:
    """Key, mode, schedule and zone, three ticks to come, and the lease that the next of them begins with."""
    [finding] = machine.of_line("cronlock run --each --key tidy --tz UTC -- true")
    assert finding.level == GREEN
    at = time.gmtime(time.time() + 22 * 3600)  # the day of the next two o'clock
    next_tick = time.strftime("%Y-%m-%dT02:00Z", at)
    assert finding.text.startswith(f"tidy (each): 0 2 * * * (UTC: at 02:00 every day), next {next_tick}, ")
    assert finding.text.count("T02:00Z") == 3
    assert finding.text.endswith("; lease 1h")


@pytest.mark.parametrize(
    ("options", "lease"), [("--ttl 10m", "10m"), ("--schedule '*/5 * * * *'", "298s"), ("--failover", "30s")]
)
def test_the_lease_is_that_of_the_lines_own_options(machine: Machine, options: str, lease: str) -> None:
    """As `run --dry-run` has it."""
    [finding] = machine.of_line(f"cronlock run --key nightly {options} -- true")
    assert finding.text.endswith(f"lease {lease}")


def test_several_lines_of_one_key_have_one_schedule(machine: Machine) -> None:
    """A tick of any of them is a tick, and ends the lease of the one before."""
    findings = machine.of(REDIS, f"0 * * * * {RUN}", f"5 * * * * {RUN}")
    assert levels(findings) == [GREEN, GREEN]
    assert all("0 * * * *; 5 * * * *" in finding.text for finding in findings)


@pytest.mark.parametrize("fields", ["*/10 * * * *", "* * * * *", "*/10 9-17 * * 1-5"])
def test_a_line_may_have_an_interval_of_its_own(machine: Machine, fields: str) -> None:
    """cron starts it as often as an interval begins."""
    [finding] = machine.of(REDIS, f'{fields} cronlock run --key a --schedule "@every 10m" -- true')
    assert finding.level == GREEN
    assert finding.text.startswith("a (once): @every 10m (UTC: every 10 minutes from 1970-01-01T00:00Z on), next ")
    assert finding.text.endswith("; lease 598s")


@pytest.mark.parametrize(
    ("fields", "interval", "gap"),
    [
        ("0 * * * *", "10m", "1h"),
        ("*/20 9-17 * * *", "10m", "20m"),
        ("@daily", "12h", "1d"),
        ("* * * * *", "30s", "1m"),
    ],
)
def test_a_line_that_cron_starts_less_often_than_its_interval(
    machine: Machine, fields: str, interval: str, gap: str
) -> None:
    found = machine.of(REDIS, f'{fields} cronlock run --key a --schedule "@every {interval}" -- true')
    assert levels(found) == [GREEN, YELLOW]
    assert found[1].text == f"this line starts at most every {gap}: ticks of @every {interval} are left out"
    assert found[1].todo == f"start it every {interval}"


def test_two_lines_with_one_interval_are_not_compared_with_it(machine: Machine) -> None:
    """One of them sleeps first."""
    command = 'cronlock run --key a --schedule "@every 30s" -- true'
    assert levels(machine.of(REDIS, f"* * * * * {command}", f"* * * * * sleep 30; {command}")) == [GREEN, GREEN]


def test_settings_files_count_for_a_line(machine: Machine) -> None:
    """The machine's file, with its table of the key."""
    text = 'redis = "redis://redis-1"\n[keys.nightly]\nttl = "20m"\n'
    machine.write("etc/cronlock.toml", text)
    [finding] = machine.of(f"0 2 * * * {RUN}")
    assert (finding.level, finding.text.endswith("lease 20m")) == (GREEN, True)


@pytest.mark.parametrize(
    ("command", "level", "said"),
    [
        ("cronlock run --key a --schedule none -- true", GREEN, "a (once): no ticks, only overlap is prevented"),
        ("cronlock run --key a --tick 1790000000 -- true", GREEN, "a (once): no ticks"),
        ("cronlock run true", RED, "it would be refused: no key: pass --key NAME, the same on every node"),
        ("cronlock run --key a --no-such-option true", RED, "it would be refused: no such option --no-such-option"),
        ("cronlock run --onec --key a -- true", RED, "no such option --onec: did you mean --once?"),
        ("cronlock run -once --key a -- true", RED, "no such option -once: did you mean --once?"),
        ("cronlock run \N{EM DASH}once --key a -- true", RED, "begins with a long dash: write --once"),
        ("cronlock run --key a --ttl soon -- true", RED, "--ttl: 'soon' is not a duration"),
        ("cronlock run --key a --schedule */5 * * * * -- true", RED, "--schedule is not quoted"),
        ("cronlock run --once=yes --key a -- true", RED, "--once takes no value"),
        ("cronlock run --key", RED, "--key needs a value: write --key NAME"),
        ("cronlock run --key a", RED, "the command is missing: write it after the options"),
        ("cronlock run --key a --ttl 2s true", RED, "a lease of 2s is too short"),
        ("cronlock run --key a --each --failover true", RED, "--failover requires --once"),
        ("cronlock run --key a --tz Mars/Olympus true", RED, "unknown time zone 'Mars/Olympus'"),
        ("cronlock run --key a --schedule '5~9 * * * *' true", RED, "random on each host"),
        ("CRONLOCK_TTL=soon cronlock run --key a true", RED, "CRONLOCK_TTL: 'soon' is not a duration"),
        ("CRONLOCK_KYE=a cronlock run true", RED, "unknown variable CRONLOCK_KYE: did you mean CRONLOCK_KEY?"),
        ("CRONLOCK_REDIS=http://x cronlock run --key a true", RED, "CRONLOCK_REDIS: Redis URL with"),
        ('cronlock run --key "$JOB" -- true', YELLOW, "--key needs a shell to expand it"),
        ("CRONLOCK_KEY=$JOB cronlock run -- true", YELLOW, "CRONLOCK_KEY needs a shell to expand it"),
    ],
)
def test_a_line_is_judged_as_its_run_would_be(machine: Machine, command: str, level: str, said: str) -> None:
    """A green one says what it is; the others what is wrong with it, in the words of `run`, and nothing else."""
    [finding] = machine.of_line(command)
    assert finding.level == level
    assert said in finding.line_text


def test_an_option_that_only_a_shell_can_tell_hides_nothing_else(machine: Machine) -> None:
    """The usual way to write the node's name; the schedule is shown all the same."""
    findings = machine.of_line('cronlock run --each --key tidy --node "$(hostname -s)" -- true')
    assert levels(findings) == [YELLOW, GREEN]
    assert findings[0].text.startswith("--node needs a shell")
    assert "tidy (each): 0 2 * * *" in findings[1].text


def test_a_line_at_reboot_has_no_ticks(machine: Machine) -> None:
    """It prevents overlap only, and says so each time unless that is meant."""
    [loud] = machine.of(REDIS, f"@reboot {RUN}")
    assert (loud.level, loud.todo) == (YELLOW, "pass --schedule, or --schedule none if this is intentional")
    [meant] = machine.of(REDIS, "@reboot cronlock run --schedule none --once --key nightly -- true")
    assert meant.level == GREEN


# Between lines


def test_two_commands_under_one_key_are_red(machine: Machine) -> None:
    """At both places, each naming the other."""
    findings = machine.of(REDIS, f"0 2 * * * {RUN}", f"0 3 * * * {RUN} --full")
    assert levels(findings) == [RED, RED]
    text = "key nightly is used with two different commands: crontab -l:2 and crontab -l:3: give each command its own"
    assert all(text in finding.line_text for finding in findings)


def test_two_zones_under_one_key_are_red(machine: Machine) -> None:
    """On a machine whose cron obeys CRON_TZ."""
    (machine.root / "usr/sbin/cron").rename(machine.root / "usr/sbin/crond")
    findings = machine.of(REDIS, f"0 2 * * * {RUN}", "CRON_TZ=Asia/Tokyo", f"0 3 * * * {RUN}")
    assert levels(findings) == [RED, RED]
    assert "two time zones: local at crontab -l:2 and Asia/Tokyo at crontab -l:4" in findings[0].line_text


def test_once_and_each_of_one_key_are_yellow(machine: Machine) -> None:
    """They never exclude each other, which is hardly intended."""
    findings = machine.of(REDIS, f"0 2 * * * {RUN}", "0 2 * * * cronlock run --each --key nightly -- true")
    assert sorted(levels(findings)) == [GREEN, GREEN, YELLOW]
    [both] = [finding for finding in findings if finding.level == YELLOW]
    assert both.about == "crontab -l:3"
    assert "with --each here and with --once at crontab -l:2" in both.text


def test_a_line_with_other_voters_is_reported(machine: Machine) -> None:
    """Its servers were not checked; the command that would check them shows no password."""
    run = "cronlock run --key a --redis redis://me:secret@redis-9:7000 -- true"
    findings = machine.of(f"0 2 * * * {run}", "0 2 * * * cronlock run --key b --local -- true")
    other, local = (finding for finding in findings if finding.text.startswith("uses different servers"))
    assert (other.level, other.todo) == (YELLOW, "cronlock check --redis redis://redis-9:7000")
    assert (local.level, local.todo) == (YELLOW, "cronlock check --local")


def test_a_line_without_a_redis_server_is_red(machine: Machine) -> None:
    """Its runs are refused, whatever the shell of whoever checks has."""
    assert "no Redis server is configured" in red(machine.of(f"0 2 * * * {RUN}"))


# PATH


@pytest.mark.parametrize(
    "command",
    [
        "cronlock run --key a -- true",
        "{programs}/cronlock run --key a -- true",
        "PATH=/usr/bin:{programs} cronlock run --key a -- true",
        "PATH=$PATH:/opt/x cronlock run --key a -- true",
        "export PATH=${{PATH}}:/opt; cronlock run --key a -- true",
        "env -i PATH=/bin cronlock run --key a -- true",
        "cd /srv && ./cronlock run --key a -- ./true",
        "PATH=/nowhere sudo cronlock run --key a -- true",
        "PATH=/nowhere bash -lc 'cronlock run --key a -- true'",
        "PATH=/nowhere; . /etc/profile; cronlock run --key a -- true",
        "PATH=/nowhere ssh web-2 cronlock run --key a -- job",
        "PATH=$HOME/bin cronlock run --key a -- true",
        "$BIN/cronlock run --key a -- $JOB",
        "{python} -m cronlock run --key a -- true",
        "{python} -I -m cronlock run --key a -- true",
        "sh -c 'cronlock run --key a -- true'",
        "timeout 1h nice cronlock run --key a -- {programs}/true",
    ],
)
def test_a_program_that_is_found_or_needs_a_shell_is_not_a_finding(machine: Machine, command: str) -> None:
    """Only a certain failure is red: not a program behind sudo, ssh, a login shell or an expansion."""
    command = command.format(programs=machine.programs, python=sys.executable)
    assert levels(machine.of_line(command)) == [GREEN]


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("PATH=/nowhere:/usr/bin cronlock run --key a true", "cronlock is not on cron's PATH (/nowhere:/usr/bin)"),
        ("/nowhere/cronlock run --key a true", "/nowhere/cronlock does not exist"),
        ("/etc/cronlock run --key a true", "/etc/cronlock does not exist"),
        ("python9 -m cronlock run --key a true", "python9 is not on cron's PATH"),
        ("python9 -I -m cronlock run --key a true", "python9 is not on cron's PATH"),
        ("/usr/bin/python9 -Im cronlock run --key a true", "/usr/bin/python9 does not exist"),
        ("PATH=/nowhere; PATH=$PATH:/or cronlock run --key a true", "cronlock is not on cron's PATH (/nowhere:/or)"),
        ("sh -c 'PATH=/nowhere; cronlock run --key a true'", "cronlock is not on cron's PATH (/nowhere)"),
    ],
)
def test_a_cronlock_that_cron_does_not_find_is_red(machine: Machine, command: str, said: str) -> None:
    assert said in red(machine.of_line(command))


def test_it_says_where_cronlock_is(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """As far as whoever checks can find it."""
    monkeypatch.setenv("PATH", str(machine.programs))
    said = red(machine.of_line("PATH=/nowhere cronlock run --key a true"))
    assert f"write {machine.programs}/cronlock, or PATH={machine.programs}:/usr/bin:/bin above the line" in said


def test_cron_expands_nothing_in_an_assignment(machine: Machine) -> None:
    """A PATH that is made of itself is a folder of that name."""
    said = red(machine.of(REDIS, "PATH=$PATH:/opt/x", "0 2 * * * cronlock run --key a -- true"))
    assert "is not on cron's PATH ($PATH:/opt/x): cron expands nothing in an assignment" in said


@pytest.mark.parametrize("command", ["no-such-command", "/nowhere/job"])
def test_a_command_that_is_not_found_is_yellow(machine: Machine, command: str) -> None:
    """It would end with 127; it may be on the other machines."""
    green, found = machine.of_line(f"cronlock run --key a -- {command} --full")
    assert (green.level, found.level) == (GREEN, YELLOW)
    assert found.text.endswith("status 127")


def cron_process(proc: Path, words: list[str], path: str, uid: int = 0) -> None:
    folder = proc / "7"
    (folder / "ns").mkdir(parents=True)
    (folder / "ns" / "mnt").symlink_to(os.readlink("/proc/self/ns/mnt"))
    (folder / "comm").write_text(f"{os.path.basename(words[0])}\n")
    (folder / "cmdline").write_text("\0".join(words) + "\0")
    (folder / "status").write_text(f"Uid:\t{uid}\t0\t0\t0\n")
    (folder / "environ").write_text(f"LANG=C\0PATH={path}\0")


@pytest.mark.parametrize(
    ("cron", "words", "path"),
    [
        (DEBIAN, [], CRON_PATH),
        (CRONIE, [], CRONIE_PATH),
        (BUSYBOX, [], INHERITED),
        (DEBIAN, ["/usr/sbin/cron", "-f"], CRON_PATH),
        (DEBIAN, ["/usr/sbin/cron", "-f", "-P"], "/its/own"),
        (BUSYBOX, ["crond", "-f"], "/its/own"),
    ],
)
def test_the_path_of_lines_is_that_of_their_cron(tmp_path: Path, cron: str, words: list[str], path: str) -> None:
    """Ubuntu starts its cron with -P: then lines have the daemon's own, as with busybox."""
    if words:
        cron_process(tmp_path, words, "/its/own")
    assert path_of_cron(cron, tmp_path) == path


# Rows and files that cron ignores


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"{REDIS}\n0 2 * * * root {RUN}", ":2  the last line has no newline: cron ignores the whole file"),
        (f"{REDIS}\n0 2 * * * root {RUN}\nA=b", ":3  the last line has no newline"),
        (f"{REDIS}\n0 2 * * * root {RUN}\n0 3 * * * nobody-here job\n", ":3  user nobody-here does not exist"),
        (f"{REDIS}\n0 2 * * * root {RUN}\n0 3 * * * root\n", ":3  this line has too few columns: cron ignores the wh"),
        (f"{REDIS}\n0 2 * * * {RUN}\n", ":2  the user column is missing: cron ignores the whole file: write root"),
    ],
)
def test_what_makes_debians_cron_ignore_a_file_is_red(machine: Machine, text: str, said: str) -> None:
    """All of it, because of one row."""
    found = [f"{finding.about}  {finding.line_text}" for finding in machine.of_system(text) if finding.level == RED]
    assert any(said in line for line in found), found


def shown(findings: list[Finding]) -> list[tuple[str, str]]:
    """Return place and text of the findings about passwords; the place as a file's name and a number."""
    return [(f.about.rpartition("/")[2], f.text) for f in findings if f.level == YELLOW and "password" in f.text]


@pytest.mark.parametrize(
    "front",
    [
        "cronlock run --redis redis://:secret@redis-1",
        "cronlock run --redis=redis://redis-1?password=secret",
        "CRONLOCK_REDIS=redis://:secret@redis-1 cronlock run",
        "env REDIS_URL=redis://me:secret@redis-1 cronlock run",
        "REDIS_HOST=redis-1 REDIS_PASSWORD=secret cronlock run",
    ],
)
def test_a_password_that_ps_shows_is_yellow(machine: Machine, front: str) -> None:
    """Also where a shell gets it as an argument of its own; it is said without it."""
    findings = machine.of_line(f"{front} --key a -- true")
    assert shown(findings) == [("crontab -l:2", "every user of this machine can see the password on this line with ps")]
    assert "secret" not in "".join(finding.line_text for finding in findings)


@pytest.mark.parametrize(
    "top", ["CRONLOCK_REDIS=redis://:secret@redis-1", "REDIS_URL = redis://:secret@redis-1", 'REDIS_PASSWORD="secret"']
)
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o600])
def test_a_crontab_with_a_password_that_everybody_may_read_is_yellow(machine: Machine, top: str, mode: int) -> None:
    """Told once, at its first line; cron itself reads a file of 0600 as well."""
    lines = "".join(f"0 2 * * * root cronlock run --key {key} -- true\n" for key in "ab")
    findings = machine.of_system(f"{top}\nREDIS_HOST=redis-1\n{lines}", mode=mode)
    path = machine.root / "etc/cron.d/job"
    expected = [("job:3", f"{path} contains a password and is world-readable")] if mode == 0o644 else []
    assert shown(findings) == expected
    assert [finding.todo for finding in findings if "password" in finding.text] == [f"chmod o-r {path}"] * len(expected)


def test_a_login_without_a_password_is_no_secret(machine: Machine) -> None:
    """Nor is one that only a shell knows."""
    assert shown(machine.of_line("cronlock run --redis redis://me@redis-1 --key a -- true")) == []
    assert shown(machine.of_line("REDIS_PASSWORD=$(cat /x) cronlock run --redis redis://redis-1 --key a -- true")) == []


def test_a_settings_file_that_run_refuses_is_red_on_each_line(machine: Machine) -> None:
    """With the cure."""
    machine.write("etc/cronlock.toml", 'redis = "redis://:secret@redis-1"\n', 0o644)
    path = machine.root / "etc/cronlock.toml"
    [finding] = machine.of(f"0 2 * * * {RUN}")
    assert finding.level == RED
    assert finding.text.endswith(f"{path} contains a password and is world-readable: chmod o-r {path}")


@pytest.mark.parametrize(("name", "level"), [("job.conf", RED), ("job.bak", GREEN), (".job", GREEN), ("job~", GREEN)])
def test_a_name_that_cron_does_not_read_is_red(machine: Machine, name: str, level: str) -> None:
    """A file that was put aside is not a mistake."""
    machine.write(f"etc/cron.d/{name}", f"{REDIS}\n0 2 * * * root {RUN}\n")
    [finding] = machine.findings(uid=0)
    assert finding.level == level
    assert (level == RED) == ("cron does not read a file of this name" in finding.text)


def test_a_machine_without_lines_is_green(machine: Machine) -> None:
    """A user who can't see all crontabs gets a yellow line with the cure."""
    [root], [user] = machine.findings(uid=0), machine.findings(uid=1000)
    assert (root.level, root.text) == (GREEN, "no line uses cronlock")
    assert (user.level, user.text) == (YELLOW, "no line uses cronlock that this user can see")


PIECES = st.sampled_from(
    ["cronlock", "run", "-k", "a", "--key=a", "job", "0 2 * * *", "@daily", "\n", "\0", "\udcff", "CRONLOCK_KEY=", "=",
     *"'\"\\$`(){}|&;<>#% \t", "$(", "sh -c ", "-m", "PATH=", "--schedule", "--each", "--", "é", "root", "--ttl", "1s"]
)  # fmt: skip


@settings(max_examples=100, deadline=2000)
@given(st.one_of(st.text(), st.lists(PIECES, max_size=60).map("".join), st.lists(PIECES, max_size=60).map(" ".join)))
@example("0 2 * * * \0 cronlock run -k a b\n")
@example("PATH=\0\n0 2 * * * cronlock run -k a b\n")
@example("0 2 * * * /\0/cronlock run -k a b\n")
@example("HOME=\0\n0 2 * * * cronlock run -k a b\n")
def test_no_crontab_is_an_accident(text: str) -> None:
    """Any text of a crontab gives findings, and never an exception."""
    with_files = Sources("/nowhere", 1000, lambda: text)
    for finding in find_crontab_faults(with_files, CHECKED, CRON_PATH):
        assert finding.line_text.isprintable()


# The whole command


def test_no_redis_is_red_and_the_lines_are_looked_at_all_the_same() -> None:
    """Missing settings are a finding, with status 1; wrong ones end check as every command, with 125."""
    done = cronlock("check", "-v")
    assert (done.returncode, done.stderr) == (1, "")
    assert "red     none  no Redis server is configured: put redis = " in done.stdout
    assert "\ncrontab lines\n" in done.stdout
    wrong = cronlock("check", "--redis", "http://x")
    assert (wrong.returncode, wrong.stdout) == (125, "")
    assert wrong.stderr.startswith("cronlock: refused: ")


# Schedules that Debian's cron accepts, by its own log


@pytest.mark.parametrize(
    "fields",
    ["61 * * * *", "* * * foo *", "*/0 * * * *", "0,,1 * * * *", "0-59/ * * * *", "-5 * * * *", "* * * * 8", "@every",
     "@minutely", "0 0 L * *", "* * L,1-31 * *", "0/1 * * * *", "* 24 * * *", "0 0 0 * *", "* * * 13 *"],
)  # fmt: skip
def test_a_schedule_that_only_cronsim_accepts_is_red(fields: str) -> None:
    assert first_bad_part(fields)


@pytest.mark.parametrize(
    "fields",
    [
        "* * * * *",
        "0-59/2 0,12 1-7 jan,Feb-DEC sun",
        "*/35 9-17 * * 1-5",
        "@hourly",
        "@reboot",
        "5 4 * * 7",
        "0 0 1 1 0",
    ],
)
def test_what_both_take_is_not(fields: str) -> None:
    assert not first_bad_part(fields)


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ("61 * * * * root true", "bad minute 61: cron ignores the whole file"),
        (f"* * * * * root echo {'x' * 1000}", "its command is longer than 998 bytes: cron ignores the whole file"),
        ("SHELL=/bin/nope", "SHELL /bin/nope can't be executed: no command below it runs"),
    ],
)
def test_a_row_that_voids_the_file_of_a_good_line_is_red(tmp_path: Path, row: str, text: str) -> None:
    for name in ("etc/cron.d", "usr/sbin"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "usr/sbin/cron").touch()
    file = tmp_path / "etc/cron.d/job"
    file.write_text(f"CRONLOCK_LOCAL=1\n{row}\n0 2 * * * root /bin/true cronlock; /bin/cronlock run -k a -- true\n")
    file.chmod(0o644)
    found = find_crontab_faults(Sources(str(tmp_path), crontab=lambda: ""), {LOCAL}, "/usr/bin:/bin")
    assert (f"{file}:2", RED, text) in [(finding.about, finding.level, finding.text) for finding in found]
