"""prepare: one attempt of this node to get the key, asked of all voters at once."""

from cronlock.lock import record
from cronlock.lock.quorum import AGAIN, REFUSED, WON, Failure, Verdict, drift, judge, quorum, takes_over, undecided
from cronlock.lock.seats import ANSWER_WAIT, Seat, Seats
from cronlock.system import random_id

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cronlock.lock.seats import Fields, Reply, Request, Voters

    Judge = Callable[[Sequence[Reply | None], Sequence[bool], int], Verdict | None]

LAST_WORD = 200  # ms for the rest, when a tick is taken over: one of them may have heard that it ended well
QUIET_WAIT = 10  # ms for the rest, once a quorum sends this node home: a late ok is then released at once


class Candidate:
    """One attempt under a fresh holder id. `seats` is empty until the voters are known.

    `straggler_wait` is how many ms the rest of a split vote gets once a quorum has answered: a voter that hangs must
    not prolong it, but one that is far away must be heard in the end.
    """

    def __init__(self, voters: "Voters", straggler_wait: int, judge: "Judge" = judge) -> None:
        self._voters = voters
        self._judge = judge
        self._straggler_wait = straggler_wait
        self._ask: Fields = {}
        self._asked_at = 0
        self._clock = voters.clock
        self.seats: Seats | None = None
        self.late_ok: Callable[[Seat], None] | None = None  # told of an ok that came after the verdict

    @property
    def answers(self) -> "list[Fields]":
        """What the voters said."""
        return [seat.reply for seat in self.seats.all if isinstance(seat.reply, dict)] if self.seats else []

    def run(self, ask: "Fields", until: int) -> Verdict:
        """Ask, and judge the answers, by `until`; what is not won is released."""
        failure = self._voters.find(min(until, self._clock() + ANSWER_WAIT))
        if failure:
            return Verdict(REFUSED if failure.final else AGAIN, text=failure.text, reached=False)
        self.seats = Seats(self._voters)
        self._ask = {**ask, "lease": record.PREPARE_LEASE, "settings": self._voters.settings}
        self._asked_at = self._clock()
        for seat in self.seats.all:
            self.ask(seat)
        verdict = self._wait(self.seats, ask["tick"], min(until, self._clock() + ANSWER_WAIT))
        if self._voters.conflict:
            verdict = Verdict(REFUSED, text=self._voters.conflict)
        if verdict.kind != WON:
            self.seats.release(until)
        return verdict

    def ask(self, seat: Seat) -> None:
        """Send the prepare to one voter: to each at first, later again to one that failed.

        That one may execute both, the first one late, when it has forgotten or given to another what the second one
        got: hence under another id.
        """
        if self.seats:
            if isinstance(seat.reply, Failure):
                seat.holder = random_id()
            seat.prepared_until = self._clock() + record.PREPARE_LEASE - drift(record.PREPARE_LEASE)
            time = self._ask["time"] + self._clock() - self._asked_at
            self.seats.send(seat, "prepare", {**self._ask, "time": time}, self._answered)

    def _wait(self, seats: Seats, tick: int, deadline: int) -> Verdict:
        heard, heard_at = -1, 0
        while True:
            now = self._clock()
            replies = [seat.reply for seat in seats.all]
            pending = sum(reply is None for reply in replies)
            if len(replies) - pending != heard:
                heard, heard_at = len(replies) - pending, now
            verdict = self._twins() or self._judge(replies, [now < seat.prepared_until for seat in seats.all], tick)
            rest = pending and verdict and verdict.kind == WON and takes_over(replies, tick)
            if verdict and verdict.kind in (WON, REFUSED) and not rest:
                return verdict
            until = deadline
            if rest:
                until = min(deadline, heard_at + LAST_WORD)
            elif verdict:
                until = min(deadline, heard_at + QUIET_WAIT)
            elif len(self.answers) >= quorum(len(replies)) and any(a["answer"] != record.OK for a in self.answers):
                until = min(deadline, heard_at + self._straggler_wait)
            if not pending or now >= until:
                return verdict or undecided([seat.reply or self._silent(seat) for seat in seats.all])
            self._voters.step(until - now)

    def _silent(self, seat: Seat) -> Failure:
        return Failure(f"{self._voters.label(seat.voter)}: no answer")

    def _answered(self, seat: Seat, reply: "Reply", _request: "Request") -> None:
        seat.reply = reply
        if not isinstance(reply, Failure) and reply["answer"] == record.OK:
            seat.prepared = True
            if self.late_ok:
                self.late_ok(seat)

    def _twins(self) -> Verdict | None:
        """The same server under two names: its run_id tells."""
        ids = [answer["run_id"] for answer in self.answers if answer["run_id"]]
        if not self._voters.distinct or len(set(ids)) == len(ids) or not self.seats:
            return None
        labels = [
            self._voters.label(seat.voter)
            for seat in self.seats.all
            if isinstance(seat.reply, dict) and ids.count(seat.reply["run_id"]) > 1
        ]
        return Verdict(REFUSED, text=f"the same server twice: {' and '.join(labels)}: name each server once")
