"""Operator commands on a record; continues the specification in state_machine.py."""

from cronlock.lock.node_stats import append_history
from cronlock.lock.protocol import BUSY, HELD, OK, OTHER
from cronlock.lock.state_machine import report, set_expiry

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from cronlock.lock.copy import Copy, Fields
    from cronlock.lock.requests import Answer
    from cronlock.lock.state_machine import Operation

KEPT_BY_FORGET = ("token", "voter_set", "voter_set_by", "run_id")  # without these the key would count as new


def read(copy: "Copy", _request: "Fields", now: int, time: int, run_id: str) -> "Answer":
    """Report the record without a change."""
    return report(copy, OK, now, time, run_id)


def unlock(copy: "Copy", request: "Fields", now: int, time: int, run_id: str) -> "Answer":
    """End the lease of a run whose node is dead, according to an operator; the attempt stays used.

    Only of the run with this token: without that, a later run could lose its lease (the models' row "unlock ends the
    lease of a later run").
    """
    if copy.get("kind") != "run" or copy.get("token") != request["token"]:
        return report(copy, OTHER, now, time, run_id)
    copy.record.update(outcome="unlocked", end=time)
    copy.clear_holder()
    append_history(copy, "unlocked")
    return report(copy, OK, now, time, run_id)


def forget(copy: "Copy", request: "Fields", now: int, time: int, run_id: str) -> "Answer":
    """Erase all but the token and the voter set, never under a live lease; with --each other nodes' fields stay.

    Without the token, a later run could get the same one again (the models' row "an operator's forget leaves no
    token"); under a live lease, two runs could overlap (the row "an operator's forget under a live lease").
    """
    if copy.live(now):
        return report(copy, HELD if copy.get("kind") == "run" else BUSY, now, time, run_id)
    copy.record = {name: copy.record[name] for name in KEPT_BY_FORGET if copy.get("token") and name in copy.record}
    copy.history = []
    others = {name: value for name, value in copy.nodes.items() if name.partition(":")[2] != request["node"]}
    copy.nodes = {} if copy.main is None else others
    copy.expires = 0
    if copy.record:
        copy.record["outcome"] = "forgotten"
        set_expiry(copy, request, time)
    return report(copy, OK, now, time, run_id)


def pause(copy: "Copy", request: "Fields", now: int, time: int, run_id: str) -> "Answer":
    """Let no run start before `until` in wall-clock ms; -1 pauses until resumed, 0 resumes. A live run continues."""
    copy.record.update(paused_until=request["until"], pause_reason=request["reason"], pause_by=request["node"])
    set_expiry(copy, request, time)
    return report(copy, OK, now, time, run_id)


OPERATIONS: "dict[str, Operation]" = {"read": read, "unlock": unlock, "forget": forget, "pause": pause}
