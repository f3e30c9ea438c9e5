"""The record that a voter keeps of a key, and what may be done with it: the specification of the lock's state machine.

Pure: a copy, a request and the voter's clocks come in, an answer comes out, and the copy is changed in place. The same
state machine runs inside Redis (scripts/record.lua) and on the local file (local.py); tests hold them equal step by
step. What a person may do with a record stands in operator_actions.py. Redlock:
https://redis.io/docs/latest/develop/clients/patterns/distributed-locks/ ; here a run takes two phases, so that an
attempt that reached only a minority of the voters never counts as a run.

Times are whole milliseconds: `now` on the clock that leases are measured with, `time` on the voter's wall clock (inside
Redis they are the same). Ticks are epoch seconds, 0 means none.

Fields of the record. The lease: holder, kind (prepare or run), lease_end, lease. The claim on ticks: token, tick, state
(running, done, failed, back), attempt, and the two ticks before it (tick1, tick2). The last run: node, pid, start, end,
run_tick, run_attempt, command, schedule, zone, next, outcome (empty while it goes on), status. The rest: settings,
voter_set_by, missed, missed_tick, paused_until (-1: until resumed), pause_reason, pause_by, and as run_id the stamp of
the server that last wrote a run: its run_id and its replication id. A restart changes the one, a promotion the other.
An adoption writes the last run as it found it, `by` a person's node: outcome is adopted then, and last_outcome is what
the run's was; it is nothing that a node ran, in `nodes` and `history`.

`nodes` tells of each node: seen:NODE and last:NODE are the newest ticks that it asked for and ran, asked:NODE is when
it asked without a tick (epoch seconds); job:NODE is what it would run, and when; result:NODE is its last run that has
ended; held:NODE, done:NODE, ran:NODE and so on are numbers of answers and of runs. `history` holds one line per run,
newest first.

With --each every node has a record of its own; a pause is one of the whole key, and stands in the key's main record.
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

CLOCK_LIMIT = 60_000  # ms between a node and a voter: beyond it ticks can't be told apart any more
YIELD_STEP = (
    1_200  # ms for each node in front: clocks that differ by 500, and crons that start within 700 of each other
)
BLANK_RETENTION = 60_000  # ms: a copy that only candidates wrote to

WRITTEN = (  # what a commit or a write-back puts into the record as it was sent
    "holder lease token tick state attempt voter_set node pid start run_tick run_attempt command schedule zone next"
).split()
REPORTED = (  # what every answer tells of the record
    "token tick tick1 tick2 state attempt kind node pid start run_tick run_attempt outcome voter_set voter_set_by"
).split()
PAUSE = ("paused_until", "pause_reason")  # reported too


def prepare(copy: Copy, request: "Fields", now: int, time: int, run_id: str) -> "Answer":
    """Ask for the key: ok takes the short lease and changes nothing else; never a lease that a commit set."""
    answer = _refusal(copy, request, time)
    if not answer:
        if not request.get("adopt"):
            record_request(copy, request, time)
        answer = _judge(copy, request, now, time)
    wait = 0
    if answer == OK and request["fair"] and copy.main is None:  # where a node is alone there is no line
        wait = _wait_in_line(copy, request)
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


def _judge(copy: Copy, request: "Fields", now: int, time: int) -> str:
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
    """Whether a run of this tick began already: how late a first start may be has no bearing any more."""
    began = copy.get("attempt") or copy.get("state") == "back"
    return bool(copy.get("tick") == request["tick"] != 0 and began and not request["again"])


def _wait_in_line(copy: Copy, request: "Fields") -> int:
    """How many ms this node lets those go first that ran longer ago; who missed the last three ticks is not in line."""
    is_current_holder, oldest = copy.nodes.get("last:" + request["node"], 0), int(copy.get("tick2"))
    before: int = sum(
        name.startswith("seen:")
        and name != "seen:" + request["node"]
        and seen >= oldest
        and copy.nodes.get("last:" + name[5:], 0) < is_current_holder
        for name, seen in copy.nodes.items()
    )
    return min(before * YIELD_STEP, YIELD_MAX)


def commit(copy: Copy, request: "Fields", now: int, time: int, run_id: str) -> "Answer":
    """Make the prepared holder the run; only where it still is the holder, strictly. May be repeated."""
    if now > request["not_after"]:
        return report(copy, EXPIRED, now, time, run_id)
    if copy.get("holder") != request["holder"]:
        return report(copy, OTHER, now, time, run_id)
    _write(copy, request, now, time, run_id)
    return report(copy, OK, now, time, run_id)


def extend(copy: Copy, request: "Fields", now: int, time: int, run_id: str) -> "Answer":
    """Lengthen the lease of the run that stands here; write the run back to a copy that forgot it or missed it.

    Never over a newer token, and never under a live lease of another, a prepared one included. The record of a run that
    goes on stays: without that, all voters would forget a run of more than `retention` at the same moment, under its
    lease (the models' row "extend leaves the expiry, and a month passes").
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
        _write(copy, request, now, time, run_id)
    return report(copy, answer, now, time, run_id)


def _write(copy: Copy, request: "Fields", now: int, time: int, run_id: str) -> None:
    if copy.get("token") not in (0, request["token"]) and copy.get("node") and not copy.get("outcome"):
        append_history(copy, "died")
    if copy.get("tick") and request["tick"] > copy.get("tick"):
        copy.record.update(tick1=copy.get("tick"), tick2=copy.get("tick1"))
    if request["run_tick"] and copy.get("missed_tick") == request["run_tick"]:  # the contender got it after all
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
    """Take back what an attempt that starts nothing left here; a commit's attempt goes down by one: 0 is not run."""
    if copy.get("holder") != request["holder"]:
        return report(copy, OTHER, now, time, run_id)
    if copy.get("kind") == "run":
        if copy.owns_tick_state():
            copy.record.update(attempt=max(0, copy.get("attempt") - 1))
        copy.record.update(outcome="not run", end=time)
    copy.clear_holder()
    return report(copy, OK, now, time, run_id)


def finish(copy: Copy, request: "Fields", now: int, time: int, run_id: str) -> "Answer":
    """End the run that stands here: its tick is done, failed, or given back, which uses up no attempt. Repeatable."""
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
    """Keep it as long as asked, and for three of the last run's periods: a person does not know of a rare schedule."""
    period = copy.get("next") - copy.get("run_tick") if copy.get("next") and copy.get("run_tick") else 0
    copy.expires = 0 if copy.get("paused_until") else time + max(request["retention"], period * 3000)


def report(copy: Copy, answer: str, now: int, time: int, run_id: str) -> "Answer":
    """What every answer tells."""
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
