"""The commands of cronlock, and the entry for every command line that is not a well-formed `run`."""

import os

import click
from click.shell_completion import CompletionItem

from cronlock import __version__
from cronlock.cli.completion import register_shells
from cronlock.cli.table_command import TableCommand, click_options, given_options, key_arguments
from cronlock.config.command_options import COMMAND_OPTIONS
from cronlock.errors import REFUSED, SIGNALLED, CronlockError, Refused
from cronlock.messages import Messages, escape_unencodable, printable

TYPE_CHECKING = False  # read as true by mypy
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any


SIGINT = 2
HELP_PAGE = {
    "max_content_width": 80,  # columns: a crontab's own terminal is rarely wider, and short lines read better
    "help_option_names": ["-h", "--help"],
}
RUN_HELP = """Run COMMAND if this node acquires the lock of the tick, and exit with its status; otherwise exit silently.

\b
In a crontab that several nodes share, on one node per tick:
  0 2 * * *  root  cronlock run --once --key nightly -- nightly --full
In a shell, never twice at the same time on this machine:
  cronlock run --local --key deploy -- make deploy
"""
EPILOG = """Durations: 500ms, 90, 90s, 15m, 2h, 1d. Every option can also be set by a variable (CRONLOCK_START_WITHIN)
and in /etc/cronlock.toml and ~/.config/cronlock.toml (start-within). See man cronlock."""
USUAL = ("run", "status", "history", "check", "wrap", "install")  # of a job's life; the others are for operators


def _run(command: "Sequence[str]", **values: "Any") -> int:
    return int(click.get_current_context().obj(given_options(values), command, os.environ))


def _complete_program(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> "list[Any]":
    return [CompletionItem(incomplete, type="command")]


def _complete_command(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> "list[Any]":
    shown = [name for name, command in group.commands.items() if not command.hidden]
    return [CompletionItem(name) for name in shown if name.startswith(incomplete)]


def _callback(module: str, function: str) -> "Callable[..., int]":
    """Return the callback of a command; it imports the command's module when it is called."""

    def callback(arguments: "Sequence[str]" = (), **values: "Any") -> int:
        from importlib import import_module

        from cronlock.commands.invocation import Invocation

        given = given_options(values)
        own_names = {option.name for option in COMMAND_OPTIONS if function in option.commands}
        own = {name: given.pop(name) for name in own_names & given.keys()}
        confirm = (lambda _question: True) if own.get("yes") else _confirmed
        do: Callable[[Invocation], int] = getattr(import_module(f"cronlock.commands.{module}"), function)
        try:
            return do(Invocation(arguments, given, own, os.environ, confirm))
        except CronlockError as error:
            Messages().error(error)
            return error.status

    return callback


def _confirmed(question: str) -> bool:
    """Return whether the operator answers yes. Raises Refused when standard input is at its end."""
    try:
        return click.confirm(question)
    except click.Abort as error:
        if not isinstance(error.__context__, EOFError):
            raise
        click.echo()
        raise Refused("standard input is not interactive: pass --yes") from None


def _command(name: str, help: str, argument: click.Argument | None = None, short: str = "", module: str = "") -> None:
    """Add the command `name`, a function of the module of the same name in commands/, or of another `module`.

    `short` is the text in the list of commands.
    """
    group.add_command(
        TableCommand(
            name,
            callback=_callback(module or name, name),
            params=[*click_options(name), *([argument] if argument else [])],
            help=help,
            short_help=short or None,
            context_settings=HELP_PAGE,
        )
    )


class CommandGroup(click.Group):
    """The commands of cronlock. A program in place of a command, as in the bash tool of this name, gets a hint."""

    def list_commands(self, ctx: click.Context) -> "list[str]":
        return list(self.commands)  # in the order of use; click's own order is the alphabet's

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        shown = [command for command in self.commands.values() if not command.hidden]
        for title, usual in (("Commands", True), ("Commands on keys", False)):
            with formatter.section(title):
                formatter.write_dl(
                    [(str(c.name), c.get_short_help_str(80)) for c in shown if (c.name in USUAL) == usual]
                )

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        self.format_commands(ctx, formatter)
        with formatter.section("Help"):
            formatter.write_dl(
                [
                    ("help [COMMAND], -h, --help", "Show this page, or the options of a command."),
                    ("version, -V, --version", "Show the version."),
                ]
            )

    def resolve_command(self, ctx: click.Context, args: "list[str]") -> "Any":
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            if args[0].startswith("-"):
                raise
            from cronlock.cli.mistyped import hint

            raise click.UsageError(hint(args[0], error.format_message()), error.ctx) from None

    def parse_args(self, ctx: click.Context, args: "list[str]") -> "list[str]":
        words = list(args)
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            from cronlock.cli.mistyped import command_left_out

            message = command_left_out(error.option_name, words, self.list_commands(ctx))
            raise click.UsageError(message, error.ctx) if message else error from None


@click.group(cls=CommandGroup, context_settings=HELP_PAGE)
@click.version_option(__version__, "-V", "--version", prog_name="cronlock")
def group() -> None:
    """Run a scheduled job on one machine only, when several machines share a crontab.

    \b
    cronlock run --local --key hello -- echo "it works"
    """


run_command = TableCommand(
    "run",
    callback=_run,
    params=[
        *click_options("run"),
        click.Argument(["command"], nargs=-1, required=True, type=click.UNPROCESSED, shell_complete=_complete_program),
    ],
    short_help="Run COMMAND if this node acquires the lock of the tick.",
    help=RUN_HELP,
    epilog=EPILOG,
    options_metavar="[OPTIONS] [--]",
    context_settings={"allow_interspersed_args": False, **HELP_PAGE},
)
group.add_command(run_command)
_command(
    "status",
    "Show, for all keys or the given ones, which node ran last, how the run ended, and what is wrong.",
    key_arguments("[KEY]..."),
    "Show which node ran each key last, and how the run ended.",
)
_command("history", "Show the newest runs of each key.", key_arguments("KEY..."))
_command(
    "check",
    "Check the voters, their placement, clocks and persistence, and every crontab line of this machine that uses "
    "cronlock.",
    short="Check the voters, and the crontab lines of this machine.",
    module="check.command",
)
_command(
    "wrap",
    "Print the crontab in FILE, or on standard input, with `cronlock run` before its commands. The crontab itself is "
    "not changed.",
    click.Argument(["arguments"], metavar="[FILE]", nargs=-1, type=click.Path()),
    "Print a crontab with `cronlock run` before its commands.",
)
_command(
    "install",
    "Write, below a folder, what cron, man and the shells look for: a launcher of this cronlock, the man pages, and "
    "completion for bash, zsh and fish.",
    short="Write launcher, man pages and completion for all users.",
)
_command("pause", "Pause keys: no new runs start. An active run continues.", key_arguments("KEY... | --all"))
_command("resume", "Resume paused keys.", key_arguments("KEY... | --all"), module="pause")
_command(
    "unlock",
    "End the lease of a run whose node is dead, after showing until when its command may still run. To repeat the tick "
    "of that run, use `cronlock run --again`.",
    key_arguments("KEY..."),
    "End the lease of a run whose node is dead.",
)
_command(
    "forget",
    "Erase the records of keys, with their ticks and history. A key with a live lease is refused.",
    key_arguments("KEY..."),
    "Erase the records of keys, with their ticks and history.",
)
_command(
    "adopt",
    "Make the present answers of the voters the authoritative state of a key: after a change of the voters, after "
    "voters lost their data, or for a new key when a voter is missing. A key with a live lease is refused.",
    key_arguments("KEY... | --all"),
    "Make the present answers of the voters authoritative.",
)


@group.command("help", hidden=True, context_settings=HELP_PAGE)
@click.argument("command", required=False, shell_complete=_complete_command)
@click.pass_context
def show_help(ctx: click.Context, command: str | None) -> None:
    """Show the help page of COMMAND, or the list of all commands."""
    parent = ctx.find_root()
    if not command:
        click.echo(parent.get_help())
        return
    found = group.get_command(parent, command)
    if not found:
        raise click.UsageError(f"no such command {command!r}: cronlock help lists the commands")
    click.echo(found.make_context(command, ["--help"], parent, resilient_parsing=True).get_help())


@group.command("version", hidden=True, context_settings=HELP_PAGE)
def show_version() -> None:
    """Show the version."""
    click.echo(f"cronlock, version {__version__}")


register_shells()


def cli(words: "Sequence[str]", run: "Callable[..., int]") -> int:
    """Do a command line that is not a well-formed `run`; return the exit status. Errors are one line and 125.

    `run` does `cronlock run` for a line that click accepts and `scan` does not.
    """
    escape_unencodable()
    try:
        status = group.main(list(words), prog_name="cronlock", standalone_mode=False, obj=run)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help() if error.ctx else "", err=True)
        return REFUSED
    except click.ClickException as error:
        where = f": {error.ctx.info_name}" if isinstance(error, click.UsageError) and error.ctx else ""
        message = printable(" ".join(error.format_message().split()))
        click.echo(f"cronlock{where if where != ': cronlock' else ''}: refused: {message}", err=True)
        return REFUSED
    except click.Abort:
        return SIGNALLED + SIGINT
    except SystemExit as end:  # click ends a completion so; __main__ exits without waiting for the thread
        return int(end.code or 0)
    return int(status or 0)
