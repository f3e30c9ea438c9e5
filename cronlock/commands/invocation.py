"""An operator's command line: its keys, which are worked on one after the other, and the exit status."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from shlex import quote
from typing import TYPE_CHECKING, Any

from cronlock.config.settings import Settings, load
from cronlock.errors import CronlockError, Refused, Unreachable
from cronlock.messages import Messages, printable
from cronlock.process.event_loop import Loop
from cronlock.servers import voters_for
from cronlock.survey.rows import ON, keys_to_read, rows_named

if TYPE_CHECKING:
    from cronlock.lock.voters import Voters

DECLINED = 1  # exit status: the operator answered a question with no
UNKNOWN_KEY = 1  # exit status: no voter has a record of a given key


@dataclass
class Invocation:
    """The keys (or the file) in `arguments`, settings by option name in `given`, and the options of one command.

    `confirm` asks the operator a question.
    """

    arguments: Sequence[str]
    given: Mapping[str, Any]
    command_options: Mapping[str, Any]
    environ: Mapping[str, str]
    confirm: Callable[[str], bool]

    def for_each(self, work: Callable[[Settings, Voters], int], *, records: bool = False, whole: str = "") -> int:
        """Do the work for every key; return the first exit status that is not 0.

        A refusal ends the work for its key, an outage ends all. `records`: --all includes the nodes' own records.
        `whole`: the name of a command that works on whole keys only, and refuses `KEY on NODE`.
        """
        status = 0
        try:
            keys = self._all_records() if records and self._wants_all() else self._keys()
        except CronlockError as error:
            Messages().error(error)
            return error.status
        for key, node in keys:
            try:
                if node and whole:
                    raise Refused(f"{whole} is for all nodes of a key: cronlock {whole} {quote(key)}")
                ended = self._work_on(key, node, work)
            except CronlockError as error:
                Messages(f"{key} on {node}" if node else key).error(error)
                ended = error.status
                if isinstance(error, Unreachable):
                    return status or ended
            status = status or ended
        return status

    def _wants_all(self) -> bool:
        wants_all = bool(self.command_options.get("all", False))
        if wants_all and self.arguments:
            raise Refused("both keys and --all are given: give one of them")
        if not wants_all and not self.arguments:
            raise Refused("no key is given: name one or more keys")
        return wants_all

    def _all_records(self) -> Sequence[tuple[str, str | None]]:
        from cronlock.survey.key_scan import known_records

        found = known_records(load(self.given, self.environ))
        if not found:
            print("no keys found")  # noqa: T201 - the command's output
        return found

    def _keys(self) -> Sequence[tuple[str, str | None]]:
        if not self._wants_all():
            return self._named_rows()
        from cronlock.survey.key_scan import known_keys

        found = known_keys(load(self.given, self.environ))
        if not found:
            print("no keys found")  # noqa: T201 - the command's output
        return [(key, None) for key in found]

    def _named_rows(self) -> Sequence[tuple[str, str | None]]:
        """Return the keys that were given; `KEY on NODE`, as status shows it, is that node's record if there is one."""
        if self.given.get("each") or not any(ON in argument.split(" ") for argument in self.arguments):
            return [(key, None) for key in dict.fromkeys(self.arguments)]
        from cronlock.survey.survey import Survey

        records = Survey(load(self.given, self.environ), keys_to_read(self.arguments)).records
        return rows_named(self.arguments, records)

    def _work_on(self, key: str, node: str | None, work: Callable[[Settings, Voters], int]) -> int:
        own = {} if node is None else {"each": bool(node), **({"node": node} if node else {})}
        settings = load({**self.given, **own, "key": key}, self.environ)
        voters = voters_for(settings, Loop(), key, settings.node if settings.each else "")
        try:
            return work(settings, voters)
        finally:
            voters.close()


def nodes_with_records(settings: Settings) -> list[str]:
    """Return the nodes that have a record of their own of this key; none when the voters can't be read."""
    from cronlock.survey.survey import Survey

    key = settings.key or ""
    try:
        return Survey(settings, [key]).nodes_of(key)
    except CronlockError:
        return []


def print_line(key: str | None, text: str) -> None:
    """Print one line of a key's result on standard output."""
    with suppress(BrokenPipeError):
        print(f"{printable(key or '')}: {printable(text)}")  # noqa: T201 - the command's output
