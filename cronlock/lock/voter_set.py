"""The voter set that a record was made with, and the nodes that could still form a quorum of another one."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cronlock.lock.protocol import ADOPTED, COPIES
from cronlock.lock.quorum import is_amnesic, quorum

if TYPE_CHECKING:
    from cronlock.lock.requests import Answer

ENDED = " ended"  # behind voter_set that no node has any more
NEW_LIST = "it is the new one, and other nodes have it"


@dataclass(frozen=True)
class VoterSet:
    """Settings that a record was made with. `count` is 0 when this version does not understand them."""

    text: str
    count: int
    labels: tuple[str, ...]

    @classmethod
    def read(cls, voter_set: str) -> VoterSet:
        text = voter_set.removesuffix(ENDED)
        _, _, rest = text.partition(" ")
        count, _, labels = rest.partition(" ")
        known = COPIES if count == "cluster" else int(count) if count.isascii() and count.isdigit() else 0
        return cls(text, known, tuple(labels.split(",")) if labels else ())

    @property
    def enough(self) -> int:
        """So many of its voters, and no quorum is left without them."""
        return self.count - quorum(self.count) + 1

    def contains(self, label: str, answer: Answer) -> bool:
        """Whether this voter is one of them: by its name or, under another one, by what it remembers.

        A copy that was carried to another server is known by the run_id of the one that wrote it. A single server
        has no name in its voter_set, and any server that was restarted would look like a copy.
        """
        if label in self.labels:
            return True
        return VoterSet.read(answer["voter_set"]).text == self.text and (self.count == 1 or not is_amnesic(answer))


def spelled(voter_set: str) -> str:
    """The voters that voter_set name, for people."""
    former = VoterSet.read(voter_set)
    if former.labels:
        return ", ".join(former.labels)
    if former.count:
        return "a Redis Cluster" if former.text.endswith("cluster") else "a single server"
    return f"{former.text!r}"


def hindrance(answers: Sequence[tuple[str, Answer]], mine: str, voters: int) -> str:
    """Which nodes could go on with the voters that they name, if these answers became the truth; empty when none could.

    `answers` by the labels of their voters; `mine` are the voter_set to come, of so many voters. Who forgot does not
    count for the old voters, unless all of them are here.
    """
    if sum(answer["voter_set"] == mine and not is_amnesic(answer) for _, answer in answers) >= quorum(voters):
        return ""  # it is the truth already, and was when the first of them were told
    for voter_set in foreign((answer for _, answer in answers), mine):
        former = VoterSet.read(voter_set)
        here = [answer for label, answer in answers if former.contains(label, answer)]
        remember = sum(not is_amnesic(answer) for answer in here)
        if not former.count or (len(here) < former.count and remember < former.enough):
            by = next(answer["voter_set_by"] for _, answer in answers if answer["voter_set"] == voter_set)
            rule = f"{remember} of these remember it here, {former.enough} have to" if former.count else "unknown here"
            return f"nodes such as {by} could go on with {spelled(voter_set)} ({rule})"
    return ""


def other_voters(answer: Answer, mine: str, key: str, *, each: bool = False) -> str:
    """Why a node is refused that has another voter set than the record, and what to do.

    `each`: no other node has this record, so none has to have the same list for it.
    """
    there, by = answer["voter_set"], answer["voter_set_by"]
    adopt = f"cronlock adopt {'--each ' if each else ''}{shlex.quote(key)}"
    adopt = f"cronlock adopt {'--each ' if each else ''}{shlex.quote(key)}"
    theirs, here = there.partition(" ")[0], mine.partition(" ")[0]
    if theirs != here:
        versions = f"protocol {theirs}; here {here}"
        return f"{by} ran this key with another version of cronlock ({versions}): run the same one everywhere: {adopt}"
    nobody, new = ("this node does not run", "it is the new one") if each else ("no node runs", NEW_LIST)
    if there.endswith(ENDED):
        return f"{by} has begun to adopt other voters, and it was not finished: {nobody} this key: {adopt}"
    has = f"{spelled(there)}; here {spelled(mine)}"
    if answer["outcome"] == ADOPTED:
        return f"{by} adopted other voters for this key: {has}: give this node that list, or adopt this one: {adopt}"
    return f"{by} ran this key with other voters: {has}: if this list is wrong, mend --redis here; if {new}: {adopt}"


def foreign(answers: Iterable[Answer], mine: str) -> list[str]:
    """The settings of others in these answers, each once."""
    return list(dict.fromkeys(answer["voter_set"] for answer in answers if answer["voter_set"] not in ("", mine)))
