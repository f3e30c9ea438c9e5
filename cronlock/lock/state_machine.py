"""The state machine of a voter's record: prepare, commit, extend, release, finish, turns. Specifies record.lua.

lock/__init__.py has the diagram. Pure: an operation takes a copy, a request and the voter's clocks, returns an answer,
and changes the copy in place. The same state machine runs inside Redis (servers/scripts/record.lua) and on the local
file (local.py); tests hold them equal step by step. Operators' commands are in operator_actions.py. Redlock:
https://redis.io/docs/latest/develop/clients/patterns/distributed-locks/ ; here a run takes two phases, so that an
attempt that reached only a minority of the voters never counts as a run.

Times are whole milliseconds: `now` on the clock that leases are measured with, `time` on the voter's wall clock (inside
Redis they are the same). Ticks are epoch seconds, 0 means none.

Fields of the record. The lease: holder, kind (prepare or run), lease_end, lease. The claim on ticks: token, tick, state
(running, done, failed, back), attempt, and the two ticks before it (tick1, tick2). The last run: node, pid, start, end,
run_tick, run_attempt, command, schedule, zone, next, outcome (empty until its end is recorded), status. The rest:
voter_set, voter_set_by, missed, missed_tick, paused_until (-1: until resumed), pause_reason, pause_by, and as run_id
the stamp of the server that last wrote a run: its run_id and its replication id. A restart changes the one, a promotion
the other. An adoption writes the last run as it found it, `by` the operator's node: the outcome is then adopted,
last_outcome has the run's own one, and `nodes` and `history` stay as they are.

`nodes` has for each node: seen:NODE and last:NODE, the newest ticks that it requested and ran; asked:NODE, when it last
requested the key without a tick (epoch seconds); job:NODE, its schedule, zone and command; result:NODE, its last run
that has ended; held:NODE, done:NODE, ran:NODE and so on, numbers of answers and of runs. `history` has one line per
run, the newest first.

With --each every node has a record of its own; a pause belongs to the whole key, and is in the key's main record.
"""

from cronlock.lock.copy import Copy
from cronlock.lock.node_stats import append_history, count, drop_gone_nodes, record_request, record_result
from cronlock.lock.protocol import (
    ADOPTED,
    BUSY,
    CLOCK,
    DONE,
    EXPIRED,
    HELD,
    LATE,
    NEWER,
    OK,
    OTHER,
    PAUSED,
    VOTER_SET,
    YIELD,
    YIELD_MAX,
)

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from collections.abc import Callable

    from cronlock.lock.copy import Fields
    from cronlock.lock.requests import Answer

    Operation = Callable[[Copy, Fields, int, int, str], Answer]

CLOCK_LIMIT = 60_000  # ms between a node and a voter: with a greater difference ticks of a minute can be confused
YIELD_STEP = (
    1_200  # ms for each node in front: clocks that differ by 500, and crons that start within 700 of each other
)
BLANK_RETENTION = 60_000  # ms: for a copy that has a prepared node, but no run yet

WRITTEN = (  # the fields of a request that a commit or a write-back copies into the record
    "holder lease token tick state attempt voter_set node pid start run_tick run_attempt command schedule zone next"
).split()
REPORTED = (  # the fields of the record that every answer has
    "token tick tick1 tick2 state attempt kind node pid start run_tick run_attempt outcome voter_set voter_set_by"
).split()
PAUSE = ("paused_until", "pause_reason")  # reported too


def prepare(copy: Copy, request: "Fields", now: int, time: int, run_id: str) -> "Answer":
    """Grant the short lease, or answer why not; ok changes nothing else, and never shortens the lease of a run.

    Without the last rule, a prepare that is executed twice would shorten the run's lease (the models' row "a prepare
    executed twice shortens the lease of the run").
    """
    answer = _refusal(copy, request, time)
    if not answer:
        if not request.get("adopt"):
            record_request(copy, request, time)
        answer = _decide(copy, request, now, time)
    wait = 0
    if answer == OK and request["fair"] and copy.main is None:  # a record of one node needs no turns
        wait = _turn_delay(copy, request)
        if wait:
            answer = YIELD
    if answer == OK and not (copy.get("holder") == request["holder"] and copy.get("kind") == "run"):
        lease = request["lease"]
        copy.record.update(holder=request["holder"], kind="prepare", lease_end=now + lease, lease=lease)
        if not copy.get("token") and not copy.get("paused_until"):
            copy.expires = time + BLANK_RETENTION
    if request["counts"] and answer not in (OK, BUSY, YIELD):
        count(copy, answer, request["node"])
    return {**report(copy, answer, now, time, run_id), "wait": wait}


def _refusal(copy: Copy, request: "Fields", time: int) -> str:
    if abs(request["time"] - time) > CLOCK_LIMIT:
        return CLOCK
    if copy.has_other_voters(request) and not request.get("adopt"):
        return VOTER_SET
    return ""


def _decide(copy: Copy, request: "Fields", now: int, time: int) -> str:
    tick = request["tick"]
    if copy.live(now) and copy.get("holder") != request["holder"]:
        if copy.get("kind") == "prepare":
            return BUSY
        if copy.get("tick") < tick and copy.get("missed_tick") < tick:
            copy.record.update(missed=copy.get("missed") + 1, missed_tick=tick)
        return HELD
    if copy.pause("paused_until") == -1 or copy.pause("paused_until") > time:
        return PAUSED
    if tick and copy.get("token") and not request["again"]:
        if copy.get("tick") > tick:
            return DONE
        if copy.get("tick") == tick and (copy.get("state") == "done" or copy.get("attempt") >= request["attempts"]):
            return DONE
    start_deadline = request["takeover_deadline"] if _takes_over(copy, request) else request["start_deadline"]
    if start_deadline and time >= start_deadline:
        return LATE
    return OK


def _takes_over(copy: Copy, request: "Fields") -> bool:
    """Return whether a run of this tick has begun before, so that the deadline of takeovers applies."""
    began = copy.get("attempt") or copy.get("state") == "back"
    return bool(copy.get("tick") == request["tick"] != 0 and began and not request["again"])


def _turn_delay(copy: Copy, request: "Fields") -> int:
    """Return how many ms this node yields to nodes that ran longer ago and requested one of the last three ticks."""
    own, oldest = copy.nodes.get("last:" + request["node"], 0), int(copy.get("tick2"))
    ahead: int = sum(
        name.startswith("seen:")
        and name != "seen:" + request["node"]
        and seen >= oldest
        and copy.nodes.get("last:" + name[5:], 0) < own
        for name, seen in copy.nodes.items()
    )
    return min(ahead * YIELD_STEP, YIELD_MAX)


def commit(copy: Copy, request: "Fields", now: int, time: int, run_id: str) -> "Answer":
    """Write the run of the prepared holder, only while it still is the holder. May be repeated.

    A commit wherever no lease is live could reuse a token (the models' row "commit wherever no lease is live"); one
    that does not compare the holder could take the key from a live run (the row "commit without comparing the holder").
    """
    if now > request["not_after"]:
        return report(copy, EXPIRED, now, time, run_id)
    if copy.get("holder") != request["holder"]:
        return report(copy, OTHER, now, time, run_id)
    _write_run(copy, request, now, time, run_id)
    return report(copy, OK, now, time, run_id)


def extend(copy: Copy, request: "Fields", now: int, time: int, run_id: str) -> "Answer":
    """Extend the lease of the run in the record; write the run back to a copy that lost it or missed it.

    Never over a newer token (the models' row "write-back over a newer token"), and never under another live lease, a
    prepared one included (the row "write-back over another node's prepare"). The record's expiry is set anew: otherwise
    all voters would lose a run of more than `retention` at the same moment, under its lease (the row "extend leaves the
    expiry, and a month passes").
    """
    answer = OK
    if now > request["not_after"]:
        answer = EXPIRED
    elif copy.is_current_holder(request):
        copy.record.update(lease_end=now + request["lease"], lease=request["lease"], run_id=run_id)
        set_expiry(copy, request, time)
    elif copy.has_other_voters(request):
        answer = VOTER_SET
    elif copy.get("token") > request["token"]:
        answer = NEWER
    elif copy.live(now) and copy.get("holder") != request["holder"]:
        answer = BUSY
    else:
        _write_run(copy, request, now, time, run_id)
    return report(copy, answer, now, time, run_id)


def _write_run(copy: Copy, request: "Fields", now: int, time: int, run_id: str) -> None:
    if copy.get("token") not in (0, request["token"]) and copy.get("node") and not copy.get("outcome"):
        append_history(copy, "died")
    if copy.get("tick") and request["tick"] > copy.get("tick"):
        copy.record.update(tick1=copy.get("tick"), tick2=copy.get("tick1"))
    if request["run_tick"] and copy.get("missed_tick") == request["run_tick"]:  # the tick is run after all
        copy.record.update(missed=copy.get("missed") - 1, missed_tick=0)
    copy.record.update({name: request[name] for name in WRITTEN})
    by = request.get("by", request["node"])
    copy.record.update(kind="run", lease_end=now + request["lease"], voter_set_by=by, run_id=run_id)
    if "last_outcome" in request or "last_outcome" in copy.record:
        copy.record["last_outcome"] = request.get("last_outcome", "")
    copy.record.update(outcome="", end=0, status=0)
    name = "last:" + request["node"]
    if request["run_tick"] > copy.nodes.get(name, 0):
        copy.nodes[name] = request["run_tick"]
    set_expiry(copy, request, time)


def release(copy: Copy, request: "Fields", now: int, time: int, run_id: str) -> "Answer":
    """Remove the lease of an attempt that starts nothing; a commit's attempt is given back, so that 0 means not run.

    It does not make the tick untried: another run may have begun it before (the models' row "release makes the tick
    untried").
    """
    if copy.get("holder") != request["holder"]:
        return report(copy, OTHER, now, time, run_id)
    if copy.get("kind") == "run":
        if copy.owns_tick_state():
            copy.record.update(attempt=max(0, copy.get("attempt") - 1))
        copy.record.update(outcome="not run", end=time)
    copy.clear_holder()
    return report(copy, OK, now, time, run_id)


def finish(copy: Copy, request: "Fields", now: int, time: int, run_id: str) -> "Answer":
    """End the run in the record: its tick is done, failed, or given back, which uses up no attempt. May be repeated.

    Only the run with this holder and token: otherwise a late finish could end the next run (the models' row "finish
    without comparing the run").
    """
    if not copy.is_current_holder(request):
        if (
            copy.get("token") == request["token"]
            and copy.get("end") == request["end"]
            and copy.get("outcome") == request["outcome"]
        ):
            return report(copy, OK, now, time, run_id)
        if copy.get("holder") == request["holder"] and copy.get("kind") == "prepare":
            copy.clear_holder()
        return report(copy, OTHER, now, time, run_id)
    if copy.owns_tick_state():
        copy.record.update(state=request["state"])
        if request["state"] == "back":
            copy.record.update(attempt=max(0, copy.get("attempt") - 1))
    copy.record.update(outcome=request["outcome"], status=request["status"], end=request["end"])
    copy.clear_holder()
    if request["outcome"] != ADOPTED:
        append_history(copy, request["outcome"])
        record_result(copy)
    drop_gone_nodes(copy, request["retention"], time)
    set_expiry(copy, request, time)
    return report(copy, OK, now, time, run_id)


def set_expiry(copy: Copy, request: "Fields", time: int) -> None:
    """Keep the record as long as requested, and for three periods: an operator may not know a rare schedule."""
    period = copy.get("next") - copy.get("run_tick") if copy.get("next") and copy.get("run_tick") else 0
    copy.expires = 0 if copy.get("paused_until") else time + max(request["retention"], period * 3000)


def report(copy: Copy, answer: str, now: int, time: int, run_id: str) -> "Answer":
    """Return the answer, with the fields that every answer has."""
    stamp = copy.get("run_id")
    fields = {name: copy.get(name) for name in REPORTED} | {name: copy.pause(name) for name in PAUSE}
    fields.update(
        answer=answer,
        now=now,
        time=time,
        run_id=run_id,
        restarted=int(bool(stamp and run_id and stamp != run_id)),
        left=copy.get("lease_end") - now if copy.live(now) else 0,
    )
    return fields  # type: ignore[return-value]


OPERATIONS: "dict[str, Operation]" = {
    "prepare": prepare,
    "commit": commit,
    "extend": extend,
    "release": release,
    "finish": finish,
}
