"""An adoption: what the voters answer becomes the truth for nodes that may have named other voters until now.

As long as both kinds of nodes are about, no moment may come at which each of them has a quorum: two majorities of
different sets need not meet. So it takes two phases, as a change of members does in Raft ("joint consensus",
https://raft.github.io/raft.pdf, section 6): first the voters that had others beside them are told that those voter_set
have ended, and only when no quorum of the old ones is left, all are told the new ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from cronlock.lock.attempt import Attempt
from cronlock.lock.lease import COMMIT_RETRY, NOT_AFTER, Lease
from cronlock.lock.protocol import ADOPTED, ANSWER_WAIT, EXPIRED, OK, Failure
from cronlock.lock.quorum import Verdict, is_amnesic, judge_adoption
from cronlock.lock.voter_set import ENDED, hindrance

if TYPE_CHECKING:
    from cronlock.lock.attempt import Request, VoterState
    from cronlock.lock.copy import Fields
    from cronlock.lock.voters import Reply, Voters

IMPOSSIBLE = "impossible token"  # a field of answers here, and of no voter
LEASE = 10_000  # ms: nothing runs under it
KEPT = "node pid start run_tick run_attempt command schedule zone next".split()  # of the last run
RETENTION = 3 * 366 * 86_400_000  # ms: a person does not tell how rare the schedule is


class Adoption:
    """One attempt of a person. `verdict` is WON when nobody holds the key or asks for it at the voters that answer."""

    def __init__(self, voters: Voters, node: str, time: int) -> None:
        """Ask all voters; `time` is this machine's wall clock in ms."""
        self._voters, self._node = voters, node
        self._attempt = Adopting(voters, ANSWER_WAIT, judge_adoption)
        ask: Fields = {"time": time, "tick": 0, "start_deadline": 0, "takeover_deadline": 0, "attempts": 1}
        ask |= {"again": 0, "fair": 0, "counts": 0, "adopt": 1, "node": node, "job": ""}
        self.verdict: Verdict = self._attempt.run(ask, voters.clock() + 2 * ANSWER_WAIT)

    @property
    def seats(self) -> list[VoterState]:
        return self._attempt.ballot.all if self._attempt.ballot else []

    @property
    def answers(self) -> list[tuple[str, Fields]]:
        """What the voters that answered have, by their labels."""
        replies = enumerate(self._attempt.replies)
        return [(self._voters.label(voter), reply) for voter, reply in replies if isinstance(reply, dict)]

    @property
    def missing(self) -> list[str]:
        """Why each of the others did not answer."""
        silent = [seat for seat in self.seats if not isinstance(seat.reply, dict)]
        return [
            seat.reply.text if isinstance(seat.reply, Failure) else f"{self._voters.label(seat.voter)}: no answer"
            for seat in silent
        ]

    @property
    def settled(self) -> bool:
        """Whether all voters remember the key, and as one of these voters."""
        told = [answer["voter_set"] == self._voters.voter_set and not is_amnesic(answer) for _, answer in self.answers]
        return all(told) and len(told) == self._voters.count

    @property
    def new(self) -> bool:
        """Whether no voter knows the key, and all have said so."""
        known = any(isinstance(seat.reply, dict) and seat.reply["token"] for seat in self.seats)
        return len(self.answers) == self._voters.count and not known

    @property
    def hindrance(self) -> str:
        """See there."""
        return hindrance(self.answers, self._voters.voter_set, self._voters.count)

    @property
    def objection(self) -> str:
        """Why it is not safe whatever else goes on: a voter that does not answer may know more, and nodes go on."""
        return "; ".join(self.missing) or self.hindrance

    def release(self) -> None:
        """Nobody waits for a person to answer."""
        if self._attempt.ballot:
            self._attempt.ballot.release(self._voters.clock() + ANSWER_WAIT)

    @property
    def token(self) -> int:
        """Of the newest run that a voter told of."""
        return max((answer["token"] for _, answer in self.answers), default=0)

    def write(self, pid: int, last: Fields | None = None) -> list[str]:
        """Tell all who answered; the labels of those that did not confirm it, of all when nothing has changed.

        `last` has the fields of the last run's record, which stay what they are; without it the adoption takes their
        place.
        """
        assert self._attempt.ballot is not None  # noqa: S101 - it has won
        run = {"node": self._node, "pid": pid, "command": "cronlock adopt", "retention": RETENTION}
        run |= {"schedule": "", "zone": "", "next": 0, "by": self._node}
        holder = Adopter(self._attempt, self._attempt.ballot, run, (0, False), lambda _time: LEASE, 0)
        holder.keep(last or {})
        present = [seat for seat in self.seats if isinstance(seat.reply, dict)]
        mine = self._voters.voter_set
        former = [seat for seat in present if _voter_set(seat) not in ("", mine)]
        if not holder.tell(former, lambda seat: _voter_set(seat).removesuffix(ENDED) + ENDED):
            holder.tell(former, _voter_set)
            self.release()
            return [self._voters.label(seat.voter) for seat in present]
        holder.tell(present, lambda _seat: mine, final=True)
        left = [self._voters.label(seat.voter) for seat in present if not seat.committed]
        holder.end()
        return left


class Adopting(Attempt):
    """An attempt in which a voter with an impossible fencing token takes part, as one that forgot its token."""

    def _unbelievable(self, voter: int, answer: Fields, final: bool) -> Reply:
        return answer | {"token": 0, IMPOSSIBLE: answer["token"]}


class Adopter(Lease):
    """A holder whose run is the adoption, told as the last run that there was."""

    _last: Fields

    def keep(self, last: Fields) -> None:
        """Leave these fields of the last run's record as they are."""
        outcome = last.get("outcome", ADOPTED)
        outcome = last.get("last_outcome", ADOPTED) if outcome == ADOPTED else outcome
        self._last = last
        self._run |= {name: last[name] for name in KEPT if name in last} | {"last_outcome": outcome}

    def end(self) -> bool:
        """Let go; the state of the tick stays, also that of a run that died."""
        return self.finish(self._run["state"], ADOPTED, self._last.get("status", 0), self._last.get("end", 0))

    def tell(self, seats: Sequence[VoterState], voter_set: Callable[[VoterState], str], *, final: bool = False) -> bool:
        """Commit with these voter_set; whether all of them confirmed it.

        What is not final may be released, and a release gives back an attempt of a tick that seems to be running.
        """
        more = {} if final or self._run["state"] != "running" else {"run_tick": 0}
        for seat in seats:
            seat.committed, seat.due = False, 0
        until = self._clock() + 2 * ANSWER_WAIT
        while left := [seat for seat in seats if not seat.committed and not seat.rejected]:
            now = self._clock()
            if now >= until:
                return False
            for seat in left:
                if not seat.request and seat.due <= now:
                    ask = self._ask(seat.voter_now(now) + NOT_AFTER) | {"voter_set": voter_set(seat)} | more
                    self._seats.send(seat, "commit", ask, self._told)
            self._voters.step(min(until - now, COMMIT_RETRY))
        return all(seat.committed for seat in seats)

    def _late(self, seat: VoterState) -> None:
        """Who answers after all was not judged."""

    def _told(self, seat: VoterState, reply: Reply, _request: Request) -> None:
        seat.due = self._clock() + COMMIT_RETRY
        if isinstance(reply, Failure) or reply["answer"] == EXPIRED:
            return
        seat.committed = reply["answer"] == OK and seat.reply["run_id"] == reply["run_id"]  # type: ignore[index]
        seat.rejected = not seat.committed


def _voter_set(seat: VoterState) -> str:
    return str(seat.reply["voter_set"]) if isinstance(seat.reply, dict) else ""
