"""The voter set that a record was made with, and the nodes that could still form a quorum of another one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cronlock.config.suggested_command import suggested_command
from cronlock.lock.protocol import ADOPTED, COPIES
from cronlock.lock.quorum import is_amnesic, quorum

if TYPE_CHECKING:
    from cronlock.lock.requests import Answer
    from cronlock.lock.voters import Voters

LOCAL = "local"  # the voter set of --local
ENDED = " ended"  # appended to a voter set that an adoption has ended


@dataclass(frozen=True)
class VoterSet:
    """A voter set, parsed. `count` is 0 when this version does not understand it."""

    text: str
    count: int
    labels: tuple[str, ...]

    @classmethod
    def read(cls, voter_set: str) -> VoterSet:
        """Parse the text that a record has."""
        text = voter_set.removesuffix(ENDED)
        _, _, rest = text.partition(" ")
        count, _, labels = rest.partition(" ")
        known = COPIES if count == "cluster" else int(count) if count.isascii() and count.isdigit() else 0
        known = 1 if count == LOCAL else known
        return cls(text, known, tuple(labels.split(",")) if labels else ())

    @property
    def enough(self) -> int:
        """Return how many of its voters an adoption must include so that the others can't form a quorum."""
        return self.count - quorum(self.count) + 1

    def contains(self, label: str, answer: Answer) -> bool:
        """Return whether a voter belongs to the set: by its name or, under another name, by its record.

        A record that was copied to another server shows by the run_id of the server that wrote it. A set of one server
        has no name in it, and any server that was restarted would look like such a copy.
        """
        if label in self.labels:
            return True
        return VoterSet.read(answer["voter_set"]).text == self.text and (self.count == 1 or not is_amnesic(answer))


def spelled(voter_set: str) -> str:
    """Return the voters of a set for operators."""
    former = VoterSet.read(voter_set)
    if former.labels:
        return ", ".join(former.labels)
    if former.count:
        kinds = {"cluster": "a Redis Cluster", LOCAL: "a local file"}
        return kinds.get(former.text.rpartition(" ")[2], "a single server")
    return f"{former.text!r}"


def hindrance(answers: Sequence[tuple[str, Answer]], mine: str, voters: int) -> str:
    """Return which nodes could still form a quorum of an old set if these answers were adopted; empty when none could.

    `answers` come with their voters' labels; `mine` is the new set, of `voters` voters. An amnesic copy does not count
    for an old set unless all voters of that set are here. Without this rule, a run could go on at old voters that were
    left out while another one starts (the simulation's schedules "quorum_left_behind" and "forgot_and_left_behind").
    """
    if sum(answer["voter_set"] == mine and not is_amnesic(answer) for _, answer in answers) >= quorum(voters):
        return ""  # adopted already: the condition below held when the first of these voters recorded the set
    for voter_set in other_voter_sets((answer for _, answer in answers), mine):
        former = VoterSet.read(voter_set)
        here = [answer for label, answer in answers if former.contains(label, answer)]
        remember = sum(not is_amnesic(answer) for answer in here)
        if not former.count or (len(here) < former.count and remember < former.enough):
            by = next(answer["voter_set_by"] for _, answer in answers if answer["voter_set"] == voter_set)
            need = f"{remember} of them remember it here, {former.enough} must" if former.count else "unknown here"
            return f"nodes such as {by} could still form a quorum of {spelled(voter_set)} ({need})"
    return ""


def other_voters(answer: Answer, voters: Voters) -> str:
    """Return the message for a node whose voter set differs from the record's.

    With --each the record belongs to this node alone, so no other node needs the same list for it.
    """
    mine, each = voters.voter_set, bool(voters.node)
    there, by = answer["voter_set"], answer["voter_set_by"]
    adopt = suggested_command("adopt", voters.location_flags(), voters.key, voters.node)
    theirs, here = there.partition(" ")[0], mine.partition(" ")[0]
    if theirs != here:
        versions = f"protocol {theirs}; here {here}"
        return (
            f"{by} ran this key with another version of cronlock ({versions}): install the same version on all nodes, "
            f"then run {adopt}"
        )
    if there.endswith(ENDED):
        runs = "this node does not run" if each else "no node runs"
        return f"{by} started to adopt other voters and did not finish: {runs} this key: run {adopt}"
    has = f"{spelled(there)}; here {spelled(mine)}"
    if answer["outcome"] == ADOPTED:
        return f"{by} adopted other voters for this key: {has}: give this node that list, or run {adopt}"
    new = "this list is the new one" if each else "this list is the new one and all nodes have it"
    return f"{by} ran this key with other voters: {has}: correct --redis here; if {new}, run {adopt}"


def other_voter_sets(answers: Iterable[Answer], mine: str) -> list[str]:
    """Return the other voter sets in these answers, each once."""
    return list(dict.fromkeys(answer["voter_set"] for answer in answers if answer["voter_set"] not in ("", mine)))
