"""cronlock wrap: a crontab with cronlock before its commands, which get the same words as without cronlock."""

import hashlib
import itertools
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cronlock.commands.crontab_wrapper import Wrapper, wrap_crontab
from cronlock.commands.wrap import find_cronlock, is_in_etc
from cronlock.cron.crontab import Sources, own_lines
from cronlock.cron.parser import BUSYBOX, CRONIE, DEBIAN
from cronlock.cron.schedule import Schedule
from cronlock.errors import Refused
from cronlock.lock.local import state_directory
from tests.support.commands import (
    PATIENCE,
    ROOT,
    cronlock,
    cronlock_on_path,
    environment,
    home,
    new_folder,
    remove_folder,
)

USER = (ROOT / "tests" / "support" / "crontabs" / "user").read_text()
SYSTEM = (ROOT / "tests" / "support" / "crontabs" / "system").read_text()
WRAPPER = Wrapper("/usr/local/bin/cronlock", "once", False, DEBIAN)
CRONTABS = [pytest.param(USER, WRAPPER, id="user"), pytest.param(SYSTEM, replace(WRAPPER, system=True), id="system")]
FRONT = re.compile(r"(/usr/local/bin/cronlock run --(?:once|each) --key (\S+-[0-9a-f]{4}) -- )(.*)", re.DOTALL)


class Given:
    """A command line by the rules of crontab(5): number, fields, user, the command as written, and its shell."""

    def __init__(self, number: int, line: str, shell: str, system: bool) -> None:
        self.number = number
        self.shell = shell
        *columns, self.command = line.lstrip(" \t-").split(None, (1 if "@" in line[:3] else 5) + system)
        self.user = columns.pop() if system else ""
        self.fields = " ".join(columns)


def commands(crontab: str, system: bool = False) -> list[Given]:
    found = []
    shell = "/bin/sh"
    for number, line in enumerate(crontab.split("\n"), 1):
        if line.startswith("SHELL="):
            shell = line.removeprefix("SHELL=")
        elif line.strip() and not re.match(r"\s*#|\w+=", line):
            found.append(Given(number, line, shell, system))
    return found


def one(command: str, wrapper: Wrapper = WRAPPER, above: str = "") -> str:
    """Return the wrapped command; there must be no note about it."""
    crontab, notes = wrap_crontab(f"{above}0 2 * * * {command}\n", wrapper)
    assert notes == []
    return crontab.removeprefix(f"{above}0 2 * * * ").removesuffix("\n")


def behind(command: str) -> str:
    """Return the wrapped command without cronlock and its options."""
    found = FRONT.fullmatch(command)
    assert found, command
    return found[3]


def key_of(wrapped_command: str) -> str:
    found = FRONT.fullmatch(wrapped_command)
    assert found, wrapped_command
    return found[2]


def keys(crontab: str, wrapper: Wrapper = WRAPPER) -> list[tuple[str, str]]:
    """Return each command of a crontab, unwrapped, with its key."""
    new, notes = wrap_crontab(crontab, wrapper)
    assert notes == []
    both = zip(commands(crontab, wrapper.system), commands(new, wrapper.system), strict=True)
    return [(before.command, key_of(after.command)) for before, after in both]


def left_alone(crontab: str, wrapper: Wrapper = WRAPPER) -> list[str]:
    """Return the notes on a crontab that has to stay unchanged."""
    same, notes = wrap_crontab(crontab, wrapper)
    assert same == crontab
    return notes


def as_cron(command: str) -> tuple[str, str]:
    """Return what a shell gets of a command: \\% is %, and a bare % ends it, or a line of its standard input."""
    tokens = re.findall(r"\\%|\\.|.", command, re.DOTALL)
    end = tokens.index("%") if "%" in tokens else len(tokens)
    script = "".join("%" if token == "\\%" else token for token in tokens[:end])
    stdin = "".join({"\\%": "%", "%": "\n"}.get(token, token) for token in tokens[end + 1 :])
    return script, stdin + "\n" if end < len(tokens) else ""


# The crontab


@pytest.mark.parametrize("mode", ["once", "each"])
@pytest.mark.parametrize(("crontab", "wrapper"), CRONTABS)
def test_each_command_is_wrapped_and_all_else_stays(crontab: str, wrapper: Wrapper, mode: str) -> None:
    """Comments, blank lines, assignments, fields, the user column, blanks and their order stay, byte by byte."""
    new, notes = wrap_crontab(crontab, replace(wrapper, mode=mode))
    assert notes == []
    assert new.count("\n") == crontab.count("\n")
    at = {line.number: line.command for line in commands(crontab, wrapper.system)}
    for number, (before, after) in enumerate(zip(crontab.split("\n"), new.split("\n"), strict=True), 1):
        if number in at:
            assert after.startswith(before.removesuffix(at[number]) + f"{wrapper.program} run --{mode} --key ")
        else:
            assert after == before
    assert len(at) >= 16


def test_the_crontabs_have_more_than_forty_commands() -> None:
    assert len(commands(USER)) + len(commands(SYSTEM, system=True)) > 60


@pytest.mark.parametrize(("crontab", "wrapper"), CRONTABS)
def test_wrapping_twice_changes_nothing(crontab: str, wrapper: Wrapper) -> None:
    """Wrapping with the other mode, or with another cronlock, changes nothing either."""
    new, _ = wrap_crontab(crontab, wrapper)
    assert left_alone(new, wrapper) == []
    assert left_alone(new, replace(wrapper, mode="each", program="/opt/cronlock/bin/cronlock")) == []


@pytest.mark.parametrize(("crontab", "wrapper"), CRONTABS)
def test_run_finds_each_wrapped_line_with_its_schedule(crontab: str, wrapper: Wrapper, tmp_path: Path) -> None:
    new, _ = wrap_crontab(crontab, wrapper)
    if wrapper.system:
        (tmp_path / "etc").mkdir()
        (tmp_path / "etc/crontab").write_text(new)
    sources = Sources(str(tmp_path), 1000, lambda: "" if wrapper.system else new)
    times: dict[str, list[str]] = {}
    for line in commands(new, wrapper.system):
        times.setdefault(key_of(line.command), []).append(line.fields)
    for key, fields in times.items():
        lines = own_lines(key, "once", sources)
        assert [line.fields for line in lines] == fields
        assert Schedule(fields, "UTC").upcoming(0, 1)


@pytest.mark.parametrize(("crontab", "wrapper"), CRONTABS)
def test_run_understands_each_wrapped_line(crontab: str, wrapper: Wrapper) -> None:
    """A dry run, in the shell that cron would start, prints the key, the schedule and the command."""
    program = cronlock_on_path().partition(":")[0] + "/cronlock"
    new, _ = wrap_crontab(crontab, replace(wrapper, program=program))
    for line in commands(new, wrapper.system):
        script, stdin = as_cron(line.command)
        dry = script.replace("run --once", f"run --dry-run --schedule '{line.fields}' --once", 1)
        done = run([line.shell, "-c", dry], stdin, home(), environment({"CRONLOCK_LOCAL": "1"}))
        assert (done.returncode, done.stderr) == (0, "")
        [key] = re.findall(r"--key (\S+)", script)
        assert re.match(rf"key +{re.escape(key)}\nmode +once\n", done.stdout), done.stdout
        assert re.search(rf"^schedule +{re.escape(line.fields)}  ", done.stdout, re.MULTILINE)


# The command


@pytest.mark.parametrize(
    "command",
    [
        "job",
        "/usr/bin/job --at '* * *' \"$HOME\" ~ a=b 'it'\"'\"'s' \\$5 {a,b} *.log ?",
        r"job +\%F \\",
        "job %first line%second \\% line%",
        "./job\targ",
        "$HOME/bin/job",
        '"${DIR}/job" x',
        "~/job --quiet  ",
        "nice -n 19 job",
        "env A=b job",
        "7z a b",
        "--odd-name",
    ],
)
def test_one_program_and_its_words_follow_cronlock_unchanged(command: str) -> None:
    """The shell that cron starts treats them as before."""
    assert behind(one(command)) == command


@pytest.mark.parametrize(
    ("command", "script"),
    [
        ("job > log", "job > log"),
        ("job | mail", "job | mail"),
        ("a && b; c &", "a && b; c &"),
        ("job $(date)", "job $(date)"),
        ("job `date`", "job `date`"),
        ("job # every night", "job # every night"),
        ("job 'a;b'", r"job '\''a;b'\''"),
        ("A=b job", "A=b job"),
        ("A=/b job", "A=/b job"),
        ("cd /srv", "cd /srv"),
        (". /srv/job", ". /srv/job"),
        ("[ -e x ]", "[ -e x ]"),
        ("! job", "! job"),
        ("exec job", "exec job"),
        ("echo 'a\\tb'", r"echo '\''a\tb'\''"),
        ("$JOB --quiet", "$JOB --quiet"),
        ("j?b", "j?b"),
        ("'cd' /srv", r"'\''cd'\'' /srv"),
    ],
)
def test_work_for_a_shell_is_done_by_a_shell_after_cronlock(command: str, script: str) -> None:
    """Redirections and pipes too, which would otherwise be done on every node, and empty the log of a node that is
    not the one; and commands that are the shell's own.
    """
    assert behind(one(command)) == f"/bin/sh -c '{script}'"


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (r"a | b +\%F", r"/bin/sh -c 'a | b +\%F'"),
        (r"a | b%in%put \%", r"/bin/sh -c 'a | b'%in%put \%"),
        (r"a | b \\%input", r"/bin/sh -c 'a | b \\'%input"),
        ("a | b  ", "/bin/sh -c 'a | b'  "),
        ("a | b %input ", "/bin/sh -c 'a | b' %input "),
        ("a | b\\  ", "/bin/sh -c 'a | b\\ ' "),
        ("a | b\r", "/bin/sh -c 'a | b'\r"),
    ],
)
def test_percent_signs_keep_their_meaning(command: str, expected: str) -> None:
    """A % with a backslash belongs to the script, the first bare % ends it; blanks at the end stay outside."""
    assert behind(one(command)) == expected


def test_percent_signs_are_not_special_for_busybox() -> None:
    wrapper = replace(WRAPPER, cron=BUSYBOX, program="/opt/100%/cronlock")
    assert one("job +%F", wrapper).endswith(" -- job +%F")
    assert one("a | b +%F \\%", wrapper).endswith(" -- /bin/sh -c 'a | b +%F \\%'")
    assert one("job", wrapper).startswith("/opt/100%/cronlock run ")


def test_the_shell_is_the_one_that_the_crontab_names_above_the_line() -> None:
    crontab = "@daily a | a\nSHELL=/bin/bash\n@daily b | b\nSHELL = '/bin/dash'\n@daily c | c\n"
    new, _ = wrap_crontab(crontab, WRAPPER)
    assert re.findall(r"-- (\S+) -c", new) == ["/bin/sh", "/bin/bash", "/bin/dash"]


@pytest.mark.parametrize("above", ["SHELL=/usr/bin/zsh\n", "SHELL=/bin/bash\nBASH_ENV=/home/app/.rvm.sh\n"])
def test_a_shell_that_may_know_functions_still_runs_them(above: str) -> None:
    """Functions come from .zshenv and BASH_ENV; any name may then be a function."""
    assert " -c 'rvm cron'" in one("rvm cron", above=above)


def test_a_path_of_cronlock_is_quoted_for_shell_and_cron() -> None:
    assert one("job", replace(WRAPPER, program="/opt/my 100%/cronlock")).startswith(
        r"'/opt/my 100\%/cronlock' run --once"
    )


# What the command gets

EXECUTED = [
    r"""show "a  b" 'c  d' e\ f "\$HOME" $HOME "it's" 'say "x"' \\ \' "" '' last""",
    r"show +\%F 100\% \\\% '\%' \"\%\"",
    'show * ? a* \'a*\' [ab] ~ "~" ~/x $UNSET "$UNSET"',
    "show #no comment",
    "show trailing\\ ",
    "cat%first line%%100\\% of it%last",
    "cat > copy%first line%second",
    "cat -",
    "ls | sort -r | head -n 1",
    "show out; show err >&2; exit 3",
    "show out > file 2>&1; show more >> file; cat < file",
    "cd / && pwd; show $PWD",
    'A="a  b" B=$HOME sh -c \'show "$A" "$B"\'',
    "env A=b sh -c 'show $A; exit 7'",
    r"date +\%Y > /dev/null && show \%Y | tr \% x",
    'show $(show "a  b" | tr a-z A-Z) "`show c`"',
    "(cd /; pwd); pwd",
    "if [ -d / ] && [ ! -e /nowhere ]; then show yes; else show no; fi # a comment",
    'for i in 1 2 "3 4"; do show "$i"; done',
    'while read -r line; do show "$line"; done < a%not read',
    "awk '{print $2 \"it\\047s\"}' a",
    "awk 'BEGIN {print \"it'\\''s\"}' | tr i \\'",
    'sh -c "show \'\\$HOME\' \\"b  c\\""',
    "! show a",
    ". ./lib; greet 'a  b'",
    "test -f nothing || show missing; false",
    "echo 'a\\tb'; printf '\\%s|' a 'b  c'",
    "umask 077; touch private; stat -c \\%a private",
    "nice -n 3 show nice",
    "set -e; false; show never",
    "'show' a; \"show\" b",
    "{ show a; show b >&2; } 2>/dev/null",
    "show a |",
    "exec show a",
    "show 'größe' \xe9",
]


def run(words: list[str], stdin: str, folder: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words, input=stdin, cwd=folder, env=env, capture_output=True, text=True, timeout=PATIENCE, check=False
    )


def show_on_path() -> str:
    """Return a PATH with cronlock and with `show`, which prints its words."""
    path = cronlock_on_path()
    show = home() / "bin" / "show"
    show.write_text("#!/bin/sh\nprintf '<%s>' \"$@\"; echo\n")
    show.chmod(0o755)
    return path


def outcome(shell: str, command: str, env: dict[str, str]) -> tuple[int, str, str, dict[str, str]]:
    """Return status, output and files of a command that cron starts by its shell in a folder with two files."""
    folder = home() / "work"
    folder.mkdir()
    (folder / "a").write_text("one two\nthree four\n")
    (folder / "lib").write_text('greet() { show "hello $1"; }\n')
    script, stdin = as_cron(command)
    try:
        done = run([shell, "-c", script], stdin, folder, env)
        files = {file.name: file.read_text() for file in folder.iterdir()}
        return done.returncode, done.stdout, done.stderr, files
    finally:
        remove_folder(folder)


@pytest.fixture
def local() -> Iterator[dict[str, str]]:
    """Variables for keys in local files, which are removed."""
    prefix = f"test-wrap-{os.getpid()}"
    yield {"CRONLOCK_LOCAL": "1", "CRONLOCK_PREFIX": prefix, "CRONLOCK_SCHEDULE": "none"}
    for file in Path(state_directory()).glob("*.json"):
        with suppress(FileNotFoundError):
            if json.loads(file.read_text())["name"].startswith(prefix):
                file.unlink()
                for more in (".lock", ".run"):
                    file.with_name(file.name + more).unlink(missing_ok=True)


@pytest.mark.parametrize("command", EXECUTED)
def test_a_command_does_what_it_did_without_cronlock(command: str, local: dict[str, str]) -> None:
    """Words, output, errors, files, status and standard input are the same in a real run."""
    env = environment({"PATH": show_on_path(), **local})
    wrapper = replace(WRAPPER, program=str(home() / "bin" / "cronlock"))
    new = one(command, wrapper)
    assert new != command
    assert outcome("/bin/sh", new, env) == outcome("/bin/sh", command, env)


BASHISMS = [
    "show a &> both; cat both",
    "show <(true) > /dev/null && show {a,b} $'a\\tb'",
    "show b=~ {a,b}",
    "cat <<< a",
]


@pytest.mark.parametrize("command", BASHISMS)
def test_bash_does_the_same_as_without_cronlock(command: str, local: dict[str, str]) -> None:
    env = environment({"PATH": show_on_path(), **local})
    above = "SHELL=/bin/bash\n"
    new = one(command, replace(WRAPPER, program=str(home() / "bin" / "cronlock")), above)
    assert outcome("/bin/bash", new, env) == outcome("/bin/bash", command, env)


@pytest.fixture(scope="module")
def stand_in() -> Iterator[Path]:
    """A folder with `show`, and with a `cronlock` that only starts its command."""
    folder = new_folder()
    (folder / "cronlock").write_text('#!/bin/sh\nwhile [ "$1" != -- ]; do shift; done; shift; exec "$@"\n')
    (folder / "show").write_text('#!/bin/sh\nprintf \'<%s>\' "$0" "$@"; cat\n')
    for program in ("cronlock", "show"):
        (folder / program).chmod(0o755)
    yield folder
    remove_folder(folder)


PIECES = [*"ab '\"\\$*~#;|<>()`%={}!\t\r", "\\%", "$HOME", "${A}", "'a b'", '"$A"', "&&", "||", " show ", "é", "\udce9"]
FIRST = ["show ", "A=1 show ", "'show' ", '"$SHOW" ', "$SHOW ", "${DIR}/show ", "cd . && show ", "! show ", "( show "]


@settings(deadline=None)
@given(st.sampled_from(FIRST), st.lists(st.sampled_from(PIECES), max_size=12), st.sampled_from([DEBIAN, BUSYBOX]))
def test_the_programs_of_any_command_get_the_same_words(
    stand_in: Path, first: str, pieces: list[str], cron: str
) -> None:
    """Standard input and status are also the same, and wrapping twice changes nothing."""
    command = first + "".join(pieces)
    assume(not re.search(r"\$[$!]", command))  # process ids
    wrapper = replace(WRAPPER, cron=cron, program=str(stand_in / "cronlock"))
    crontab = f"0 2 * * * {command}\n"
    new, notes = wrap_crontab(crontab, wrapper)
    assert wrap_crontab(new, wrapper) == (new, notes)
    if notes:
        assert new == crontab
        assert "a quote or a bracket in its command is not closed" in notes[0] or "a % without a backslash" in notes[0]
        return
    both = [line.removeprefix("0 2 * * * ").removesuffix("\n") for line in (crontab, new)]
    assert both[0] != both[1]
    folder = stand_in / "empty"
    folder.mkdir(exist_ok=True)
    env = {"PATH": f"{stand_in}:/usr/bin:/bin", "HOME": str(folder), "A": "x  y", "SHOW": "show", "DIR": str(stand_in)}
    results = []
    for text in both:
        script, stdin = as_cron(text) if cron == DEBIAN else (text, "")
        done = subprocess.run(
            [b"/bin/sh", b"-c", os.fsencode(script)],
            input=os.fsencode(stdin),
            cwd=folder,
            env=env,
            capture_output=True,
            check=False,
        )
        files = {file.name: file.read_bytes() for file in folder.iterdir()}
        for file in folder.iterdir():
            file.unlink()
        results.append((done.returncode, done.stdout, files))
    assert results[0] == results[1]


# The key


def digits(command: str, user: str = "") -> str:
    return hashlib.sha1(os.fsencode(f"{user}\0{command}"), usedforsecurity=False).hexdigest()[:4]


def test_the_key_is_the_programs_name_and_four_digits_of_user_and_command() -> None:
    command = "/usr/local/bin/backup --full"
    assert keys(f"@daily {command}\n") == [(command, f"backup-{digits(command)}")]
    [(_, key)] = keys(f"@daily root {command}\n", replace(WRAPPER, system=True))
    assert key == f"backup-{digits(command, 'root')}"


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("job", "job"),
        ("/opt/my\\ tools/the\\ job x", "the_job"),
        ("A=b C='d e' job", "job"),
        ("cd /srv/app && bin/job x", "job"),
        ("cd /srv; . ./env; set -e; umask 022; export A=b; job", "job"),
        ("[ -x /bin/x ] && job", "job"),
        ("test -x /bin/x && job", "job"),
        ("[[ -x /bin/x ]] && job", "job"),
        ("command -v job > /dev/null && job x", "job"),
        ("if [ -x /bin/x ]; then /bin/job; fi", "job"),
        ("if job; then other; fi", "job"),
        ("for i in a b; do job $i; done", "job"),
        ("while ! job; do sleep 1; done", "job"),
        ("case $A in a) job;; esac", "job"),
        ("(cd /srv && job)", "job"),
        ("{ exec job; }", "job"),
        ("time -p true; other", "other"),
        ("> /dev/null job", "job"),
        ("A=$(x) job", "job"),
        ("cd /srv && echo done", "echo"),
        ("nice -n 5 job", "nice"),
        ("$HOME/bin/backup.sh", "backup.sh"),
        ("$(which php) x", "which_php"),
        ("größe", "gr__e"),
        ("cd /srv && . ./job", "job"),
        (": > /var/log/x", "job"),
        ("x" * 300, "x" * 100),
    ],
)
def test_the_name_in_a_key_is_the_first_programs(command: str, name: str) -> None:
    """A word of the shell is not a program; without a program, the name is `job`."""
    [(_, key)] = keys(f"0 2 * * * {command}\n")
    assert re.fullmatch(rf"{re.escape(name)}-[0-9a-f]{{4}}", key)


def test_the_same_command_has_the_same_key_in_another_crontab_and_different_ones_never() -> None:
    """Other times, another order, other lines in between, and each instead of once change no key."""
    ours = keys(USER)
    others = [f"{n} 1 * * 1 {line.command}" for n, line in enumerate(reversed(commands(USER))) if n % 3]
    more = [f"@daily /usr/bin/php -f /srv/www/nextcloud/cron.php {n}" for n in range(len(others))]
    lines = itertools.chain.from_iterable(zip(others, more, strict=True))
    theirs = keys("\n".join(["SHELL=/bin/sh", *lines, ""]), replace(WRAPPER, mode="each"))
    assert len(set(ours) & set(theirs)) == len(others)
    different = dict([*ours, *theirs])
    assert len(different) == len(ours) + len(more)
    assert len(set(different.values())) == len(different)


def test_one_command_at_several_times_has_one_key() -> None:
    """Blanks at the end do not belong to the command."""
    (_, night), (_, noon), (_, other) = keys("0 2 * * * job a\n0 14 * * * job a \n@weekly job b\n")
    assert night == noon != other


def test_a_standard_input_belongs_to_the_command() -> None:
    assert len({key for _, key in keys("@daily mail ops%a\n@daily mail ops%b\n@daily mail ops\n")}) == 3


def test_one_command_of_two_users_is_two_jobs() -> None:
    crontab = "@daily alice /usr/bin/job\n@daily bob /usr/bin/job\n@weekly bob /usr/bin/job\n"
    (_, alice), (_, bob), (_, weekly) = keys(crontab, replace(WRAPPER, system=True))
    assert alice != bob == weekly


def test_a_key_is_the_same_in_every_process() -> None:
    texts = {wrap("--once", input=USER.encode(), env={"PYTHONHASHSEED": seed}) for seed in ("1", "2")}
    assert len(texts) == 1


def two_commands(form: str) -> tuple[str, str]:
    """Return two commands of this form with the same digits."""
    seen: dict[str, str] = {}
    for number in itertools.count():
        command = form.format(number)
        first = seen.setdefault(digits(command), command)
        if first != command:
            return first, command
    raise AssertionError


@pytest.mark.parametrize("form", ["job {}", "job%{}"], ids=["words", "standard input"])
def test_two_commands_that_would_share_a_key_are_refused(form: str) -> None:
    first, second = two_commands(form)
    with pytest.raises(Refused, match=r"line 2 and line 3 would share the key job-\w{4}: give one of them a key by ha"):
        wrap_crontab(f"# x\n@daily {first}\n@daily {second}\n", WRAPPER)


@pytest.mark.parametrize(
    ("crontab", "cron"),
    [
        ("@daily cronlock run --once --key {key} -- job --old\n@daily job --new\n", DEBIAN),
        ("@daily job --new | x\nSHELL=/bin/bash\n@daily job --new | x\n", DEBIAN),
        ("CRON_TZ=UTC\n@daily job --new\nCRON_TZ=Asia/Tokyo\n@daily job --new\n", CRONIE),
    ],
    ids=["wrapped before", "another shell", "another zone"],
)
def test_lines_that_run_would_refuse_are_refused_at_once(crontab: str, cron: str) -> None:
    """A wrapped line was changed afterwards; one command is for two shells, or in two zones."""
    [key] = re.findall(r"--key (\S+)", one("job --new"))
    with pytest.raises(Refused, match=r"^line \d and line \d would share the key job-\w{4}: .* --key NAME"):
        wrap_crontab(crontab.format(key=key), replace(WRAPPER, cron=cron))


def test_a_line_for_a_command_that_was_wrapped_before_joins_it() -> None:
    new, _ = wrap_crontab("@daily job\n", WRAPPER)
    more, notes = wrap_crontab(new + "@weekly job\n", WRAPPER)
    assert notes == []
    assert len(set(re.findall(r"--key (\S+)", more))) == 1


# What is left alone


@pytest.mark.parametrize(
    "line",
    [
        "",
        "  \t",
        "# 0 2 * * * job",
        "\t# job",
        "A=b",
        ' "A B" = " c " ',
        "0 2 * * *",
        "0 2 * * * # job",
        "0 2 * * * %job",
        "@daily",
        "0 2 * * * cronlock run --key nightly -- job",
        "0 2 * * * cronlock run --once --key $KEY -- job",
        "0 2 * * * /opt/cronlock/bin/cronlock run --local -k nightly job",
        "0 2 * * * python3 -m cronlock run --each --key nightly job > log",
        "0 2 * * * cd /srv && cronlock run --key nightly job",
        "0 2 * * * sh -c 'A=b cronlock run --key nightly job'",
        "0 2 * * * cronlock status --format prometheus > /var/lib/node_exporter/cronlock.prom",
        "0 2 * * * bash -c 'cronlock check || mail ops'",
        "@reboot cronlock pause --all",
        "0 2 * * * cronlock wrap --once < a > b",
    ],
)
def test_lines_without_a_command_or_with_cronlock_are_left_alone_without_a_note(line: str) -> None:
    assert left_alone(f"{line}\n") == []


def test_a_name_like_cronlocks_is_not_a_use_of_cronlock() -> None:
    assert one("find /var/lib/cronlock -name cronlock -delete").endswith(
        " -- find /var/lib/cronlock -name cronlock -delete"
    )


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("@reboot job", "@reboot is not a schedule"),
        ("@every 90m job", "cron does not know @every: write five fields, .*"),
        ("6~15 2 * * * job", r"schedule '6~15 2 \* \* \*': '6~15' is random on each host: .*"),
        ("0 25 * * * job", "schedule '0 25 .* bad hour field '25'"),
        ("0 0 30 2 * job", "schedule '0 0 30 2 \\*' never occurs: pass another --schedule"),
        ("@fortnightly job", "schedule '@fortnightly' is not a nickname that cron knows: .*"),
        ("0 2 * * job", "it has four schedule fields, so cron reads job as the next one: write five: .*"),
        ("0 2 * * job --full", "it has four schedule fields, .*"),
        ("0 0 2 * * * job", r"it has six schedule fields, so cron reads \* as a command: .* remove the seconds"),
        ("0 2 * * * 2026 job", "it has six schedule fields, so cron reads 2026 .* remove the year"),
        ("0 0 2 ? * MON 2026 job", "it has seven schedule fields, .* remove the seconds and the year"),
        ("0 2 * * mon#1 job", "cron starts the line on each mon, but cronlock reads mon#1 as one day a month: .*"),
        ("@daily job --to db-%F.sql", r"a % without a backslash ends its command after 'job --to db-': write \\% .*"),
        ("@daily tar czf b%Y%m%d.tgz /srv", r"a % without a backslash ends its command after 'tar czf b': .*"),
        ("@daily warn --above 95%", r"a % without a backslash ends its command after 'warn --above 95': .*"),
        ("@daily curl http://h/a%20b", r"a % without a backslash ends its command after 'curl http://h/a': .*"),
        (
            '@daily echo "$(date +%F)"',
            r"a % without a backslash .*: a quote or a bracket .* is not closed: .*",
        ),
        (
            "@daily cronlock job -x",
            "cronlock has no command job; only the bash tool .*: write .* -- job -x",
        ),
        ("@daily cronlock --once -k a -- job", "run is missing before --once: write cronlock run --once -k a -- job"),
        ("@daily nice cronlock rum -k a -- job", "cronlock has no command rum: write cronlock run, or .*"),
        ("@daily sh -c 'cronlock job'", "cronlock has no command job; .*"),
        ("@daily cronlock", "cronlock is started without a command of its own: write cronlock run .*"),
        ("@daily cronlock run --onec -k a job", r"it would be refused: no such option --onec: did you mean --once\?"),
        ('@daily echo "job', "a quote or a bracket in its command is not closed"),
        ("@daily echo $(job", "a quote or a bracket in its command is not closed"),
        (f"@daily job {'x' * 990}", "with cronlock it would be longer than the 998 bytes that Debian's cron takes"),
    ],
)
def test_a_line_that_cannot_be_wrapped_is_left_alone_and_named(line: str, why: str) -> None:
    [note] = left_alone(f"# a comment\n{line}\n")
    assert re.fullmatch(f"line 2: left alone: {why}", note)


@pytest.mark.parametrize(
    ("command", "program"),
    [
        ("cd / && run-parts --report /etc/cron.hourly", "run-parts"),
        ("test -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.daily; }", "run-parts"),
        ("nice /bin/run-parts /etc/cron.daily", "run-parts"),
        ("sh -c 'cd /; run-parts /etc/cron.daily'", "run-parts"),
        ("/usr/sbin/anacron -s", "anacron"),
        ("[ -x /etc/init.d/anacron ] && if true; then /usr/sbin/invoke-rc.d anacron start >/dev/null; fi", "anacron"),
    ],
)
def test_a_starter_of_each_machines_own_jobs_is_not_for_one_machine(command: str, program: str) -> None:
    """With --once, logrotate would run on one machine only; with --each, it runs on every machine as before."""
    [note] = left_alone(f"@daily {command}\n")
    assert note.startswith(f"line 1: left alone: {program} starts the jobs that each machine has installed: wrap it")
    assert "--each" in note
    assert "run --each --key " in one(command, replace(WRAPPER, mode="each"))


@pytest.mark.parametrize("command", ["test -x /usr/sbin/anacron || job", "job run-parts.log", "my-run-parts /etc/jobs"])
def test_a_name_like_a_starters_is_not_a_use_of_it(command: str) -> None:
    assert "run --once --key " in one(command)


@pytest.mark.parametrize("shell", ["/usr/bin/fish", "/bin/tcsh", "/bin/rbash", "/usr/bin/python3", "/sbin/nologin"])
def test_for_a_shell_that_is_not_like_sh_nothing_is_wrapped(shell: str) -> None:
    [note] = left_alone(f"SHELL={shell}\n@daily job\n")
    assert note == f"line 2: left alone: its SHELL, {shell}, may read quotes in another way than sh"


@pytest.mark.parametrize("cron", [CRONIE, BUSYBOX])
def test_other_crons_take_longer_commands(cron: str) -> None:
    assert len(one(f"job {'x' * 2000}", replace(WRAPPER, cron=cron))) > 2000


def test_a_newline_is_added_where_the_last_line_has_none() -> None:
    new, notes = wrap_crontab("# x\n@daily job", WRAPPER)
    assert new == wrap_crontab("# x\n@daily job\n", WRAPPER)[0]
    assert notes == ["line 2: added the missing newline at its end: cron ignores a line without a newline"]


def test_line_ends_of_dos_stay() -> None:
    new, notes = wrap_crontab("# x\r\n\r\nA=b\r\n@daily job | x\r\n@weekly job y\r\n", WRAPPER)
    assert notes == []
    assert new.count("\r\n") == new.count("\n") == 5


# The command line


def wrap(*words: object, status: int = 0, **kw: object) -> tuple[bytes, bytes]:
    """Return the output and the errors of cronlock wrap."""
    done = cronlock("wrap", *words, text=False, **kw)
    assert done.returncode == status, done
    return done.stdout, done.stderr


def test_it_reads_a_file_or_standard_input_and_changes_nothing() -> None:
    file = home() / "crontab"
    file.write_text(USER)
    before = file.stat().st_mtime_ns
    ways = [wrap("--once", input=USER.encode()), wrap("--once", "-", input=USER.encode()), wrap("--once", file)]
    assert len(set(ways)) == 1
    assert ways[0] != (USER.encode(), b"")
    assert ways[0][1] == b""
    assert (file.read_text(), file.stat().st_mtime_ns) == (USER, before)


def test_bytes_that_are_not_text_survive() -> None:
    crontab = b"# caf\xe9\n@daily job 'caf\xe9' \xc3\xa9\n"
    out, err = wrap("--each", input=crontab)
    assert err == b""
    assert out.startswith(b"# caf\xe9\n@daily /")
    assert out.endswith(b" -- job 'caf\xe9' \xc3\xa9\n")
    command = "job 'caf\udce9' \xe9"
    assert f" run --each --key job-{digits(command)} ".encode() in out


def test_nothing_in_is_nothing_out() -> None:
    assert wrap("--once", input=b"") == (b"", b"")


def test_notes_are_lines_on_standard_error() -> None:
    out, err = wrap("--once", input=b'@reboot job\x1b[31m\n@daily echo "x')
    assert out == b'@reboot job\x1b[31m\n@daily echo "x\n'
    assert err.decode().splitlines() == [
        "cronlock: wrap: line 1: left alone: @reboot is not a schedule",
        "cronlock: wrap: line 2: left alone: a quote or a bracket in its command is not closed",
        "cronlock: wrap: line 2: added the missing newline at its end: cron ignores a line without a newline",
    ]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ([], "neither --once nor --each is given: give one of them"),
        (["--once", "--each"], "both --once and --each are given: give one of them"),
        (["--once", "a", "b"], "several files are given: give one of them"),
        (["--once", "/nonexistent"], "can't read /nonexistent: No such file or directory"),
        (["--once", "/etc"], "can't read /etc: Is a directory"),
        (["--once", "--crontab", "both"], "Invalid value for '--crontab': 'both' is not one of user, system"),
    ],
)
def test_a_refusal_is_one_line_and_125(words: list[str], line: str) -> None:
    assert wrap(*words, status=125) == (b"", f"cronlock: wrap: refused: {line}\n".encode())


def test_a_possible_user_column_has_to_be_declared() -> None:
    crontab = b"@daily root job\n0 2 * * * daemon job\n"
    out, err = wrap("--once", input=crontab, status=125)
    assert out == b""
    assert err == (
        b"cronlock: wrap: refused: every command begins with the name of a user, which may be a user column: "
        b"pass --crontab system if it is, --crontab user if not\n"
    )
    system, _ = wrap("--once", "--crontab", "system", input=crontab)
    assert [line.split(b" /")[0] for line in system.splitlines()] == [b"@daily root", b"0 2 * * * daemon"]
    user, _ = wrap("--once", "--crontab", "user", input=crontab)
    assert [line.split(b" /")[0] for line in user.splitlines()] == [b"@daily", b"0 2 * * *"]


@pytest.mark.parametrize(
    ("crontab", "unknown"),
    [
        (b"@daily root job\n@daily deploy job\n", b"deploy"),
        (b"@daily deploy /opt/job\n", b"deploy"),
        (b"@daily deploy sh -c 'job'\n@daily app-1 cd /srv && ./job\n", b"deploy"),
    ],
)
def test_a_user_that_this_machine_lacks_may_be_in_a_user_column(crontab: bytes, unknown: bytes) -> None:
    """With it as the command, each line would fail; an operator has to say which it is."""
    out, err = wrap("--once", input=crontab, status=125)
    assert out == b""
    why = (
        b"a word that may be a user, and "
        + unknown
        + b" is neither a user nor a program of this machine: pass --crontab"
    )
    assert why in err
    out, err = wrap("--once", "--crontab", "system", input=crontab)
    assert all(re.match(rb"@daily (root|deploy|app-1) /", line) for line in out.splitlines())
    assert b"user " + unknown + b" does not exist on this machine: its cron would not run the line" in err


@pytest.mark.parametrize("crontab", [b"@daily root job\n@daily job\n", b"@daily sync\n", b"@daily nobody-at-all job\n"])
def test_other_commands_are_not_a_user_column(crontab: bytes) -> None:
    """A user's name that is the whole command, such as sync, is a program."""
    out, _ = wrap("--once", input=crontab)
    assert all(line.startswith(b"@daily /") for line in out.splitlines())


@pytest.mark.parametrize(
    ("path", "system"),
    [
        ("/etc/crontab", True),
        ("/etc/cron.d/php", True),
        ("/etc/cron.d/../crontab", True),
        ("/etc/cron.daily/php", False),
        ("/etc/crontabs/root", False),
        ("/home/a/etc/crontab", False),
        ("crontab", False),
    ],
)
def test_a_crontab_in_etc_has_a_column_of_users(path: str, system: bool) -> None:
    assert is_in_etc(path) == system


def test_a_closed_output_causes_no_error_message() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = cronlock("wrap", "--once", input="# a comment\n" * 50_000, stdout=writing)
    os.close(writing)
    assert done.stderr == ""


def test_an_output_that_is_full_is_an_error() -> None:
    with open("/dev/full", "wb") as full:
        done = cronlock("wrap", "--once", input=USER, stdout=full)
    assert (done.returncode, done.stderr) == (
        125,
        "cronlock: wrap: refused: can't write the crontab: No space left on device\n",
    )


def program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_cronlock_is_named_as_it_was_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path becomes absolute. A link stays a link, since its target may change with the next version."""
    real = program(tmp_path / "opt" / "cronlock")
    link = tmp_path / "bin" / "cronlock"
    link.parent.mkdir()
    link.symlink_to(real)
    monkeypatch.chdir(tmp_path)
    assert find_cronlock("bin/cronlock", {}) == str(link)


def test_else_it_is_the_one_on_path_or_beside_its_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`python -m cronlock` was started as __main__.py."""
    started = str(program(tmp_path / "__main__.py"))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "venv" / "python"))
    environ = {"PATH": str(tmp_path / "bin")}
    with pytest.raises(Refused, match="no program named cronlock was found: put its folder on PATH"):
        find_cronlock(started, environ)
    beside = program(tmp_path / "venv" / "cronlock")
    assert find_cronlock(started, environ) == str(beside)
    on_path = program(tmp_path / "bin" / "cronlock")
    assert find_cronlock(started, environ) == str(on_path)


def test_a_wrapped_crontab_names_a_cronlock_that_is_there() -> None:
    out, _ = wrap("--once", input=b"@daily job\n", env={"PATH": cronlock_on_path()})
    assert shlex.split(out.decode())[1] == str(home() / "bin" / "cronlock")


# Jobs that look alike


def test_one_command_under_different_variables_is_refused() -> None:
    """They are two jobs, and with one key one of them would never run again."""
    with pytest.raises(Refused, match="line 2 and line 4 would share the key sync-"):
        wrap_crontab("SITE=a\n* * * * * sync --site\nSITE=b\n* * * * * sync --site\n", WRAPPER)
    wrap_crontab("MAILTO=a\n* * * * * sync --site\nMAILTO=b\n0 5 * * * sync --site\n", WRAPPER)


def test_the_same_line_twice_is_reported() -> None:
    _, notes = wrap_crontab("* * * * * work --one\n* * * * * work --one\n0 1 * * * work --one\n", WRAPPER)
    assert notes == ["line 2: the same as line 1: with one key they run once"]
