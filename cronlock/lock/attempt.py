"""One attempt of this node to get the key: what it knows of each voter, and prepare, asked of all of them at once."""

from cronlock.lock import protocol
from cronlock.lock.protocol import ANSWER_WAIT, Failure
from cronlock.lock.quorum import (
    REFUSED,
    RETRY,
    TOKEN_AHEAD,
    WON,
    Verdict,
    drift,
    judge,
    overreaching,
    quorum,
    takes_over,
)
from cronlock.process.event_loop import random_id

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cronlock.lock.copy import Fields
    from cronlock.lock.voters import Call, Reply, Voters

    Judge = Callable[[Sequence[Reply | None], Sequence[bool], int], Verdict | None]

RELEASE_WAIT = 200  # ms for releases to be answered; what is not heard runs out by itself
LAST_WORD = 200  # ms for the rest, when a tick is taken over: one of them may have heard that it ended well
QUIET_WAIT = 10  # ms for the rest, once a quorum sends this node home: a late ok is then released at once


def sleep(voters: "Voters", length: int) -> None:
    """Let so many ms pass, and hear what comes meanwhile."""
    until = voters.clock() + length
    while (left := until - voters.clock()) > 0:
        voters.step(left)


class Request:
    """One request under way: when it was sent, the lease in ms that it asks for, until when it may be executed."""

    __slots__ = ("call", "expires_at", "lease", "sent")

    def __init__(self, sent: int, lease: int, expires_at: int) -> None:
        self.sent = sent
        self.lease = lease
        self.expires_at = expires_at
        self.call: Call | None = None


class VoterState:
    """One voter, as this attempt sees it. Times are on the voters' clock() unless said otherwise."""

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
        self.request: Request | None = None
        self.reply: Reply | None = None  # to prepare
        self.prepared_until = 0  # how long the short lease of its ok is good
        self.prepared = False  # it said ok
        self.committed = False  # it holds this run
        self.rejected = False  # it will not take this commit
        self.lost = False  # it holds a newer run, or other settings
        self.until = 0  # the end of the run's lease there, as far as this node may believe
        self.due = 0  # when to ask it again
        self.expires_at = 0  # until when a write-back that was not answered may still be executed
        self.failures = 0  # of the connection, when it was last looked at
        self.now = 0  # the clock that the voter told, at this node's `now_at`
        self.now_at = 0

    def voter_now(self, clock: int) -> int:
        """What the voter's clock says at least: counted from when its answer came, not from when it was given."""
        return self.now + clock - self.now_at


class Ballot:
    """All voters of one attempt, under holder ids that nobody else has."""

    def __init__(self, voters: "Voters") -> None:
        self.voters = voters
        self.clock = voters.clock
        holder = random_id()
        self.all = [VoterState(voter, holder) for voter in range(voters.count)]
        self.ending = False  # release or finish is under way: nothing new is taken

    def fresh(self, now: int) -> "list[bool]":
        """For each voter, whether the short lease behind its ok is still valid."""
        return [now < state.prepared_until for state in self.all]

    def send(
        self,
        state: VoterState,
        operation: str,
        ask: "Fields",
        done: "Callable[[VoterState, Reply, Request], None]",
        expires_at: int = 0,
    ) -> None:
        """Ask one voter; `done` gets the answer with the request that it answers.

        What is still under way there was sent before, so it is not sent again when its slot turns out to have moved.
        """
        if state.request and state.request.call:
            state.request.call.void = True
        request = state.request = Request(self.clock(), int(ask.get("lease", 0)), expires_at)

        def answered(reply: "Reply") -> None:
            if state.request is request:
                state.request = None
            if isinstance(reply, Failure):
                state.expires_at = max(state.expires_at, request.expires_at)
            else:
                state.now, state.now_at = reply["now"], self.clock()
            done(state, reply, request)

        request.call = self.voters.send(state.voter, operation, {"holder": state.holder, **ask}, answered)

    def release(self, until: int) -> None:
        """Take everything back where something of this attempt may stand, behind what is still under way there.

        Also where the prepare was not answered: a server that was stopped executes it when it wakes. Only those that
        answered are waited for, also with a commit under way: until all have let go, others take it for a run.
        """
        self.ending = True
        waiting = [state for state in self.all if state.prepared or state.request or _passing(state.reply)]
        answered: list[VoterState] = []
        prompt = sum(isinstance(state.reply, dict) for state in waiting)
        for state in waiting:
            state.prepared = state.committed = False
            self.send(state, "release", {}, lambda state, _reply, _request: answered.append(state))
        self.voters.flush()
        until = min(until, self.clock() + RELEASE_WAIT)
        while len(answered) < prompt and self.clock() < until:
            self.voters.step(until - self.clock())


def _passing(reply: "Reply | None") -> bool:
    return isinstance(reply, Failure) and not reply.final


class Attempt:
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
        self.ballot: Ballot | None = None
        self.wall_ahead = 0  # by how much this node's wall clock was ahead of clock() when it asked, in ms
        self._doubts = False  # an answer may not be believed
        self.on_late_ok: Callable[[VoterState], None] | None = None  # told of an ok that came after the verdict

    @property
    def answers(self) -> "list[Fields]":
        """What the voters said, less those that do not count."""
        return [reply for reply in self.replies if isinstance(reply, dict)]

    @property
    def replies(self) -> "list[Reply | None]":
        """What each voter said so far; in place of an answer that is not believed what `_unbelievable` makes of it."""
        ballot = self.ballot.all if self.ballot else []
        replies = [state.reply for state in ballot]
        if not self._doubts:
            return replies
        return [
            self._unbelievable(state.voter, reply, None not in replies) if isinstance(reply, dict) and beyond else reply
            for state, reply, beyond in zip(ballot, replies, overreaching(replies, self._time()), strict=True)
        ]

    def _unbelievable(self, voter: int, answer: "Fields", final: bool) -> "Reply":
        """What stands in place of an answer; not `final` while others to come may bear it out."""
        from cronlock.lock.refusals import unbelievable

        return unbelievable(self._voters.label(voter), answer["token"], self._voters.key, self._voters.node, final)

    def _time(self) -> int:
        """This node's wall clock, in ms, counted on from when it asked."""
        return int(self._ask.get("time", 0)) + self._clock() - self._asked_at

    @property
    def got_some_votes(self) -> bool:
        """Whether any voter said ok."""
        return any(answer["answer"] == protocol.OK for answer in self.answers)

    def run(self, ask: "Fields", until: int) -> Verdict:
        """Ask, and judge the answers, by `until`; what is not won is released."""
        self.wall_ahead = ask["time"] - self._clock()
        failure = self._voters.find(min(until, self._clock() + ANSWER_WAIT))
        if failure:
            return Verdict(REFUSED if failure.final else RETRY, text=failure.text, reached=False)
        self.ballot = Ballot(self._voters)
        self._ask = {**ask, "lease": protocol.PREPARE_LEASE, "voter_set": self._voters.voter_set}
        self._asked_at = self._clock()
        for state in self.ballot.all:
            self.ask(state)
        verdict = self._wait(self.ballot, ask["tick"], min(until, self._clock() + ANSWER_WAIT))
        if self._voters.conflict:
            verdict = Verdict(REFUSED, text=self._voters.conflict)
        if verdict.kind == WON:
            self._leave_out(self.ballot)
        else:
            self.ballot.release(until)
        return verdict

    def ask(self, state: VoterState) -> None:
        """Send the prepare to one voter: to each at first, later again to one that failed.

        That one may execute both, the first one late, when it has forgotten or given to another what the second one
        got: hence under another id.
        """
        if self.ballot:
            if isinstance(state.reply, Failure):
                state.holder = random_id()
            state.prepared_until = self._clock() + protocol.PREPARE_LEASE - drift(protocol.PREPARE_LEASE)
            self.ballot.send(state, "prepare", {**self._ask, "time": self._time()}, self._answered)

    def _wait(self, ballot: Ballot, tick: int, deadline: int) -> Verdict:
        heard, heard_at = -1, 0
        while True:
            now = self._clock()
            replies = self.replies
            pending = sum(reply is None for reply in replies)
            if len(replies) - pending != heard:
                heard, heard_at = len(replies) - pending, now
            verdict = self._same_server_twice() or self._judge(replies, ballot.fresh(now), tick)
            rest = pending and verdict and verdict.kind == WON and takes_over(replies, tick)
            if verdict and verdict.kind in (WON, REFUSED) and not rest:
                return verdict
            until = deadline
            if rest:
                until = min(deadline, heard_at + LAST_WORD)
            elif verdict:
                until = min(deadline, heard_at + QUIET_WAIT)
            elif len(self.answers) >= quorum(len(replies)) and any(a["answer"] != protocol.OK for a in self.answers):
                until = min(deadline, heard_at + self._straggler_wait)
            if not pending or now >= until:
                return verdict or self._undecided(replies)
            self._voters.step(until - now)

    def _leave_out(self, ballot: Ballot) -> None:
        """No commit to a voter whose answer was not believed: its short lease runs out."""
        for state, reply in zip(ballot.all, self.replies, strict=True):
            if isinstance(reply, Failure) and isinstance(state.reply, dict):
                state.prepared, state.rejected = False, True

    def _undecided(self, replies: "Sequence[Reply | None]") -> Verdict:
        from cronlock.lock.undecided import undecided  # most nodes win, or yield to a run

        return undecided([reply or self._silent(voter) for voter, reply in enumerate(replies)])

    def _silent(self, voter: int) -> Failure:
        return Failure(f"{self._voters.label(voter)}: no answer")

    def _answered(self, state: VoterState, reply: "Reply", _request: "Request") -> None:
        state.reply = reply
        if isinstance(reply, Failure):
            return
        self._doubts = self._doubts or reply["token"] > self._time() + TOKEN_AHEAD
        if reply["answer"] == protocol.CLOCK:
            from cronlock.lock.refusals import clock_off

            reply["off"] = clock_off(self._voters.label(state.voter), round((reply["time"] - self._time()) / 1000))
        elif reply["answer"] == protocol.OK:
            state.prepared = True
            if self.on_late_ok:
                self.on_late_ok(state)

    def _same_server_twice(self) -> Verdict | None:
        """The same server under two names: its run_id tells."""
        ids = [answer["run_id"] for answer in self.answers if answer["run_id"]]
        if not self._voters.distinct or len(set(ids)) == len(ids) or not self.ballot:
            return None
        labels = [
            self._voters.label(state.voter)
            for state in self.ballot.all
            if isinstance(state.reply, dict) and ids.count(state.reply["run_id"]) > 1
        ]
        return Verdict(REFUSED, text=f"the same server twice: {' and '.join(labels)}: name each server once")
