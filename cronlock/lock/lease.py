"""The lease of a run: commit, extend and finish, from the won prepare until a quorum has recorded the end."""

from cronlock.lock import protocol
from cronlock.lock.ballot import COMMIT_RETRY, Finishing
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

    from cronlock.lock.ballot import Ballot, Request, VoterState
    from cronlock.lock.requests import Answer, Commit, Finish, Reply, RunFields

NOT_AFTER = 2_000  # ms: a server that was stopped must not execute a request that its node has given up
RETRY_MIN, RETRY_MAX = 1_000, 30_000  # ms between two tries at a voter that failed: a tenth of the lease
PREPARE_RETRY = 300  # ms until a voter that did not say ok is sent prepare again while the commit is undecided
FINISH_WAIT = 3_000  # ms for a quorum to record the end; the exit status does not wait longer


class Lease:
    """The lease that a won ballot may become.

    `run` is the description that the record keeps. `claimed` are the tick and whether --again asked for it.
    `lease_at` returns the length of a lease in ms for a time on the voters' wall clock. `stop_margin` is how many ms
    before the end of the leases the command must begin to stop.
    """

    def __init__(
        self,
        ballot: "Ballot",
        run: "RunFields",
        claimed: "tuple[int, bool]",
        lease_at: "Callable[[int], int]",
        stop_margin: int,
    ) -> None:
        self._ballot = ballot
        self._voters = ballot.voters
        self._clock = ballot.clock
        self._lease_at = lease_at
        self._stop_margin = stop_margin
        self._enough = quorum(len(ballot.all))
        answers = ballot.answers
        self._time, self._time_at = median_time(answers), self._clock()
        self.unfinished_run = unfinished_run(answers)  # the run before, when no voter has recorded its end
        written = {"start": self._time, "voter_set": self._voters.voter_set}
        self._run: Commit = {**run, **written, **claim(answers, *claimed)}  # type: ignore[typeddict-item]
        self.missing: list[str] = []  # the reason for each voter that did not record the end
        self.superseded_by: list[Answer] = []  # the answers to finish, when a quorum no longer knew the run
        self._begun = False
        self._prepared_until = min(state.prepared_until for state in ballot.all if state.prepared)
        self.wall_ahead = ballot.wall_ahead
        ballot.on_late_ok = self._on_late_ok

    @property
    def token(self) -> int:
        """Return the fencing token."""
        return self._run["token"]

    @property
    def attempt(self) -> int:
        """Return the number of this attempt at its tick."""
        return self._run["run_attempt"]

    @property
    def validity(self) -> int:
        """Return the time on clock() until which a quorum of the leases is valid."""
        return lease_valid_until([state.until for state in self._ballot.all], self._enough)

    @property
    def stop_at(self) -> int:
        """Return when the command must begin to stop: at once when too many voters hold a newer run for a quorum."""
        if sum(state.lost for state in self._ballot.all) > len(self._ballot.all) - self._enough:
            return 0
        return self.validity - self._stop_margin

    @property
    def due(self) -> int:
        """Return when `extend_if_due` has something to do; a request on its way ends by itself."""
        return min((state.due for state in self._ballot.all if not state.request), default=self.validity)

    def _voter_time(self) -> int:
        return self._time + self._clock() - self._time_at

    # -- commit ----------------------------------------------------------------------------------------------------

    def commit(self, until: int, while_committing: "Callable[[], object]" = lambda: None) -> str:
        """Return WON once a quorum of leases is valid, RETRY when too many voters refuse for that, else UNKNOWN.

        `until` bounds the wait. RETRY and UNKNOWN release what was committed. `while_committing` is something short,
        done while the voters write.
        """
        for state in self._ballot.all:
            if state.prepared:
                self._send_commit(state)
        self._voters.flush()
        while_committing()
        outcome = self._ballot.repeat(until, self._decide_commit, self._commit_if_due) or UNKNOWN
        if outcome == WON:
            self._begun = True
            self._write_back()
        else:
            self._ballot.release(max(until, self._clock() + COMMIT_RETRY))
        return outcome

    def _decide_commit(self, now: int) -> str | None:
        self._ballot.wake(now + COMMIT_RETRY)
        if self.stop_at > now:
            return WON
        rejected = sum(state.rejected for state in self._ballot.all)
        return RETRY if rejected > len(self._ballot.all) - self._enough else None

    def _commit_if_due(self, state: "VoterState", now: int) -> bool:
        if state.request or state.due > now or state.rejected:
            return False
        if state.prepared and (not state.committed or state.until - self._stop_margin <= now):
            self._send_commit(state)
            return True
        if not state.prepared and _may_say_ok(state.reply):  # up or free by now, while another voter fails
            state.due = now + PREPARE_RETRY
            self._ballot.prepare(state)
            return True
        return False

    def _send_commit(self, state: "VoterState") -> None:
        if not self._ballot.ending:
            request = self._commit_request(state.voter_now(self._clock()) + NOT_AFTER)
            self._ballot.send(state, "commit", request, self._on_committed)

    def _commit_request(self, not_after: int) -> "Commit":
        return {**self._run, "lease": self._lease_at(self._voter_time()), "not_after": not_after}

    def _on_late_ok(self, state: "VoterState") -> None:
        """Let an ok that came after the verdict join the commit.

        After the other prepare leases expire, a competitor may hold a quorum of this voter and one that lost our
        commit; from then on only new acknowledgements count (the models' rows "acks from before a late ok count"). An
        ok of an amnesic or newer copy never joins (the row "late oks always join").
        """
        if not isinstance(state.reply, dict) or not may_join_commit(state.reply, self.token):
            state.rejected = True  # it gets the record once this is a run
        elif self._begun or self._clock() < self._prepared_until:
            self._send_commit(state)
        else:
            for prepared in [other for other in self._ballot.all if other.prepared]:
                prepared.until = 0
                self._send_commit(prepared)

    def _on_committed(self, state: "VoterState", reply: "Reply", request: "Request") -> None:
        state.due = self._clock() + COMMIT_RETRY
        if state.request:  # sent again since
            return
        if isinstance(reply, Failure) or reply["answer"] == protocol.EXPIRED:
            return
        if reply["answer"] == protocol.OK and same_server(state, reply):
            self._note_lease(state, request)
        else:
            state.prepared = False
            state.rejected = True

    def _note_lease(self, state: "VoterState", request: "Request") -> None:
        state.committed, state.lost = True, False
        state.until = request.sent + request.lease - drift(request.lease)
        state.due = request.sent + request.lease // 3
        state.failures = self._voters.failures(state.voter)

    # -- extend, and write back ------------------------------------------------------------------------------------

    def _write_back(self) -> None:
        """Send the record at once to voters that answered without holding it, later to those that did not answer."""
        now = self._clock()
        for state in self._ballot.all:
            if not state.committed and not state.request:
                state.due = now if isinstance(state.reply, dict) else now + self._retry_wait()
        self.extend_if_due()

    def _retry_wait(self) -> int:
        return max(RETRY_MIN, min(RETRY_MAX, self._lease_at(self._voter_time()) // 10))

    def extend_if_due(self) -> None:
        """Extend the leases of which a third has passed, and those whose last extension failed."""
        now = self._clock()
        if now >= self.validity:
            return
        for state in self._ballot.all:
            if state.failures != self._voters.failures(state.voter):  # a server that restarted may be amnesic
                state.failures = self._voters.failures(state.voter)
                state.due = min(state.due, now + RETRY_MIN)
            if not state.request and state.due <= now:
                self._extend(state, now)

    def extend_at_once(self) -> None:
        """Extend all leases at once: more time may have passed than this node's clock shows.

        Voters with a request on their way are sent another one: an answer to the first would date from before that
        time.
        """
        now = self._clock()
        if now < self.validity:
            for state in self._ballot.all:
                self._extend(state, now)

    def _extend(self, state: "VoterState", now: int) -> None:
        """Send extend, with a bound after which no server executes it.

        Without the bound a write-back that was delayed could take a copy from the next run (the models' row
        "write-back without a deadline").
        """
        if not state.now_at:  # the voter's clock is unknown: a request that is expired everywhere brings it
            self._ballot.send(state, "extend", self._commit_request(0), self._on_extended)
            return
        good_for = min(NOT_AFTER, self.validity - now)
        request = self._commit_request(state.voter_now(now) + good_for)
        self._ballot.send(state, "extend", request, self._on_extended, expires_at=now + good_for)

    def _on_extended(self, state: "VoterState", reply: "Reply", request: "Request") -> None:
        state.due = self._clock() + self._retry_wait()
        if state.request:  # sent again since
            return
        if isinstance(reply, Failure):
            if not self._ballot.ending:
                self._voters.refresh()
            return
        if reply["answer"] == protocol.OK:
            self._note_lease(state, request)
        elif reply["answer"] == protocol.EXPIRED:  # the voter's clock is known now
            state.due = self._clock() + COMMIT_RETRY
        else:
            state.committed = False
            state.lost = reply["answer"] in (protocol.NEWER, protocol.VOTER_SET)

    def release(self) -> None:
        """Release the commit: no command was started."""
        self._ballot.release(self._clock() + FINISH_WAIT)

    # -- finish ----------------------------------------------------------------------------------------------------

    def finish(self, state: str, outcome: str, status: int, end: int = 0) -> bool:
        """Record the end of the run at all voters; return whether a quorum has acknowledged it."""
        ballot = self._ballot
        ballot.ending = True
        start = self._clock()
        self._wait_for_write_backs(start + NOT_AFTER)
        request: Finish = {
            "token": self.token,
            "state": state,
            "outcome": outcome,
            "status": status,
            "end": end or self._voter_time(),
            "retention": self._run["retention"],
        }
        finishing = Finishing(ballot, request, self._enough)
        ballot.repeat(start + FINISH_WAIT, finishing.decide, finishing.send_if_due)
        self.superseded_by = finishing.refusals if len(finishing.refusals) >= self._enough else []
        silent = [one.voter for one in ballot.all if one.voter not in finishing.answered]
        self.missing = [finishing.failures.get(voter, f"{self._voters.label(voter)}: no answer") for voter in silent]
        return finishing.acknowledged >= self._enough

    def _wait_for_write_backs(self, until: int) -> None:
        """Wait until no write-back that was lost on its way can be executed any more.

        Executed after finish, it would make the run one that goes on (the models' row "finish does not wait for a
        write-back").
        """
        last = max(state.expires_at for state in self._ballot.all)
        while (now := self._clock()) < min(until, last):
            self._voters.step(min(until, last) - now)
            last = max(state.expires_at for state in self._ballot.all)


def same_server(state: "VoterState", reply: "Answer") -> bool:
    """Return whether the server that took the commit is the one that said ok.

    Without this, a server that went back to that ok could take the commit after its voter was another run's (the
    models' row "acks of a commit count from a server that went back after its ok").
    """
    return isinstance(state.reply, dict) and state.reply["run_id"] == reply["run_id"]


def _may_say_ok(reply: "Reply | None") -> bool:
    """Return whether the reason for which a voter did not say ok may pass."""
    return isinstance(reply, Failure) or (reply is not None and reply["answer"] in (protocol.BUSY, protocol.YIELD))
