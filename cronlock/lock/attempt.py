"""One attempt of this node to acquire the key: prepare, sent to all voters at once, and the verdict."""

from cronlock.lock import protocol
from cronlock.lock.ballot import Ballot
from cronlock.lock.protocol import ANSWER_WAIT, Failure
from cronlock.lock.quorum import REFUSED, RETRY, WON, Verdict, judge, named_twice, quorum, reports_earlier_run

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cronlock.lock.requests import Answer, Prepare, Reply
    from cronlock.lock.voters import Voters

    Judge = Callable[[Sequence[Reply | None], Sequence[bool], int], Verdict | None]

TAKEOVER_WAIT = 200  # ms for the other voters when a tick is taken over: one may have recorded that the tick succeeded
QUIET_WAIT = 10  # ms for the other voters once a quorum reports a run: a late ok is then released at once


def sleep(voters: "Voters", length: int) -> None:
    """Let `length` ms pass, and handle what comes meanwhile."""
    until = voters.clock() + length
    while (left := until - voters.clock()) > 0:
        voters.step(left)


class Attempt:
    """One attempt under a fresh holder id. `ballot` is None until the voters are known.

    `straggler_wait` is how many ms the slower voters of a split vote get once a quorum has answered: a voter that hangs
    must not prolong the vote, but one that is far away must count in the end.
    """

    ballot_class = Ballot

    def __init__(self, voters: "Voters", straggler_wait: int, judge: "Judge" = judge) -> None:
        self._voters = voters
        self._judge_replies = judge
        self._straggler_wait = straggler_wait
        self.ballot: Ballot | None = None
        self._tick = 0
        self._heard, self._heard_at = -1, 0  # how many voters have replied, and when the last one did

    @property
    def answers(self) -> "list[Answer]":
        """Return the voters' answers, without those that do not count."""
        return self.ballot.answers if self.ballot else []

    @property
    def got_some_votes(self) -> bool:
        """Return whether any voter said ok."""
        return any(answer["answer"] == protocol.OK for answer in self.answers)

    def run(self, request: "Prepare", until: int) -> Verdict:
        """Send prepare to all voters, and judge their answers by `until`; an attempt that is not won is released."""
        clock = self._voters.clock
        wall_ahead = request["time"] - clock()
        failure = self._voters.find(min(until, clock() + ANSWER_WAIT))
        if failure:
            return Verdict(REFUSED if failure.final else RETRY, text=failure.text, reached=False)
        complete: Prepare = {**request, "lease": protocol.PREPARE_LEASE, "voter_set": self._voters.voter_set}
        ballot = self.ballot = self.ballot_class(self._voters, complete, wall_ahead)
        self._tick = request["tick"]
        for state in ballot.all:
            ballot.prepare(state)
        verdict = ballot.repeat(min(until, clock() + ANSWER_WAIT), lambda now: self._decide(ballot, now))
        verdict = verdict or self._at_timeout(ballot)
        if self._voters.conflict:
            verdict = Verdict(REFUSED, text=self._voters.conflict)
        if verdict.kind == WON:
            ballot.leave_out_impossible()
        else:
            ballot.release(until)
        return verdict

    def _decide(self, ballot: Ballot, now: int) -> Verdict | None:
        """Return the verdict, None while it is worth waiting for more replies.

        A verdict that wins a tick which another run had begun waits for the others: one of them may have recorded the
        end of that run (the models' row "a quorum of ok outvotes one voter that recorded the end").
        """
        replies = ballot.replies
        missing = sum(reply is None for reply in replies)
        if len(replies) - missing != self._heard:
            self._heard, self._heard_at = len(replies) - missing, now
        verdict = self._same_server_twice(ballot) or self._judge_replies(replies, ballot.fresh(now), self._tick)
        earlier_run = missing and verdict and verdict.kind == WON and reports_earlier_run(replies, self._tick)
        if verdict and verdict.kind in (WON, REFUSED) and not earlier_run:
            return verdict
        if not missing:
            return verdict or self._undecided(replies)
        if earlier_run:
            until = self._heard_at + TAKEOVER_WAIT
        elif verdict:
            until = self._heard_at + QUIET_WAIT
        elif _is_split(replies):
            until = self._heard_at + self._straggler_wait
        else:
            return None
        ballot.wake(until)
        return (verdict or self._undecided(replies)) if now >= until else None

    def _at_timeout(self, ballot: Ballot) -> Verdict:
        verdict = self._judge_replies(ballot.replies, ballot.fresh(self._voters.clock()), self._tick)
        return verdict or self._undecided(ballot.replies)

    def _undecided(self, replies: "Sequence[Reply | None]") -> Verdict:
        from cronlock.lock.undecided import undecided  # most nodes win, or yield to a run

        complete = [reply or self._silent(voter) for voter, reply in enumerate(replies)]
        return undecided(complete, self._voters.location_flags, self._suggested)

    def _suggested(self, command: str, flags: str = "") -> str:
        from cronlock.config.suggested_command import suggested_command

        node = "" if command == "resume" else self._voters.node  # a pause is for all nodes
        return suggested_command(command, f"{self._voters.location_flags()}{flags}", self._voters.key, node)

    def _silent(self, voter: int) -> Failure:
        return Failure(f"{self._voters.label(voter)}: no answer")

    def _same_server_twice(self, ballot: Ballot) -> Verdict | None:
        """Return a refusal when two names lead to the same server, which shows by its run_id."""
        if not self._voters.distinct:
            return None
        replies = enumerate(ballot.replies)
        twice = named_twice((voter, reply["run_id"]) for voter, reply in replies if isinstance(reply, dict))
        if not twice:
            return None
        from cronlock.lock.refusals import same_server_twice

        return Verdict(REFUSED, text=same_server_twice([self._voters.label(voter) for voter in twice[0]]))


def _is_split(replies: "Sequence[Reply | None]") -> bool:
    """Return whether a quorum has answered, and not only with ok."""
    answers = [reply["answer"] for reply in replies if isinstance(reply, dict)]
    return len(answers) >= quorum(len(replies)) and any(answer != protocol.OK for answer in answers)
