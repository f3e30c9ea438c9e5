"""Messages about voters that refuse, or whose answers do not count: what happened, and what to do."""

import time

from cronlock.lock.protocol import Failure

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from collections.abc import Sequence

    from cronlock.lock.quorum import Verdict
    from cronlock.lock.voters import Voters

SAME_SERVER, NAME_ONCE = "the same server twice", "name each server once"


def refusal(verdict: "Verdict", voters: "Voters") -> str:
    """Return the message for a refused attempt; the clock of a single voter may be the wrong one."""
    answer = verdict.answer
    if verdict.text == "clock":
        ahead = round(time.time() - answer["time"] / 1000)
        where = "ahead of" if ahead > 0 else "behind"
        what = "server's: set the one that is wrong" if voters.count == 1 else "voters': set it"
        return f"this node's clock is {abs(ahead)} s {where} the {what}; at most 60 s are tolerated"
    if verdict.text == "voter_set":
        from cronlock.lock.voter_set import other_voters

        return other_voters(answer, voters)
    return verdict.text


def same_server_twice(labels: "Sequence[str]") -> str:
    """Return the message about one server that these labels name: URLs, or voters by their answers."""
    return f"{SAME_SERVER}: {' and '.join(dict.fromkeys(labels))}: {NAME_ONCE}"


def clock_off(label: str, seconds: int) -> str:
    """Return the reason why a voter does not count whose clock is `seconds` ahead of this node's."""
    where = "ahead of" if seconds > 0 else "behind"
    off = f"its clock is {abs(seconds)} s {where} this node's"
    return f"{label}: {off}: set it; a voter that is more than 60 s off does not count"


def impossible_token(voters: "Voters", voter: int, token: int, *, final: bool) -> Failure:
    """Return the Failure for an impossible fencing token."""
    from cronlock.config.suggested_command import suggested_command

    adopt = suggested_command("adopt", voters.location_flags(), voters.key, voters.node)
    return Failure(f"{voters.label(voter)}: its fencing token {token} is far beyond every clock: run {adopt}", final)
