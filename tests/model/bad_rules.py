"""Known-bad rules, each a small change to one of the project's own; the search must find the promise it breaks."""

from collections.abc import Sequence

from cronlock.lock import operator_actions, quorum, state_machine
from cronlock.lock.copy import Copy
from cronlock.lock.protocol import Failure
from tests.model.rules import Fields, Reply

# -- rules of a voter --------------------------------------------------------------------------------------------------


def prepare_makes_known(copy: Copy, ask: Fields, now: int, time: int, run_id: str) -> Fields:
    """Let a prepare turn an amnesic copy into one that counts."""
    known = copy.record["mark"]
    answer = state_machine.prepare(copy, ask, now, time, run_id)
    if answer["answer"] == state_machine.OK:
        copy.record["mark"] = 1
    return answer | {"token": max(answer["token"], known)}


def prepare_counts(copy: Copy, ask: Fields, now: int, time: int, run_id: str) -> Fields:
    """Use a counter of the voter, raised by prepare, as the token."""
    answer = state_machine.prepare(copy, ask, now, time, run_id)
    if answer["answer"] != state_machine.OK:
        return answer
    copy.record["token"] += 1
    return answer | {"token": copy.record["token"] if answer["token"] else 0}


def prepare_older(copy: Copy, ask: Fields, now: int, time: int, run_id: str) -> Fields:
    """Grant an older tick while the key is free."""
    older = copy.record["tick"] > ask["tick"]
    return state_machine.prepare(copy, ask | {"again": int(older or ask["again"])}, now, time, run_id)


def prepare_shortens(copy: Copy, ask: Fields, now: int, time: int, run_id: str) -> Fields:
    """Let a prepare replace the lease of the same holder's run by its own short one."""
    answer = state_machine.prepare(copy, ask, now, time, run_id)
    if answer["answer"] == state_machine.OK:
        copy.record["kind"] = "prepare"
    return answer


def prepare_says_held(copy: Copy, ask: Fields, now: int, time: int, run_id: str) -> Fields:
    """Answer held on behalf of a node that has only prepared."""
    answer = state_machine.prepare(copy, ask, now, time, run_id)
    return answer | ({"answer": state_machine.HELD} if answer["answer"] == state_machine.BUSY else {})


def prepare_tries_once(copy: Copy, ask: Fields, now: int, time: int, run_id: str) -> Fields:
    """Treat a started tick as done, even for a node that would take it over."""
    return state_machine.prepare(copy, ask | {"attempts": 1}, now, time, run_id)


def commit_without_live_lease(copy: Copy, ask: Fields, now: int, time: int, run_id: str) -> Fields:
    """Accept a commit wherever no other lease is live."""
    if not copy.live(now):
        copy.record["holder"] = ask["holder"]
    return state_machine.commit(copy, ask, now, time, run_id)


def commit_anywhere(copy: Copy, ask: Fields, now: int, time: int, run_id: str) -> Fields:
    """Accept a commit without comparing the holder."""
    copy.record["holder"] = ask["holder"]
    return state_machine.commit(copy, ask, now, time, run_id)


def commit_without_token(copy: Copy, ask: Fields, now: int, time: int, run_id: str) -> Fields:
    """Keep the voter's own token in a commit."""
    return state_machine.commit(copy, ask | {"token": copy.record["token"]}, now, time, run_id)


def extend_over_a_prepare(copy: Copy, ask: Fields, now: int, time: int, run_id: str) -> Fields:
    """Write a run back over a copy that another node has prepared."""
    if not copy.is_current_holder(ask) and copy.record["token"] < ask["token"]:
        copy.clear_holder()
    return state_machine.extend(copy, ask, now, time, run_id)


def extend_without_bound(copy: Copy, ask: Fields, now: int, time: int, run_id: str) -> Fields:
    """Execute a write-back however late it arrives."""
    return state_machine.extend(copy, ask | {"not_after": now}, now, time, run_id)


def extend_newer(copy: Copy, ask: Fields, now: int, time: int, run_id: str) -> Fields:
    """Write a run back over a newer token when no lease is live there."""
    token = copy.record["token"]
    copy.record["token"] = min(token, ask["token"])
    answer = state_machine.extend(copy, ask, now, time, run_id)
    if answer["answer"] != state_machine.OK:
        copy.record["token"] = token
    return answer


def extend_by_token(copy: Copy, ask: Fields, now: int, time: int, run_id: str) -> Fields:
    """Identify the run by its token alone."""
    if copy.record["token"] == ask["token"]:
        copy.record.update(holder=ask["holder"], kind="run")
    return state_machine.extend(copy, ask, now, time, run_id)


def extend_clears_pause(copy: Copy, ask: Fields, now: int, time: int, run_id: str) -> Fields:
    """Write the whole record back, pause included."""
    mine = copy.is_current_holder(ask)
    answer = state_machine.extend(copy, ask, now, time, run_id)
    if answer["answer"] == state_machine.OK and not mine:
        copy.record["paused_until"] = 0
    return answer


def extend_leaves_expiry(copy: Copy, ask: Fields, now: int, time: int, run_id: str) -> Fields:
    """Leave the expiry as commit set it, however long the run goes on."""
    mine, expires = copy.is_current_holder(ask), copy.expires
    answer = state_machine.extend(copy, ask, now, time, run_id)
    if mine:
        copy.expires = expires
    return answer


def release_opens(copy: Copy, ask: Fields, now: int, time: int, run_id: str) -> Fields:
    """Mark the tick as untried instead of taking one attempt back."""
    opens = copy.record["holder"] == ask["holder"] and copy.record["kind"] == "run"
    answer = state_machine.release(copy, ask, now, time, run_id)
    if opens:
        copy.record.update(state="", attempt=0)
    return answer


def finish_any(copy: Copy, ask: Fields, now: int, time: int, run_id: str) -> Fields:
    """End a run without comparing which run it is."""
    if copy.record["kind"] == "run":
        ask = ask | {"holder": copy.record["holder"], "token": copy.record["token"]}
    return state_machine.finish(copy, ask, now, time, run_id)


def end_lease_and_token(copy: Copy) -> None:
    """Drop the token together with the lease."""
    copy.record.update(lease_end=0, token=min(copy.record["token"], 1))


def unlock_any_run(copy: Copy, ask: Fields, now: int, time: int, run_id: str) -> Fields:
    """End the lease of the run that holds the key by then, instead of the run that the operator saw."""
    return operator_actions.unlock(copy, ask | {"token": copy.record["token"]}, now, time, run_id)


def forget_all(copy: Copy, ask: Fields, now: int, time: int, run_id: str) -> Fields:
    """Erase everything on forget, the token included."""
    answer = operator_actions.forget(copy, ask, now, time, run_id)
    if answer["answer"] == state_machine.OK:
        copy.record.clear()
    return answer


def forget_under_a_lease(copy: Copy, ask: Fields, now: int, time: int, run_id: str) -> Fields:
    """Forget a key even under a live lease."""
    copy.clear_holder()
    return operator_actions.forget(copy, ask, now, time, run_id)


def stamp_of_run_id(run_id: str, _replication_id: str) -> str:
    """Identify the server that wrote a copy by its run_id alone."""
    return run_id


def end_lease_never(_copy: Copy) -> None:
    """Give a prepare no lease, so that it stays until it is released."""


# -- rules of a node ---------------------------------------------------------------------------------------------------


def judge_all_blank_is_new(replies: Sequence[Reply], fresh: Sequence[bool], tick: int) -> quorum.Verdict | None:
    """Treat a key as new when every answer so far is without a record."""
    answers = [reply for reply in replies if isinstance(reply, dict)]
    new = all(not answer["token"] and answer["answer"] in (state_machine.OK, state_machine.BUSY) for answer in answers)
    return (judge_blank_votes if new else quorum.judge)(replies, fresh, tick)


def judge_blank_votes(replies: Sequence[Reply], fresh: Sequence[bool], tick: int) -> quorum.Verdict | None:
    """Let amnesic copies vote like any other."""
    remembering = [reply | {"token": max(1, reply["token"])} if isinstance(reply, dict) else reply for reply in replies]
    return quorum.judge(remembering, fresh, tick)


def judge_no_way_to_win(replies: Sequence[Reply], fresh: Sequence[bool], tick: int) -> quorum.Verdict | None:
    """Give up on one held or done once a quorum of ok is out of reach."""
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
    """Give up on a quorum of answers that are about different runs."""
    answers = [reply for reply in replies if isinstance(reply, dict)]
    token = max((answer["token"] for answer in answers), default=0)
    alike = [reply | {"token": token} if isinstance(reply, dict) and reply["token"] else reply for reply in replies]
    return quorum.judge(alike, fresh, tick)


def judge_end_is_outvoted(replies: Sequence[Reply], fresh: Sequence[bool], tick: int) -> quorum.Verdict | None:
    """Let a quorum of ok outvote a voter that has recorded the end of the tick's run."""
    others = [reply | {"state": "running"} if isinstance(reply, dict) else reply for reply in replies]
    return quorum.judge(others, fresh, tick)


def adopts_beside_busy(replies: Sequence[Reply], fresh: Sequence[bool], tick: int) -> quorum.Verdict | None:
    """Adopt a quorum's answers although another voter is busy with a node's request."""
    others = [None if isinstance(reply, dict) and reply["answer"] == state_machine.BUSY else reply for reply in replies]
    if None in replies or None not in others:
        return quorum.judge_adoption(replies, fresh, tick)
    return quorum.judge_adoption([reply or Failure("busy") for reply in others], fresh, tick)


def joins_always(_answer: Fields, _token: int) -> bool:
    """Send the commit to every voter whose ok comes late."""
    return True


def claim_own_tick(answers: Sequence[Fields], tick: int, again: bool) -> Fields:
    """Let --again write its own tick, even an older one."""
    own = {"tick": tick, "state": "running", "attempt": 1} if again else {}
    return quorum.claim(answers, tick, again) | own


def claim_restarts_tick(answers: Sequence[Fields], tick: int, again: bool) -> Fields:
    """Let --again turn the newest tick back into a running one."""
    own = {"state": "running", "attempt": 1} if again else {}
    return quorum.claim(answers, tick, again) | own


def claim_counted(answers: Sequence[Fields], tick: int, again: bool) -> Fields:
    """Use the highest of the voters' counters as the token."""
    return quorum.claim(answers, tick, again) | {"token": max(answer["token"] for answer in answers)}
