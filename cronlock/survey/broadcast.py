"""One operation, sent to all voters at once and repeated at the voters that failed: the path of operators' commands."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from cronlock.errors import Refused, Unreachable
from cronlock.lock.ballot import Ballot
from cronlock.lock.protocol import ANSWER_WAIT, Failure
from cronlock.lock.quorum import overreaching, quorum

if TYPE_CHECKING:
    from cronlock.lock.ballot import Request, VoterState
    from cronlock.lock.requests import Answer, Reply
    from cronlock.lock.voters import Voters

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
        self._ballot = Ballot(voters)
        self._operation, self._request = operation, request
        self._ballot.repeat(self._deadline, self._decide, self._send_if_due)
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

    def _decide(self, now: int) -> bool | None:
        """Return True once every voter has answered, or failed in a way that a retry does not cure."""
        self._ballot.wake(now + RETRY)
        return not any(map(_may_retry, self._ballot.all)) or None

    def _send_if_due(self, state: VoterState, now: int) -> bool:
        if state.request or state.due > now or not _may_retry(state):
            return False
        self._ballot.send(state, self._operation, self._request, self._on_reply)
        return True

    def _on_reply(self, state: VoterState, reply: Reply, _request: Request) -> None:
        state.reply = reply
        if _may_retry(state):
            state.due = self._voters.clock() + RETRY
            self._voters.refresh()

    def _raise_without_quorum(self) -> None:
        replies = [state.reply for state in self._ballot.all]
        final = [reply for reply in replies if isinstance(reply, Failure) and reply.final]
        if self._voters.count - len(final) < quorum(self._voters.count):
            raise Refused(final[0].text)
        count, recorded = self._voters.count, len(self.answers)
        text = f"no quorum of {count} voters: {'; '.join(dict.fromkeys(self.failures))}"
        if recorded and self._operation == "pause":  # it keeps runs of a new key from starting
            text += f"; recorded at only {recorded} of {count} voters: when all are back, run the command again"
            text += ", or cronlock resume" if self._request["until"] else ""
        raise Unreachable(text)

    @property
    def answers(self) -> dict[int, Answer]:
        """The answers, by voter."""
        return {state.voter: state.reply for state in self._ballot.all if isinstance(state.reply, dict)}

    @property
    def live_runs(self) -> list[Answer]:
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
        return [
            state.reply.text if state.reply else f"{self._voters.label(state.voter)}: no answer"
            for state in self._ballot.all
            if not isinstance(state.reply, dict)
        ]

    @property
    def reach(self) -> str:
        """The number of voters that answered, and the missing ones, as the end of a message."""
        answered, count = len(self.answers), self._voters.count
        if answered == count:
            return "" if count == 1 else f" at all {count} voters"
        failures = "; ".join(self.failures)
        return f" at only {answered} of {count} voters: {failures}: run the command again when all voters are back"


def _may_retry(state: VoterState) -> bool:
    """Return whether a voter has not answered, and may answer later."""
    return state.reply is None or (isinstance(state.reply, Failure) and not state.reply.final)
