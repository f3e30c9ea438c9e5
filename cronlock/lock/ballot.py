"""The ballot of one attempt: the view of each voter, requests that are repeated until a quorum decides, late answers.

attempt.py prepares it, lease.py commits, extends and finishes it, survey/broadcast.py uses it for operators' commands.
"""

from cronlock.lock import protocol
from cronlock.lock.protocol import Failure
from cronlock.lock.quorum import TOKEN_AHEAD, drift, overreaching
from cronlock.process.event_loop import random_id

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, TypeVar

    from cronlock.lock.requests import Answer, Finish, Prepare, Reply
    from cronlock.lock.voters import Call, Voters

    Outcome = TypeVar("Outcome")

COMMIT_RETRY = 100  # ms until a commit that failed is repeated: nothing runs before it is known
FINISH_MORE = 50  # ms for the other voters once a quorum has acknowledged the end
FINISH_RETRY = 200  # ms until a finish that failed is repeated
RELEASE_WAIT = 200  # ms for releases to be answered; a lease whose release is lost expires


class Request:
    """One request on its way: when it was sent, the lease in ms that it asks for, until when it may be executed."""

    __slots__ = ("call", "expires_at", "lease", "sent")

    def __init__(self, sent: int, lease: int, expires_at: int) -> None:
        self.sent = sent
        self.lease = lease
        self.expires_at = expires_at
        self.call: Call | None = None


class VoterState:
    """One voter, as this attempt sees it. Times are ms on the voters' clock() unless said otherwise."""

    __slots__ = (
        "committed",
        "due",
        "expires_at",
        "failures",
        "holder",
        "lost",
        "now",
        "now_at",
        "prepared",
        "prepared_until",
        "rejected",
        "reply",
        "request",
        "until",
        "voter",
    )

    def __init__(self, voter: int, holder: str) -> None:
        self.voter = voter
        self.holder = holder
        self.request: Request | None = None  # the last one, until it is answered
        self.reply: Reply | None = None  # to prepare
        self.prepared_until = 0  # the end of the short lease of its ok
        self.prepared = False  # it said ok
        self.committed = False  # it holds this run
        self.rejected = False  # it will not take this commit
        self.lost = False  # it holds a newer run, or one of another voter set
        self.until = 0  # the end of the run's lease there, as far as this node may believe
        self.due = 0  # when to send the next request
        self.expires_at = 0  # until when a write-back that was not answered may still be executed
        self.failures = 0  # of the connection, when it was last looked at
        self.now = 0  # the voter's clock, as answered at this node's `now_at`
        self.now_at = 0

    def voter_now(self, clock: int) -> int:
        """Return what the voter's clock says at least: counted from when its answer came, not from when it was sent."""
        return self.now + clock - self.now_at


class Ballot:
    """All voters of one attempt, under holder ids that no other attempt has; without `prepare`, of a plain request.

    `wall_ahead`: by how many ms this node's wall clock was ahead of clock() when the attempt began.
    """

    def __init__(self, voters: "Voters", prepare: "Prepare | None" = None, wall_ahead: int = 0) -> None:
        self.voters = voters
        self.clock = voters.clock
        holder = random_id() if prepare else ""  # only an attempt at the key needs one
        self.all = [VoterState(voter, holder) for voter in range(voters.count)]
        self.ending = False  # release or finish is on its way: no new lease is taken
        self.wake_at = 0  # when `repeat` looks again although nothing has happened; its callbacks bring it forward
        self.wall_ahead = wall_ahead
        self.on_late_ok: Callable[[VoterState], None] | None = None  # called for an ok that comes after the verdict
        self._prepare: Prepare | None = prepare
        self._doubts = False  # an answer may be impossible

    def fresh(self, now: int) -> "list[bool]":
        """Return for each voter whether the short lease behind its ok is still valid."""
        return [now < state.prepared_until for state in self.all]

    # -- requests --------------------------------------------------------------------------------------------------

    def send(
        self,
        state: VoterState,
        operation: str,
        fields: "Mapping[str, Any]",
        on_reply: "Callable[[VoterState, Reply, Request], None]",
        expires_at: int = 0,
    ) -> None:
        """Send a request to one voter; `on_reply` gets the reply with the request that it answers.

        A request that is still on its way there is void: it must not be sent again when its slot turns out to have
        moved, because it would be executed behind this one.
        """
        if state.request and state.request.call:
            state.request.call.void = True
        request = state.request = Request(self.clock(), fields.get("lease", 0), expires_at)

        def answered(reply: "Reply") -> None:
            if state.request is request:
                state.request = None
            if isinstance(reply, Failure):
                state.expires_at = max(state.expires_at, request.expires_at)
            else:
                state.now, state.now_at = reply["now"], self.clock()
            on_reply(state, reply, request)

        complete = {"holder": state.holder, **fields} if state.holder else dict(fields)
        request.call = self.voters.send(state.voter, operation, complete, answered)

    def repeat(
        self,
        until: int,
        decide: "Callable[[int], Outcome | None]",
        send_if_due: "Callable[[VoterState, int], bool] | None" = None,
    ) -> "Outcome | None":
        """Offer every voter to `send_if_due`, again and again, until `decide` returns an outcome; None at `until`.

        Both get the time. `send_if_due` returns whether it has sent a request.
        """
        while True:
            now = self.clock()
            self.wake_at = until
            outcome = decide(now)
            if outcome is not None or now >= until:
                return outcome
            sent = [send_if_due(state, now) for state in self.all] if send_if_due else ()
            if not any(sent):  # what was sent to a local file is answered already
                self.voters.step(self.wake_at - now)

    def wake(self, time: int) -> None:
        """Let `repeat` look again at this time at the latest."""
        self.wake_at = min(self.wake_at, time)

    # -- prepare ---------------------------------------------------------------------------------------------------

    def prepare(self, state: VoterState) -> None:
        """Send prepare to one voter: to each at first, later again to one that failed.

        A voter that failed gets another holder id: it may execute both requests, the first one late, after the second
        grant has been forgotten or given to another node. Under the same id that late grant would take the commit of
        the second one (the models' row "a prepare executed twice under the same id").
        """
        if not self._prepare:
            return
        if isinstance(state.reply, Failure):
            state.holder = random_id()
        state.prepared_until = self.clock() + protocol.PREPARE_LEASE - drift(protocol.PREPARE_LEASE)
        self.send(state, "prepare", {**self._prepare, "time": self._time()}, self._on_prepared)

    def _on_prepared(self, state: VoterState, reply: "Reply", _request: Request) -> None:
        state.reply = reply
        if isinstance(reply, Failure):
            return
        self._doubts = self._doubts or reply["token"] > self._time() + TOKEN_AHEAD
        if reply["answer"] == protocol.CLOCK:
            from cronlock.lock.refusals import clock_off

            ahead = round((reply["time"] - self._time()) / 1000)
            reply["clock_off"] = clock_off(self.voters.label(state.voter), ahead)
        elif reply["answer"] == protocol.OK:
            state.prepared = True
            if self.on_late_ok:
                self.on_late_ok(state)

    def _time(self) -> int:
        """Return this node's wall clock, in ms, as it was when the attempt began and counted on from there."""
        return self.clock() + self.wall_ahead

    @property
    def answers(self) -> "list[Answer]":
        """Return the voters' answers to prepare, without those that do not count."""
        return [reply for reply in self.replies if isinstance(reply, dict)]

    @property
    def replies(self) -> "list[Reply | None]":
        """Return each voter's reply to prepare so far, with a substitute for an answer that is impossible."""
        replies = [state.reply for state in self.all]
        if not self._doubts:
            return replies
        complete = None not in replies
        return [
            self._substitute(state, reply, complete) if isinstance(reply, dict) and impossible else reply
            for state, reply, impossible in zip(self.all, replies, overreaching(replies, self._time()), strict=True)
        ]

    def _substitute(self, state: VoterState, answer: "Answer", complete: bool) -> "Reply":
        """Return a Failure for an answer with an impossible token; final once no other voter can bear it out."""
        from cronlock.lock.refusals import impossible_token

        return impossible_token(self.voters, state.voter, answer["token"], final=complete)

    def leave_out_impossible(self) -> None:
        """Send no commit to a voter whose answer was impossible: its short lease expires.

        Without this, that voter's token could be the run's token too (the models' row "a voter with a token beyond
        every clock is sent the commit").
        """
        for state, reply in zip(self.all, self.replies, strict=True):
            if isinstance(reply, Failure) and isinstance(state.reply, dict):
                state.prepared, state.rejected = False, True

    # -- release ---------------------------------------------------------------------------------------------------

    def release(self, until: int) -> None:
        """Release every voter that may have a lease of this attempt, behind the requests that are still on their way.

        Also where prepare was not answered: a server that was stopped executes it when it wakes. Wait only for voters
        that have answered, also while a commit is on its way: until they have released, other nodes see a run there.
        """
        self.ending = True
        waiting = [state for state in self.all if state.prepared or state.request or _may_pass(state.reply)]
        answered: list[VoterState] = []
        prompt = sum(isinstance(state.reply, dict) for state in waiting)
        for state in waiting:
            state.prepared = state.committed = False
            self.send(state, "release", {}, lambda state, _reply, _request: answered.append(state))
        self.voters.flush()
        self.repeat(min(until, self.clock() + RELEASE_WAIT), lambda _now: len(answered) >= prompt or None)


def _may_pass(reply: "Reply | None") -> bool:
    return isinstance(reply, Failure) and not reply.final


class Finishing:
    """The voters' replies to finish."""

    __slots__ = (
        "_ballot",
        "_enough",
        "_enough_at",
        "_in_flight",
        "_request",
        "acknowledged",
        "answered",
        "failures",
        "refusals",
    )

    def __init__(self, ballot: "Ballot", request: "Finish", enough: int) -> None:
        self._ballot = ballot
        self._request = request
        self._enough = enough
        self._enough_at = 0  # when a quorum had acknowledged the end
        self._in_flight: set[int] = set()
        self.answered: set[int] = set()
        self.failures: dict[int, str] = {}
        self.acknowledged = 0
        self.refusals: list[Answer] = []
        for state in ballot.all:
            state.due = 0

    def send_if_due(self, state: "VoterState", now: int) -> bool:
        """Send finish to a voter that has not answered, once no earlier request can be executed after it."""
        voter = state.voter
        if voter in self._in_flight or voter in self.answered or max(state.due, state.expires_at) > now:
            return False
        self._in_flight.add(voter)
        self._ballot.send(state, "finish", self._request, self._on_finished)
        return True

    def _on_finished(self, state: "VoterState", reply: "Reply", request: "Request") -> None:
        self._in_flight.discard(state.voter)
        if isinstance(reply, Failure):
            self.failures[state.voter] = reply.text
            state.due = request.sent + FINISH_RETRY
            self._ballot.voters.refresh()
            return
        self.answered.add(state.voter)
        self.failures.pop(state.voter, None)
        if reply["answer"] == protocol.OK:
            self.acknowledged += 1
        else:
            self.refusals.append(reply)

    def decide(self, now: int) -> bool | None:
        """Return True once all have answered, or a quorum has and the others had their time."""
        if len(self.answered) == len(self._ballot.all):
            return True
        if self.acknowledged < self._enough:
            self._ballot.wake(now + COMMIT_RETRY)
            return None
        self._enough_at = self._enough_at or now
        self._ballot.wake(self._enough_at + FINISH_MORE)
        return now >= self._enough_at + FINISH_MORE or None
