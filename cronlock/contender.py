"""Getting the lock: attempt after attempt, until there is a run, an outcome that sends this node home, or an outage."""

import os
import time

from cronlock.errors import Interrupted, Refused, Unreachable
from cronlock.lock import record
from cronlock.lock.candidate import Candidate
from cronlock.lock.holder import Holder
from cronlock.lock.quorum import AGAIN, REFUSED, UNKNOWN, WON, Verdict
from cronlock.say import refusal

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from cronlock.lock.seats import Voters
    from cronlock.plan import Plan
    from cronlock.say import Say

LAST_TRY = 700  # ms beyond the outage window for the last attempt: with its release it stays within a second more
SPLIT_MIN, SPLIT_MAX = 100, 1_000  # ms between two attempts that split the voters, doubling, at random from a tenth on
OUTAGE_STEP_MIN, OUTAGE_STEP_MAX = 200, 2_000  # ms between two attempts while no quorum answers, doubling
SPLIT_WINDOW = 5_000  # ms at least for split votes, which are no outage: other nodes ask at the same time
STRAGGLER_WAIT = 50  # ms for the slower voters of a split vote, doubling with each attempt
OLDER_LEASE_MAX = 30_000  # ms: a dead node's lease of an older tick is waited for, a living node's is not
EXTENDED = 1_000  # ms by which an extension moves a lease's end at least; measuring its end twice differs by less
COMMAND_SHOWN = 1_000  # characters of the command line that the record keeps


class Contender:
    """This node, asking for the lock on behalf of a command."""

    def __init__(self, plan: "Plan", voters: "Voters", say: "Say", argv: "Sequence[str]") -> None:
        self._plan = plan
        self._voters = voters
        self._clock = voters.clock
        self._say = say
        self._command = " ".join(argv)[:COMMAND_SHOWN]

    def contend(self) -> "Holder | Verdict":
        """The run, or the outcome that sends this node home. Raises Unreachable, Refused, Interrupted."""
        begun = self._clock()
        until = deadline = begun + self._plan.outage_wait
        older = OlderLease()
        splits, outages, patience = SPLIT_MIN, OUTAGE_STEP_MIN, STRAGGLER_WAIT
        while True:
            candidate = Candidate(self._voters, patience)
            try:
                got = self._attempt(candidate, until + LAST_TRY)
            except Interrupted:
                if candidate.seats:
                    candidate.seats.release(self._clock() + LAST_TRY)
                raise
            if isinstance(got, Holder) or got.kind not in (AGAIN, UNKNOWN, record.HELD):
                return got
            split = got.kind == AGAIN and got.reached
            if got.kind == record.HELD:
                pause = older.left(candidate.answers, self._plan.tick, self._clock())
                if not pause or self._plan.too_late(pause):
                    return got
                self._say.told(f"waiting for a lease of an older tick, {got.answer['node']}'s, to end or be extended")
                deadline = max(deadline, self._clock() + pause + self._plan.outage_wait)
            elif split:
                pause = got.wait or _random(splits // 10, splits)
                splits, patience = min(2 * splits, SPLIT_MAX), min(2 * patience, SPLIT_MAX)
            else:
                pause = _random(outages // 2, outages)
                outages = min(2 * outages, OUTAGE_STEP_MAX)
            until = max(deadline, begun + SPLIT_WINDOW) if split else deadline
            if split and self._plan.too_late():
                return Verdict(record.LATE)
            if got.kind == UNKNOWN or self._clock() >= until or self._plan.too_late():
                raise Unreachable(self._unreachable(got, self._clock() - begun), outage=not split)
            self._sleep(pause if got.kind == record.HELD else min(pause, until - self._clock()))

    def _attempt(self, candidate: Candidate, until: int) -> "Holder | Verdict":
        verdict = candidate.run(self._plan.ask(time.time()), until)
        if verdict.kind == REFUSED:
            raise Refused(refusal(verdict, self._voters.settings, self._plan.key))
        if verdict.kind != WON or not candidate.seats:
            return verdict
        holder = Holder(
            candidate,
            candidate.seats,
            self._plan.run(os.getpid(), self._command),
            (self._plan.tick, self._plan.again),
            self._plan.lease_at,
            self._plan.spare,
        )
        result = holder.commit(until)
        return holder if result == WON else Verdict(result, text="the commit was not confirmed")

    def _sleep(self, length: int) -> None:
        until = self._clock() + length
        while (left := until - self._clock()) > 0:
            self._voters.step(left)

    def _unreachable(self, verdict: Verdict, waited: int) -> str:
        count = self._voters.count
        voters = f"no quorum of {count} voters" if count > 1 else "no answer"
        why = f" ({verdict.text})" if verdict.text else " (other nodes kept asking at the same time)"
        return f"{voters} in {round(waited / 1000)} s{why}"


class OlderLease:
    """The lease of an older tick, which a contender waits for: a dead node's must not cost the next tick."""

    def __init__(self) -> None:
        self._token = 0
        self._end = 0

    def left(self, answers: "list[dict[str, Any]]", tick: int, now: int) -> int:
        """How many ms to wait until all voters are free of it; 0 when it is none of these, or is being extended."""
        held = [answer for answer in answers if answer["answer"] == record.HELD]
        newest = max(held, key=lambda answer: (answer["token"], answer["left"]))
        left = int(newest["left"])
        if not 0 < newest["tick"] < tick or left > OLDER_LEASE_MAX:
            return 0
        if self._token and (newest["token"] != self._token or now + left > self._end + EXTENDED):
            return 0
        self._token, self._end = newest["token"], max(self._end, now + left)
        return left + 50


def _random(least: int, most: int) -> int:
    return least + int.from_bytes(os.urandom(4), "big") % (most - least + 1)
