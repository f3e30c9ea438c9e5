"""Known-bad rules, each a small change to the project's own: a search must find what it breaks."""

from collections.abc import Sequence

from cronlock.lock import operator_actions, quorum, state_machine
from cronlock.lock.copy import Copy
from cronlock.lock.protocol import Failure
from tests.model.rules import Fields, Reply

# -- what a voter does -------------------------------------------------------------------------------------------------


def prepare_makes_known(copy: Copy, ask: Fields, now: int, time: int, run_id: str) -> Fields:
    """A copy forgot only as long as there is nothing at all: a prepare makes it one that remembers."""
    known = copy.record["mark"]
    answer = state_machine.prepare(copy, ask, now, time, run_id)
    if answer["answer"] == state_machine.OK:
        copy.record["mark"] = 1
    return answer | {"token": max(answer["token"], known)}


def prepare_counts(copy: Copy, ask: Fields, now: int, time: int, run_id: str) -> Fields:
    """The token is the voter's own counter, raised by prepare."""
    answer = state_machine.prepare(copy, ask, now, time, run_id)
    if answer["answer"] != state_machine.OK:
        return answer
    copy.record["token"] += 1
    return answer | {"token": copy.record["token"] if answer["token"] else 0}


def prepare_older(copy: Copy, ask: Fields, now: int, time: int, run_id: str) -> Fields:
    """An older tick is not done, as long as nobody holds the key."""
    older = copy.record["tick"] > ask["tick"]
    return state_machine.prepare(copy, ask | {"again": int(older or ask["again"])}, now, time, run_id)


def prepare_shortens(copy: Copy, ask: Fields, now: int, time: int, run_id: str) -> Fields:
    """A prepare takes its short lease where the same holder's run stands already."""
    answer = state_machine.prepare(copy, ask, now, time, run_id)
    if answer["answer"] == state_machine.OK:
        copy.record["kind"] = "prepare"
    return answer


def prepare_says_held(copy: Copy, ask: Fields, now: int, time: int, run_id: str) -> Fields:
    """One who only prepares is said to hold the key."""
    answer = state_machine.prepare(copy, ask, now, time, run_id)
    return answer | ({"answer": state_machine.HELD} if answer["answer"] == state_machine.BUSY else {})


def prepare_tries_once(copy: Copy, ask: Fields, now: int, time: int, run_id: str) -> Fields:
    """A tick that was begun is done, also for a node that would take it over."""
    return state_machine.prepare(copy, ask | {"attempts": 1}, now, time, run_id)


def commit_where_nobody_is(copy: Copy, ask: Fields, now: int, time: int, run_id: str) -> Fields:
    """It is enough that no other's lease runs."""
    if not copy.live(now):
        copy.record["holder"] = ask["holder"]
    return state_machine.commit(copy, ask, now, time, run_id)


def commit_anywhere(copy: Copy, ask: Fields, now: int, time: int, run_id: str) -> Fields:
    """Whoever is the holder."""
    copy.record["holder"] = ask["holder"]
    return state_machine.commit(copy, ask, now, time, run_id)


def commit_without_token(copy: Copy, ask: Fields, now: int, time: int, run_id: str) -> Fields:
    """The voter keeps its own counter."""
    return state_machine.commit(copy, ask | {"token": copy.record["token"]}, now, time, run_id)


def extend_over_a_prepare(copy: Copy, ask: Fields, now: int, time: int, run_id: str) -> Fields:
    """A write-back takes a copy whose lease another has."""
    if not copy.is_current_holder(ask) and copy.record["token"] < ask["token"]:
        copy.clear_holder()
    return state_machine.extend(copy, ask, now, time, run_id)


def extend_without_bound(copy: Copy, ask: Fields, now: int, time: int, run_id: str) -> Fields:
    """It is executed however late it is."""
    return state_machine.extend(copy, ask | {"not_after": now}, now, time, run_id)


def extend_newer(copy: Copy, ask: Fields, now: int, time: int, run_id: str) -> Fields:
    """A write-back takes a copy that has something newer, when no lease runs there."""
    token = copy.record["token"]
    copy.record["token"] = min(token, ask["token"])
    answer = state_machine.extend(copy, ask, now, time, run_id)
    if answer["answer"] != state_machine.OK:
        copy.record["token"] = token
    return answer


def extend_by_token(copy: Copy, ask: Fields, now: int, time: int, run_id: str) -> Fields:
    """The token alone says whose run it is."""
    if copy.record["token"] == ask["token"]:
        copy.record.update(holder=ask["holder"], kind="run")
    return state_machine.extend(copy, ask, now, time, run_id)


def extend_clears_pause(copy: Copy, ask: Fields, now: int, time: int, run_id: str) -> Fields:
    """A write-back writes the whole record."""
    mine = copy.is_current_holder(ask)
    answer = state_machine.extend(copy, ask, now, time, run_id)
    if answer["answer"] == state_machine.OK and not mine:
        copy.record["paused_until"] = 0
    return answer


def extend_leaves_expiry(copy: Copy, ask: Fields, now: int, time: int, run_id: str) -> Fields:
    """The expiry is what commit set, however long the run goes on."""
    mine, expires = copy.is_current_holder(ask), copy.expires
    answer = state_machine.extend(copy, ask, now, time, run_id)
    if mine:
        copy.expires = expires
    return answer


def release_opens(copy: Copy, ask: Fields, now: int, time: int, run_id: str) -> Fields:
    """It makes the tick one that nobody tried, instead of taking one attempt back."""
    opens = copy.record["holder"] == ask["holder"] and copy.record["kind"] == "run"
    answer = state_machine.release(copy, ask, now, time, run_id)
    if opens:
        copy.record.update(state="", attempt=0)
    return answer


def finish_any(copy: Copy, ask: Fields, now: int, time: int, run_id: str) -> Fields:
    """Whose run it is does not matter."""
    if copy.record["kind"] == "run":
        ask = ask | {"holder": copy.record["holder"], "token": copy.record["token"]}
    return state_machine.finish(copy, ask, now, time, run_id)


def end_lease_and_token(copy: Copy) -> None:
    """The token is kept only as long as a lease."""
    copy.record.update(lease_end=0, token=min(copy.record["token"], 1))


def unlock_whoever_runs(copy: Copy, ask: Fields, now: int, time: int, run_id: str) -> Fields:
    """A person ends the lease of whoever holds the key by then."""
    return operator_actions.unlock(copy, ask | {"token": copy.record["token"]}, now, time, run_id)


def forget_all(copy: Copy, ask: Fields, now: int, time: int, run_id: str) -> Fields:
    """What a person has forgotten leaves nothing, not even its token."""
    answer = operator_actions.forget(copy, ask, now, time, run_id)
    if answer["answer"] == state_machine.OK:
        copy.record.clear()
    return answer


def forget_under_a_lease(copy: Copy, ask: Fields, now: int, time: int, run_id: str) -> Fields:
    """Whoever holds the key."""
    copy.clear_holder()
    return operator_actions.forget(copy, ask, now, time, run_id)


def stamp_of_run_id(run_id: str, _replication_id: str) -> str:
    """A copy says by its run_id alone which server wrote it."""
    return run_id


def end_lease_never(_copy: Copy) -> None:
    """A prepare has no lease: it stands until it is released."""


# -- what a node makes of the answers ----------------------------------------------------------------------------------


def judge_all_blank_is_new(replies: Sequence[Reply], fresh: Sequence[bool], tick: int) -> quorum.Verdict | None:
    """A key is new when all who answer have no record of it."""
    answers = [reply for reply in replies if isinstance(reply, dict)]
    new = all(not answer["token"] and answer["answer"] in (state_machine.OK, state_machine.BUSY) for answer in answers)
    return (judge_blank_votes if new else quorum.judge)(replies, fresh, tick)


def judge_blank_votes(replies: Sequence[Reply], fresh: Sequence[bool], tick: int) -> quorum.Verdict | None:
    """A copy that forgot votes like any other."""
    remembering = [reply | {"token": max(1, reply["token"])} if isinstance(reply, dict) else reply for reply in replies]
    return quorum.judge(remembering, fresh, tick)


def judge_no_way_to_win(replies: Sequence[Reply], fresh: Sequence[bool], tick: int) -> quorum.Verdict | None:
    """One held or done sends a node home that has no quorum of ok any more."""
    verdict = quorum.judge(replies, fresh, tick)
    answers = [reply for reply in replies if isinstance(reply, dict)]
    quiet = [answer for answer in answers if answer["answer"] in quorum.QUIET]
    oks = sum(answer["answer"] == state_machine.OK for answer in answers)
    enough = quorum.quorum(len(replies))
    open_to = oks + len(replies) - len(answers)
    if verdict or not quiet or len(answers) < enough or open_to >= enough:
        return verdict
    return quorum.Verdict(quiet[0]["answer"], quiet[0])


def judge_quiet_differs(replies: Sequence[Reply], fresh: Sequence[bool], tick: int) -> quorum.Verdict | None:
    """Those who send a node home may speak of different runs."""
    answers = [reply for reply in replies if isinstance(reply, dict)]
    token = max((answer["token"] for answer in answers), default=0)
    alike = [reply | {"token": token} if isinstance(reply, dict) and reply["token"] else reply for reply in replies]
    return quorum.judge(alike, fresh, tick)


def judge_end_is_outvoted(replies: Sequence[Reply], fresh: Sequence[bool], tick: int) -> quorum.Verdict | None:
    """One voter that has heard the end of the tick's run is one voice among others."""
    others = [reply | {"state": "running"} if isinstance(reply, dict) else reply for reply in replies]
    return quorum.judge(others, fresh, tick)


def adopts_beside_busy(replies: Sequence[Reply], fresh: Sequence[bool], tick: int) -> quorum.Verdict | None:
    """A person adopts what a quorum says, though another voter is just asked by a node."""
    others = [None if isinstance(reply, dict) and reply["answer"] == state_machine.BUSY else reply for reply in replies]
    if None in replies or None not in others:
        return quorum.judge_adoption(replies, fresh, tick)
    return quorum.judge_adoption([reply or Failure("busy") for reply in others], fresh, tick)


def joins_always(_answer: Fields, _token: int) -> bool:
    """Whatever a late ok says, the commit goes there."""
    return True


def claim_own_tick(answers: Sequence[Fields], tick: int, again: bool) -> Fields:
    """--again writes the tick that it was asked for, be it older."""
    own = {"tick": tick, "state": "running", "attempt": 1} if again else {}
    return quorum.claim(answers, tick, again) | own


def claim_restarts_tick(answers: Sequence[Fields], tick: int, again: bool) -> Fields:
    """--again makes the newest tick a running one."""
    own = {"state": "running", "attempt": 1} if again else {}
    return quorum.claim(answers, tick, again) | own


def claim_counted(answers: Sequence[Fields], tick: int, again: bool) -> Fields:
    """The token is the highest of the voters' counters."""
    return quorum.claim(answers, tick, again) | {"token": max(answer["token"] for answer in answers)}
