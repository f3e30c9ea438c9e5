"""A command line of a person: its keys, one after the other, and what became of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cronlock.config.settings import Settings, load
from cronlock.errors import CronlockError, Refused, Unreachable
from cronlock.messages import Messages, printable
from cronlock.process.event_loop import Loop
from cronlock.servers.voters import voters_for

if TYPE_CHECKING:
    from cronlock.lock.voters import Voters

DECLINED = 1  # the exit status when a question was answered with no


@dataclass
class Invocation:
    """The keys (or a file) in `arguments`, settings by option name in `given`, and the options of one command alone.

    `confirm` asks the operator a question.
    """

    arguments: Sequence[str]
    given: Mapping[str, Any]
    command_options: Mapping[str, Any]
    environ: Mapping[str, str]
    confirm: Callable[[str], bool]

    def for_each(self, work: Callable[[Settings, Voters], int], *, records: bool = False) -> int:
        """Do it for every key; the first exit status that is not 0. A fault ends it for its key, an outage for all.

        `records`: with --all also for what each node has of its own (--each).
        """
        status = 0
        try:
            keys = self._records() if records and self._everything() else [(key, None) for key in self._keys()]
        except CronlockError as error:
            Messages().error(error)
            return error.status
        for key, node in keys:
            try:
                ended = self._one(key, node, work)
            except CronlockError as error:
                Messages(f"{key} on {node}" if node else key).error(error)
                ended = error.status
                if isinstance(error, Unreachable):
                    return status or ended
            status = status or ended
        return status

    def _everything(self) -> bool:
        everything = bool(self.command_options.get("all", False))
        if everything and self.arguments:
            raise Refused("keys and --all: give one of them")
        if not everything and not self.arguments:
            raise Refused("no key: name one or more")
        return everything

    def _records(self) -> Sequence[tuple[str, str | None]]:
        from cronlock.survey.key_scan import known_records

        found = known_records(load(self.given, self.environ))
        if not found:
            print("no key is known")  # noqa: T201 - what was asked for
        return found

    def _keys(self) -> Sequence[str]:
        if not self._everything():
            return list(dict.fromkeys(self.arguments))
        from cronlock.survey.key_scan import known_keys

        found = known_keys(load(self.given, self.environ))
        if not found:
            print("no key is known")  # noqa: T201 - what was asked for
        return found

    def _one(self, key: str, node: str | None, work: Callable[[Settings, Voters], int]) -> int:
        own = {} if node is None else {"each": bool(node), **({"node": node} if node else {})}
        settings = load({**self.given, **own, "key": key}, self.environ)
        voters = voters_for(settings, Loop(), key, settings.node if settings.each else "")
        try:
            return work(settings, voters)
        finally:
            voters.close()


def tell(key: str | None, text: str) -> None:
    """A line of the answer."""
    with suppress(BrokenPipeError):
        print(f"{printable(key or '')}: {printable(text)}")  # noqa: T201 - what was asked for
