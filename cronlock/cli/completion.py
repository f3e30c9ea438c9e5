"""Tab completion: the words that click proposes, and the keys that the voters know."""

import os

from click.shell_completion import CompletionItem, ShellComplete, add_completion_class

from cronlock.config.options import scan

TYPE_CHECKING = False  # read as true by mypy
if TYPE_CHECKING:
    from typing import Any

TIME_LIMIT = 1.0  # s: an operator who pressed Tab is waiting


class Completion(ShellComplete):
    """The completion of one shell, registered with click under the shell's name."""

    def source(self) -> str:
        from cronlock.output.completion_scripts import SCRIPTS

        return SCRIPTS[self.name]

    def complete(self) -> str:
        from cronlock.cli import shell_scripts

        line = shell_scripts.parse_line(os.environ.get("COMP_LINE", ""))
        answers = (
            shell_scripts.answer_line(self.name, line, os.environ, item.type, str(item.value), item.help or "")
            for item in self.get_completions(line.words, line.word)
        )
        return "\n".join(answer for answer in answers if answer is not None)

    def get_completions(self, args: "list[str]", incomplete: str) -> "list[Any]":
        if args[:1] == ["run"] and scan(args[1:]):  # the words that follow are the command's
            return [CompletionItem(incomplete, type="file")]
        items = super().get_completions(args, incomplete)
        option, equals, _ = incomplete.partition("=")
        if option.startswith("--") and equals:  # click completes the value alone
            for item in items:
                item.value = f"{option}={item.value}"
        return items


def register_shells() -> None:
    """Replace click's own completion of bash, zsh and fish."""
    for shell in ("bash", "zsh", "fish"):
        add_completion_class(type(shell, (Completion,), {"name": shell}))


def known_keys_in_time(given: "dict[str, Any]") -> list[str]:
    """Return the keys that the voters know; an empty list if they can't be read within TIME_LIMIT."""
    from contextlib import suppress
    from threading import Thread

    from cronlock.config.settings import load
    from cronlock.survey.key_scan import known_keys  # outside the time limit: a slow machine takes long to import it

    found: list[str] = []

    def read_keys() -> None:
        with suppress(Exception):
            found.extend(known_keys(load(given, os.environ)))

    thread = Thread(target=read_keys, daemon=True)
    thread.start()
    thread.join(TIME_LIMIT)
    return [key for key in found if key.isprintable() and not key.startswith("-")]
