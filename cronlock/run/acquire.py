"""Acquires the lock: attempts, back-off and turns, until a lease, a verdict that ends the run, or an outage."""

import gc
import os

from cronlock.config.options import spell
from cronlock.errors import Refused, Unreachable
from cronlock.lock import protocol
from cronlock.lock.attempt import Attempt, sleep
from cronlock.lock.quorum import REFUSED, RETRY, UNKNOWN, WON, Verdict
from cronlock.process.event_loop import random_between

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cronlock.lock.lease import Lease
    from cronlock.lock.requests import Answer
    from cronlock.lock.voters import Voters
    from cronlock.messages import Messages
    from cronlock.run.plan import Plan
    from cronlock.run.waiting import Progress, Waiter

LAST_TRY = 700  # ms beyond the outage window for the last attempt: with its release it ends within one more second
SPLIT_MIN, SPLIT_MAX = 100, 1_000  # ms between two attempts that split the vote, doubling, from a tenth on at random
SPLIT_WOKEN = 16  # ms: a few waiting nodes are woken at the same moment, and ask at the same time
OUTAGE_STEP_MIN, OUTAGE_STEP_MAX = 200, 2_000  # ms between two attempts while no quorum answers, doubling
SPLIT_WINDOW = 5_000  # ms at least for split votes, which are not an outage: other nodes ask at the same time
STRAGGLER_WAIT = 50  # ms for the slower voters of a split vote, doubling with each attempt
REPORT_AFTER = 1_000  # ms of an outage, after which an operator at a terminal reads why nothing happens
COMMAND_SHOWN = 1_000  # characters of the command line that the record keeps
PLAIN = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%+=:,./-_"  # need no quotes; as in shlex


class Backoff:
    """The time to keep trying, and the pauses between attempts. Times are ms on the clock that `begin` gets."""

    def __init__(self, outage_wait: int, now: int) -> None:
        self._outage_wait = outage_wait
        self.begin(now)

    def begin(self, now: int, split: int = SPLIT_MIN) -> None:
        """Open a new window: before the first attempt, or after the voters have answered."""
        self.begun = now
        self.until = now + self._outage_wait
        self.straggler_wait = STRAGGLER_WAIT
        self._split, self._outage = split, OUTAGE_STEP_MIN

    def after_split_vote(self, got_some_votes: bool, attempt_ms: int) -> int:
        """Return the pause after an attempt that split the vote, which is not an outage.

        Nodes that won some votes retry first; in a crowd most win none and would only add contention. The longer an
        attempt took, the longer the pause, so that overloaded servers can recover.
        """
        self.until = max(self.until, self.begun + SPLIT_WINDOW)
        split = max(self._split, attempt_ms)
        pause = random_between(split // 10, split) if got_some_votes else random_between(split, 4 * split)
        self._split, self.straggler_wait = min(2 * self._split, SPLIT_MAX), min(2 * self.straggler_wait, SPLIT_MAX)
        return pause

    def after_outage(self, attempt_ms: int) -> int:
        """Return the pause after an attempt of this length that no quorum answered."""
        self.until = self.begun + self._outage_wait
        outage = max(self._outage, attempt_ms)
        pause = random_between(outage // 2, outage)
        self._outage = min(2 * self._outage, OUTAGE_STEP_MAX)
        return pause


class Acquirer:
    """This node's attempts to acquire the lock for one command.

    `while_committing` is called while the voters write a won claim. `wait_expired`: the time of --wait is over.
    `answers` are those of the last attempt.
    """

    def __init__(
        self,
        plan: "Plan",
        voters: "Voters",
        messages: "Messages",
        argv: "Sequence[str]",
        progress: "Progress | None" = None,
        while_committing: "Callable[[], object]" = lambda: None,
    ) -> None:
        self.wait_expired = False
        self.answers: Sequence[Answer] = ()
        self._while_committing = while_committing
        self._plan = plan
        self._voters = voters
        self._clock = voters.clock
        self._messages = messages
        self._progress = progress
        self._command = " ".join(map(_quoted, argv))[:COMMAND_SHOWN]
        self._waiter: Waiter | None = None
        self._fair = plan.fair
        self._first = True
        self._outage_reported = False
        self._warned = False  # of a fault of the record that the voters report

    def acquire(self) -> "Lease | Verdict":
        """Return the lease, or the verdict that ends this node's run. Raises Unreachable, Refused, Interrupted."""
        try:
            return self._acquire()
        finally:
            if self._waiter:
                self._waiter.close()

    def _acquire(self) -> "Lease | Verdict":
        if self._plan.splay:
            sleep(self._voters, random_between(0, self._plan.splay))
        backoff = Backoff(self._plan.outage_wait, self._clock())
        while True:
            attempt = Attempt(self._voters, backoff.straggler_wait)
            asked, may_yield = self._clock(), self._fair
            try:
                got = self._attempt(attempt, backoff.until + LAST_TRY)
            except Exception:
                if attempt.ballot:
                    attempt.ballot.release(self._clock() + LAST_TRY)
                raise
            self.answers = attempt.answers
            if not isinstance(got, Verdict):
                return got
            if got.kind == protocol.HELD:
                if not self._wait_for_the_holder(got, attempt):
                    return got
                backoff.begin(self._clock(), SPLIT_WOKEN)
            elif got.wait and may_yield:  # a node that did not offer to yield is not asked to, or does not obey
                self._yield_turn(got.wait)
                backoff.begin(self._clock())
            elif got.kind in (RETRY, UNKNOWN):
                late = self._pause_before_retry(got, backoff, attempt.got_some_votes, self._clock() - asked)
                if late:
                    return late
            else:
                return got
            gc.enable()  # disabled for a quick start (__main__.py), but a node that retries may do so for months

    def _wait_for_the_holder(self, held: Verdict, attempt: Attempt) -> bool:
        """Wait if the plan says so; return whether to try again. Most nodes exit here without importing the waiter."""
        plan, tick = self._plan, held.answer["tick"]
        if not (plan.wait or plan.failover or 0 < tick < plan.tick):
            return False
        if not self._waiter:
            from cronlock.run.waiting import Waiter

            self._waiter = Waiter(plan, self._voters, self._messages, self._progress)
        retry = self._waiter.wait(held, attempt.answers)
        self.wait_expired = self._waiter.expired
        return retry

    def _yield_turn(self, wait: int) -> None:
        """Let other nodes go first, once, for at most half of the time in which this node may still start."""
        left = self._plan.time_left()
        sleep(self._voters, wait if left is None else max(0, min(wait, left // 2)))

    def _pause_before_retry(
        self, got: Verdict, backoff: Backoff, got_some_votes: bool, attempt_ms: int
    ) -> Verdict | None:
        """Pause before the next attempt; return LATE if split votes last too long. Raises Unreachable."""
        split = got.kind == RETRY and got.reached
        pause = backoff.after_split_vote(got_some_votes, attempt_ms) if split else backoff.after_outage(attempt_ms)
        takeover = bool(self._waiter and self._waiter.takes_over)
        if split and self._plan.too_late(takeover=takeover):
            return Verdict(protocol.LATE)
        now = self._clock()
        if got.kind == UNKNOWN or now >= backoff.until or self._plan.too_late(takeover=takeover):
            raise Unreachable(self._unreachable(got, now - backoff.begun), outage=not split)
        if (
            not split
            and not self._outage_reported
            and backoff.begun + REPORT_AFTER <= now <= backoff.until - REPORT_AFTER
        ):
            self._outage_reported = True
            more = spell((backoff.until - now) // 1000 * 1000)
            self._messages.info(f"{self._unreachable(got, now - backoff.begun)}: retrying for {more} more")
        left = self._plan.time_left(takeover=takeover)
        if left is not None:  # try once more before it is too late, however long other nodes take
            pause = min(pause, left // 2)
        sleep(self._voters, min(pause, backoff.until - now))
        return None

    def _attempt(self, attempt: Attempt, until: int) -> "Lease | Verdict":
        request = self._plan.prepare_request(self._command, fair=self._fair, first=self._first)
        verdict = attempt.run(request, until)
        if self._voters.warning and not self._warned:
            self._warned = True
            self._messages.notice(self._voters.warning)
        if verdict.reached or verdict.wait:
            self._fair = self._first = False
        if verdict.kind == REFUSED:
            from cronlock.lock.refusals import refusal  # rare: no other run needs it

            raise Refused(refusal(verdict, self._voters))
        if verdict.kind != WON or not attempt.ballot:
            return verdict
        try:
            from cronlock.lock.lease import Lease  # most nodes end without one
        except Exception as error:
            raise cannot_import(error) from None
        lease = Lease(
            attempt.ballot,
            self._plan.run_fields(os.getpid(), self._command),
            (self._plan.tick, self._plan.again),
            self._plan.lease_at,
            self._plan.stop_margin,
        )
        result = lease.commit(until, self._while_committing)
        return lease if result == WON else Verdict(result, text="the commit was not confirmed")

    def _unreachable(self, verdict: Verdict, waited: int) -> str:
        count = self._voters.count
        voters = f"no quorum of {count} voters" if count > 1 else "no lock" if verdict.reached else "no answer"
        others = "other runs of this node" if self._plan.each_node else "other runs"
        why = verdict.text or f"{others} kept trying at the same time"
        return f"{voters} in {round(waited / 1000)} s ({why})"


def cannot_import(error: Exception) -> Refused:
    """Return the refusal where a late import fails: an upgrade at this moment, or too many open files."""
    return Refused(f"can't import cronlock's own code: {error}: run it again, or install cronlock again")


def _quoted(word: str) -> str:
    """Return a word as a shell reads it back. (Without shlex: importing it costs cron's path some ms.)"""
    return word if word and not word.strip(PLAIN) else "'" + word.replace("'", "'\"'\"'") + "'"
