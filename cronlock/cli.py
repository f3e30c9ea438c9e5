"""The click commands, built from the table of options; the only module that imports click."""

import os

import click

from cronlock import __version__
from cronlock.options import BY_NAME, GROUPS, ONE_CALL, OPTIONS, Option

TYPE_CHECKING = False  # as everywhere on the way to `run`
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from cronlock.people.call import Call

STATUS_REFUSED = 125  # usage errors too: a wrapper's own failure must not look like the command's
EPILOG = """Exit status: the command's own; 0 (or -E N) when another node has or had the tick; 122 no quorum answered;
123 the lease was lost; 124 --max-runtime is over; 125 refused; 126, 127 the command can't be executed, was not
found; 128+n signal n came first.

Durations: 500ms, 90, 90s, 15m, 2h, 1d. Every option is also a variable, CRONLOCK_START_WITHIN, and a name in
/etc/cronlock.toml and ~/.config/cronlock.toml, start-within. See man cronlock.
"""


class Value(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4 only
    """A value that options.py reads."""

    def __init__(self, option: Option) -> None:
        self.name = option.metavar
        self._option = option

    def convert(self, value: "Any", param: click.Parameter | None, ctx: click.Context | None) -> "Any":
        assert self._option.parse is not None  # noqa: S101 - flags get no Value
        try:
            return self._option.parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def _click_option(option: Option) -> click.Option:
    names = [*option.flags, option.name.replace("-", "_")]
    if not option.parse:
        return click.Option(names, is_flag=True, default=None, help=option.help)
    return click.Option(names, type=Value(option), multiple=option.many, default=None, help=option.help)


class TableCommand(click.Command):
    """A command whose options stand in the table, grouped by the question that they answer."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for group in GROUPS:
            rows = [_help_row(option) for option in _options_of(self.name) if option.group == group]
            if rows:
                with formatter.section(group):
                    formatter.write_dl(rows)
        with formatter.section("Help"):
            formatter.write_dl([("--help", "Show this page.")])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if self.epilog:
            formatter.write(f"\n{self.epilog}")


def _options_of(command: str | None) -> list[Option]:
    return [option for option in (*OPTIONS, *ONE_CALL) if command in option.commands]


def _help_row(option: Option) -> tuple[str, str]:
    flags = ", ".join(option.flags)
    default = f" [{option.default}]" if option.default else ""
    return f"{flags} {option.metavar}".rstrip(), option.help + default


def _given(values: "dict[str, Any]") -> "dict[str, Any]":
    """What the command line gave, by option name."""
    by_name = {name.replace("_", "-"): value for name, value in values.items()}
    return {name: list(v) if isinstance(v, tuple) else v for name, v in by_name.items() if v not in (None, ())}


def _run(command: "Sequence[str]", **values: "Any") -> int:
    from cronlock.run import run

    return run(_given(values), command, os.environ)


def _call(keys: "Sequence[str]", values: "dict[str, Any]") -> "Call":
    from cronlock.people.call import Call

    given = _given(values)
    wishes = {option.name: given.pop(option.name) for option in ONE_CALL if option.name in given}
    confirm = (lambda _question: True) if wishes.get("yes") else click.confirm
    return Call(keys, given, wishes, os.environ, confirm)


def _adopt(keys: "Sequence[str]", **values: "Any") -> int:
    from cronlock.people.adopt import adopt

    return adopt(_call(keys, values))


def _pause(keys: "Sequence[str]", **values: "Any") -> int:
    from cronlock.people.pause import pause

    return pause(_call(keys, values))


def _resume(keys: "Sequence[str]", **values: "Any") -> int:
    from cronlock.people.pause import resume

    return resume(_call(keys, values))


def _unlock(keys: "Sequence[str]", **values: "Any") -> int:
    from cronlock.people.unlock import unlock

    return unlock(_call(keys, values))


def _forget(keys: "Sequence[str]", **values: "Any") -> int:
    from cronlock.people.forget import forget

    return forget(_call(keys, values))


def _people_command(name: str, callback: "Callable[..., int]", help: str) -> TableCommand:
    return TableCommand(
        name,
        callback=callback,
        params=[
            *(_click_option(option) for option in _options_of(name)),
            click.Argument(["keys"], metavar="KEY...", nargs=-1, type=Value(BY_NAME["key"])),
        ],
        help=help,
        context_settings={"max_content_width": 100},
    )


run_command = TableCommand(
    "run",
    callback=_run,
    params=[
        *(_click_option(option) for option in _options_of("run")),
        click.Argument(["command"], nargs=-1, required=True, type=click.UNPROCESSED),
    ],
    help="Run COMMAND when this node gets the tick's lock, and exit with its status; else exit quietly.",
    epilog=EPILOG,
    options_metavar="[OPTIONS] [--]",
    context_settings={"allow_interspersed_args": False, "max_content_width": 100},
)
people_commands = [
    _people_command("pause", _pause, "Start no run of these keys any more; one that goes on is left alone."),
    _people_command("resume", _resume, "Take a pause back."),
    _people_command(
        "unlock",
        _unlock,
        "End the lease of a run whose node is dead, after showing until when its command may still run; the attempt "
        "stays used.",
    ),
    _people_command(
        "forget", _forget, "Erase what the voters have of these keys, ticks and history; never under a lease."
    ),
    _people_command(
        "adopt",
        _adopt,
        "Accept what the voters answer now: records made with other settings, copies that forgot, a new key without "
        "all voters; never under a live lease.",
    ),
]


@click.group(context_settings={"max_content_width": 100})
@click.version_option(__version__, prog_name="cronlock")
def group() -> None:
    """One scheduled run on one machine, when several machines share a crontab.

    \b
    cronlock run --once --key nightly -- python -m myjob --full
    """


group.add_command(run_command)
for people_command in people_commands:
    group.add_command(people_command)


def cli(words: "Sequence[str]") -> int:
    """Do what a command line says that is no well-formed `run`; the exit status. Errors are one line and 125."""
    try:
        status = group.main(list(words), prog_name="cronlock", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help() if error.ctx else "", err=True)
        return STATUS_REFUSED
    except click.ClickException as error:
        where = f": {error.ctx.info_name}" if isinstance(error, click.UsageError) and error.ctx else ""
        message = " ".join(error.format_message().split())
        click.echo(f"cronlock{where if where != ': cronlock' else ''}: refused: {message}", err=True)
        return STATUS_REFUSED
    except click.Abort:
        return 130
    return int(status or 0)
