"""Click commands and options, built from the table of options."""

import click
from click.shell_completion import CompletionItem

from cronlock.config.command_options import COMMAND_GROUPS, help_of, options_of
from cronlock.config.options import BY_NAME, GROUPS, Choice, Option
from cronlock.cron.schedule import NICKNAMES
from cronlock.errors import EXIT_STATUSES

TYPE_CHECKING = False  # read as true by mypy
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

SCHEDULES = ("none", *NICKNAMES, "@every 90m")  # offered by completion; five fields have no beginning


class Value(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4 only
    """A value that config/options.py parses."""

    def __init__(self, option: Option) -> None:
        self.name = option.metavar
        self._option = option

    def convert(self, value: "Any", param: click.Parameter | None, ctx: click.Context | None) -> "Any":
        assert self._option.parse is not None  # noqa: S101 - flags get no Value
        try:
            return self._option.parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> "list[Any]":
        if self._option.metavar in ("FILE", "DIR"):
            return [CompletionItem(incomplete, type="file")]
        words: Sequence[str] = ()
        if isinstance(self._option.parse, Choice):
            words = self._option.parse.words
        elif self._option.name == "schedule":
            words = SCHEDULES
        elif self._option.name == "key":
            words = _untyped_keys(ctx)
        return [CompletionItem(word) for word in words if word.startswith(incomplete)]


def _untyped_keys(ctx: click.Context) -> "list[str]":
    """Return the keys that the voters know, without those on the command line."""
    from cronlock.cli.completion import known_keys_in_time

    where = {name: value for name, value in given_options(ctx.params).items() if _says_where(name)}
    return [key for key in known_keys_in_time(where) if key not in (ctx.params.get("arguments") or ())]


def _says_where(name: str) -> bool:
    return name in BY_NAME and BY_NAME[name].where


class TableCommand(click.Command):
    """A command whose options come from the table, with a help page that groups them by question."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for group in GROUPS if self.name == "run" else COMMAND_GROUPS:
            rows = [_help_row(option, self.name) for option in _options_under(group, self.name)]
            if rows:
                with formatter.section(group):
                    formatter.write_dl(rows)
        with formatter.section("Help"):
            formatter.write_dl([("-h, --help", "Show this page.")])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if self.name == "run":
            with formatter.section("Exit status"):
                formatter.write_dl(EXIT_STATUSES)
        super().format_epilog(ctx, formatter)


def _options_under(group: str, command: str | None) -> list[Option]:
    return [option for option in options_of(command) if help_of(option, command).group == group]


def _help_row(option: Option, command: str | None) -> tuple[str, str]:
    shown = help_of(option, command)
    default = f" [{shown.default}]" if shown.default else ""
    return f"{', '.join(option.flags)} {option.metavar}".rstrip(), shown.text + default


def click_options(command: str) -> list[click.Parameter]:
    """Return the options of a command as click takes them."""
    return [_click_option(option, help_of(option, command).text) for option in options_of(command)]


def _click_option(option: Option, text: str) -> click.Option:
    names = [*option.flags, option.name.replace("-", "_")]
    if not option.parse:
        return click.Option(names, is_flag=True, default=None, help=text)
    return click.Option(names, type=Value(option), multiple=option.many, default=None, help=text)


def key_arguments(metavar: str) -> click.Argument:
    """Return the argument of a command that takes keys."""
    return click.Argument(["arguments"], metavar=metavar, nargs=-1, type=Value(BY_NAME["key"]))


def given_options(values: "dict[str, Any]") -> "dict[str, Any]":
    """Return the values that the command line gave, by option name."""
    by_name = {name.replace("_", "-"): value for name, value in values.items()}
    return {name: list(v) if isinstance(v, tuple) else v for name, v in by_name.items() if v not in (None, ())}
