"""The crontab lines that may have started cronlock: their files, their syntax, and their options."""

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from cronlock.cron.crontab import Sources, listing, own_lines
from cronlock.cron.parser import (
    BUSYBOX,
    CRONIE,
    DEBIAN,
    UNKNOWN_CRON,
    Line,
    assignment,
    before_stdin,
    columns,
    every_line,
    lines_of,
)
from cronlock.cron.shell import HOLE, commands
from cronlock.errors import Refused
from tests.support.commands import environment

FORBIDDEN = (  # modules that a hundred lines that fire in one second can't afford to import
    "click redis rich asyncio logging subprocess typing dataclasses pathlib importlib.resources secrets hashlib uuid "
    "urllib tempfile shlex re enum json datetime socket signal"
).split()


def found(command: str, key: str = "nightly", mode: str = "once", cron: str = UNKNOWN_CRON) -> list[Line]:
    """The lines that one user crontab with this command, at 02:00, has of the key."""
    return lines_of(f"0 2 * * * {command}\n", "crontab -l", key, mode, system=False, cron=cron)


def texts(script: str) -> list[list[str]]:
    return [[word.text for word in words] for words in commands(script)]


def python(script: str) -> str:
    """Return the output of a new Python that runs this."""
    command = [sys.executable, "-c", script]
    return subprocess.run(command, env=environment(), capture_output=True, check=True, text=True).stdout.strip()


# The lines of a key

RUNS = [
    "cronlock run --key nightly -- job --full",
    "cronlock run --key nightly job --full",
    "cronlock run --key=nightly job --full",
    "cronlock run -k nightly job --full",
    "cronlock run -knightly job --full",
    "cronlock run -qvk nightly job --full",
    "cronlock run --once --key nightly --ttl 5m -E 75 -- job --full",
    "/usr/local/bin/cronlock run --key nightly job --full",
    "$HOME/.local/bin/cronlock run --key nightly job --full",
    '"/opt/my tools/cronlock" run --key nightly job --full',
    "python3 -m cronlock run --key nightly -- job --full",
    "python3 -I -m cronlock run --key nightly -- job --full",
    "/opt/venv/bin/python -m cronlock run --key 'nightly' -- job --full",
    "cd /srv/app && cronlock run --key nightly job --full",
    "test -x /usr/bin/cronlock || exit 0; cronlock run --key nightly job --full",
    "[ -d /srv/app ] && { cd /srv/app; cronlock run --key nightly job --full; }",
    "(cd /srv/app; cronlock run --key nightly job --full)",
    "sleep 5 & cronlock run --key nightly job --full",
    "fetch | cronlock run --key nightly job --full",
    "cronlock run --key nightly job --full | logger -t nightly",
    "cronlock run --key nightly job --full || echo failed | mail -s nightly ops",
    "cronlock run --key nightly job --full >/dev/null 2>&1",
    "cronlock run --key nightly job --full >> /var/log/nightly.log 2>> /var/log/nightly.err < /dev/null",
    "cronlock run --key nightly job --full &> /var/log/nightly.log",
    "cronlock run --key nightly 2>/dev/null job --full",
    ">/dev/null cronlock run --key nightly job --full",
    "cronlock run --key nightly job --full # every night",
    "if true; then cronlock run --key nightly job --full; fi",
    "TZ=UTC LANG=C cronlock run --key nightly job --full",
    "env -i PATH=/bin cronlock run --key nightly job --full",
    "nice -n 19 ionice -c 2 -n 7 cronlock run --key nightly job --full",
    "timeout 1h cronlock run --key nightly job --full",
    "sudo -u app -H cronlock run --key nightly job --full",
    "flock -n /run/nightly.lock cronlock run --key nightly job --full",
    "flock -n /run/nightly.lock -c 'cronlock run --key nightly job --full'",
    "chronic cronlock run --key nightly job --full",
    "sh -c 'cronlock run --key nightly job --full'",
    'bash -lc "cronlock run --key nightly job --full"',
    "bash -l -c 'cd /srv/app && cronlock run --key nightly job --full'",
    "bash -c -l 'cronlock run --key nightly job --full'",
    "su - app -c 'cronlock run --key nightly job --full'",
    "su app --command='cronlock run --key nightly job --full'",
    "su app --command 'cronlock run --key nightly job --full'",
    """sudo -u app sh -c "bash -c 'cronlock run --key nightly job --full'" """,
    r"""sh -c "bash -c \"cronlock run --key nightly job --full\"" """,
    'out=$(cronlock run --key nightly job --full 2>&1) || echo "$out"',
    'logger "`cronlock run --key nightly job --full`"',
    "CRONLOCK_KEY=nightly cronlock run job --full",
    "CRONLOCK_KEY='nightly' nice cronlock run -- job --full",
    "env CRONLOCK_KEY=nightly cronlock run job --full",
    "export CRONLOCK_KEY=nightly; cronlock run job --full",
    "export LANG=C CRONLOCK_KEY=nightly && cronlock run job --full",
    "CRONLOCK_KEY=nightly; export CRONLOCK_KEY; cronlock run job --full",
    "CRONLOCK_KEY=nightly sh -c 'cronlock run job --full'",
    "CRONLOCK_KEY=hourly cronlock run --key nightly job --full",
    'cronlock run --node "$(hostname -s)" --key nightly job --full',
    "cronlock run --node ${HOSTNAME} --ttl $TTL --key nightly job --full",
    "cronlock run --key night'ly' \"job\" --fu\\ll",
    "cronlock run --key hourly true; cronlock run --key nightly job --full",
    "cronlock run --key hourly -- sh -c 'cronlock run --key nightly job --full'",
    'echo "don\'t"; cronlock run --key nightly job --full%first line%second',
    "-n cronlock run --key nightly job --full",
]

STRANGERS = [
    "cronlock run --key hourly job --full",
    "cronlock run job --full",
    "cronlock run --each --key nightly job",
    "cronlock run --key nightly",
    "cronlock run --key",
    "cronlock run --no-such-option --key nightly job",
    "cronlock run --ttl soon --key nightly job",
    "cronlock status nightly",
    "cronlock --version run --key nightly job",
    "cronlocker run --key nightly job",
    "job run --key nightly",
    "cronlock; run --key nightly job",
    "job # cronlock run --key nightly job",
    "echo 'cronlock run --key nightly job'",
    "job > cronlock run --key nightly job",
    "cronlock run -- job --key nightly",
    'cronlock run --key "$KEY" job',
    "cronlock run --key nightly$SUFFIX job",
    "cronlock run --key `hostname` job",
    "cronlock run --key ${KEY:-nightly} job",
    "CRONLOCK_KEY=$KEY cronlock run job",
    "CRONLOCK_KEY=nightly true; cronlock run job",
    "sh -c \"cronlock run --key '$KEY' job\"",
    "cronlock run --key 'nightly job",
    'cronlock run --key "nightly job',
    "cronlock run --key nightly job $(echo",
    "cronlock run --key nightly job `echo",
    "sh -c 'cronlock run --key \"nightly job'",
    "cronlock run --key night%ly job",
    "cronlock run --schedule none --key nightly job",
    "CRONLOCK_SCHEDULE=none cronlock run --key nightly job",
    "cronlock run --schedule $WHEN --key nightly job",
    "CRONLOCK_SCHEDULE=$WHEN cronlock run --key nightly job",
    "sh -c true 'cronlock run --key nightly job'",
    "cronlock run --tick 1790000000 --key nightly job",
    "CRONLOCK_TICK=$JOB cronlock run --key nightly job",
    "CRONLOCK_EACH=maybe cronlock run --key nightly job",
    "CRONLOCK_EACH=$EACH cronlock run --key nightly job",
]


@pytest.mark.parametrize("command", RUNS)
def test_it_finds_cronlock_anywhere_in_the_command(command: str) -> None:
    """However a line reaches `cronlock run` with the key: it is the key's line, once, with the job's argv."""
    lines = found(command)
    assert [(line.fields, line.command, line.place) for line in lines] == [
        ("0 2 * * *", ["job", "--full"], "crontab -l:1")
    ]


@pytest.mark.parametrize("command", STRANGERS)
def test_it_leaves_lines_of_others_alone(command: str) -> None:
    """Another key or mode, a key that only a shell could tell, no tick of the line, or a line no shell takes."""
    assert found(command) == []


@pytest.mark.parametrize(
    ("command", "known"),
    [
        ('cronlock run --key "$KEY" job', False),
        ("cronlock run --key=$KEY job", False),
        ("CRONLOCK_KEY=$KEY cronlock run job", False),
        ("sh -c \"cronlock run --key '$KEY' job\"", False),
        ("sh -c 'cronlock run --key $KEY job'", False),
        ("cronlock run --key '$KEY' job", True),
        ("cronlock run --key \\$KEY job", True),
        ("sh -c 'cronlock run --key \"\\$KEY\" job'", True),
    ],
)
def test_a_key_that_needs_expansion_is_not_its_text(command: str, known: bool) -> None:
    """Only a word that reaches cronlock unchanged is a key."""
    assert len(found(command, "$KEY")) == known


@pytest.mark.parametrize(
    ("command", "mode"),
    [
        ("cronlock run --each -k a job", "each"),
        ("cronlock run --once -k a job", "once"),
        ("cronlock run -k a job", "once"),
        ("CRONLOCK_EACH=1 cronlock run -k a job", "each"),
        ("CRONLOCK_EACH=0 cronlock run -k a job", "once"),
        ("CRONLOCK_ONCE=1 cronlock run -k a job", "once"),
        ("CRONLOCK_EACH=1 cronlock run --once -k a job", "once"),
    ],
)
def test_once_and_each_of_one_key_are_different_lines(command: str, mode: str) -> None:
    """A line is found for its own mode only: once and each have records of their own."""
    assert len(found(command, "a", mode)) == 1
    assert found(command, "a", "each" if mode == "once" else "once") == []


def test_the_caller_gives_the_mode_of_a_line_without_one() -> None:
    """The settings file's value for all keys holds for lines without --once and --each."""
    text = "0 1 * * * cronlock run -k a job\n0 2 * * * cronlock run --once -k a job\n"
    lines = lines_of(text, "x", "a", "each", system=False, default_mode="each")
    assert [line.fields for line in lines] == ["0 1 * * *"]


# Rows and columns


@pytest.mark.parametrize(
    ("row", "fields", "user"),
    [
        ("0 2 * * * cronlock run -k a job", "0 2 * * *", ""),
        ("0\t2\t*  *\t * \t cronlock run -k a job", "0 2 * * *", ""),
        ("   */5 9-17 1,15 jan mon-fri cronlock run -k a job", "*/5 9-17 1,15 jan mon-fri", ""),
        ("@daily cronlock run -k a job", "@daily", ""),
        ("@hourly\tcronlock run -k a job", "@hourly", ""),
        ("-0 2 * * * cronlock run -k a job", "0 2 * * *", ""),
        ("0 2 * * * CRONLOCK_KEY=b cronlock run -k a job", "0 2 * * *", ""),
        ("6~15 2 * * * cronlock run -k a job", "6~15 2 * * *", ""),
        ("0 2 * * * cronlock run --schedule '5  3 * * *' -k a job", "5 3 * * *", ""),
        ("0 2 * * * CRONLOCK_SCHEDULE=@daily cronlock run -k a job", "@daily", ""),
        ("@reboot cronlock run --schedule @daily -k a job", None, ""),
        ("0 2 * * * root cronlock run -k a job", "0 2 * * *", "root"),
        ("@weekly  www-data  cronlock run -k a job", "@weekly", "www-data"),
        ("@reboot cronlock run -k a job", None, ""),
        ("# 0 2 * * * cronlock run -k a job", None, ""),
        ("  #0 2 * * * cronlock run -k a job", None, ""),
        ("cronlock run -k a job", None, ""),
        ("JOB=cronlock run -k a job", None, ""),
        ("0 2 * *", None, ""),
    ],
)
def test_a_row_is_fields_user_and_command(row: str, fields: str | None, user: str) -> None:
    """Five fields or a nickname, a user column in system files; comments, assignments and @reboot have no ticks."""
    lines = lines_of(row, "x", "a", "once", system=bool(user))
    assert [(line.fields, line.user) for line in lines] == ([] if fields is None else [(fields, user)])


def test_a_system_row_without_a_command_is_ignored() -> None:
    """The user column is never mistaken for the command."""
    assert columns("0 2 * * * root", system=True) == ("0 2 * * *", "root", "")


def test_lines_are_numbered_as_editors_do() -> None:
    """Blank rows, comments and assignments count; the last row needs no newline here."""
    text = "# nightly\n\nMAILTO=ops\n0 2 * * * cronlock run -k a job\n\n30 4 * * * cronlock run -k a job"
    lines = lines_of(text, "/etc/x", "a", "once", system=False)
    assert [line.place for line in lines] == ["/etc/x:4", "/etc/x:6"]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("A=b", ("A", "b")),
        ("A = b c ", ("A", "b c")),
        ("A\t=\tb", ("A", "b")),
        ("A=' b '", ("A", " b ")),
        ('"A"="b"  ', ("A", "b")),
        ("'A B' = c", ("A B", "c")),
        ("A=", ("A", "")),
        ("A=b=c", ("A", "b=c")),
        ("A=it's", ("A", "it's")),
        ("A='b' c", None),
        ("A='b", None),
        ("A='", None),
        ("A b=c", None),
        ("'A=b' = c", None),
        ("'A", None),
        ("0 2 * * * A=b job", None),
        ("@daily A=b job", None),
    ],
)
def test_assignments_are_read_as_cron_reads_them(row: str, expected: tuple[str, str] | None) -> None:
    """One pair of matching quotes around a name or value goes; what cron takes for a schedule is none."""
    assert assignment(row) == expected


def test_an_assignment_holds_for_the_rows_below_it() -> None:
    """The key, mode and schedule may come from CRONLOCK_ variables of the crontab; nearer ones win."""
    text = (
        "0 1 * * * cronlock run job\n"
        "CRONLOCK_KEY = 'a'\n"
        "0 2 * * * cronlock run job\n"
        "0 3 * * * CRONLOCK_KEY=b cronlock run job\n"
        "CRONLOCK_KEY=b\n"
        "0 4 * * * cronlock run job\n"
        "0 5 * * * cronlock run -k a job\n"
        "CRONLOCK_EACH=1\n"
        "0 6 * * * cronlock run -k a job\n"
    )
    assert [line.fields for line in lines_of(text, "x", "a", "once", system=False)] == ["0 2 * * *", "0 5 * * *"]


def test_a_crontabs_own_assignment_is_never_expanded() -> None:
    """cron does not expand $: such a key is literal."""
    text = "CRONLOCK_KEY=$a\n0 2 * * * cronlock run job\n"
    assert len(lines_of(text, "x", "$a", "once", system=False)) == 1


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("job", "job"),
        ("job%in", "job"),
        (r"date +\%F", "date +%F"),
        (r"date +\%Y\%m%in\%x", "date +%Y%m"),
        (r"job \\%in", r"job \\"),
        (r"job \\\%x", r"job \\%x"),
        ("%in", ""),
    ],
)
def test_a_bare_percent_ends_the_command(command: str, expected: str) -> None:
    """An escaped one is a percent sign; cron counts backslashes in pairs."""
    assert before_stdin(command) == expected


def test_busybox_leaves_percent_signs_to_the_command() -> None:
    """Its crond hands the row to the shell unchanged."""
    row = "cronlock run -k a sh -c 'job >> /var/log/job.$(date +%F)'"
    assert found(row, "a", cron=BUSYBOX)[0].command == ["sh", "-c", "job >> /var/log/job.$(date +%F)"]
    assert found(row, "a", cron=DEBIAN) == []


def test_expansions_of_the_command_stay_as_written() -> None:
    """Nothing is run or looked up to compare two lines."""
    assert found('cronlock run -k a sh -c "job $DAY" `who` ${X:-y z} \\$9', "a")[0].command == [
        "sh", "-c", "job $DAY", "`who`", "${X:-y z}", "$9",
    ]  # fmt: skip


@pytest.mark.parametrize("cron", [CRONIE, DEBIAN, BUSYBOX, UNKNOWN_CRON])
def test_cron_tz_counts_only_where_cron_obeys_it(cron: str) -> None:
    """cronie fires the rows below it by that zone; elsewhere it is a variable like any other."""
    text = (
        "0 1 * * * cronlock run -k a job\nCRON_TZ=Asia/Tokyo\n0 2 * * * cronlock run -k a job\n"
        'CRON_TZ=""\n0 3 * * * cronlock run -k a job\n'
    )
    zones = [line.zone for line in lines_of(text, "x", "a", "once", system=False, cron=cron)]
    assert zones == (["", "Asia/Tokyo", ""] if cron == CRONIE else ["", "", ""])


def test_a_zone_that_the_line_gives_beats_crons() -> None:
    """--tz and CRONLOCK_TZ say by which zone the run counts its ticks."""
    text = (
        "CRON_TZ=Asia/Tokyo\n0 2 * * * cronlock run --tz UTC -k a job\n"
        "0 2 * * * CRONLOCK_TZ=Europe/Rome cronlock run -k a job\n"
        "0 2 * * * CRONLOCK_TZ=$ZONE cronlock run -k a job\n"
    )
    lines = lines_of(text, "x", "a", "once", system=False, cron=CRONIE)
    assert [line.zone for line in lines] == ["UTC", "Europe/Rome", "Asia/Tokyo"]


def test_every_line_has_key_and_mode() -> None:
    """For commands about all keys: a value that a line does not give is empty."""
    text = "0 1 * * * cronlock run -k a job\n0 2 * * * cronlock run --each -k $B job\n0 3 * * * other\n"
    assert [(line.key, line.mode) for line in every_line(text, "x", system=False)] == [("a", ""), ("", "each")]


# Words


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("a b", [["a", "b"]]),
        ("a;b&&c||d|e&f", [["a"], ["b"], [], ["c"], [], ["d"], ["e"], ["f"]]),
        ("a >b c", [["a", "c"]]),
        ("a 2>b 3 >|c >&2 <<<d <>e", [["a", "3"]]),
        ("a2>b", [["a2"]]),
        ("a &>>b c", [["a", "c"]]),
        ("a > 2>b c", [["a", "c"]]),
        ("a 2>&- b", [["a", "b"]]),
        ("a <(b c) d", [["a"], ["b", "c"], ["d"]]),
        ("a#b #c", [["a#b"]]),
        ("a #b\nc", [["a"], ["c"]]),
        ("a\\\nb \\\n c", [["ab", "c"]]),
        ("'' \"\" a''", [["", "", "a"]]),
        ("$(a; b) c", [["$(a; b)", "c"]]),
        ('"$(a ")")" c', [['$(a ")")', "c"]]),
        ("$(a $(b ')') (c)) d", [["$(a $(b ')') (c))", "d"]]),
        ('$(a "it\'s") b', [['$(a "it\'s")', "b"]]),
        ("${a:-b c} $((1 + (2))) `d e`", [["${a:-b c}", "$((1 + (2)))", "`d e`"]]),
        ('"a $" $', [["a $", "$"]]),
        ("$'a b'", [["$a b"]]),
        ("a\\", [["a\\"]]),
    ],
)
def test_a_script_is_simple_commands_of_words(script: str, expected: list[list[str]]) -> None:
    """Operators part commands; redirections, their targets and comments are no words."""
    assert texts(script) == expected


@pytest.mark.parametrize("script", ["'", '"', "a'b", "$(", "$(a", "${a", "`a", '"$(a"', '"`a"', "$(a `b)"])
def test_a_script_that_ends_too_early_is_an_error(script: str) -> None:
    """A script that a shell would refuse has no words."""
    with pytest.raises(ValueError, match=r"."):
        commands(script)


@pytest.mark.parametrize(
    ("word", "shape"),
    [
        ("a", "a"),
        ("a$b-c", f"a{HOLE}-c"),
        ("'$a'", "$a"),
        (r"\$a\`", "$a`"),
        (r'"\$a"', "$a"),
        ('"a${b}c$1$"', f"a{HOLE}c{HOLE}$"),
        ("`a`$(b)$?", HOLE * 3),
        ("$'a'", f"{HOLE}a"),
        ("5$", "5$"),
    ],
)
def test_a_shape_has_a_hole_where_a_shell_would_expand(word: str, shape: str) -> None:
    """So that a value is known exactly when it has none."""
    assert commands(word)[0][0].shape == shape


@given(st.text(alphabet="ab'\"\\ \t", max_size=30))
def test_words_are_split_as_shlex_splits_them(script: str) -> None:
    """Quotes and backslashes mean the same as in the standard library, errors included."""
    assume(len(script) == len(script.rstrip("\\")))  # a last backslash: an error there, itself in a shell
    try:
        expected = shlex.split(script)
    except ValueError:
        with pytest.raises(ValueError, match=r"."):
            commands(script)
    else:
        assert texts(script) == [expected]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(alphabet="ab'\"\\ #$`|&;<>()~\t", max_size=8), min_size=1, max_size=12))
def test_words_are_split_as_sh_splits_them(given_words: list[str]) -> None:
    """A word quoted for a shell is read as the shell reads it, in one command and without holes."""
    script = "printf '%s\\0' " + " ".join(shlex.quote(word) for word in given_words)
    said = subprocess.run(["/bin/sh", "-c", script], capture_output=True, check=True, text=True).stdout
    words = commands(script)[0][2:]
    assert [word.shape for word in words] == said.split("\0")[:-1] == given_words


# Anything at all

PIECES = st.sampled_from(
    ["cronlock", "run", "-k", "a", "--key=a", "job", "0 2 * * *", "@daily", "\n", "\0", "\udcff", "CRONLOCK_KEY=", "=",
     *"'\"\\$`(){}|&;<>#% \t", "$(", "${", "sh -c ", "-c", "CRON_TZ", "--schedule", "--each", "--", "é"]
)  # fmt: skip


@settings(max_examples=200, deadline=2000)
@given(st.one_of(st.text(), st.lists(PIECES, max_size=60).map("".join), st.lists(PIECES, max_size=60).map(" ".join)))
@example("0 2 * * * cronlock " + "$(" * 5000)
@example("0 2 * * * cronlock " + "sh -c '" * 500)
@example("0 2 * * * cronlock " + "$(sh -c $(" * 500 + "cronlock" + "))" * 500)
@example("0 2 * * * cronlock run -k a " + "x;" * 5000)
@example("0 2 * * * cronlock run " + "-v" * 3000 + " -k a job")
@example("\n".join(f"CRONLOCK_{n}=" for n in range(1000)))
@example("0 2 * * * cronlock " + "\\%" * 20000)
def test_no_crontab_is_an_accident(text: str) -> None:
    """Any text of a crontab gives lines or none, soon, and only Refused as an exception."""
    for cron in (CRONIE, BUSYBOX):
        for system in (False, True):
            list(every_line(text, "x", system=system, cron=cron))
    sources = Sources("/nowhere", uid=1, crontab=lambda: text)
    with suppress(Refused):
        own_lines("a", "once", sources)


# Where cron reads


class Tree:
    """A machine's files under a folder of their own."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, path: str, *rows: str) -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(row + "\n" for row in rows))
        return file

    def link(self, path: str, target: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.symlink_to(target)

    def sources(self, uid: int = 0, listed: str = "") -> Sources:
        return Sources(str(self.root), uid, lambda: listed)

    def places(self, uid: int = 0, listed: str = "") -> list[str]:
        return [line.place.removeprefix(f"{self.root}/") for line in own_lines("a", "once", self.sources(uid, listed))]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


OWN = "0 2 * * * cronlock run -k a job"
SYSTEM = "0 2 * * * root cronlock run -k a job"


def debian(tree: Tree) -> None:
    tree.write("usr/sbin/cron")


def cronie(tree: Tree) -> None:
    tree.write("usr/sbin/crond")


def busybox(tree: Tree) -> None:
    tree.link("usr/sbin/crond", "/bin/busybox")


def suse(tree: Tree) -> None:
    tree.write("usr/sbin/cron")
    (tree.root / "var/spool/cron/tabs").mkdir(parents=True)


def two_crons(tree: Tree) -> None:
    debian(tree)
    cronie(tree)


@pytest.mark.parametrize(
    ("build", "cron"),
    [
        (debian, DEBIAN),
        (cronie, CRONIE),
        (busybox, BUSYBOX),
        (suse, CRONIE),
        (two_crons, UNKNOWN_CRON),
        (lambda tree: None, UNKNOWN_CRON),
    ],
)
def test_it_knows_whose_cron_this_is(tree: Tree, build: Callable[[Tree], None], cron: str) -> None:
    """By the daemon's file: cron, crond, or a link to busybox; SUSE gave cronie's the name of Debian's."""
    build(tree)
    assert tree.sources().cron == cron


def test_a_user_reads_the_own_crontab_and_the_system_files(tree: Tree) -> None:
    """The output of `crontab -l`, /etc/crontab and /etc/cron.d; only root reads spools."""
    tree.write("var/spool/cron/crontabs/root", OWN)
    tree.write("etc/crontab", "# system", SYSTEM)
    tree.write("etc/cron.d/job", SYSTEM)
    assert tree.places(1000, OWN + "\n") == ["crontab -l:1", "etc/crontab:2", "etc/cron.d/job:1"]


@pytest.mark.parametrize("spool", ["var/spool/cron/crontabs", "var/spool/cron/tabs", "var/spool/cron", "etc/crontabs"])
@pytest.mark.parametrize("variable", ["SUDO_USER", "DOAS_USER"])
def test_root_reads_the_own_crontab_and_that_of_who_called_sudo(
    tree: Tree, spool: str, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The spools of Debian, SUSE, cronie and busybox; a line with sudo or doas is in its user's crontab."""
    tree.write(f"{spool}/root", OWN)
    tree.write(f"{spool}/nobody", "0 2 * * * sudo cronlock run -k b job")
    assert [(line.source, line.user) for line in own_lines("a", "once", tree.sources())] == [
        (f"{tree.root}/{spool}/root", "root")
    ]
    assert own_lines("b", "once", tree.sources()) == []
    monkeypatch.setenv(variable, "nobody")
    assert [line.user for line in own_lines("b", "once", tree.sources())] == ["nobody"]


def test_no_users_crontab_meddles_with_a_key_of_roots(tree: Tree) -> None:
    """Else any user could add ticks to root's job, or have it refused for another command under its key."""
    tree.write("etc/cron.d/job", SYSTEM)
    tree.write("var/spool/cron/crontabs/nobody", "* * * * * cronlock run -k a job", "0 2 * * * cronlock run -k a x")
    assert tree.places() == ["etc/cron.d/job:1"]


def test_a_spool_file_that_is_no_users_is_a_leftover(tree: Tree) -> None:
    """cron runs no file whose name is no user's; its line must not clash with the real one."""
    tree.write("var/spool/cron/root", OWN)
    tree.write("var/spool/cron/root.old~", "0 3 * * * cronlock run -k a another")
    assert not tree.sources().may_have_started_us("root.old~")
    assert tree.places() == ["var/spool/cron/root:1"]


def test_one_spool_under_two_names_is_read_once(tree: Tree) -> None:
    """Alpine links one to the other."""
    tree.write("etc/crontabs/root", OWN)
    tree.link("var/spool/cron/crontabs", str(tree.root / "etc/crontabs"))
    assert tree.places() == ["var/spool/cron/crontabs/root:1"]


@pytest.mark.parametrize(
    ("build", "read"),
    [
        (debian, {"job", "job_2", "JOB-3"}),
        (cronie, {"job", "job_2", "JOB-3", "job.conf", "jöb"}),
    ],
)
def test_cron_d_has_names_that_cron_does_not_read(tree: Tree, build: Callable[[Tree], None], read: set[str]) -> None:
    """Debian's reads letters, digits, - and _; cronie all but hidden files and what editors and rpm leave."""
    build(tree)
    for name in ("job", "job_2", "JOB-3", "job.conf", "jöb", ".job", "#job", "job~", "job.rpmsave", "job.rpmnew"):
        tree.write(f"etc/cron.d/{name}", SYSTEM)
    assert {place.removeprefix("etc/cron.d/").removesuffix(":1") for place in tree.places()} == read


def test_only_regular_files_and_links_to_them_are_crontabs(tree: Tree) -> None:
    """A folder, a pipe or a link to nothing is passed over without waiting for it."""
    tree.write("srv/job", SYSTEM)
    tree.link("etc/cron.d/link", str(tree.root / "srv/job"))
    tree.link("etc/cron.d/dangling", "/no/such/file")
    (tree.root / "etc/cron.d/folder").mkdir()
    os.mkfifo(tree.root / "etc/cron.d/pipe")
    os.mkfifo(tree.root / "etc/crontab")
    assert tree.places() == ["etc/cron.d/link:1"]


def test_a_machine_without_cron_has_no_lines(tree: Tree) -> None:
    """No folder, no file, no crontab program: nothing to find, and nothing to complain about."""
    assert tree.places(0) == tree.places(1000) == []


def test_bytes_that_are_no_text_do_no_harm(tree: Tree) -> None:
    """A comment in Latin-1 hides no line."""
    tree.write("etc/crontab").write_bytes(b"# caf\xe9\n" + SYSTEM.encode() + b" \xff\n")
    assert tree.places() == ["etc/crontab:2"]
    assert own_lines("a", "once", tree.sources())[0].command == ["job", "\udcff"]


def test_cron_tz_reaches_the_lines_of_a_cronie_machine(tree: Tree) -> None:
    """Which cron it is decides whether the assignment is a zone."""
    cronie(tree)
    tree.write("etc/crontab", "CRON_TZ=UTC", SYSTEM)
    assert own_lines("a", "once", tree.sources())[0].zone == "UTC"


def test_equal_commands_may_have_several_schedules(tree: Tree) -> None:
    """A tick of any of them is a tick, whatever their options and users."""
    tree.write("etc/crontab", SYSTEM, "0 14 * * * root cronlock run --node x --schedule '5 14 * * *' -k a -- job")
    tree.write("var/spool/cron/crontabs/root", "@weekly CRONLOCK_KEY=a cronlock run job >/dev/null")
    assert [line.fields for line in own_lines("a", "once", tree.sources())] == ["@weekly", "0 2 * * *", "5 14 * * *"]


def test_one_key_at_two_commands_is_refused(tree: Tree) -> None:
    """The message names both places and the cure."""
    one = tree.write("etc/crontab", "", SYSTEM)
    two = tree.write("etc/cron.d/x", SYSTEM + " --full")
    with pytest.raises(Refused) as refused:
        own_lines("a", "once", tree.sources())
    assert str(refused.value) == (
        f"key a is used with two different commands: {one}:2 and {two}:1: "
        "give each command its own key, or pass --schedule"
    )


def test_one_key_in_two_zones_is_refused(tree: Tree) -> None:
    """The ticks of one key are counted by one clock."""
    cronie(tree)
    one = tree.write("etc/crontab", SYSTEM, "CRON_TZ=Asia/Tokyo", SYSTEM)
    with pytest.raises(Refused) as refused:
        own_lines("a", "once", tree.sources())
    assert str(refused.value) == (
        f"key a is used in two time zones: local at {one}:1 and Asia/Tokyo at {one}:3: "
        "give each line its own key, or pass --schedule and --tz"
    )


@pytest.fixture
def open_tree(open_folder: Path) -> Tree:
    """A tree that every user may enter."""
    return Tree(open_folder)


def as_nobody(tree: Tree) -> str:
    """Why a user without rights is refused on this tree."""
    script = f"""
import os
from cronlock.cron.crontab import Sources, own_lines
from cronlock.errors import Refused
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
try:
    own_lines("a", "once", Sources({str(tree.root)!r}, crontab=str))
except Refused as error:
    print(error)
"""
    return python(script)


@pytest.mark.parametrize("closed", ["etc/crontab", "etc/cron.d/job", "etc/cron.d"])
def test_a_source_that_cannot_be_read_is_refused(open_tree: Tree, closed: str) -> None:
    """It may hold the own line: guessing could run a tick twice."""
    open_tree.write("etc/crontab", "# nothing\n")
    open_tree.write("etc/cron.d/job", "# nothing\n")
    path = open_tree.root / closed
    path.chmod(0)
    said = as_nobody(open_tree)
    path.chmod(0o755)
    reason = f"can't read {path} (Permission denied): pass --schedule"
    assert said == f"no crontab line with this key was found, but {reason}"


@pytest.mark.parametrize("closed", ["etc/crontab", "etc/cron.d/job"])
def test_a_line_that_is_found_is_enough(open_tree: Tree, closed: str) -> None:
    """Hardened machines close /etc/crontab to all but root: other users' runs use the lines that they may read."""
    open_tree.write("etc/crontab", SYSTEM)
    open_tree.write("etc/cron.d/job", SYSTEM)
    (open_tree.root / closed).chmod(0)
    assert as_nobody(open_tree) == ""


def test_what_is_readable_is_not_refused(open_tree: Tree) -> None:
    """The same user on the same tree, nothing closed; spools are not looked at."""
    open_tree.write("etc/crontab", SYSTEM)
    open_tree.write("etc/cron.d/job", SYSTEM)
    spool = open_tree.write("var/spool/cron/crontabs/root", OWN).parent
    spool.chmod(0)
    said = as_nobody(open_tree)
    spool.chmod(0o755)
    assert said == ""


# crontab -l


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a program named crontab first on the PATH."""

    def write(script: str) -> None:
        file = tmp_path / "bin" / "crontab"
        file.parent.mkdir()
        file.write_text("#!/bin/sh\n" + script)
        file.chmod(0o755)
        monkeypatch.setenv("PATH", f"{file.parent}:/usr/bin:/bin")

    return write


def test_a_users_crontab_is_what_crontab_l_prints(program: Callable[[str], None]) -> None:
    """It gets -l and an empty standard input, and its errors are not shown."""
    program('test "$*" = -l || exit 9\ncat\necho oops >&2\necho "0 2 * * * job"\n')
    assert listing() == "0 2 * * * job\n"


def test_crontab_l_writes_nothing_to_our_own_output(
    program: Callable[[str], None], capfd: pytest.CaptureFixture[str]
) -> None:
    """cron mails any byte."""
    program("echo out; echo err >&2")
    listing()
    assert capfd.readouterr() == ("", "")


def test_a_crontab_l_that_fails_is_no_crontab(program: Callable[[str], None]) -> None:
    """That is how it says that there is none."""
    program("echo no crontab for you; exit 1\n")
    assert listing() == ""


def test_no_crontab_program_is_no_crontab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A container has none."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert listing() == ""


def test_a_long_crontab_is_read_whole(program: Callable[[str], None]) -> None:
    """Also one that is larger than a pipe."""
    program("i=0; while [ $i -lt 3000 ]; do echo '# a comment that is forty characters long'; i=$((i+1)); done\n")
    assert listing().count("\n") == 3000


def test_no_descriptor_is_left_open(program: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """The command inherits nothing of it."""
    before = os.listdir("/proc/self/fd")
    program("exit 0\n")
    listing()
    monkeypatch.setenv("PATH", "/nowhere")
    listing()
    assert os.listdir("/proc/self/fd") == before


@pytest.mark.parametrize("start", ["", "exec 0<&- 1>&- 2>&-; ", "exec 1>&-; ", "exec 0<&-; "])
def test_crontab_l_is_read_however_cronlock_was_started(
    program: Callable[[str], None], tmp_path: Path, start: str
) -> None:
    """Also with standard descriptors closed, whose numbers the pipe then gets."""
    program("cat; echo 1; echo 2 >&2")
    said = tmp_path / "said"
    code = f"from cronlock.cron.crontab import listing; text = listing(); open({str(said)!r}, 'w').write(text)"
    script = f'{start}exec {shlex.quote(sys.executable)} -c "$1"'
    path = os.environ["PATH"]
    subprocess.run(
        ["/bin/sh", "-c", script, "sh", code],
        env=environment({"PATH": path}),
        check=True,
        input=b"typed",
        timeout=20,
    )
    assert said.read_text() == "1\n"


def test_crontab_l_is_read_when_sigchld_is_ignored(program: Callable[[str], None]) -> None:
    """The parent of cronlock may have left SIGCHLD ignored, and then the kernel keeps no status."""
    program("echo 1")
    code = "import signal; signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
    code += "from cronlock.cron.crontab import listing; print(listing())"
    assert python(code) == "1"


# Cost


def test_reading_crontabs_imports_nothing_dear() -> None:
    """cron starts a hundred lines in one second."""
    script = (
        "import sys; before = set(sys.modules)\n"
        "from cronlock.cron.crontab import Sources, own_lines\n"
        f"own_lines('a', 'once', Sources('/nowhere', 1, lambda: {OWN!r}))\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    new = python(script).split()
    assert not set(new) & set(FORBIDDEN)
    assert {name for name in new if not name.startswith("cronlock")} <= {
        "errno",
        "pwd",
        "_socket",
        "select",
    }  # the last two are of process/event_loop.py, which each run has


def test_a_machine_with_many_crontabs_costs_milliseconds(tree: Tree) -> None:
    """Lines without cronlock are not even split."""
    for number in range(100):
        tree.write(f"etc/cron.d/job{number}", *["*/5 * * * * root /usr/bin/job --with 'some' \"words\""] * 20)
    tree.write("etc/crontab", SYSTEM)
    start = time.process_time()
    assert tree.places() == ["etc/crontab:1"]
    assert time.process_time() - start < 0.2
