"""One operation, sent to all voters at once and repeated at the voters that failed: the path of operators' commands."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cronlock.errors import Refused, Unreachable
from cronlock.lock.protocol import ANSWER_WAIT, Failure
from cronlock.lock.quorum import overreaching, quorum

if TYPE_CHECKING:
    from cronlock.lock.voters import Reply, Voters

TIME_LIMIT = 3_000  # ms: an operator is waiting
RETRY = 200  # ms between two attempts at a voter that failed


class Broadcast:
    """The voters' answers to one operation.

    Raises Unreachable when less than a quorum answered, and Refused when a retry can't help.
    """

    def __init__(self, voters: Voters, operation: str, request: dict[str, Any]) -> None:
        self._voters = voters
        self._deadline = voters.clock() + TIME_LIMIT
        self._find_voters()
        self._replies: dict[int, Reply] = {}
        self._pending: set[int] = set()
        while left := [voter for voter in range(voters.count) if self._may_retry(voter)]:
            for voter in left:
                self._pending.add(voter)
                voters.send(voter, operation, request, self._on_reply(voter))
            while self._pending and voters.clock() < self._deadline:
                voters.step(self._deadline - voters.clock())
            if voters.clock() >= self._deadline:
                break
            if any(self._may_retry(voter) for voter in left):
                voters.refresh()
                voters.step(RETRY)
        if voters.conflict:
            raise Refused(voters.conflict)
        if len(self.answers) < quorum(voters.count):
            self._raise_without_quorum()

    def _find_voters(self) -> None:
        while failure := self._voters.find(self._voters.clock() + ANSWER_WAIT):
            if failure.final:
                raise Refused(failure.text)
            if self._voters.clock() >= self._deadline:
                raise Unreachable(f"no voter answered: {failure.text}")
            self._voters.step(RETRY)

    def _on_reply(self, voter: int) -> Callable[[Reply], None]:
        def on_reply(reply: Reply) -> None:
            self._pending.discard(voter)
            self._replies[voter] = reply

        return on_reply

    def _may_retry(self, voter: int) -> bool:
        reply = self._replies.get(voter)
        return reply is None or (isinstance(reply, Failure) and not reply.final)

    def _raise_without_quorum(self) -> None:
        final = [reply for reply in self._replies.values() if isinstance(reply, Failure) and reply.final]
        if self._voters.count - len(final) < quorum(self._voters.count):
            raise Refused(final[0].text)
        raise Unreachable(f"no quorum of {self._voters.count} voters: {'; '.join(dict.fromkeys(self.failures))}")

    @property
    def answers(self) -> dict[int, dict[str, Any]]:
        """The answers, by voter."""
        return {voter: reply for voter, reply in sorted(self._replies.items()) if isinstance(reply, dict)}

    @property
    def live_runs(self) -> list[dict[str, Any]]:
        """The answers with a run's live lease, without an answer whose fencing token is impossible."""
        answers = list(self.answers.values())
        others = [Failure("")] * (self._voters.count - len(answers))
        impossible = overreaching([*answers, *others], int(time.time() * 1000))
        return [
            answer
            for answer, excluded in zip(answers, impossible, strict=False)
            if answer["kind"] == "run" and answer["left"] and not excluded
        ]

    @property
    def failures(self) -> list[str]:
        """For each voter that did not answer, the reason."""
        texts = []
        for voter in range(self._voters.count):
            reply = self._replies.get(voter)
            if not isinstance(reply, dict):
                texts.append(reply.text if reply else f"{self._voters.label(voter)}: no answer")
        return texts

    @property
    def coverage(self) -> str:
        """The number of voters that answered, and the missing ones, as the end of a message."""
        answered, count = len(self.answers), self._voters.count
        if answered == count:
            return "" if count == 1 else f" at all {count} voters"
        failures = "; ".join(self.failures)
        return f" at only {answered} of {count} voters: {failures}: run the command again when all voters are back"
