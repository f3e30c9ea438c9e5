"""commit, extend and finish: the run, from the won prepare until its end is known to a quorum."""

from cronlock.lock import protocol
from cronlock.lock.protocol import Failure
from cronlock.lock.quorum import (
    RETRY,
    UNKNOWN,
    WON,
    claim,
    drift,
    lease_valid_until,
    may_join_commit,
    median_time,
    quorum,
    unfinished_run,
)

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from collections.abc import Callable

    from cronlock.lock.attempt import Attempt, Ballot, Request, VoterState
    from cronlock.lock.copy import Fields
    from cronlock.lock.voters import Reply

NOT_AFTER = 2_000  # ms: a server that was stopped must not execute what nobody waits for any more
RETRY_MIN, RETRY_MAX = 1_000, 30_000  # ms between two tries at a voter that failed: a tenth of the lease
COMMIT_RETRY = 100  # ms until a commit that failed is repeated: nothing runs before it is known
ASK_RETRY = 300  # ms until a voter that did not say ok is asked again while the commit is unknown
FINISH_WAIT = 3_000  # ms for a quorum to hear of the end: the exit status stands by then
FINISH_MORE = 50  # ms for the other voters after that


class Lease:
    """The run that a won candidate may become.

    `run` is what the record tells of it (node, pid, command, schedule, zone, next). `lease_at` gives the length of a
    lease in ms for a time on the voters' wall clock. `spare` is how long before the end of the leases the command must
    begin to stop.
    """

    def __init__(
        self,
        attempt: "Attempt",
        seats: "Ballot",
        run: "Fields",
        claimed: "tuple[int, bool]",
        lease_at: "Callable[[int], int]",
        stop_margin: int,
    ) -> None:
        self._seats = seats
        self._voters = seats.voters
        self._clock = seats.clock
        self._lease_at = lease_at
        self._stop_margin = stop_margin
        self._enough = quorum(len(seats.all))
        answers = attempt.answers
        self._time, self._time_at = median_time(answers), self._clock()
        self.unfinished_run = unfinished_run(answers)  # the run before, when nobody heard of its end
        self._run = {**run, "start": self._time, "voter_set": self._voters.voter_set, **claim(answers, *claimed)}
        self.missing: list[str] = []  # what kept voters from hearing of the end
        self.disowned: list[Fields] = []  # what a quorum answered that did not know the run any more at its end
        self._begun = False
        self._prepared_until = min(seat.prepared_until for seat in seats.all if seat.prepared)
        self.wall_ahead = attempt.wall_ahead
        self._candidate = attempt
        attempt.on_late_ok = self._late

    @property
    def token(self) -> int:
        """The fencing token."""
        return int(self._run["token"])

    @property
    def attempt(self) -> int:
        """Which attempt of its tick this is."""
        return int(self._run["run_attempt"])

    @property
    def validity(self) -> int:
        """Until when a quorum of the leases is good, on clock()."""
        return lease_valid_until([seat.until for seat in self._seats.all], self._enough)

    @property
    def stop_at(self) -> int:
        """When the command must begin to stop; at once when so many voters hold something newer that none is left."""
        if sum(seat.lost for seat in self._seats.all) > len(self._seats.all) - self._enough:
            return 0
        return self.validity - self._stop_margin

    @property
    def due(self) -> int:
        """When `tend` has something to do; what is under way ends by itself."""
        return min((seat.due for seat in self._seats.all if not seat.request), default=self.validity)

    def _voter_time(self) -> int:
        return self._time + self._clock() - self._time_at

    # -- commit ----------------------------------------------------------------------------------------------------

    def commit(self, until: int, while_committing: "Callable[[], object]" = lambda: None) -> str:
        """WON once a quorum of leases is good; AGAIN when too many voters refuse for this ever to become a run;
        UNKNOWN when neither is known by `until`. Nothing of the last two stays.

        `meanwhile` is something short, done while the voters write.
        """
        for seat in self._seats.all:
            if seat.prepared:
                self._commit(seat)
        self._voters.flush()
        while_committing()
        while True:
            now = self._clock()
            if self.stop_at > now:
                self._begun = True
                self._write_back()
                return WON
            hopeless = sum(seat.rejected for seat in self._seats.all) > len(self._seats.all) - self._enough
            if hopeless or now >= until:
                self._seats.release(max(until, now + COMMIT_RETRY))
                return RETRY if hopeless else UNKNOWN
            for seat in self._seats.all:
                if seat.request or seat.due > now or seat.rejected:
                    continue
                if seat.prepared and (not seat.committed or seat.until - self._stop_margin <= now):
                    self._commit(seat)
                elif not seat.prepared and _may_say_ok(seat.reply):  # it may be up or free by now, and another one down
                    seat.due = now + ASK_RETRY
                    self._candidate.ask(seat)
            self._voters.step(min(until - now, COMMIT_RETRY))

    def _commit(self, seat: "VoterState") -> None:
        if not self._seats.ending:
            self._seats.send(seat, "commit", self._ask(seat.voter_now(self._clock()) + NOT_AFTER), self._committed)

    def _late(self, seat: "VoterState") -> None:
        """An ok that came after the verdict joins the commit.

        Once the short leases of the other oks are over, another may have got this voter with one that has forgotten our
        commit since: then only what is acknowledged from now on counts.
        """
        if not isinstance(seat.reply, dict) or not may_join_commit(seat.reply, self.token):
            seat.rejected = True  # it gets the record once this is a run
        elif self._begun or self._clock() < self._prepared_until:
            self._commit(seat)
        else:
            for prepared in [seat for seat in self._seats.all if seat.prepared]:
                prepared.until = 0
                self._commit(prepared)

    def _committed(self, seat: "VoterState", reply: "Reply", request: "Request") -> None:
        seat.due = self._clock() + COMMIT_RETRY
        if seat.request:  # it was sent again since
            return
        if isinstance(reply, Failure) or reply["answer"] == protocol.EXPIRED:
            return
        if reply["answer"] == protocol.OK and _same_server(seat, reply):
            self._good(seat, request)
        else:
            seat.prepared = False
            seat.rejected = True

    def _ask(self, not_after: int) -> "Fields":
        return {**self._run, "lease": self._lease_at(self._voter_time()), "not_after": not_after}

    def _good(self, seat: "VoterState", request: "Request") -> None:
        seat.committed, seat.lost = True, False
        seat.until = request.sent + request.lease - drift(request.lease)
        seat.due = request.sent + request.lease // 3
        seat.failures = self._voters.failures(seat.voter)

    # -- extend, and write back ------------------------------------------------------------------------------------

    def _write_back(self) -> None:
        """Give the record at once to those who answered and have it not; ask those who did not answer later."""
        now = self._clock()
        for seat in self._seats.all:
            if not seat.committed and not seat.request:
                seat.due = now if isinstance(seat.reply, dict) else now + self._retry()
        self.tend()

    def _retry(self) -> int:
        return max(RETRY_MIN, min(RETRY_MAX, self._lease_at(self._voter_time()) // 10))

    def tend(self) -> None:
        """Extend where it is time: a third of the lease has gone, or the last try failed."""
        now = self._clock()
        if now >= self.validity:
            return
        for seat in self._seats.all:
            if seat.failures != self._voters.failures(seat.voter):  # a server that restarted may have forgotten
                seat.failures = self._voters.failures(seat.voter)
                seat.due = min(seat.due, now + RETRY_MIN)
            if not seat.request and seat.due <= now:
                self._extend(seat, now)

    def ask_now(self) -> None:
        """Extend at once everywhere: more time may have passed than this node's clock tells.

        Also where a request is under way: what was answered before that time does not count.
        """
        now = self._clock()
        if now < self.validity:
            for seat in self._seats.all:
                self._extend(seat, now)

    def _extend(self, seat: "VoterState", now: int) -> None:
        if not seat.now_at:  # its clock is unknown: what is void everywhere comes back with it
            self._seats.send(seat, "extend", self._ask(0), self._extended)
            return
        good_for = min(NOT_AFTER, self.validity - now)
        ask = self._ask(seat.voter_now(now) + good_for)
        self._seats.send(seat, "extend", ask, self._extended, expires_at=now + good_for)

    def _extended(self, seat: "VoterState", reply: "Reply", request: "Request") -> None:
        seat.due = self._clock() + self._retry()
        if seat.request:  # it was asked again since
            return
        if isinstance(reply, Failure):
            if not self._seats.ending:
                self._voters.refresh()
            return
        if reply["answer"] == protocol.OK:
            self._good(seat, request)
        elif reply["answer"] == protocol.EXPIRED:  # its clock is known now
            seat.due = self._clock() + COMMIT_RETRY
        else:
            seat.committed = False
            seat.lost = reply["answer"] in (protocol.NEWER, protocol.VOTER_SET)

    def release(self) -> None:
        """Take the commit back: nothing was started."""
        self._seats.release(self._clock() + FINISH_WAIT)

    # -- finish ----------------------------------------------------------------------------------------------------

    def finish(self, state: str, outcome: str, status: int, end: int = 0) -> bool:
        """Tell all voters of the end, after any write-back that is still about; whether a quorum heard of it."""
        self._seats.ending = True
        start = self._clock()
        self._wait_for_writes(start + NOT_AFTER)
        ask = {
            "token": self.token,
            "state": state,
            "outcome": outcome,
            "status": status,
            "end": end or self._voter_time(),
            "retention": self._run["retention"],
        }
        ending = Ending(len(self._seats.all))
        for seat in self._seats.all:
            seat.due = 0
        while not ending.over(self._clock(), self._enough) and self._clock() < start + FINISH_WAIT:
            now = self._clock()
            for seat in self._seats.all:
                if ending.lacks(seat.voter) and max(seat.due, seat.expires_at) <= now:
                    ending.under_way.add(seat.voter)
                    self._seats.send(seat, "finish", ask, ending.answer)
            if not ending.over(self._clock(), self._enough):
                self._voters.step(min(start + FINISH_WAIT, ending.next(now)) - now)
            self._look_again(ending)
        self.disowned = ending.refusals if len(ending.refusals) >= self._enough else []
        unheard = [seat.voter for seat in self._seats.all if seat.voter not in ending.answered]
        self.missing = [ending.texts.get(voter, f"{self._voters.label(voter)}: no answer") for voter in unheard]
        return ending.heard >= self._enough

    def _look_again(self, ending: "Ending") -> None:
        if ending.failed:
            ending.failed = False
            self._voters.refresh()

    def _wait_for_writes(self, until: int) -> None:
        """A write-back that was lost on its way must not come back after the finish."""
        while (now := self._clock()) < min(until, max(seat.expires_at for seat in self._seats.all)):
            self._voters.step(min(until, max(seat.expires_at for seat in self._seats.all)) - now)


def _same_server(seat: "VoterState", reply: "Fields") -> bool:
    """Whether the server that took the commit is the one that said ok: another may have gone back to that ok, and given
    this voter to a run in between.
    """
    return isinstance(seat.reply, dict) and bool(seat.reply["run_id"] == reply["run_id"])


def _may_say_ok(reply: "Reply | None") -> bool:
    """Whether what kept a voter from saying ok passes."""
    return isinstance(reply, Failure) or (reply is not None and reply["answer"] in (protocol.BUSY, protocol.YIELD))


class Ending:
    """Who has heard of the end."""

    __slots__ = ("answered", "enough_at", "failed", "heard", "refusals", "texts", "under_way", "voters")

    def __init__(self, voters: int) -> None:
        self.voters = voters
        self.under_way: set[int] = set()
        self.answered: set[int] = set()
        self.texts: dict[int, str] = {}
        self.heard = 0
        self.refusals: list[Fields] = []
        self.enough_at = 0
        self.failed = False

    def answer(self, seat: "VoterState", reply: "Reply", request: "Request") -> None:
        self.under_way.discard(seat.voter)
        if isinstance(reply, Failure):
            self.failed = True
            self.texts[seat.voter] = reply.text
            seat.due = request.sent + COMMIT_RETRY * 2
            return
        self.answered.add(seat.voter)
        self.texts.pop(seat.voter, None)
        if reply["answer"] == protocol.OK:
            self.heard += 1
        else:
            self.refusals.append(reply)

    def lacks(self, voter: int) -> bool:
        """Whether this voter is to be told, or told again."""
        return voter not in self.under_way and voter not in self.answered

    def over(self, now: int, enough: int) -> bool:
        """Whether all have answered, or enough have and the others had their time."""
        if len(self.answered) == self.voters:
            return True
        if self.heard < enough:
            return False
        self.enough_at = self.enough_at or now
        return now >= self.enough_at + FINISH_MORE

    def next(self, now: int) -> int:
        """When to look again."""
        return self.enough_at + FINISH_MORE if self.enough_at else now + COMMIT_RETRY
