"""The man pages: cronlock(1) has the options of help with its texts, and both are short enough to be read."""

import re
import subprocess
from pathlib import Path

import pytest

from cronlock.cli.app import group
from cronlock.config.command_options import COMMAND_OPTIONS, help_of, options_of
from cronlock.config.options import GROUPS, OPTIONS, REDIS, Option
from tests.support.doc_blocks import MAN_PAGE, SETTINGS_PAGE, entries, section, text_of
from tests.support.doc_pages import GUIDE

OTHERS = [name for name, command in group.commands.items() if name != "run" and not command.hidden]
LONGEST = 600  # lines: a reference, not a book; the guide explains
BOTH_PAGES = pytest.mark.parametrize("page", [MAN_PAGE, SETTINGS_PAGE], ids=["cronlock.1", "cronlock.toml.5"])
Entries = list[tuple[str, str]]


def subsections() -> dict[str, Entries]:
    """Return the entries of OPTIONS by subsection."""
    _, *found = re.split(r"^\.SS (.*)\n", section("OPTIONS"), flags=re.MULTILINE)
    lists = zip(found[::2], found[1::2], strict=True)
    return {title: [(text_of(header), body) for header, body in entries(roff)] for title, roff in lists}


def form(option: Option) -> str:
    return f"{', '.join(option.flags)} {option.metavar}".rstrip()


def text(option: Option, command: str) -> str:
    """Return the text of help, with the default."""
    about = help_of(option, command)
    if not about.default:
        return about.text
    return f"{about.text} " + ("Required." if about.default == "required" else f"Default: {about.default}.")


def commands_of(title: str) -> list[str]:
    return re.split(r", | and ", title.removeprefix("Of "))


def own_options(command: str) -> list[Option]:
    """Return the options of a command but for those of `Where is Redis`, which have the text of `run`."""
    return [o for o in options_of(command) if o.name == "node" or not (o.where and help_of(o, command).group == REDIS)]


def test_the_subsections_are_those_of_runs_help_and_those_of_other_commands() -> None:
    titles = list(subsections())
    assert titles[: len(GROUPS) + 1] == [*GROUPS, "Help"]
    for title in titles[len(GROUPS) + 1 :]:
        assert title.startswith("Of ")
        assert set(commands_of(title)) <= set(OTHERS)


@pytest.mark.parametrize("group_title", GROUPS)
def test_the_options_of_run_are_in_their_group_in_the_order_of_help(group_title: str) -> None:
    """With the text of help; more may follow."""
    options = [option for option in OPTIONS if "run" in option.commands and option.group == group_title]
    found = subsections()[group_title]
    assert [header for header, _ in found] == [form(option) for option in options]
    for option, (_, body) in zip(options, found, strict=True):
        assert body == text(option, "run") or body.startswith(f"{text(option, 'run')} "), option.name


@pytest.mark.parametrize("command", OTHERS)
def test_the_options_of_another_command_are_explained_for_it(command: str) -> None:
    """Under a title that names the command, and nowhere else."""
    found = [entry for title, listed in subsections().items() for entry in listed if command in commands_of(title)]
    assert sorted(found) == sorted((form(option), text(option, command)) for option in own_options(command))


def test_no_option_is_left_out() -> None:
    documented = {header for listed in subsections().values() for header, _ in listed}
    assert documented >= {form(option) for option in (*OPTIONS, *COMMAND_OPTIONS)}


def test_every_command_has_an_entry() -> None:
    assert [text_of(header) for header, _ in entries(section("COMMANDS"))] == ["run", *OTHERS, "help"]


def test_the_pages_that_the_man_page_names_exist() -> None:
    named = re.findall(r"([\w-]+\.md)", MAN_PAGE.read_text().replace("\\-", "-"))
    assert len(named) >= 3
    assert all((GUIDE / name).exists() for name in named)


@BOTH_PAGES
def test_a_man_page_is_short(page: Path) -> None:
    assert len(page.read_text().splitlines()) <= LONGEST


@pytest.mark.debian
@BOTH_PAGES
def test_a_man_page_passes_lint(page: Path) -> None:
    lint = subprocess.run(["mandoc", "-T", "lint", page], capture_output=True, text=True, check=False)
    assert (lint.returncode, lint.stdout) == (0, "")


@pytest.mark.debian
@BOTH_PAGES
def test_a_man_page_fits_80_columns_and_is_short(page: Path) -> None:
    shown = subprocess.run(["mandoc", "-T", "ascii", "-O", "width=80", page], capture_output=True, check=True).stdout
    lines = re.sub(rb".\x08", b"", shown).decode().splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) <= LONGEST
