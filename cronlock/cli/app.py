"""The click commands, built from the table of options; the only module that imports click."""

import os

import click
from click.shell_completion import CompletionItem, ShellComplete, add_completion_class

from cronlock import __version__
from cronlock.config.options import BY_NAME, COMMAND_OPTIONS, GROUPS, OPTIONS, Choice, Option, scan
from cronlock.errors import EXIT_STATUSES, REFUSED, SIGNALLED
from cronlock.messages import printable, write_anything

TYPE_CHECKING = False  # as everywhere on the way to `run`
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

SIGINT = 2
EPILOG = """Durations: 500ms, 90, 90s, 15m, 2h, 1d. Every option is also a variable, CRONLOCK_START_WITHIN, and a name
in /etc/cronlock.toml and ~/.config/cronlock.toml, start-within. See man cronlock.
"""


def _confirmed(question: str) -> bool:
    """Whether a person says yes. Raises Refused where nobody can."""
    try:
        return click.confirm(question)
    except click.Abort as error:
        if not isinstance(error.__context__, EOFError):
            raise
        click.echo()
        from cronlock.errors import Refused

        raise Refused("nobody answers that question here: give --yes") from None


class Value(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4 only
    """A value that config/options.py reads."""

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
        if self._option.name == "config":
            return [CompletionItem(incomplete, type="file")]
        words: Sequence[str] = ()
        if isinstance(self._option.parse, Choice):
            words = self._option.parse.words
        elif self._option.name == "key":
            words = _known_keys(ctx)
        return [CompletionItem(word) for word in words if word.startswith(incomplete)]


def _known_keys(ctx: click.Context) -> "list[str]":
    """The keys that the voters know, but for those that are typed already."""
    from cronlock.cli import completion

    where = {name: value for name, value in _given(ctx.params).items() if name in BY_NAME and BY_NAME[name].where}
    return [key for key in completion.keys(where, os.environ) if key not in (ctx.params.get("words") or ())]


def _program(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> "list[Any]":
    return [CompletionItem(incomplete, type="command")]


class Completion(ShellComplete):
    """What Tab does in a shell; cli/completion.py says how that shell is spoken to."""

    def source(self) -> str:
        from cronlock.cli import completion

        return completion.SCRIPTS[self.name]

    def complete(self) -> str:
        from cronlock.cli import completion

        line = completion.read(os.environ.get("COMP_LINE", ""))
        told = (
            completion.answer(self.name, line, os.environ, item.type, str(item.value), item.help or "")
            for item in self.get_completions(line.words, line.word)
        )
        return "\n".join(text for text in told if text is not None)

    def get_completions(self, args: "list[str]", incomplete: str) -> "list[Any]":
        if args[:1] == ["run"] and scan(args[1:]):  # what follows belongs to the command
            return [CompletionItem(incomplete, type="file")]
        items = super().get_completions(args, incomplete)
        option, equals, _ = incomplete.partition("=")
        if option.startswith("--") and equals:  # click completes the value alone
            for item in items:
                item.value = f"{option}={item.value}"
        return items


for _shell in ("bash", "zsh", "fish"):
    add_completion_class(type(_shell, (Completion,), {"name": _shell}))


def _click_option(option: Option) -> click.Option:
    names = [*option.flags, option.name.replace("-", "_")]
    if not option.parse:
        return click.Option(names, is_flag=True, default=None, help=option.help)
    return click.Option(names, type=Value(option), multiple=option.many, default=None, help=option.help)


class TableCommand(click.Command):
    """A command whose options stand in the table, grouped by the question that they answer."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for group in GROUPS:
            rows = [_help_row(option, self.name) for option in _options_of(self.name) if option.group == group]
            if rows:
                with formatter.section(group):
                    formatter.write_dl(rows)
        with formatter.section("Help"):
            formatter.write_dl([("--help", "Show this page.")])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if self.name == "run":
            with formatter.section("Exit status"):
                formatter.write_dl(EXIT_STATUSES)
        if self.epilog:
            formatter.write(f"\n{self.epilog}")


def _options_of(command: str | None) -> list[Option]:
    return [option for option in (*OPTIONS, *COMMAND_OPTIONS) if command in option.commands]


def _help_row(option: Option, command: str | None) -> tuple[str, str]:
    flags = ", ".join(option.flags)
    default = f" [{option.default}]" if option.default and command != "wrap" else ""  # which has to be told
    return f"{flags} {option.metavar}".rstrip(), option.help + default


def _given(values: "dict[str, Any]") -> "dict[str, Any]":
    """What the command line gave, by option name."""
    by_name = {name.replace("_", "-"): value for name, value in values.items()}
    return {name: list(v) if isinstance(v, tuple) else v for name, v in by_name.items() if v not in (None, ())}


def _run(command: "Sequence[str]", **values: "Any") -> int:
    from cronlock.run.session import run

    return run(_given(values), command, os.environ)


def _people(module: str, name: str) -> "Callable[..., int]":
    """What a command of people does; its module is imported when it is called."""

    def callback(words: "Sequence[str]" = (), **values: "Any") -> int:
        from importlib import import_module

        from cronlock.commands.invocation import Invocation
        from cronlock.errors import CronlockError
        from cronlock.messages import Messages

        given = _given(values)
        command_options = {option.name: given.pop(option.name) for option in COMMAND_OPTIONS if option.name in given}
        confirm = (lambda _question: True) if command_options.get("yes") else _confirmed
        do: Callable[[Invocation], int] = getattr(import_module(f"cronlock.commands.{module}"), name)
        try:
            return do(Invocation(words, given, command_options, os.environ, confirm))
        except CronlockError as error:
            Messages().error(error)
            return error.status

    return callback


SHORT = {  # for the list of commands, which cuts what does not fit 80 columns
    "run": "Run COMMAND if this node gets the lock, and exit with its status.",
    "status": "Did it run, where, and why not.",
    "check": "Look for what is wrong, before it goes wrong.",
    "wrap": "Print a crontab with `cronlock run` before its commands.",
    "pause": "Start no run of these keys any more.",
    "unlock": "End the lease of a run whose node is dead.",
    "forget": "Erase what the voters have of these keys, ticks and history.",
    "adopt": "Accept what the voters answer now as the truth.",
}


def _people_command(name: str, help: str, words: click.Argument | None = None, module: str = "") -> TableCommand:
    """The command `name`, which is that function of people's module of the same name unless another is given."""
    return TableCommand(
        name,
        callback=_people(module or name, name),
        params=[*(_click_option(option) for option in _options_of(name)), *([words] if words else [])],
        help=help,
        short_help=SHORT.get(name),
        context_settings={"max_content_width": 100},
    )


def _keys(metavar: str) -> click.Argument:
    return click.Argument(["words"], metavar=metavar, nargs=-1, type=Value(BY_NAME["key"]))


run_command = TableCommand(
    "run",
    callback=_run,
    params=[
        *(_click_option(option) for option in _options_of("run")),
        click.Argument(["command"], nargs=-1, required=True, type=click.UNPROCESSED, shell_complete=_program),
    ],
    short_help=SHORT["run"],
    help="Run COMMAND when this node gets the tick's lock, and exit with its status; else exit quietly.",
    epilog=EPILOG,
    options_metavar="[OPTIONS] [--]",
    context_settings={"allow_interspersed_args": False, "max_content_width": 100},
)
people_commands = [
    _people_command(
        "status", "Did it run, where, and why not: what the voters know of all keys, or of some.", _keys("[KEY]...")
    ),
    _people_command("history", "The last runs of a key.", _keys("KEY...")),
    _people_command(
        "check",
        "Look for what is wrong, before it goes wrong: voters, placement, clocks, persistence, and every crontab line "
        "of this machine that uses cronlock.",
        module="check.command",
    ),
    _people_command(
        "wrap",
        "Print a crontab, from standard input unless FILE is given, with `cronlock run` before its commands.",
        click.Argument(["words"], metavar="[FILE]", nargs=-1, type=click.Path()),
    ),
    _people_command("pause", "Start no run of these keys any more; one that goes on is left alone.", _keys("KEY...")),
    _people_command("resume", "Take a pause back.", _keys("KEY..."), module="pause"),
    _people_command(
        "unlock",
        "End the lease of a run whose node is dead, after showing until when its command may still run; the attempt "
        "stays used.",
        _keys("KEY..."),
    ),
    _people_command(
        "forget",
        "Erase what the voters have of these keys, ticks and history; never under a lease.",
        _keys("KEY..."),
    ),
    _people_command(
        "adopt",
        "Accept what the voters answer now: records made with other settings, copies that forgot, a new key without "
        "all voters; never under a live lease.",
        _keys("KEY..."),
    ),
]


class Group(click.Group):
    """The commands of cronlock. The bash tool of the same name takes a command of the user's there."""

    def resolve_command(self, ctx: click.Context, args: "list[str]") -> "Any":
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            if args[0].startswith("-"):
                raise
            hint = "What to run goes behind `cronlock run --key NAME --`."
            raise click.UsageError(f"{error.format_message()} {hint}", error.ctx) from None


@click.group(cls=Group, context_settings={"max_content_width": 100})
@click.version_option(__version__, prog_name="cronlock")
def group() -> None:
    """One scheduled run on one machine, when several machines share a crontab.

    \b
    cronlock run --local --key hello -- echo "it works"
    """


group.add_command(run_command)
for people_command in people_commands:
    group.add_command(people_command)


def cli(words: "Sequence[str]") -> int:
    """Do what a command line says that is no well-formed `run`; the exit status. Errors are one line and 125."""
    write_anything()
    try:
        status = group.main(list(words), prog_name="cronlock", standalone_mode=False)
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
    except SystemExit as end:  # click's way to end a completion; __main__ exits, and waits for no thread
        return int(end.code or 0)
    return int(status or 0)
