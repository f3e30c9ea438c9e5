"""man/cronlock.toml.5: each name has the text of --help, and the examples work as the page claims."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from cronlock.config.options import GROUPS, OPTIONS, Option
from cronlock.config.settings import load
from cronlock.errors import Refused
from tests.support.commands import ROOT, cronlock, home
from tests.support.doc_blocks import SETTINGS_PAGE, entries, plain, section, text_of

IN_A_FILE = [option for option in OPTIONS if option.name != "config"]
REQUIRED = "required"


def groups() -> dict[str, list[tuple[str, str]]]:
    """Return the names of the page by their group: the form of each, and its text."""
    _, *found = re.split(r"^\.SS (.*)\n", section("NAMES", SETTINGS_PAGE), flags=re.MULTILINE)
    return {
        title: [(text_of(header), body) for header, body in entries(roff)]
        for title, roff in zip(found[::2], found[1::2], strict=True)
    }


def examples(name: str) -> list[str]:
    """The blocks of a section that can be typed."""
    return [
        plain(text) for text in re.findall(r"^\.EX\n(.*?)^\.EE", section(name, SETTINGS_PAGE), re.MULTILINE | re.DOTALL)
    ]


def files() -> list[str]:
    return [text for text in examples("EXAMPLES") if not text.startswith("cronlock ")]


# Names


def test_the_groups_are_those_of_help() -> None:
    assert list(groups()) == list(GROUPS)


def test_every_name_that_a_file_may_hold_is_in_its_group_and_no_other() -> None:
    """In the order of --help, and as it is written in a file: true, or a text in quotes."""
    for title, names in groups().items():
        options = [option for option in IN_A_FILE if option.group == title]
        values = [f'"{option.metavar}"' if option.parse else "true" for option in options]
        written = [f"{option.name} = {value}" for option, value in zip(options, values, strict=True)]
        assert [header for header, _ in names] == written


@pytest.mark.parametrize("option", IN_A_FILE, ids=lambda option: option.name)
def test_a_name_means_what_help_says(option: Option) -> None:
    """With the same default; more may follow."""
    [body] = [body for header, body in groups()[option.group] if header.startswith(f"{option.name} = ")]
    default = "Required." if option.default == REQUIRED else f"Default: {option.default}."
    said = f"{option.help} {default}" if option.default else option.help
    assert body == said or body.startswith(f"{said} ")
    assert option.default or "Default" not in body


def test_help_says_so_too() -> None:
    shown = " ".join(cronlock("run", "--help").stdout.split())
    for option in IN_A_FILE:
        assert " ".join([option.help, *([f"[{option.default}]"] if option.default else [])]) in shown


def test_config_is_no_name() -> None:
    """The page names it as a flag, as a variable and as refused."""
    assert "name another one with config" in " ".join(text_of(line) for line in SETTINGS_PAGE.read_text().splitlines())


# Examples

THREE = ["redis-1", "redis-2", "redis-3"]


@pytest.mark.parametrize(
    ("number", "key", "given"),
    [
        (0, "any", {"redis": [(host, 6379) for host in THREE], "outage_wait": 300_000, "syslog": True}),
        (0, "nightly", {"start_within": 7_200_000, "max_runtime": 10_800_000, "kill_after": 20_000}),
        (0, "db:dump", {"start_within": None, "failover": True, "schedule": "30 4 * * *", "tz": "Europe/Berlin"}),
        (0, "deploy", {"schedule": "none", "wait": 600_000, "failover": False}),
        (1, "any", {"redis": [(host, 6379) for host in THREE], "local": False}),
        (2, "any", {"redis": [("node-1", 7000), ("node-2", 7000)], "prefix": "jobs"}),
        (3, "any", {"redis": [], "local": True}),
        (4, "any", {"max_runtime": 3_600_000, "verbose": True}),
        (5, "any", {"redis": [], "local": True, "failover": False}),
    ],
)
def test_a_file_of_the_examples_gives_what_it_says(
    number: int, key: str, given: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "cronlock.toml"
    file.write_text(files()[number])
    file.chmod(0o600)  # one of them contains a password
    settings = load({"config": str(file), "key": key}, {})
    for name, value in given.items():
        found = getattr(settings, name)
        assert ([(address.host, address.port) for address in found] if name == "redis" else found) == value


def test_no_file_of_the_examples_is_left_out() -> None:
    assert len(files()) == 6


def test_the_logins_and_the_socket_of_the_examples(tmp_path: Path) -> None:
    """The password is the one that the page names, and not seen in the URL as it is."""
    file = tmp_path / "cronlock.toml"
    file.write_text(files()[2])
    file.chmod(0o600)
    logins = {(address.username, address.password) for address in load({"config": str(file)}, {}).redis}
    assert logins == {("cronlock", "s@fe")}
    assert "\n.BR s@fe :\n" in section("EXAMPLES", SETTINGS_PAGE)
    file.write_text(files()[4])
    [address] = load({"config": str(file)}, {}).redis
    assert address.path == "/run/redis/redis.sock"


def test_the_last_file_beats_what_the_machines_file_says(tmp_path: Path) -> None:
    user, machine = tmp_path / "user.toml", tmp_path / "machine.toml"
    user.write_text(files()[5])
    machine.write_text(files()[1] + "failover = true\n")
    settings = load({"key": "k"}, {}, [str(user), str(machine)])
    assert (settings.redis, settings.local, settings.failover) == ([], True, False)


def test_the_command_of_the_examples_shows_what_is_in_force() -> None:
    """With the complete example as the user's file."""
    [command] = [text for text in examples("EXAMPLES") if text.startswith("cronlock ")]
    file = home() / ".config" / "cronlock.toml"
    file.parent.mkdir()
    file.write_text(files()[0])
    done = cronlock(*command.split()[1:])
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{file} [keys.nightly]" in done.stdout


def test_the_refusal_that_the_page_shows(tmp_path: Path) -> None:
    """At the top level, and in the table of a key that is not the run's."""
    [shown] = examples("DESCRIPTION")
    [wrong] = re.findall("'(.*)'", shown)
    file = tmp_path / "cronlock.toml"
    for table, place in (("", str(file)), ("[keys.other]\n", f"{file} [keys.other]")):
        file.write_text(f'{table}{wrong} = "jobs"\n')
        with pytest.raises(Refused) as refused:
            load({"key": "k"}, {}, [str(file)])
        assert str(refused.value).replace(place, "/etc/cronlock.toml") == shown.strip()


# The page


def test_all_pages_are_installed_with_the_package() -> None:
    """Man pages are where man looks for them, by the section that their names end with; the guide is beside."""
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    installed = {file: place for file, place in data["shared-data"].items() if file.startswith("man/")}
    pages = [page.name for page in (ROOT / "man").iterdir() if page.is_file()]
    assert installed == {
        **{f"man/{page}": f"share/man/man{page[-1]}/{page}" for page in pages},
        "man/guide": "share/doc/cronlock/guide",
    }
