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


def prepare(copy: Copy, ask: "Fields", now: int, time: int, run_id: str) -> "Answer":
    """Ask for the key: ok takes the short lease and changes nothing else; never a lease that a commit set."""
    answer = _refusal(copy, ask, time)
    if not answer:
        if not ask.get("adopt"):
            record_request(copy, ask, time)
        answer = _judge(copy, ask, now, time)
    wait = 0
    if answer == OK and ask["fair"] and copy.main is None:  # where a node is alone there is no line
        wait = _wait_in_line(copy, ask)
        if wait:
            answer = YIELD
    if answer == OK and not (copy.get("holder") == ask["holder"] and copy.get("kind") == "run"):
        copy.record.update(holder=ask["holder"], kind="prepare", lease_end=now + ask["lease"], lease=ask["lease"])
        if not copy.get("token") and not copy.get("paused_until"):
            copy.expires = time + BLANK_RETENTION
    if ask["counts"] and answer not in (OK, BUSY, YIELD):
        count(copy, answer, ask["node"])
    return {**report(copy, answer, now, time, run_id), "wait": wait}


def _refusal(copy: Copy, ask: "Fields", time: int) -> str:
    if abs(ask["time"] - time) > CLOCK_LIMIT:
        return CLOCK
    if copy.has_other_voters(ask) and not ask.get("adopt"):
        return VOTER_SET
    return ""


def _judge(copy: Copy, ask: "Fields", now: int, time: int) -> str:
    tick = ask["tick"]
    if copy.live(now) and copy.get("holder") != ask["holder"]:
        if copy.get("kind") == "prepare":
            return BUSY
        if copy.get("tick") < tick and copy.get("missed_tick") < tick:
            copy.record.update(missed=copy.get("missed") + 1, missed_tick=tick)
        return HELD
    if copy.pause("paused_until") == -1 or copy.pause("paused_until") > time:
        return PAUSED
    if tick and copy.get("token") and not ask["again"]:
        if copy.get("tick") > tick:
            return DONE
        if copy.get("tick") == tick and (copy.get("state") == "done" or copy.get("attempt") >= ask["attempts"]):
            return DONE
    start_deadline = ask["takeover_deadline"] if _takes_over(copy, ask) else ask["start_deadline"]
    if start_deadline and time >= start_deadline:
        return LATE
    return OK


def _takes_over(copy: Copy, ask: "Fields") -> bool:
    """Whether a run of this tick began already: how late a first start may be has no bearing any more."""
    began = copy.get("attempt") or copy.get("state") == "back"
    return bool(copy.get("tick") == ask["tick"] != 0 and began and not ask["again"])


def _wait_in_line(copy: Copy, ask: "Fields") -> int:
    """How many ms this node lets those go first that ran longer ago; who missed the last three ticks is not in line."""
    is_current_holder, oldest = copy.nodes.get("last:" + ask["node"], 0), int(copy.get("tick2"))
    before: int = sum(
        name.startswith("seen:")
        and name != "seen:" + ask["node"]
        and seen >= oldest
        and copy.nodes.get("last:" + name[5:], 0) < is_current_holder
        for name, seen in copy.nodes.items()
    )
    return min(before * YIELD_STEP, YIELD_MAX)


def commit(copy: Copy, ask: "Fields", now: int, time: int, run_id: str) -> "Answer":
    """Make the prepared holder the run; only where it still is the holder, strictly. May be repeated."""
    if now > ask["not_after"]:
        return report(copy, EXPIRED, now, time, run_id)
    if copy.get("holder") != ask["holder"]:
        return report(copy, OTHER, now, time, run_id)
    _write(copy, ask, now, time, run_id)
    return report(copy, OK, now, time, run_id)


def extend(copy: Copy, ask: "Fields", now: int, time: int, run_id: str) -> "Answer":
    """Lengthen the lease of the run that stands here; write the run back to a copy that forgot it or missed it.

    Never over a newer token, and never under a live lease of another, a prepared one included. The record of a run that
    goes on stays: without that, all voters would forget a run of more than `retention` at the same moment, under its
    lease (the models' row "extend leaves the expiry, and a month passes").
    """
    answer = OK
    if now > ask["not_after"]:
        answer = EXPIRED
    elif copy.is_current_holder(ask):
        copy.record.update(lease_end=now + ask["lease"], lease=ask["lease"], run_id=run_id)
        set_expiry(copy, ask, time)
    elif copy.has_other_voters(ask):
        answer = VOTER_SET
    elif copy.get("token") > ask["token"]:
        answer = NEWER
    elif copy.live(now) and copy.get("holder") != ask["holder"]:
        answer = BUSY
    else:
        _write(copy, ask, now, time, run_id)
    return report(copy, answer, now, time, run_id)


def _write(copy: Copy, ask: "Fields", now: int, time: int, run_id: str) -> None:
    if copy.get("token") not in (0, ask["token"]) and copy.get("node") and not copy.get("outcome"):
        append_history(copy, "died")
    if copy.get("tick") and ask["tick"] > copy.get("tick"):
        copy.record.update(tick1=copy.get("tick"), tick2=copy.get("tick1"))
    if ask["run_tick"] and copy.get("missed_tick") == ask["run_tick"]:  # the contender got it after all
        copy.record.update(missed=copy.get("missed") - 1, missed_tick=0)
    copy.record.update({name: ask[name] for name in WRITTEN})
    by = ask.get("by", ask["node"])
    copy.record.update(kind="run", lease_end=now + ask["lease"], voter_set_by=by, run_id=run_id)
    if "last_outcome" in ask or "last_outcome" in copy.record:
        copy.record["last_outcome"] = ask.get("last_outcome", "")
    copy.record.update(outcome="", end=0, status=0)
    name = "last:" + ask["node"]
    if ask["run_tick"] > copy.nodes.get(name, 0):
        copy.nodes[name] = ask["run_tick"]
    set_expiry(copy, ask, time)


def release(copy: Copy, ask: "Fields", now: int, time: int, run_id: str) -> "Answer":
    """Take back what an attempt that starts nothing left here; a commit's attempt goes down by one: 0 is not run."""
    if copy.get("holder") != ask["holder"]:
        return report(copy, OTHER, now, time, run_id)
    if copy.get("kind") == "run":
        if copy.owns_tick_state():
            copy.record.update(attempt=max(0, copy.get("attempt") - 1))
        copy.record.update(outcome="not run", end=time)
    copy.clear_holder()
    return report(copy, OK, now, time, run_id)


def finish(copy: Copy, ask: "Fields", now: int, time: int, run_id: str) -> "Answer":
    """End the run that stands here: its tick is done, failed, or given back, which uses up no attempt. Repeatable."""
    if not copy.is_current_holder(ask):
        if (
            copy.get("token") == ask["token"]
            and copy.get("end") == ask["end"]
            and copy.get("outcome") == ask["outcome"]
        ):
            return report(copy, OK, now, time, run_id)
        if copy.get("holder") == ask["holder"] and copy.get("kind") == "prepare":
            copy.clear_holder()
        return report(copy, OTHER, now, time, run_id)
    if copy.owns_tick_state():
        copy.record.update(state=ask["state"])
        if ask["state"] == "back":
            copy.record.update(attempt=max(0, copy.get("attempt") - 1))
    copy.record.update(outcome=ask["outcome"], status=ask["status"], end=ask["end"])
    copy.clear_holder()
    if ask["outcome"] != ADOPTED:
        append_history(copy, ask["outcome"])
        record_result(copy)
    drop_gone_nodes(copy, ask["retention"], time)
    set_expiry(copy, ask, time)
    return report(copy, OK, now, time, run_id)


def set_expiry(copy: Copy, ask: "Fields", time: int) -> None:
    """Keep it as long as asked, and for three of the last run's periods: a person does not know of a rare schedule."""
    period = copy.get("next") - copy.get("run_tick") if copy.get("next") and copy.get("run_tick") else 0
    copy.expires = 0 if copy.get("paused_until") else time + max(ask["retention"], period * 3000)


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
