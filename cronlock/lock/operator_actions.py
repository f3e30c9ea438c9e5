"""What a person may do with the record of a key; the rest of the specification that state_machine.py begins."""

from cronlock.lock.node_stats import append_history
from cronlock.lock.protocol import BUSY, HELD, OK, OTHER
from cronlock.lock.state_machine import report, set_expiry

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from cronlock.lock.copy import Copy, Fields
    from cronlock.lock.requests import Answer
    from cronlock.lock.state_machine import Operation

LEFT = ("token", "voter_set", "voter_set_by", "run_id")  # by forget: what is not known to be new stays known


def look(copy: "Copy", _ask: "Fields", now: int, time: int, run_id: str) -> "Answer":
    """Tell of the record, and change nothing."""
    return report(copy, OK, now, time, run_id)


def unlock(copy: "Copy", ask: "Fields", now: int, time: int, run_id: str) -> "Answer":
    """End the lease of this run, whose node is dead by the word of a person; the attempt stays used."""
    if copy.get("kind") != "run" or copy.get("token") != ask["token"]:
        return report(copy, OTHER, now, time, run_id)
    copy.record.update(outcome="unlocked", end=time)
    copy.clear_holder()
    append_history(copy, "unlocked")
    return report(copy, OK, now, time, run_id)


def forget(copy: "Copy", ask: "Fields", now: int, time: int, run_id: str) -> "Answer":
    """Erase all but the token and the settings, never under a live lease. Of a node's own record (--each) the nodes of
    others stay.
    """
    if copy.live(now):
        return report(copy, HELD if copy.get("kind") == "run" else BUSY, now, time, run_id)
    copy.record = {name: copy.record[name] for name in LEFT if copy.get("token") and name in copy.record}
    copy.history = []
    others = {name: value for name, value in copy.nodes.items() if name.partition(":")[2] != ask["node"]}
    copy.nodes = {} if copy.main is None else others
    copy.expires = 0
    if copy.record:
        copy.record["outcome"] = "forgotten"
        set_expiry(copy, ask, time)
    return report(copy, OK, now, time, run_id)


def pause(copy: "Copy", ask: "Fields", now: int, time: int, run_id: str) -> "Answer":
    """No run starts before `until` in wall-clock ms, -1 for good; 0 resumes. A run that goes on is left alone."""
    copy.record.update(paused_until=ask["until"], pause_reason=ask["reason"], pause_by=ask["node"])
    set_expiry(copy, ask, time)
    return report(copy, OK, now, time, run_id)


OPERATIONS: "dict[str, Operation]" = {"look": look, "unlock": unlock, "forget": forget, "pause": pause}
