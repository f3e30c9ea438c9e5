"""Staying while another node holds the key: for --wait, for --failover, and for what a dead node of an older tick left.

The voters tell when a run has ended; nothing is asked meanwhile, but when a lease should be over, and now and then.
"""

import os

from cronlock.config.options import FOREVER, spell
from cronlock.lock import protocol
from cronlock.lock.attempt import sleep
from cronlock.lock.protocol import ACTIVE, ANSWER_WAIT, PENDING
from cronlock.lock.quorum import quorum
from cronlock.messages import outcome
from cronlock.process.event_loop import random_between

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from collections.abc import Sequence

    from cronlock.lock.quorum import Verdict
    from cronlock.lock.requests import Answer
    from cronlock.lock.voters import Voters
    from cronlock.messages import Messages
    from cronlock.output.progress import WaitingLine
    from cronlock.run.plan import Plan

OLDER_LEASE_MAX = 30_000  # ms: a dead node's lease of an older tick is waited for, a living node's is not
EXTENDED = 1_000  # ms by which an extension moves a lease's end at least; measuring its end twice differs by less
SLOWEST = 50  # ms after the last lease: it ends a little later than it was measured
NOTIFY_WAIT = 20  # ms for a quorum to tell of an end, once one voter has: those who ask too soon split the votes
STAGGER = 2  # ms, at random: those who are woken together should not ask together
LEASE_STAGGER = 50  # ms, at random: nor those who know when a lease ends
POLL = 10_000  # ms between two looks, for a message that was lost
FALLBACK_POLL = 700  # ms for each voter between two looks, when they can't tell: below two commands a second


class Waiter:
    """One node's patience with those who hold the key before it. `ran_out`: the time that --wait gives is over."""

    def __init__(self, plan: "Plan", voters: "Voters", messages: "Messages") -> None:
        self.ran_out = False
        self.takes_over = False  # it was this tick that another node ran
        self._plan = plan
        self._voters = voters
        self._clock = voters.clock
        self._messages = messages
        self._older = StaleLease()
        self._until = 0  # the end of --wait, once it has begun
        self._listens = False
        self._token = 0
        self._ended: dict[int, int] = {}  # voter: token of the newest run whose end it told
        self._shown: WaitingLine | None = None

    def wait(self, held: "Verdict", answers: "Sequence[Answer]") -> bool:
        """Wait until it may be worth asking again; False when this node is to go home."""
        until = self._until_when(held, answers)
        now = self._clock()
        if until <= now:
            self.ran_out = bool(until)
            return False
        self._token = held.answer["token"]
        if not self._listens:  # what ended before the voters could tell has to be asked for
            self._listens = True
            self._listen(now + ANSWER_WAIT)
            return True
        self._voters.listen(self._on_run_ended)
        deaf = self._voters.listening(ACTIVE) < quorum(self._voters.count)
        look = FALLBACK_POLL * self._voters.count if deaf else POLL
        self._sleep(min(until, now + look))
        return True

    def _until_when(self, held: "Verdict", answers: "Sequence[Answer]") -> int:
        """When to look again at the latest; 0 when this node does not stay."""
        now, tick = self._clock(), held.answer["tick"]
        self.takes_over = self._plan.failover and tick == self._plan.tick
        if self.takes_over:
            until = self._bounded(now, now + self._lease_left(answers))
            return until if until > now else 0
        if self._plan.wait and (tick < self._plan.tick or not self._plan.tick):
            self._begin(held, now)
            return min(self._until, self._bounded(now, now + self._lease_left(answers)))
        left = self._older.left(answers, self._plan.tick, now)
        if not left or self._plan.too_late(left):
            return 0
        if not self._listens:
            self._messages.info(f"waiting for a lease of an older tick, {held.answer['node']}'s, to end or be extended")
        return now + left

    def _begin(self, held: "Verdict", now: int) -> None:
        """The wait that the operator asked for: at a terminal it shows for whom, else a line says it once."""
        holder = outcome(held.kind, held.answer, self._plan.tick)
        if self._shown:
            self._shown.set_holder(holder, held.answer["start"])
        if self._until:
            return
        self._until = now + self._plan.wait
        longest = "" if self._plan.wait == FOREVER else f"at most {spell(self._plan.wait)} "
        if self._messages.at_terminal and os.environ.get("TERM", "dumb") != "dumb":
            from cronlock.output.progress import WaitingLine

            self._shown = WaitingLine(self._plan.key, f"waiting {longest}for the lock")
            self._shown.set_holder(holder, held.answer["start"])
        else:
            self._messages.notice(f"waiting {longest}for the lock, {holder}")

    def _bounded(self, now: int, until: int) -> int:
        left = self._plan.left(started=self.takes_over)
        return until if left is None else min(until, now + left)

    def _lease_left(self, answers: "Sequence[Answer]") -> int:
        """How many ms until the leases have ended at a quorum."""
        lefts = sorted(int(answer["left"]) for answer in answers)
        enough = min(quorum(self._voters.count), len(lefts))
        return lefts[enough - 1] + random_between(1, LEASE_STAGGER)

    # -- being told ------------------------------------------------------------------------------------------------

    def _on_run_ended(self, voter: int, token: int) -> None:
        self._ended[voter] = max(token, self._ended.get(voter, 0))

    def _listen(self, until: int) -> None:
        self._voters.listen(self._on_run_ended)
        while self._voters.listening(PENDING) and self._clock() < until:
            self._voters.step(until - self._clock())

    def _sleep(self, until: int) -> None:
        """Until then, or until the voters have told of the end."""
        heard_at = 0
        while (now := self._clock()) < until:
            told = sum(token >= self._token for token in self._ended.values())
            heard_at = heard_at or (now if told else 0)
            if told >= quorum(self._voters.count) or (told and now >= heard_at + NOTIFY_WAIT):
                sleep(self._voters, random_between(0, STAGGER))
                break
            self._voters.step((min(until, heard_at + NOTIFY_WAIT) if told else until) - now)
            if self._shown:
                self._shown.refresh()
        self._ended.clear()

    def close(self) -> None:
        """The wait is over."""
        if self._shown:
            self._shown.close()
            self._shown = None


class StaleLease:
    """The lease of an older tick, which a contender waits for: a dead node's must not cost the next tick."""

    def __init__(self) -> None:
        self._token = 0
        self._end = 0

    def left(self, answers: "Sequence[Answer]", tick: int, now: int) -> int:
        """How many ms to wait until all voters are free of it; 0 when it is none of these, or is being extended."""
        held = [answer for answer in answers if answer["answer"] == protocol.HELD]
        newest = max(held, key=lambda answer: (answer["token"], answer["left"]))
        left = int(newest["left"])
        if not 0 < newest["tick"] < tick or left > OLDER_LEASE_MAX:
            return 0
        if self._token and (newest["token"] != self._token or now + left > self._end + EXTENDED):
            return 0
        self._token, self._end = newest["token"], max(self._end, now + left)
        return left + SLOWEST
