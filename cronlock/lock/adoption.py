"""Adoption: an operator makes what the voters answer the truth, although nodes may still use another voter set.

While nodes with the old set and nodes with the new one exist, at no moment may both groups have a quorum: majorities of
different sets need not share a voter. So an adoption takes two phases, like a change of members in Raft ("joint
consensus", https://raft.github.io/raft.pdf, section 6). First, voters of the old set record that it has ended; only
when the old set has no quorum left, all voters record the new one. Without the first phase, three of five voters could
be a quorum of the old list while two form one of the new list with a new voter (the simulation's schedule
"half_adopted").
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from cronlock.lock.attempt import Attempt
from cronlock.lock.ballot import COMMIT_RETRY, Ballot
from cronlock.lock.lease import NOT_AFTER, Lease, same_server
from cronlock.lock.protocol import ADOPTED, ANSWER_WAIT, EXPIRED, OK, Failure
from cronlock.lock.quorum import Verdict, is_amnesic, judge_adoption
from cronlock.lock.voter_set import ENDED, hindrance

if TYPE_CHECKING:
    from cronlock.lock.ballot import Request, VoterState
    from cronlock.lock.requests import Answer, Prepare, Reply, RunFields
    from cronlock.lock.voters import Voters

LEASE = 10_000  # ms: nothing runs under it
KEPT = "node pid start run_tick run_attempt command schedule zone next".split()  # of the last run
RETENTION = 3 * 366 * 86_400_000  # ms: an operator does not know how rare the schedule is


class Adoption:
    """One attempt of an operator. `verdict` is WON when no voter that answers has a live lease."""

    def __init__(self, voters: Voters, node: str, time: int) -> None:
        """Send prepare to all voters; `time` is this machine's wall clock in ms."""
        self._voters, self._node = voters, node
        self._attempt = AdoptionAttempt(voters, ANSWER_WAIT, judge_adoption)
        request: Prepare = {
            "node": node,
            "time": time,
            "tick": 0,
            "start_deadline": 0,
            "takeover_deadline": 0,
            "attempts": 1,
            "again": 0,
            "fair": 0,
            "counts": 0,
            "job": "",
            "adopt": 1,
        }
        self.verdict: Verdict = self._attempt.run(request, voters.clock() + 2 * ANSWER_WAIT)

    @property
    def _states(self) -> list[VoterState]:
        return self._attempt.ballot.all if self._attempt.ballot else []

    @property
    def answers(self) -> list[tuple[str, Answer]]:
        """Return the answers, each with its voter's label."""
        replies = enumerate(self._attempt.ballot.replies if self._attempt.ballot else [])
        return [(self._voters.label(voter), reply) for voter, reply in replies if isinstance(reply, dict)]

    @property
    def missing(self) -> list[str]:
        """Return for each voter that did not answer the reason."""
        silent = [state for state in self._states if not isinstance(state.reply, dict)]
        return [
            state.reply.text if isinstance(state.reply, Failure) else f"{self._voters.label(state.voter)}: no answer"
            for state in silent
        ]

    @property
    def settled(self) -> bool:
        """Return whether all voters remember the key, with this voter set."""
        mine = self._voters.voter_set
        same = [answer["voter_set"] == mine and not is_amnesic(answer) for _, answer in self.answers]
        return all(same) and len(same) == self._voters.count

    @property
    def new(self) -> bool:
        """Return whether all voters have answered, and none has a record of the key."""
        known = any(isinstance(state.reply, dict) and state.reply["token"] for state in self._states)
        return len(self.answers) == self._voters.count and not known

    @property
    def hindrance(self) -> str:
        """Return the reason why other nodes could still form a quorum; see voter_set.hindrance."""
        return hindrance(self.answers, self._voters.voter_set, self._voters.count)

    def release(self) -> None:
        """Release the voters, so that no node waits for an operator to answer a question."""
        if self._attempt.ballot:
            self._attempt.ballot.release(self._voters.clock() + ANSWER_WAIT)

    @property
    def token(self) -> int:
        """Return the token of the newest run in the answers."""
        return max((answer["token"] for _, answer in self.answers), default=0)

    def write(self, pid: int, last: dict[str, Any] | None = None) -> list[str]:
        """Write the new voter set to all voters that answered; return the labels of those that did not confirm it.

        When nothing has changed, return all labels. `last` has the fields of the last run's record, which stay what
        they are; without it the adoption takes their place.
        """
        ballot = self._attempt.ballot
        assert ballot is not None  # noqa: S101 - it has won
        run: RunFields = {
            "node": self._node,
            "pid": pid,
            "command": "cronlock adopt",
            "schedule": "",
            "zone": "",
            "next": 0,
            "retention": RETENTION,
            "by": self._node,
        }
        lease = AdoptionLease(ballot, run, (0, False), lambda _time: LEASE, 0)
        lease.keep_last_run(last or {})
        present = [state for state in self._states if isinstance(state.reply, dict)]
        mine = self._voters.voter_set
        former = [state for state in present if _voter_set(state) not in ("", mine)]
        if not lease.commit_to(former, lambda state: _voter_set(state).removesuffix(ENDED) + ENDED):
            lease.commit_to(former, _voter_set)
            self.release()
            return [self._voters.label(state.voter) for state in present]
        lease.commit_to(present, lambda _state: mine, final=True)
        left = [self._voters.label(state.voter) for state in present if not state.committed]
        lease.finish_adoption()
        return left


class AdoptionBallot(Ballot):
    """A ballot in which a voter with an impossible fencing token counts as amnesic, so that the token can be mended."""

    def _substitute(self, _state: VoterState, answer: Answer, _complete: bool) -> Reply:
        return {**answer, "token": 0, "impossible_token": answer["token"]}


class AdoptionAttempt(Attempt):
    """An operator's attempt."""

    ballot_class = AdoptionBallot


class AdoptionLease(Lease):
    """A lease whose run is the adoption; the record keeps the fields of the last run before it."""

    _last: dict[str, Any]

    def keep_last_run(self, last: dict[str, Any]) -> None:
        """Leave these fields of the last run's record as they are."""
        outcome = last.get("outcome", ADOPTED)
        outcome = last.get("last_outcome", ADOPTED) if outcome == ADOPTED else outcome
        self._last = last
        kept: Any = {name: last[name] for name in KEPT if name in last}
        self._run = {**self._run, **kept, "last_outcome": outcome}

    def finish_adoption(self) -> bool:
        """End the lease; the state of the tick stays, also that of a run that died."""
        return self.finish(self._run["state"], ADOPTED, self._last.get("status", 0), self._last.get("end", 0))

    def commit_to(
        self, states: Sequence[VoterState], voter_set: Callable[[VoterState], str], *, final: bool = False
    ) -> bool:
        """Commit to these voters, each with its own voter set; return whether all of them confirmed it.

        A commit that is not `final` may be released, and a release gives back an attempt of a tick that seems to be
        running; so such a commit has no tick.
        """
        without_tick: Any = {} if final or self._run["state"] != "running" else {"run_tick": 0}
        for state in states:
            state.committed, state.due = False, 0

        def send_if_due(state: VoterState, now: int) -> bool:
            if state not in states or state.committed or state.rejected or state.request or state.due > now:
                return False
            request = self._commit_request(state.voter_now(now) + NOT_AFTER)
            changed = {**request, "voter_set": voter_set(state), **without_tick}
            self._ballot.send(state, "commit", changed, self._confirm)
            return True

        def decide(now: int) -> bool | None:
            self._ballot.wake(now + COMMIT_RETRY)
            return all(state.committed or state.rejected for state in states) or None

        self._ballot.repeat(self._clock() + 2 * ANSWER_WAIT, decide, send_if_due)
        return all(state.committed for state in states)

    def _on_late_ok(self, state: VoterState) -> None:
        """Ignore a voter that answers after the operator has seen the answers."""

    def _confirm(self, state: VoterState, reply: Reply, _request: Request) -> None:
        state.due = self._clock() + COMMIT_RETRY
        if isinstance(reply, Failure) or reply["answer"] == EXPIRED:
            return
        state.committed = reply["answer"] == OK and same_server(state, reply)
        state.rejected = not state.committed


def _voter_set(state: VoterState) -> str:
    return state.reply["voter_set"] if isinstance(state.reply, dict) else ""
