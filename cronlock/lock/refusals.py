"""Texts about voters that refuse, or whose answers can't be believed: what happened, and what to do."""

import time

from cronlock.lock.protocol import Failure

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from cronlock.lock.quorum import Verdict


def refusal(verdict: "Verdict", voter_set: str, key: str, *, each: bool = False, alone: bool = False) -> str:
    """What to do about voters that refused; `voter_set` is this node's, `each` says that it has a record of its own.

    `alone`: one voter, whose clock may be the wrong one.
    """
    answer = verdict.answer
    if verdict.text == "clock":
        ahead = round(time.time() - answer["time"] / 1000)
        where = "ahead of" if ahead > 0 else "behind"
        what = "server's: set the one that is wrong" if alone else "voters': set it"
        return f"this node's clock is {abs(ahead)} s {where} the {what}; at most 60 s are tolerated"
    if verdict.text == "voter_set":
        from cronlock.lock.voter_set import other_voters

        return other_voters(answer, voter_set, key, each=each)
    return verdict.text


def clock_off(label: str, seconds: int) -> str:
    """Which voter it is whose clock is so many seconds ahead of this node's."""
    where = "ahead of" if seconds > 0 else "behind"
    return f"{label}: its clock is {abs(seconds)} s {where} this node's: beyond 60 s a voter does not vote"


def impossible_token(label: str, token: int, key: str, node: str, final: bool) -> Failure:
    """In place of an answer with a fencing token that can't be; `node` is empty where all nodes share the record."""
    adopt = f"cronlock adopt {record_words(key, node)}"
    return Failure(f"{label}: its fencing token {token} is far beyond every clock: {adopt}", final)


def record_words(key: str, node: str) -> str:
    """What `cronlock adopt` takes for one record, as it is typed; `node` is empty where all nodes share the record."""
    from shlex import quote

    return f"--each --node {quote(node)} {quote(key)}" if node else quote(key)
