"""What the voters' answers amount to: who won, what to write, how long to believe in it. Pure.

Rules of Redlock (https://redis.io/docs/latest/develop/clients/patterns/distributed-locks/): more than half of the
voters must agree, a lease counts from before the request was sent, less the drift of the clocks. On top of it: a copy
that forgot, or that may have gone back to older data, does not outvote those that remember; and nobody is sent home but
by a quorum that speaks of a committed record, or by one voter that has heard the end of this very tick's run.
"""

from cronlock.lock import protocol
from cronlock.lock.protocol import Failure

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TypeAlias

    from cronlock.lock import requests
    from cronlock.lock.requests import Answer, Claim

    Reply: TypeAlias = requests.Reply | None

WON, RETRY, REFUSED, UNKNOWN = "won", "again", "refused", "unknown"
QUIET = (protocol.HELD, protocol.DONE, protocol.PAUSED)
SHOWN = 3  # failures named in a message: more do not make it clearer
TOKEN_AHEAD = 86_400_000  # ms: a token is a time, or the last one plus one; further ahead of the clock none can come
AGREE = 10_000  # ms by which voters' clocks may differ and still show that it is this node's that is wrong
DRIFT_PERCENT, DRIFT_MS = 1, 2  # the Redlock page's allowance for clocks that do not run at quite the same rate


class Verdict:
    """What a round of prepare came to: won, held, done, paused, late, refused, or again.

    `answer` is one of the answers that decided, for the message. `wait`: ms that a voter asked to let others go first.
    `reached`: a quorum answered at all, so that again means a split vote and not an outage.
    """

    __slots__ = ("answer", "kind", "reached", "text", "wait")

    def __init__(
        self, kind: str, answer: "Answer | None" = None, text: str = "", wait: int = 0, reached: bool = True
    ) -> None:
        self.kind = kind
        self.answer: Answer = answer or {}  # type: ignore[assignment]
        self.text = text
        self.wait = wait
        self.reached = reached


def quorum(voters: int) -> int:
    """More than half."""
    return voters // 2 + 1


def drift(lease: int) -> int:
    """How much of a lease of so many ms the clocks' drift may eat."""
    return lease * DRIFT_PERCENT // 100 + DRIFT_MS


def lease_valid_until(until: "Sequence[int]", enough: int) -> int:
    """Until when `enough` of the leases that end at these times are good."""
    return sorted(until, reverse=True)[enough - 1]


def is_amnesic(answer: "Answer") -> bool:
    """A copy that forgot, or may have gone back to older data: its ok counts only beside all the others'."""
    return not answer["token"] or bool(answer["restarted"])


def overreaching(replies: "Sequence[Reply]", time: int) -> "list[bool]":
    """Which answers have a fencing token far beyond every clock; `time` is this node's, in ms.

    Such a token would be the last one for ever: the next one is one more, until the numbers end. A voter that is alone
    with it does not count, like one whose clock is off. Where a quorum has it, all clocks were wrong once, and tokens
    go on from there. To leave an answer out is as safe as a voter that is down: a quorum of the others knows the last
    run.
    """
    ahead = [isinstance(reply, dict) and reply["token"] > time + TOKEN_AHEAD for reply in replies]
    if sum(ahead) >= quorum(len(replies)):
        return [isinstance(reply, dict) and reply["token"] > protocol.TIME_MAX for reply in replies]
    return ahead


def votes(replies: "Sequence[Reply]", fresh: "Sequence[bool]") -> int:
    """The oks that count. `fresh`: the short lease behind that answer still stands.

    All voters' oks count together, else those of copies that remember: with one that forgot, a copy that was restarted
    could outvote those which know of a run that it missed; and of voters that are all new, the one that does not answer
    may be the only one that others have.
    """
    valid = [reply for reply, good in zip(replies, fresh, strict=True) if isinstance(reply, dict) and good]
    oks = [answer for answer in valid if answer["answer"] == protocol.OK]
    return len(oks) if len(oks) == len(replies) else sum(not is_amnesic(answer) for answer in oks)


def judge(replies: "Sequence[Reply]", fresh: "Sequence[bool]", tick: int) -> "Verdict | None":
    """Return the verdict over a round of prepare for a tick; None while the replies decide nothing.

    A reply is None until it has come. When no more will come, undecided.py has the verdict.
    """
    enough = quorum(len(replies))
    answers = [reply for reply in replies if isinstance(reply, dict)]
    failures = [reply for reply in replies if isinstance(reply, Failure)]
    for answer in answers:
        if answer["answer"] == protocol.VOTER_SET:
            return Verdict(REFUSED, answer, protocol.VOTER_SET)
    final = [failure for failure in failures if failure.final]
    if len(replies) - len(final) < enough:
        return Verdict(REFUSED, text=final[0].text)
    ended = next((answer for answer in answers if _has_ended(answer, tick)), None)
    if ended:
        return Verdict(protocol.DONE, ended)
    if votes(replies, fresh) >= enough:
        return Verdict(WON)
    clocks = [answer for answer in answers if answer["answer"] == protocol.CLOCK]
    if len(clocks) >= enough:
        return _clocks_off(clocks, enough)
    for kind in (protocol.PAUSED, protocol.LATE):
        same = [answer for answer in answers if answer["answer"] == kind]
        if len(same) >= enough:
            return Verdict(kind, same[0], kind)
    quiet = [answer for answer in answers if _sends_home(answer)]
    if len(quiet) >= enough and _of_one_run(quiet, enough, tick):
        newest = _newest(quiet)
        return Verdict(newest["answer"], newest)
    return None


def judge_adoption(replies: "Sequence[Reply]", _fresh: "Sequence[bool]", _tick: int) -> "Verdict | None":
    """The verdict when a person says that what the voters answer now is the truth: none who answers is left out.

    Copies that forgot count as well, and other settings were not judged; a live lease anywhere forbids it, also that of
    a node which only asks: what it commits next would be adopted away.
    """
    if any(reply is None for reply in replies):
        return None
    answers = [reply for reply in replies if isinstance(reply, dict)]
    for answer in answers:
        if answer["answer"] in QUIET:
            return Verdict(answer["answer"], answer)
    clocks = [answer for answer in answers if answer["answer"] == protocol.CLOCK]
    if clocks:
        return _clocks_off(clocks, quorum(len(replies)))
    others = [answer for answer in answers if answer["answer"] != protocol.OK]
    if others:
        return Verdict(protocol.BUSY, others[0])
    return Verdict(WON) if len(answers) >= quorum(len(replies)) else None


def _clocks_off(clocks: "Sequence[Answer]", enough: int) -> Verdict:
    """The verdict over clocks: this node's is wrong where a quorum agrees on that, else the voters are named."""
    times = [answer["time"] for answer in clocks]
    if len(clocks) >= enough and max(times) - min(times) <= AGREE:
        return Verdict(REFUSED, clocks[0], protocol.CLOCK)
    return Verdict(REFUSED, text="; ".join(list(dict.fromkeys(answer["clock_off"] for answer in clocks))[:SHOWN]))


def _sends_home(answer: "Answer") -> bool:
    """Held, done or paused, said of a committed record."""
    if answer["answer"] == protocol.HELD:
        return not is_amnesic(answer)
    return answer["answer"] in QUIET


def _has_ended(answer: "Answer", tick: int) -> bool:
    """Whether one voter has heard that this tick's run ended well: nobody takes it over, whatever the others missed."""
    return bool(answer["answer"] == protocol.DONE and answer["tick"] == tick != 0 and answer["state"] == "done")


def takes_over(replies: "Sequence[Reply]", tick: int) -> bool:
    """Whether an ok was said for a tick that another run had begun: who has not answered yet may know of its end."""
    answers = [reply for reply in replies if isinstance(reply, dict)]
    return any(
        answer["answer"] == protocol.OK and answer["tick"] == tick != 0 and answer["attempt"] for answer in answers
    )


def _of_one_run(quiet: "list[Answer]", enough: int, tick: int) -> bool:
    """Whether there was a run behind what a quorum says: two nodes may each have died with a commit at one voter.

    Either a quorum knows the same one, or a quorum knows of newer ticks.
    """
    tokens = [answer["token"] for answer in quiet]
    newer = sum(answer["tick"] > tick > 0 for answer in quiet)
    return newer >= enough or max(tokens.count(token) for token in tokens) >= enough


def _newest(answers: "list[Answer]") -> "Answer":
    """Of answers that differ the newest: held before done where one copy has heard the end and another has not yet."""
    return max(answers, key=lambda answer: (answer["token"], answer["answer"] == protocol.HELD))


def median_time(answers: "Sequence[Answer]") -> int:
    """The voters' wall clock in ms: the median, of two the lower."""
    times: list[int] = sorted(answer["time"] for answer in answers)
    return times[(len(times) - 1) // 2]


def token(answers: "Sequence[Answer]") -> int:
    """The fencing token of a run: above all that were seen, and about the voters' time in ms."""
    highest: int = max(answer["token"] for answer in answers)
    return max(median_time(answers), highest + 1)


def may_join_commit(answer: "Answer", token: int) -> bool:
    """Whether an ok that was not among those that won is good for their commit: nothing newer, nothing forgotten."""
    return not is_amnesic(answer) and bool(answer["token"] < token)


def claim(answers: "Sequence[Answer]", tick: int, again: bool) -> "Claim":
    """What a won prepare may commit: token, tick, state, attempt.

    A tick is never lowered: --again on a tick that is not newer than the record's writes the highest tick as done and
    leaves its attempt; a run without a tick leaves what the voters know of ticks as it is.
    """
    highest = max(answer["tick"] for answer in answers)
    known = [answer for answer in answers if answer["tick"] == highest]
    attempt = max(answer["attempt"] for answer in known)
    run_attempt = 1
    if tick and not (again and tick <= highest):
        attempt = run_attempt = _used(known) + 1 if tick == highest else 1
        highest, state = tick, "running"
    elif again and tick:
        state = "done"
    else:
        states = {answer["state"] for answer in known}
        state = next((state for state in ("done", "failed", "running", "back") if state in states), "")
    return {
        "token": token(answers),
        "tick": highest,
        "state": state,
        "attempt": attempt,
        "run_tick": tick,
        "run_attempt": run_attempt,
    }


def _used(known: "Sequence[Answer]") -> int:
    """How many attempts of a tick were used up: the most that a voter knows of, less one that the newest run gave back,
    which others may not have heard yet.
    """
    newest = max(answer["token"] for answer in known)
    back: list[int] = [answer["attempt"] for answer in known if answer["token"] == newest and answer["state"] == "back"]
    most: int = max(answer["attempt"] for answer in known)
    return min(back, default=most)


def unfinished_run(answers: "Sequence[Answer]") -> "Answer | None":
    """The run before this one, when no voter has heard of its end: its node died."""
    newest = max(answer["token"] for answer in answers)
    last = [answer for answer in answers if answer["token"] == newest]
    if not newest or any(answer["outcome"] for answer in last):
        return None
    return last[0]
