"""Waiting while another node holds the key: for --wait, for --failover, and for a dead node's lease of an earlier tick.

Voters push a notification when a run ends; otherwise the node re-checks only when the lease should have expired and
every 10 s.
"""

import os

from cronlock.config.options import FOREVER, spell
from cronlock.lock import protocol
from cronlock.lock.attempt import sleep
from cronlock.lock.protocol import ACTIVE, ANSWER_WAIT, PENDING
from cronlock.lock.quorum import quorum
from cronlock.process.event_loop import random_between
from cronlock.run.outcome import outcome

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Protocol

    from cronlock.lock.quorum import Verdict
    from cronlock.lock.requests import Answer
    from cronlock.lock.voters import Voters
    from cronlock.messages import Messages
    from cronlock.run.plan import Plan

    class Display(Protocol):
        """One line at a terminal that shows a wait."""

        def set_holder(self, holder: str, since: int) -> None:
            """Set the holder, and the start of its run in ms of the wall clock."""

        def refresh(self) -> None:
            """Show the time that has passed."""

        def close(self) -> None:
            """Remove the line."""

    Progress = Callable[[str, str], Display]  # from the key, and what this node waits for

STALE_LEASE_MAX = 30_000  # ms: a node waits for a dead node's lease of an earlier tick, not for a living node's
EXTENDED = 1_000  # ms by which an extension moves the end of a lease at least; two measurements differ by less
SLOWEST = 50  # ms after the last lease: a lease ends a little later than measured
NOTIFY_WAIT = 20  # ms from the first notification for a quorum of them: nodes that ask too soon split the vote
STAGGER = 2  # ms, at random: nodes that are woken together must not ask together
LEASE_STAGGER = 50  # ms, at random: nor may nodes that know when a lease expires
POLL = 10_000  # ms between two checks, in case a notification was lost
FALLBACK_POLL = 700  # ms for each voter between two checks without notifications: below two commands a second


class Waiter:
    """This node's wait for the run that holds the key. `expired`: the time of --wait is over."""

    def __init__(
        self, plan: "Plan", voters: "Voters", messages: "Messages", progress: "Progress | None" = None
    ) -> None:
        self.expired = False
        self.takes_over = False  # the other node runs this tick
        self._plan = plan
        self._voters = voters
        self._clock = voters.clock
        self._messages = messages
        self._progress = progress
        self._stale = StaleLease()
        self._until = 0  # the end of --wait, once the wait has begun
        self._subscribed = False
        self._token = 0
        self._ended: dict[int, int] = {}  # voter: token of the newest run whose end the voter has notified
        self._display: Display | None = None

    def wait(self, held: "Verdict", answers: "Sequence[Answer]") -> bool:
        """Wait until another attempt may succeed; return False if this node does not wait."""
        until = self._wait_until(held, answers)
        now = self._clock()
        if until <= now:
            self.expired = bool(until)
            return False
        self._token = held.answer["token"]
        if not self._subscribed:  # ask once more: a run that ended before the subscription is not notified
            self._subscribed = True
            self._subscribe(now + ANSWER_WAIT)
            return True
        self._voters.listen(self._on_run_ended)
        without_quorum = self._voters.listening(ACTIVE) < quorum(self._voters.count)
        poll = FALLBACK_POLL * self._voters.count if without_quorum else POLL
        self._sleep(min(until, now + poll))
        return True

    def _wait_until(self, held: "Verdict", answers: "Sequence[Answer]") -> int:
        """Return when to try again at the latest; 0 when this node does not wait."""
        now, tick = self._clock(), held.answer["tick"]
        self.takes_over = self._plan.failover and tick == self._plan.tick
        if self.takes_over:
            until = self._before_deadline(now, now + self._lease_left(answers))
            return until if until > now else 0
        if self._plan.wait and (tick < self._plan.tick or not self._plan.tick):
            self._begin(held, now)
            return min(self._until, self._before_deadline(now, now + self._lease_left(answers)))
        left = self._stale.left(answers, self._plan.tick, now)
        if not left or self._plan.too_late(left):
            return 0
        if not self._subscribed:
            node = held.answer["node"]
            self._messages.info(f"waiting for {node}'s lease of an earlier tick to expire or to be extended")
        return now + left

    def _begin(self, held: "Verdict", now: int) -> None:
        """Begin the wait of --wait: a terminal shows the holder all the time, otherwise one line names it once."""
        holder = outcome(held.kind, held.answer, self._plan.tick)
        if self._display:
            self._display.set_holder(holder, held.answer["start"])
        if self._until:
            return
        self._until = now + self._plan.wait
        longest = "" if self._plan.wait == FOREVER else f"at most {spell(self._plan.wait)} "
        if self._progress and self._messages.at_terminal and os.environ.get("TERM", "dumb") != "dumb":
            self._display = self._progress(self._plan.key, f"waiting {longest}for the lock")
            self._display.set_holder(holder, held.answer["start"])
        else:
            self._messages.notice(f"waiting {longest}for the lock, {holder}")

    def _before_deadline(self, now: int, until: int) -> int:
        left = self._plan.time_left(takeover=self.takes_over)
        return until if left is None else min(until, now + left)

    def _lease_left(self, answers: "Sequence[Answer]") -> int:
        """Return the ms until the leases have expired at a quorum."""
        lefts = sorted(int(answer["left"]) for answer in answers)
        enough = min(quorum(self._voters.count), len(lefts))
        return lefts[enough - 1] + random_between(1, LEASE_STAGGER)

    # -- notifications -------------------------------------------------------------------------------------------------

    def _on_run_ended(self, voter: int, token: int) -> None:
        self._ended[voter] = max(token, self._ended.get(voter, 0))

    def _subscribe(self, until: int) -> None:
        self._voters.listen(self._on_run_ended)
        while self._voters.listening(PENDING) and self._clock() < until:
            self._voters.step(until - self._clock())

    def _sleep(self, until: int) -> None:
        """Sleep until then, or until the voters have notified the end of the run."""
        first_at = 0
        while (now := self._clock()) < until:
            notified = sum(token >= self._token for token in self._ended.values())
            first_at = first_at or (now if notified else 0)
            if notified >= quorum(self._voters.count) or (notified and now >= first_at + NOTIFY_WAIT):
                sleep(self._voters, random_between(0, STAGGER))
                break
            self._voters.step((min(until, first_at + NOTIFY_WAIT) if notified else until) - now)
            if self._display:
                self._display.refresh()
        self._ended.clear()

    def close(self) -> None:
        """End the display of the wait."""
        if self._display:
            self._display.close()
            self._display = None


class StaleLease:
    """The lease of an earlier tick, whose node may be dead: the lease must not cost this tick."""

    def __init__(self) -> None:
        self._token = 0
        self._end = 0

    def left(self, answers: "Sequence[Answer]", tick: int, now: int) -> int:
        """Return the ms until the lease has expired at all voters; 0 if it is of another kind, or was extended."""
        held = [answer for answer in answers if answer["answer"] == protocol.HELD]
        newest = max(held, key=lambda answer: (answer["token"], answer["left"]))
        left = int(newest["left"])
        if not 0 < newest["tick"] < tick or left > STALE_LEASE_MAX:
            return 0
        if self._token and (newest["token"] != self._token or now + left > self._end + EXTENDED):
            return 0
        self._token, self._end = newest["token"], max(self._end, now + left)
        return left + SLOWEST
