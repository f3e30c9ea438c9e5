"""An operator's command line: its keys, which are worked on one after the other, and the exit status."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cronlock.config.settings import Settings, load
from cronlock.errors import CronlockError, Refused, Unreachable
from cronlock.messages import Messages, printable
from cronlock.process.event_loop import Loop
from cronlock.servers import voters_for

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

    def for_each(self, work: Callable[[Settings, Voters], int], *, records: bool = False) -> int:
        """Do the work for every key; return the first exit status that is not 0.

        A refusal ends the work for its key, an outage ends all. `records`: --all includes the nodes' own records.
        """
        status = 0
        try:
            keys = self._all_records() if records and self._wants_all() else [(key, None) for key in self._keys()]
        except CronlockError as error:
            Messages().error(error)
            return error.status
        for key, node in keys:
            try:
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

    def _keys(self) -> Sequence[str]:
        if not self._wants_all():
            return list(dict.fromkeys(self.arguments))
        from cronlock.survey.key_scan import known_keys

        found = known_keys(load(self.given, self.environ))
        if not found:
            print("no keys found")  # noqa: T201 - the command's output
        return found

    def _work_on(self, key: str, node: str | None, work: Callable[[Settings, Voters], int]) -> int:
        own = {} if node is None else {"each": bool(node), **({"node": node} if node else {})}
        settings = load({**self.given, **own, "key": key}, self.environ)
        voters = voters_for(settings, Loop(), key, settings.node if settings.each else "")
        try:
            return work(settings, voters)
        finally:
            voters.close()


def print_line(key: str | None, text: str) -> None:
    """Print one line of a key's result on standard output."""
    with suppress(BrokenPipeError):
        print(f"{printable(key or '')}: {printable(text)}")  # noqa: T201 - the command's output
