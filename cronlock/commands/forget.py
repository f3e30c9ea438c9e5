"""`cronlock forget`: erase what the voters know of a key, except its fencing token."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from cronlock.commands.invocation import DECLINED, Invocation, nodes_with_records, print_line
from cronlock.config.settings import Settings
from cronlock.config.suggested_command import suggested_command
from cronlock.errors import Refused, Unreachable
from cronlock.lock.protocol import HELD, OK, RETENTION
from cronlock.messages import instant, printable
from cronlock.process.event_loop import Loop
from cronlock.run.outcome import outcome
from cronlock.servers import voters_for
from cronlock.survey.broadcast import Broadcast

if TYPE_CHECKING:
    from cronlock.lock.requests import Answer
    from cronlock.lock.voters import Voters

T = TypeVar("T")


def forget(invocation: Invocation) -> int:
    """Show each key's record, ask for confirmation, and erase the record; 122 unless all voters have erased it.

    Of a key of --each, the records of all its nodes are shown and erased, unless one node is named.
    """

    def forget_key(settings: Settings, voters: Voters) -> int:
        nodes = [] if settings.each else nodes_with_records(settings)
        if nodes:
            return _forget_nodes(invocation, settings, voters, nodes)
        _show(settings, voters)
        if not invocation.confirm(f"Erase the record of {printable(settings.key or '')}, its counts and its history?"):
            return DECLINED
        return _erase(settings, voters)

    return invocation.for_each(forget_key)


def _forget_nodes(invocation: Invocation, settings: Settings, voters: Voters, nodes: list[str]) -> int:
    """Show the records of these nodes, ask once, and erase them and what the key has of its own, such as a pause.

    Nothing is erased while one of them is held.
    """
    for node in nodes:
        _on_record(_show, settings, node)
    key = printable(settings.key or "")
    if not invocation.confirm(f"Erase the records of {key} on {len(nodes)} nodes, their counts and their history?"):
        return DECLINED
    ended = [_on_record(_erase, settings, node) for node in nodes]
    return max(*ended, _erase(settings, voters, quiet=True))


def _on_record(work: Callable[[Settings, Voters], T], settings: Settings, node: str) -> T:
    """Do the work with the voters of the record that a node has of its own."""
    voters = voters_for(settings, Loop(), settings.key or "", node)
    try:
        return work(settings, voters)
    finally:
        voters.close()


def _show(settings: Settings, voters: Voters) -> None:
    """Print a line on each voter's copy. Raises Refused while the record is held."""
    present = Broadcast(voters, "read", {})
    _refuse_if_held(present, voters)
    for voter, answer in present.answers.items():
        print_line(_name(voters), f"{voters.label(voter)}: {_record_text(answer)}")


def _erase(settings: Settings, voters: Voters, *, quiet: bool = False) -> int:
    """Erase a record, and say so unless `quiet`; return 122 unless all voters have erased it."""
    broadcast = Broadcast(voters, "forget", {"node": voters.node or settings.node, "retention": RETENTION})
    _refuse_if_held(broadcast, voters)
    if any(answer["answer"] != OK for answer in broadcast.answers.values()):
        raise Refused("another node is acquiring the lock: run the command again")
    if not quiet:
        print_line(_name(voters), f"forgotten{broadcast.reach}")
    return Unreachable.status if broadcast.failures else 0


def _name(voters: Voters) -> str:
    return f"{voters.key} on {voters.node}" if voters.node else voters.key


def _refuse_if_held(broadcast: Broadcast, voters: Voters) -> None:
    for run in broadcast.live_runs:
        unlock = suggested_command("unlock", voters.location_flags(), voters.key, voters.node)
        raise Refused(f"{outcome(HELD, run, 0)}: nothing was forgotten: if that node is dead, run {unlock} first")


def _record_text(answer: Answer) -> str:
    if not answer["token"]:
        return "no record" + (", but a pause" if answer["paused_until"] else "")
    last = f"tick {instant(answer['tick'])}, {answer['state']}" if answer["tick"] else "no tick"
    paused = outcome("paused", answer, 0) + ", " if answer["paused_until"] else ""
    return f"{paused}{last}, last run on {answer['node']}, token {answer['token']}"
