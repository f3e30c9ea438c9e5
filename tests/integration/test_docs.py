"""README, man page and crontab.example: their examples run, and their claims are true of the program."""

import itertools
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from cronlock.commands.crontab_wrapper import Wrapper, wrap_crontab
from cronlock.commands.status_table import COLUMNS
from cronlock.config.command_options import COMMAND_OPTIONS
from cronlock.config.options import OPTIONS
from cronlock.config.settings import load
from cronlock.cron.crontab import Sources, own_lines
from cronlock.cron.parser import DEBIAN, every_line
from cronlock.cron.schedule import Schedule
from cronlock.errors import EXIT_STATUSES
from cronlock.lock.local import state_directory
from cronlock.output.prometheus import FAMILIES
from tests.support.commands import PATIENCE, ROOT, cronlock, cronlock_on_path, environment, home
from tests.support.doc_blocks import MAN_PAGE, entries, flags_in, plain, section, text_of
from tests.support.doc_pages import anchors, blocks, commands, linked_pages, links, page, pages, table
from tests.support.doc_pages import section as page_section
from tests.support.message_sources import explained, pattern
from tests.support.servers import Server

EXAMPLE = ROOT / "crontab.example"
INSTALLED = Path("/etc/cron.d/cronlock-example")
OTHERS = {"-h", "--help", "-V", "--version"}  # click's own
FOREIGN = {"--compile-bytecode", "--force", "--init", "--no-cache-dir", "--ignore-signal"}  # of uv, docker, pip, env
FOREIGN |= {"--cluster", "--scan", "--pattern", "--full"}  # of redis-cli, and of the pages' own job
ALL = (*OPTIONS, *COMMAND_OPTIONS)
ALL_PAGES = "\n".join(path.read_text() for path in pages())
KNOWN = {flag for option in ALL for flag in option.flags} | OTHERS


@pytest.fixture
def shell() -> Iterator[Callable[[str], subprocess.CompletedProcess[str]]]:
    """shell(line): runs it in a POSIX shell that finds cronlock; keys that it made in local files are removed."""
    path = cronlock_on_path()

    def start(line: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["/bin/sh", "-c", line],
            env=environment({"PATH": path}),
            cwd=home(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    yield start
    folder = state_directory()
    for name in os.listdir(folder) if os.path.isdir(folder) else ():
        if name.startswith(OWN_KEY):
            with suppress(FileNotFoundError):
                os.unlink(os.path.join(folder, name))


OWN_KEY = f"test-docs-{os.getpid()}-"  # of the keys that these tests use in local files
numbers = itertools.count()


def own_key() -> str:
    return f"{OWN_KEY}{next(numbers)}"


# Links


@pytest.mark.parametrize("path", linked_pages(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_link_leads_to_a_heading_of_a_page_or_to_a_file(path: Path) -> None:
    """An anchor is that of a heading, as GitHub names it."""
    text = path.read_text()
    for target, anchor in links(text):
        file = path.parent / target if target else path
        assert file.exists(), f"{path}: {target}"
        assert not anchor or anchor in anchors(file.read_text()), f"{path}: {target}#{anchor}"


# Options


def test_the_man_page_names_only_existing_options() -> None:
    assert flags_in(plain(MAN_PAGE.read_text())) <= KNOWN | FOREIGN


@pytest.mark.parametrize("path", pages(), ids=lambda path: path.name)
def test_a_page_names_only_existing_options(path: Path) -> None:
    assert flags_in(path.read_text()) <= KNOWN | FOREIGN


# Statuses, messages, variables


def test_readme_man_page_and_help_have_the_exit_statuses_of_the_program() -> None:
    assert table("exit status") == list(EXIT_STATUSES)
    assert [(text_of(header), body) for header, body in entries(section("EXIT STATUS"))] == list(EXIT_STATUSES)
    shown = cronlock("run", "--help").stdout.partition("Exit status:\n")[2].partition("\n\n")[0]
    assert shown.split() == [word for row in EXIT_STATUSES for text in row for word in text.split()]


@pytest.mark.parametrize(
    ("args", "status"),
    [
        (["--schedule", "none", "true"], 0),
        (["--once", "true"], 0),
        (["--schedule", "none", "/nonexistent"], 127),
        (["--schedule", "none", "/etc"], 126),
        (["--schedule", "0 0 1 1 *", "--start-within", "1ms", "true"], 0),
        (["--tick", "2026-11-20T02:00Z", "true"], 0),
        (["--tick", "2026-11-19T02:00Z", "true"], 0),
        (["--tick", "20", "true"], 125),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_the_messages_of_a_run_are_explained(server: Server, args: list[str], status: int) -> None:
    for _ in range(2):  # the second one may find it done
        done = cronlock("run", "-v", "--redis", server.url, "--key", "said", *args)
        assert done.returncode == status
        for line in done.stderr.splitlines():
            said = line.removeprefix("cronlock: said: ")
            assert any(re.fullmatch(pattern(message), said) for message in explained()), said


def test_the_message_of_an_outage_is_explained(server: Server) -> None:
    """Both the line and its reason have a row."""
    server.kill()
    done = cronlock("run", "--redis", server.url, "--key", "k", "--schedule", "none", "--outage-wait", "0", "true")
    assert done.returncode == 122
    said = done.stderr.strip().removeprefix("cronlock: k: ")
    assert re.fullmatch(pattern("unreachable: no answer in <n> s (<reason>)"), said)
    assert said.endswith(": connection refused)")
    assert {"unreachable: no answer in <n> s (<reason>)", "<server>: connection refused"} <= set(explained())


def test_the_variables_that_a_command_gets_are_those_of_the_docs(server: Server) -> None:
    where = ("--redis", server.url, "--key", "k", "--tick", "2026-11-20T02:00Z")
    done = cronlock("run", *where, "--", "env")
    assert done.returncode == 0, done.stderr
    given = re.findall(r"^(CRONLOCK_RUN_\w+)=", done.stdout, re.MULTILINE)
    assert sorted(given) == sorted(name for name, _ in table("variable", "running.md"))
    assert sorted(given) == sorted(re.findall(r"^\.B (CRONLOCK_RUN_\w+)$", section("ENVIRONMENT"), re.MULTILINE))


# What README shows


@pytest.mark.parametrize("line", [line for line in commands() if "cronlock run" in line and " root " not in line])
def test_a_command_that_a_page_shows_runs(line: str, shell: Callable[[str], subprocess.CompletedProcess[str]]) -> None:
    """The command runs without the installation, with a key of the test."""
    [readme_key] = re.findall(r"--key (\S+)", line)
    key = own_key()
    prints = {"hello": "it works", "report": "schedule     */15 8-17 * * 1-5", "show": f"CRONLOCK_RUN_KEY={key}"}
    prints |= {"deploy": "my turn", "mute": "still here"}
    done = shell(line.rpartition("&& ")[2].replace(".venv/bin/", "").replace(f"--key {readme_key}", f"--key {key}"))
    assert (done.returncode, done.stderr) == (0, "")
    assert prints[readme_key] in done.stdout


@pytest.mark.parametrize("line", [line for line in commands() if "cronlock pause" in line or "cronlock resume" in line])
def test_the_operators_commands_that_a_page_shows_run(line: str, shell: Callable[[str], Any]) -> None:
    """The command runs with a key of the test."""
    key = own_key()
    done = shell(line.replace("nightly", key))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{key}: ")


def test_the_readme_has_the_two_commands_that_set_up_first() -> None:
    first, second = commands("/README.md")[:2]
    assert first.startswith("python3 -m venv .venv && .venv/bin/pip install . && .venv/bin/cronlock run --local ")
    assert second == ".venv/bin/pip install '.[test]' && .venv/bin/pytest -n 5"


@pytest.mark.parametrize("text", blocks("toml"))
def test_a_settings_file_of_a_page_loads(text: str, tmp_path: Path) -> None:
    file = tmp_path / "cronlock.toml"
    file.write_text(text)
    settings = load({"config": str(file), "key": "nightly"}, {})
    hosts = [address.host for address in settings.redis]
    assert hosts == (["redis-1"] if "rediss://" in text else ["redis-1", "redis-2", "redis-3"])
    if "[keys.nightly]" in text:
        assert settings.start_within == 2 * 3_600_000
        assert settings.source("start-within") == f"{file} [keys.nightly]"


def rights() -> list[str]:
    """What README's ACL SETUSER gives, but for the name and the password."""
    words = blocks("redis")[0].split()
    assert words[:4] == ["ACL", "SETUSER", "cronlock", "on"]
    return words[5:]


@pytest.mark.parametrize("less", ["", "+info"])
def test_the_rights_of_the_readme_are_enough(
    less: str, every_binary: Path, fresh_servers: Callable[..., list[Server]]
) -> None:
    """Two ticks of both modes run, first on a server without the script; INFO may be missing."""
    [server] = fresh_servers(1, binary=every_binary)
    server.ask("ACL", "SETUSER", "cronlock", "on", ">secret", *(right for right in rights() if right != less))
    url = f"redis://cronlock:secret@127.0.0.1:{server.port}"
    for mode in ("--once", "--each"):
        for tick in ("2026-11-20T02:00Z", "2026-11-20T03:00Z"):
            words = ("run", mode, "-v", "--redis", url, "--key", "k", "--tick", tick)
            assert "ran: status 0" in cronlock(*words, "true").stderr
            assert "done: " in cronlock(*words, "true").stderr


def test_the_rights_that_operators_need_in_addition_are_named(fresh_servers: Callable[..., list[Server]]) -> None:
    """They are for status and history, and for --all."""
    [server] = fresh_servers(1)
    *front, user = blocks("redis")[1].split()[:3]
    assert (front, user) == (["ACL", "SETUSER"], "cronlock")
    more = blocks("redis")[1].split()[3:]
    server.ask("ACL", "SETUSER", "cronlock", "on", ">secret", *rights(), *more)
    where = ("--redis", f"redis://cronlock:secret@127.0.0.1:{server.port}")
    assert cronlock("run", *where, "--key", "k", "--each", "--schedule", "none", "true").returncode == 0
    for words in (["status"], ["status", "k"], ["history", "k"], ["pause", "--all"]):
        done = cronlock(*words[:1], *where, *words[1:])
        assert (done.returncode, done.stderr) == (0, ""), words
    server.ask("ACL", "SETUSER", "cronlock", *(right.replace("+", "-") for right in more))
    for words in (["status"], ["history", "k"], ["pause", "--all"]):
        done = cronlock(*words[:1], *where, *words[1:])
        assert done.returncode == 125, words
        assert "no permissions" in done.stderr


def test_the_rights_of_the_readme_are_those_that_the_script_uses() -> None:
    script = (ROOT / "cronlock" / "servers" / "scripts" / "record.lua").read_text()
    called = {name.lower() for name in re.findall(r"redis\.p?call\('(\w+)'", script)}
    given = {right[1:] for right in rights() if right[0] == "+"}
    assert given == called | {"cluster|slots", "evalsha", "eval", "subscribe"}


# The man page


def test_the_examples_of_the_man_page_can_be_typed(
    server: Server, shell: Callable[[str], subprocess.CompletedProcess[str]]
) -> None:
    """No example is refused; the keys in them exist."""
    lines = [plain(line) for line in re.findall(r"^\$ (cronlock .*)$", section("EXAMPLES"), re.MULTILINE)]
    typed = [line for line in lines if "--local" not in line]
    assert len(typed) >= 6
    where = f"export CRONLOCK_REDIS={server.url}; "
    assert shell(where + "cronlock run --key nightly --schedule none -- true").returncode == 0
    for line in typed:
        done = shell(where + line)
        assert done.returncode == 0 or (line == "cronlock check" and done.returncode == 1), (line, done.stderr)


# What programs read


def fields_in_guide(title: str) -> set[str]:
    """Return the names in the first column of a table in the guide; a row may have several."""
    rows = re.findall(r"^\| (`.*?) \|", page_section(page("monitoring.md"), title), re.MULTILINE)
    return {name for cell in rows for name in re.findall(r"`(\w+)`", cell)}


def test_the_pages_describe_each_field_of_the_json(server: Server) -> None:
    where = ("--redis", server.url)
    cronlock("run", *where, "--key", "k", "--schedule", "none", "true")
    [key] = json.loads(cronlock("status", *where, "k", "--format", "json").stdout)["keys"]
    assert set(key) == fields_in_guide("JSON of status")
    assert set(key["nodes"][0]) == fields_in_guide("JSON of a node")
    [runs] = json.loads(cronlock("history", *where, "k", "--format", "json").stdout)["keys"]
    assert set(runs["runs"][0]) == fields_in_guide("JSON of history")
    [*findings] = json.loads(cronlock("check", *where, "--format", "json").stdout)["findings"]
    assert {name for finding in findings for name in finding} == fields_in_guide("JSON of check")


def test_the_pages_describe_each_metric() -> None:
    assert dict(table("metric", "monitoring.md")) == {name: f"{what} A {kind}." for name, kind, what, _ in FAMILIES}


# Recipes


def test_a_crontab_line_of_a_page_is_understood() -> None:
    """Lines with `cronlock run` are found with key and schedule, as cron reads them."""
    runs = [line for block in blocks("crontab") for line in block.splitlines() if "cronlock run" in line]
    assert len(runs) > 5
    for line in runs:
        system = " root " in line
        [found] = every_line(line + "\n", "shown", system=system)
        assert found.key
        assert Schedule([found.fields], "UTC").upcoming(0, 1)


def test_what_wrap_prints_is_what_the_page_shows() -> None:
    """The key is the same on every machine, so it is the same here."""
    shown = [line for block in blocks("crontab") for line in block.splitlines() if "-ca2f" in line or "-6c5e" in line]
    front = re.compile(r"/usr/local/bin/cronlock run --once --key \S+ -- ")
    plain = [front.sub("", line) for line in shown]
    shell = re.compile(r"/bin/sh -c '(.*)'$")
    text = "".join(shell.sub(r"\1", line) + "\n" for line in plain)
    wrapped, notes = wrap_crontab(text, Wrapper("/usr/local/bin/cronlock", "once", False, DEBIAN))
    assert wrapped.splitlines() == shown
    assert (len(shown), notes) == (2, [])


def test_the_metrics_on_the_pages_are_there() -> None:
    assert set(re.findall(r"cronlock_[a-z_]+(?=\W)", ALL_PAGES)) - {"cronlock_run"} <= {name for name, *_ in FAMILIES}


def test_the_columns_on_the_pages_are_those_of_status() -> None:
    shown = re.findall(r"^\$ cronlock status.*\n(KEY.*)$", ALL_PAGES, re.MULTILINE)
    assert len(shown) >= 2
    known = [column.title for column in COLUMNS]
    for line in shown:
        titles = re.split(" {2,}", line)
        assert titles == [title for title in known if title in titles]


# crontab.example


def example_lines() -> list[tuple[int, str, str, str]]:
    """Return line number, schedule, key and the text for the shell of each line that runs cronlock."""
    found = []
    for number, line in enumerate(EXAMPLE.read_text().splitlines(), 1):
        if row := re.fullmatch(r"(@\w+|[\d*](?:\S*\s+){4}\S+)\s+root\s+(.*)", line):
            [key] = re.findall(r"--key (\S+)", row[2])
            found.append((number, row[1], key, row[2].replace(r"\%", "%")))
    return found


def test_the_example_shows_the_uses() -> None:
    lines = example_lines()
    assert len(lines) == EXAMPLE.read_text().count("\n") - sum(
        not line or line[0] == "#" or re.match(r"\w+=", line) is not None for line in EXAMPLE.read_text().splitlines()
    )
    assert len({key for _, _, key, _ in lines}) == len(lines)
    uses = ("--once", "--each", "--start-within", ">>", "&& cronlock", "-E ", "sh -c", "1-5", "@hourly")
    for use in uses:
        assert any(use in f"{schedule} {command}" for _, schedule, _, command in lines), use


def test_the_example_ends_with_a_newline() -> None:
    """cron ignores a last line without one."""
    assert EXAMPLE.read_bytes().endswith(b"\n")


@pytest.mark.parametrize("cron", ["cron", "crond"])
@pytest.mark.parametrize(
    ("number", "schedule", "key", "command"), example_lines(), ids=[key for _, _, key, _ in example_lines()]
)
def test_a_line_of_the_example_is_found_with_its_schedule(
    number: int, schedule: str, key: str, command: str, cron: str, tmp_path: Path
) -> None:
    """Debian's cron and cronie both find the line."""
    for name in ("etc/cron.d", "usr/sbin"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "usr/sbin" / cron).touch()
    file = tmp_path / INSTALLED.relative_to("/")
    shutil.copy(EXAMPLE, file)
    mode = "each" if "--each" in command else "once"
    [line] = own_lines(key, mode, Sources(str(tmp_path), crontab=lambda: ""))
    assert (line.place, line.fields, line.user) == (f"{file}:{number}", schedule, "root")
    assert Schedule([line.fields], "UTC").upcoming(0, 1)


@pytest.fixture
def installed() -> Iterator[None]:
    """Install crontab.example where cron reads it. Its commands are harmless if cron starts one."""
    with INSTALLED.open("x") as file:  # an existing file is not the test's
        remover = subprocess.Popen(
            ["/bin/sh", "-c", f"cat; rm {INSTALLED}"], stdin=subprocess.PIPE, start_new_session=True
        )
        try:  # the pipe ends with this process, however it dies
            file.write(EXAMPLE.read_text())
            file.flush()
            INSTALLED.chmod(0o644)
            yield
        finally:
            remover.communicate()
            assert not INSTALLED.exists()


@pytest.mark.debian
@pytest.mark.usefixtures("installed")
def test_a_dry_run_of_each_line_of_the_example_prints_its_schedule(
    shell: Callable[[str], subprocess.CompletedProcess[str]],
) -> None:
    """The line is started as by cron: in a shell, from the file in /etc/cron.d."""
    for number, schedule, key, command in example_lines():
        done = shell("export CRONLOCK_LOCAL=1; " + command.replace("cronlock run", "cronlock run --dry-run", 1))
        logs = sorted(home().glob("*.log"))
        printed = done.stdout + "".join(log.read_text() for log in logs)
        for log in logs:
            log.unlink()
        assert (done.returncode, done.stderr) == (0, "")
        assert re.search(rf"^key +{re.escape(key)}$", printed, re.MULTILINE)
        where = re.escape(f"from {INSTALLED}:{number})")
        assert re.search(rf"^schedule +{re.escape(schedule)}  \(.*{where}$", printed, re.MULTILINE), printed
