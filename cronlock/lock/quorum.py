"""The verdict on the voters' answers, the claim that a winner commits, and the arithmetic of quorums. Pure.

Rules of Redlock (https://redis.io/docs/latest/develop/clients/patterns/distributed-locks/): more than half of the
voters must agree, and a lease counts from before the request was sent, less the drift of the clocks. Rules beside them:
an amnesic copy, which has lost data or may have gone back to older data, does not outvote copies that remember. A node
gives up only if a quorum reports a committed run, or one voter has recorded the end of this tick's run.
"""

from cronlock.lock import protocol
from cronlock.lock.protocol import Failure

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import TypeAlias, TypeVar

    from cronlock.lock import requests
    from cronlock.lock.requests import Answer, Claim

    Reply: TypeAlias = requests.Reply | None
    Name = TypeVar("Name")

WON, RETRY, REFUSED, UNKNOWN = "won", "again", "refused", "unknown"
QUIET = (protocol.HELD, protocol.DONE, protocol.PAUSED)  # verdicts that end an attempt without a message
SHOWN = 3  # failures named in a message: more do not make it clearer
TOKEN_AHEAD = 86_400_000  # ms: a token is a time, or the last one plus one, and never further ahead of a clock
AGREE = 10_000  # ms by which the voters' clocks may differ and still show that this node's clock is wrong
DRIFT_PERCENT, DRIFT_MS = 1, 2  # the Redlock page's allowance for clocks that do not run at quite the same rate


class Verdict:
    """The result of a round of prepare: won, held, done, paused, late, refused, or again.

    `answer` is one of the answers that decided, for the message. `wait` is how many ms a voter asked this node to yield
    for. `reached`: a quorum answered at all, so that again means a split vote and not an outage.
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
    """Return the least number that is more than half of the voters."""
    return voters // 2 + 1


def names_by_server(identities: "Iterable[tuple[Name, str]]") -> "list[list[Name]]":
    """Return the names of each server together; `identities` are pairs of a name and what identifies its server.

    A server without a known identity (an empty text) is left out.
    """
    servers: dict[str, list[Name]] = {}
    for name, identity in identities:
        if identity:
            servers.setdefault(identity, []).append(name)
    return list(servers.values())


def named_twice(identities: "Iterable[tuple[Name, str]]") -> "list[list[Name]]":
    """Return the names of each server that has several: its vote would count twice.

    One other voter would then make a quorum that does not meet the next one.
    """
    return [names for names in names_by_server(identities) if len(names) > 1]


def drift(lease: int) -> int:
    """Return by how many ms clocks that drift may shorten a lease of this length."""
    return lease * DRIFT_PERCENT // 100 + DRIFT_MS


def lease_valid_until(until: "Sequence[int]", enough: int) -> int:
    """Return until when `enough` of the leases that end at these times are valid."""
    return sorted(until, reverse=True)[enough - 1]


def is_amnesic(answer: "Answer") -> bool:
    """Return whether a copy has no token, or may have gone back to older data since its last write.

    Its ok counts only beside the oks of all the other voters.
    """
    return not answer["token"] or bool(answer["restarted"])


def overreaching(replies: "Sequence[Reply]", time: int) -> "list[bool]":
    """Return for each reply whether its fencing token is impossible: far beyond `time`, this node's clock in ms.

    Without this, such a token would soon be the last one: each next token is one more, until the numbers end. A
    minority with an impossible token does not count, like voters whose clock is off (the models' rows "a token beyond
    every clock at one voter"). Where a quorum has it, all clocks were wrong once, and tokens continue from there. To
    leave an answer out is as safe as a voter that is down: a quorum of the others knows the last run.
    """
    ahead = [isinstance(reply, dict) and reply["token"] > time + TOKEN_AHEAD for reply in replies]
    if sum(ahead) >= quorum(len(replies)):
        return [isinstance(reply, dict) and reply["token"] > protocol.TIME_MAX for reply in replies]
    return ahead


def votes(replies: "Sequence[Reply]", fresh: "Sequence[bool]") -> int:
    """Return the number of oks that count. `fresh`: the short lease behind that answer is still valid.

    All oks count if every voter says ok; otherwise only those of copies that remember. If amnesic copies counted, a
    restarted voter plus a fresh one could outvote the voters that remember a live run (the models' rows "an amnesic
    voter votes" and "a key counts as new when all answers are blank"). An ok whose short lease has expired may have
    been given to another node since (the row "oks counted after the prepare lease").
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
    succeeded = next((answer for answer in answers if _records_success(answer, tick)), None)
    if succeeded:
        return Verdict(protocol.DONE, succeeded)
    if votes(replies, fresh) >= enough:
        return Verdict(WON)
    clocks = [answer for answer in answers if answer["answer"] == protocol.CLOCK]
    if len(clocks) >= enough:
        return _refuse_clocks(clocks, enough)
    for kind in (protocol.PAUSED, protocol.LATE):
        same = [answer for answer in answers if answer["answer"] == kind]
        if len(same) >= enough:
            return Verdict(kind, same[0], kind)
    quiet = [answer for answer in answers if _reports_run(answer)]
    if len(quiet) >= enough and _of_one_run(quiet, enough, tick):
        newest = _newest(quiet)
        return Verdict(newest["answer"], newest)
    return None


def judge_adoption(replies: "Sequence[Reply]", _fresh: "Sequence[bool]", _tick: int) -> "Verdict | None":
    """Return the verdict for an adoption, in which an operator makes the voters' answers the truth.

    Every voter that answers takes part: amnesic copies count, and other voter sets are not refused. A live lease at any
    voter forbids the adoption, a prepare lease too: without this, the adoption could take the key from a node that is
    about to commit (the models' row "an operator adopts though a voter is busy").
    """
    if any(reply is None for reply in replies):
        return None
    answers = [reply for reply in replies if isinstance(reply, dict)]
    for answer in answers:
        if answer["answer"] in QUIET:
            return Verdict(answer["answer"], answer)
    clocks = [answer for answer in answers if answer["answer"] == protocol.CLOCK]
    if clocks:
        return _refuse_clocks(clocks, quorum(len(replies)))
    others = [answer for answer in answers if answer["answer"] != protocol.OK]
    if others:
        return Verdict(protocol.BUSY, others[0])
    return Verdict(WON) if len(answers) >= quorum(len(replies)) else None


def _refuse_clocks(clocks: "Sequence[Answer]", enough: int) -> Verdict:
    """Return the refusal: this node's clock is wrong where a quorum agrees on that, otherwise name the voters."""
    times = [answer["time"] for answer in clocks]
    if len(clocks) >= enough and max(times) - min(times) <= AGREE:
        return Verdict(REFUSED, clocks[0], protocol.CLOCK)
    return Verdict(REFUSED, text="; ".join(list(dict.fromkeys(answer["clock_off"] for answer in clocks))[:SHOWN]))


def _reports_run(answer: "Answer") -> bool:
    """Return whether an answer is held, done or paused, and of a copy whose record counts.

    A prepare that was said to hold the key would let a node give up though no run follows (the models' row "a quorum of
    held, where a prepare counts as held"); so a prepared voter says busy.
    """
    if answer["answer"] == protocol.HELD:
        return not is_amnesic(answer)
    return answer["answer"] in QUIET


def _records_success(answer: "Answer", tick: int) -> bool:
    """Return whether a voter has recorded that this tick's run succeeded.

    One such voter is enough. Otherwise a quorum that missed the end could let a node take the tick over (the models'
    row "a quorum of ok outvotes one voter that recorded the end").
    """
    return bool(answer["answer"] == protocol.DONE and answer["tick"] == tick != 0 and answer["state"] == "done")


def reports_earlier_run(replies: "Sequence[Reply]", tick: int) -> bool:
    """Return whether an ok reports an earlier run of the tick: a voter that has not answered yet may know its end."""
    answers = [reply for reply in replies if isinstance(reply, dict)]
    return any(
        answer["answer"] == protocol.OK and answer["tick"] == tick != 0 and answer["attempt"] for answer in answers
    )


def _of_one_run(quiet: "list[Answer]", enough: int, tick: int) -> bool:
    """Return whether a quorum reports the same run, or newer ticks.

    Without this, two nodes that each died with a commit at one voter would make a third one give up, and no node would
    run the tick (the models' row "a quorum of held about different runs").
    """
    tokens = [answer["token"] for answer in quiet]
    newer = sum(answer["tick"] > tick > 0 for answer in quiet)
    return newer >= enough or max(tokens.count(token) for token in tokens) >= enough


def _newest(answers: "list[Answer]") -> "Answer":
    """Return the answer with the newest run; held before done, where only some copies have recorded its end."""
    return max(answers, key=lambda answer: (answer["token"], answer["answer"] == protocol.HELD))


def median_time(answers: "Sequence[Answer]") -> int:
    """Return the median of the voters' wall clocks, in ms; the lower one of two."""
    times: list[int] = sorted(answer["time"] for answer in answers)
    return times[(len(times) - 1) // 2]


def token(answers: "Sequence[Answer]") -> int:
    """Return the fencing token of a new run: greater than all in the answers, and about the voters' time in ms."""
    highest: int = max(answer["token"] for answer in answers)
    return max(median_time(answers), highest + 1)


def may_join_commit(answer: "Answer", token: int) -> bool:
    """Return whether a late ok may join the commit: its copy is not amnesic, and has no newer run."""
    return not is_amnesic(answer) and bool(answer["token"] < token)


def claim(answers: "Sequence[Answer]", tick: int, again: bool) -> "Claim":
    """Return the claim of a won prepare: token, tick, state, attempt.

    A tick is never lowered. --again on a tick that is not newer than the record's writes the highest tick as done and
    leaves its attempt (the models' rows "--again writes its own older tick" and "--again restarts a finished tick"). A
    run without a tick leaves the voters' ticks as they are.
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
    """Return how many attempts of a tick were used up: the most that a voter knows.

    When the newest run gave its attempt back, its voters know one less than those that missed the release: they decide.
    """
    newest = max(answer["token"] for answer in known)
    back: list[int] = [answer["attempt"] for answer in known if answer["token"] == newest and answer["state"] == "back"]
    most: int = max(answer["attempt"] for answer in known)
    return min(back, default=most)


def unfinished_run(answers: "Sequence[Answer]") -> "Answer | None":
    """Return the run before this one, when no voter has recorded its end: its node died."""
    newest = max(answer["token"] for answer in answers)
    last = [answer for answer in answers if answer["token"] == newest]
    if not newest or any(answer["outcome"] for answer in last):
        return None
    return last[0]
