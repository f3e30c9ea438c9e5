"""What one attempt knows of each voter: its answer, what is under way there, and its clock."""

from cronlock.lock.quorum import Failure
from cronlock.system import random_id

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeAlias

    from cronlock.lock.local import LocalVoters
    from cronlock.lock.topology import Call, RedisVoters

    Fields = dict[str, Any]
    Reply = Fields | Failure
    Voters: TypeAlias = "RedisVoters | LocalVoters"

ANSWER_WAIT = 1_000  # ms for one answer
UNDER_WAY, STANDS = "under way", "stands"  # states of a subscription at a voter
RELEASE_WAIT = 200  # ms for releases to be answered; what is not heard runs out by itself


def sleep(voters: "Voters", length: int) -> None:
    """Let so many ms pass, and hear what comes meanwhile."""
    until = voters.clock() + length
    while (left := until - voters.clock()) > 0:
        voters.step(left)


class Request:
    """One request under way: when it was sent, the lease in ms that it asks for, until when it may be executed."""

    __slots__ = ("call", "lease", "sent", "void_at")

    def __init__(self, sent: int, lease: int, void_at: int) -> None:
        self.sent = sent
        self.lease = lease
        self.void_at = void_at
        self.call: Call | None = None


class Seat:
    """One voter, as this attempt sees it. Times are on the voters' clock() unless said otherwise."""

    __slots__ = (
        "committed",
        "due",
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
        "void_at",
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
        self.void_at = 0  # until when a write-back that was not answered may still be executed
        self.failures = 0  # of the connection, when it was last looked at
        self.now = 0  # the clock that the voter told, at this node's `now_at`
        self.now_at = 0

    def voter_now(self, clock: int) -> int:
        """What the voter's clock says at least: counted from when its answer came, not from when it was given."""
        return self.now + clock - self.now_at


class Seats:
    """All voters of one attempt, under holder ids that nobody else has."""

    def __init__(self, voters: "Voters") -> None:
        self.voters = voters
        self.clock = voters.clock
        holder = random_id()
        self.all = [Seat(voter, holder) for voter in range(voters.count)]
        self.ending = False  # release or finish is under way: nothing new is taken

    def send(
        self,
        seat: Seat,
        operation: str,
        ask: "Fields",
        done: "Callable[[Seat, Reply, Request], None]",
        void_at: int = 0,
    ) -> None:
        """Ask one voter; `done` gets the answer with the request that it answers.

        What is still under way there was sent before, so it is not sent again when its slot turns out to have moved.
        """
        if seat.request and seat.request.call:
            seat.request.call.void = True
        request = seat.request = Request(self.clock(), int(ask.get("lease", 0)), void_at)

        def answered(reply: "Reply") -> None:
            if seat.request is request:
                seat.request = None
            if isinstance(reply, Failure):
                seat.void_at = max(seat.void_at, request.void_at)
            else:
                seat.now, seat.now_at = reply["now"], self.clock()
            done(seat, reply, request)

        request.call = self.voters.send(seat.voter, operation, {"holder": seat.holder, **ask}, answered)

    def release(self, until: int) -> None:
        """Take everything back where something of this attempt may stand, behind what is still under way there.

        Also where the prepare was not answered: a server that was stopped executes it when it wakes. Only those that
        answered are waited for, also with a commit under way: until all have let go, others take it for a run.
        """
        self.ending = True
        waiting = [seat for seat in self.all if seat.prepared or seat.request or _passing(seat.reply)]
        answered: list[Seat] = []
        prompt = sum(isinstance(seat.reply, dict) for seat in waiting)
        for seat in waiting:
            seat.prepared = seat.committed = False
            self.send(seat, "release", {}, lambda seat, _reply, _request: answered.append(seat))
        until = min(until, self.clock() + RELEASE_WAIT)
        while len(answered) < prompt and self.clock() < until:
            self.voters.step(until - self.clock())


def _passing(reply: "Reply | None") -> bool:
    return isinstance(reply, Failure) and not reply.final
