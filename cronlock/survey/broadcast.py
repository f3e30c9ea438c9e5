"""One operation, asked of all voters at once, and again of those that failed: what people's commands do to a record."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cronlock.errors import Refused, Unreachable
from cronlock.lock.protocol import ANSWER_WAIT, Failure
from cronlock.lock.quorum import overreaching, quorum

if TYPE_CHECKING:
    from cronlock.lock.voters import Reply, Voters

PATIENCE = 3_000  # ms: a person waits
RETRY = 200  # ms between two tries at a voter that failed


class Broadcast:
    """What the voters answered. Raises Unreachable when fewer than a quorum did, Refused where waiting is in vain."""

    def __init__(self, voters: Voters, operation: str, ask: dict[str, Any]) -> None:
        self._voters = voters
        self._until = voters.clock() + PATIENCE
        self._find()
        self._replies: dict[int, Reply] = {}
        self._under_way: set[int] = set()
        while left := [voter for voter in range(voters.count) if self._lacks(voter)]:
            for voter in left:
                self._under_way.add(voter)
                voters.send(voter, operation, ask, self._listener(voter))
            while self._under_way and voters.clock() < self._until:
                voters.step(self._until - voters.clock())
            if voters.clock() >= self._until:
                break
            if any(self._lacks(voter) for voter in left):
                voters.refresh()
                voters.step(RETRY)
        if voters.conflict:
            raise Refused(voters.conflict)
        if len(self.answers) < quorum(voters.count):
            self._fail()

    def _find(self) -> None:
        while failure := self._voters.find(self._voters.clock() + ANSWER_WAIT):
            if failure.final:
                raise Refused(failure.text)
            if self._voters.clock() >= self._until:
                raise Unreachable(f"no voter answered: {failure.text}")
            self._voters.step(RETRY)

    def _listener(self, voter: int) -> Callable[[Reply], None]:
        def answered(reply: Reply) -> None:
            self._under_way.discard(voter)
            self._replies[voter] = reply

        return answered

    def _lacks(self, voter: int) -> bool:
        reply = self._replies.get(voter)
        return reply is None or (isinstance(reply, Failure) and not reply.final)

    def _fail(self) -> None:
        missing = self.missing
        final = [reply for reply in self._replies.values() if isinstance(reply, Failure) and reply.final]
        if self._voters.count - len(final) < quorum(self._voters.count):
            raise Refused(final[0].text)
        raise Unreachable(f"no quorum of {self._voters.count} voters: {'; '.join(dict.fromkeys(missing))}")

    @property
    def answers(self) -> dict[int, dict[str, Any]]:
        """By voter."""
        return {voter: reply for voter, reply in sorted(self._replies.items()) if isinstance(reply, dict)}

    @property
    def runs(self) -> list[dict[str, Any]]:
        """The answers of those where a run's lease lives, less one with a fencing token that can't be."""
        answers = list(self.answers.values())
        others = [Failure("")] * (self._voters.count - len(answers))
        beyond = overreaching([*answers, *others], int(time.time() * 1000))
        return [
            answer
            for answer, unbelieved in zip(answers, beyond, strict=False)
            if answer["kind"] == "run" and answer["left"] and not unbelieved
        ]

    @property
    def missing(self) -> list[str]:
        """Why each of the others did not answer."""
        texts = []
        for voter in range(self._voters.count):
            reply = self._replies.get(voter)
            if not isinstance(reply, dict):
                texts.append(reply.text if reply else f"{self._voters.label(voter)}: no answer")
        return texts

    @property
    def everywhere(self) -> str:
        """At how many of the voters, and which are missing."""
        count, of = len(self.answers), self._voters.count
        if count == of:
            return "" if of == 1 else f" at all {of} voters"
        missing = "; ".join(self.missing)
        return f" at {count} of {of} voters only; missing: {missing}; give the command again when it is back"
