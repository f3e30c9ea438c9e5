"""Help: `-h`, `--help` and `cronlock help COMMAND` show one page, which fits a terminal and explains its command."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from cronlock import __version__
from cronlock.cli.app import USUAL, cli, group
from cronlock.config.command_options import COMMAND_GROUPS, COMMAND_OPTIONS, help_of, options_of
from cronlock.config.options import GROUPS, OPTIONS, REDIS, scan
from cronlock.errors import EXIT_STATUSES, REFUSED

COLUMNS = 80
IN_ORDER = "run status history check wrap install pause resume unlock forget adopt".split()
Shown = Callable[..., str]


def no_run(*_: Any) -> int:
    raise AssertionError("help runs no command")


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shown:
    """shown("run", "-h"): what these words print on standard output of a terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", str(COLUMNS))

    def show(*words: str) -> str:
        assert cli(words, no_run) == 0
        output = capsys.readouterr()
        assert output.err == ""
        return output.out

    return show


def titles(page: str) -> list[str]:
    return re.findall(r"^(\S.*):$", page, re.MULTILINE)


def under(page: str, title: str) -> str:
    """Return what a page has under a title, on one line."""
    return " ".join(re.split(r"^\S.*:$", page.partition(f"\n{title}:\n")[2], maxsplit=1, flags=re.M)[0].split())


@pytest.mark.parametrize("command", IN_ORDER)
def test_three_ways_show_the_same_page(command: str, shown: Shown) -> None:
    page = shown(command, "--help")
    assert page.startswith(f"Usage: cronlock {command} ")
    assert page == shown(command, "-h") == shown("help", command)


def test_the_list_of_commands_has_three_ways_too(shown: Shown) -> None:
    assert shown("--help") == shown("-h") == shown("help")


def test_the_version_has_three_ways(shown: Shown) -> None:
    assert {shown("--version"), shown("-V"), shown("version")} == {f"cronlock, version {__version__}\n"}


def test_help_on_what_does_not_exist_names_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli(["help", "nightly"], no_run) == REFUSED
    assert capsys.readouterr().err == (
        "cronlock: help: refused: no such command 'nightly': cronlock help lists the commands\n"
    )


@pytest.mark.parametrize("words", [["true", "-h"], ["--", "-h"], ["-k", "k", "env", "--help"]])
def test_help_behind_the_command_belongs_to_the_command(words: list[str]) -> None:
    scanned = scan(words)
    assert scanned
    assert scanned[1] == [word for word in words if word not in ("--", "-k", "k")]


@pytest.mark.parametrize("words", [["-h"], ["-vh"], ["--key", "k", "-h"], ["-h", "true"]])
def test_help_before_the_command_is_shown(words: list[str], shown: Shown) -> None:
    """The scanner leaves these lines to click."""
    assert scan(words) is None
    assert shown("run", *words) == shown("run", "--help")


def test_commands_are_listed_in_the_order_of_use(shown: Shown) -> None:
    """First those of a job's life, then those of operators."""
    page = shown("--help")
    assert re.findall(r"^  (\w+)  +[A-Z]", page, re.MULTILINE) == IN_ORDER
    assert tuple(IN_ORDER[: len(USUAL)]) == USUAL
    assert titles(page) == ["Commands", "Commands on keys", "Help"]


@pytest.mark.parametrize("words", [[], *([command] for command in IN_ORDER)], ids=" ".join)
def test_a_page_fits_80_columns(words: list[str], shown: Shown) -> None:
    for line in shown(*words, "--help").splitlines():
        assert len(line) <= COLUMNS, line


def test_a_command_of_the_list_has_one_line(shown: Shown) -> None:
    """A text that is too long for the list is cut by click, or wrapped."""
    page = shown("--help")
    for command in IN_ORDER:
        text = group.commands[command].get_short_help_str(COLUMNS)
        assert re.search(rf"^  {command} +{re.escape(text)}$", page, re.MULTILINE), command
        assert text.endswith("."), text


def test_runs_page_has_its_exit_statuses_one_a_line(shown: Shown) -> None:
    page = shown("run", "-h")
    rows = page.partition("\nExit status:\n")[2].partition("\n\n")[0].splitlines()
    assert [tuple(re.split("  +", row.strip(), maxsplit=1)) for row in rows] == list(EXIT_STATUSES)


def test_runs_page_has_two_examples_that_are_well_formed(shown: Shown) -> None:
    lines = re.findall(r"^    .*cronlock run (.*)$", shown("run", "-h").partition("\nWho runs:")[0], re.MULTILINE)
    assert len(lines) == 2
    for line in lines:
        scanned = scan(line.split())
        assert scanned
        assert "key" in scanned[0]


@pytest.mark.parametrize("command", [command for command in IN_ORDER if command != "run"])
def test_an_option_is_explained_for_its_command(command: str, shown: Shown) -> None:
    """No page but that of `run` has the titles of its questions, and each option is under one title."""
    page = shown(command, "-h")
    assert [title for title in titles(page) if title != "Help"] == [
        title for title in COMMAND_GROUPS if any(help_of(o, command).group == title for o in options_of(command))
    ]
    assert not set(titles(page)) & (set(GROUPS) - {REDIS, "Output"})
    for option in options_of(command):
        about = help_of(option, command)
        default = f" [{about.default}]" if about.default else ""
        form = f"{', '.join(option.flags)} {option.metavar}".rstrip()
        assert f"{form} {about.text}{default}" in under(page, about.group)


def test_texts_begin_with_a_capital_and_end_with_a_full_stop() -> None:
    for command in IN_ORDER:
        for option in options_of(command):
            assert re.fullmatch(r"[A-Z].*\.", help_of(option, command).text), (command, option.name)


def test_every_option_belongs_to_a_command_that_exists() -> None:
    named = {command for option in (*OPTIONS, *COMMAND_OPTIONS) for command in option.commands}
    assert named == set(IN_ORDER)
