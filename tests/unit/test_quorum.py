"""What the voters' answers amount to: who won, who goes home, what is written and how long to believe in it."""

from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cronlock.lock import state_machine
from cronlock.lock.protocol import Failure
from cronlock.lock.quorum import (
    REFUSED,
    RETRY,
    WON,
    Verdict,
    claim,
    drift,
    is_amnesic,
    judge,
    judge_adoption,
    lease_valid_until,
    may_join_commit,
    median_time,
    quorum,
    reports_earlier_run,
    token,
    unfinished_run,
    votes,
)
from cronlock.lock.undecided import undecided

Fields = dict[str, Any]
Reply = Fields | Failure | None
TICK = 1_800_000_000
DOWN = Failure("redis-1:6379: connection refused")
SHUT = Failure("redis-1:6379: WRONGPASS", final=True)


def said(answer: str, token: int = 7, **more: Any) -> Fields:
    """An answer of a copy that remembers."""
    plain = {"answer": answer, "token": token, "restarted": 0, "wait": 0, "time": 1_800_000_000_000, "tick": TICK - 60}
    plain |= {"clock_off": "redis-3:6379: its clock is off"} if answer == "clock" else {}
    return {**plain, "attempt": 1, "state": "done", "outcome": "ran", "kind": "", "node": "web-1", **more}


def forgot(answer: str = "ok", **more: Any) -> Fields:
    """An answer of a copy without a token."""
    return said(answer, 0, **{"tick": 0, "attempt": 0, "state": "", "outcome": "", "node": "", **more})


def restarted(answer: str = "ok") -> Fields:
    """An answer of a copy that may have gone back to older data."""
    return said(answer, restarted=1)


OK, BUSY, YIELD = said("ok"), said("busy"), said("yield", wait=500)
HELD, DONE, PAUSED, LATE = said("held"), said("done"), said("paused"), said("late")
CLOCK, VOTER_SET = said("clock"), said("voter_set")


def verdict(*replies: Reply, tick: int = TICK, stale: int = 0) -> Verdict | None:
    """Of these replies; the first `stale` of them are older than the short lease."""
    found = judge(replies, [i >= stale for i in range(len(replies))], tick)
    return found or (None if None in replies else undecided(replies))


def kind(*replies: Reply, tick: int = TICK, stale: int = 0) -> str | None:
    found = verdict(*replies, tick=tick, stale=stale)
    return found.kind if found else None


# -- who won -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("voters", "enough"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (7, 4)])
def test_a_quorum_is_more_than_half(voters: int, enough: int) -> None:
    """Two quorums share a voter."""
    assert quorum(voters) == enough


def test_a_quorum_of_ok_wins_without_the_rest() -> None:
    """Whatever the others say, or do not say."""
    assert kind(OK) == WON
    assert kind(OK, OK, None) == WON
    for other in (None, DOWN, SHUT, BUSY, YIELD, HELD, DONE, PAUSED, LATE, CLOCK, forgot(), restarted()):
        assert kind(OK, OK, other) == WON
        assert kind(OK, other, None) is None
    assert kind(OK, OK) == WON
    assert kind(OK, None) is None
    assert kind(OK, OK, OK, None, None, None, None) is None
    assert kind(OK, OK, OK, OK, None, None, None) == WON


def test_an_ok_counts_only_while_its_short_lease_stands() -> None:
    """Another may have taken it since."""
    assert kind(OK, OK, DOWN, stale=1) == RETRY
    assert kind(OK, OK, OK, stale=1) == WON
    assert kind(OK, OK, OK, stale=2) == RETRY
    assert kind(forgot(), forgot(), forgot(), stale=1) == RETRY
    assert kind(forgot(), forgot(), forgot(), tick=0, stale=2) == RETRY


@pytest.mark.parametrize("lost", [forgot(), restarted(), restarted() | {"token": 0}])
def test_a_copy_that_forgot_does_not_vote_unless_all_say_ok(lost: Fields) -> None:
    """With it, one that remembers the tick could be outvoted: the tick would run twice."""
    assert is_amnesic(lost)
    assert kind(OK, lost, DOWN) == RETRY
    assert kind(OK, lost, DONE) == RETRY
    assert kind(lost, lost, DONE) == RETRY
    assert kind(lost, lost, None) is None
    assert kind(lost, lost, DOWN) == RETRY
    assert kind(OK, lost, OK) == WON
    assert kind(OK, lost, lost) == WON
    assert kind(lost, lost, lost) == WON


def test_a_new_key_with_ticks_starts_when_all_voters_answer() -> None:
    """Nobody can tell a new key from one that a quorum forgot."""
    assert kind(forgot(), forgot(), forgot()) == WON
    assert kind(forgot(), forgot(), DOWN) == RETRY
    assert kind(forgot(), forgot(), forgot("busy")) == RETRY


def test_a_key_without_ticks_starts_when_all_voters_answer_too() -> None:
    """Two of three that know nothing may be new ones: others have the third one alone, and a run goes on there."""
    assert kind(forgot(), forgot(), forgot(), tick=0) == WON
    assert kind(forgot(), forgot(), None, tick=0) is None
    assert kind(forgot(), forgot(), DOWN, tick=0) == RETRY
    assert kind(forgot(), forgot(), forgot("clock"), tick=0) == RETRY


@pytest.mark.parametrize("other", [OK, BUSY, HELD, PAUSED, CLOCK, forgot("paused"), restarted("held")])
def test_blank_copies_start_nothing_beside_one_that_remembers(other: Fields) -> None:
    """A run may go on that two of three forgot."""
    assert kind(forgot(), forgot(), forgot(), other, DOWN, tick=0) == RETRY
    assert votes([forgot(), forgot(), None, other], [True] * 4) == (other is OK)


# -- who goes home -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("home", [HELD, DONE, PAUSED])
def test_a_quorum_sends_a_node_home(home: Fields) -> None:
    """Without waiting for the rest; with what it said, for the message."""
    for other in (None, OK, BUSY, YIELD, DOWN, SHUT):
        found = verdict(home, home, other)
        assert found is not None
        assert (found.kind, found.answer) == (home["answer"], home)
    assert kind(home, OK, None) is None
    assert kind(home, DOWN, DOWN) == RETRY


@pytest.mark.parametrize("other", [BUSY, YIELD, OK, HELD | {"token": 0}, LATE, CLOCK, DOWN])
def test_answers_that_differ_send_nobody_home(other: Fields | Failure) -> None:
    """Two prepares that split the voters must not lose the tick: both would say that the other has it."""
    for home in (HELD, DONE):
        assert kind(home, other, DOWN) == RETRY
        assert kind(home, other, BUSY) == RETRY


@pytest.mark.parametrize("other", [BUSY, YIELD])
def test_busy_and_yield_send_nobody_home(other: Fields) -> None:
    """Not even all of them."""
    assert kind(other, other, other) == RETRY
    assert kind(other, BUSY, YIELD) == RETRY
    assert kind(other, other, OK) == RETRY


@pytest.mark.parametrize("lost", [forgot("held"), restarted("held")])
def test_held_by_a_copy_that_forgot_sends_nobody_home(lost: Fields) -> None:
    """It speaks of no committed record that is sure to be the newest."""
    assert kind(lost, lost, lost) == RETRY
    assert kind(HELD, lost, DOWN) == RETRY
    assert kind(HELD, HELD, lost) == "held"


def test_held_and_done_count_together_and_the_newest_speaks() -> None:
    """One copy has heard of the end, another has not yet: the tick is taken either way."""
    assert kind(HELD, DONE, None) == "held"
    newer = {"tick": TICK + 60}
    assert kind(said("held", 6, **newer), said("done", 7, **newer), OK) == "done"
    assert kind(said("done", 6, **newer), said("held", 7, **newer), OK) == "held"
    found = verdict(said("done", 6, node="old", **newer), said("done", 7, node="new", **newer), OK)
    assert found is not None
    assert found.answer["node"] == "new"


@pytest.mark.parametrize("tick", [0, TICK])
def test_runs_that_nobody_else_knows_of_send_nobody_home(tick: int) -> None:
    """Two nodes may each have died with a commit at one voter: nobody ran."""
    one, two = said("held", 6, tick=tick, state="running"), said("held", 7, tick=tick, state="running")
    assert kind(one, two, OK, tick=tick) == RETRY
    assert kind(one, two, None, tick=tick) is None
    assert kind(one, two, two, tick=tick) == "held"
    assert kind(one, said("done", 7, tick=tick, state="running"), DOWN, tick=tick) == RETRY


def test_the_end_of_this_tick_is_proof_enough_and_so_are_newer_ticks() -> None:
    """A finish is sent by a run; where a newer tick was tried, this one comes too late."""
    one = said("held", 6, tick=TICK, state="running")
    assert kind(one, said("done", 7, tick=TICK), OK) == "done"
    assert kind(one, said("done", 7, tick=TICK - 60), OK) == RETRY  # of another tick
    newer = said("done", 7, tick=TICK + 60, state="running")
    assert kind(one, newer, OK) == RETRY
    assert kind(newer, said("done", 8, tick=TICK + 120, state="running"), OK) == "done"
    assert kind(said("done", 6, tick=0), said("held", 7, tick=0), OK, tick=0) == RETRY


def test_an_ok_joins_a_commit_where_nothing_newer_was_seen_and_nothing_forgotten() -> None:
    """Else it would overwrite a run, or vote for what it has forgotten."""
    assert may_join_commit(said("ok", 6), 7)
    assert not may_join_commit(said("ok", 7), 7)
    assert not may_join_commit(forgot(), 7)
    assert not may_join_commit(restarted(), 8)


def test_a_paused_copy_that_forgot_all_else_still_is_paused() -> None:
    """A pause may come before the first run."""
    assert kind(forgot("paused"), forgot("paused"), forgot()) == "paused"


def test_a_minority_that_is_paused_stops_nobody() -> None:
    """A pause is done when all voters have it, and says so."""
    assert kind(PAUSED, OK, OK) == WON
    assert kind(PAUSED, OK, DOWN) == RETRY


def test_late_needs_a_quorum() -> None:
    """By the voters' clocks."""
    assert kind(LATE, LATE, None) == "late"
    assert kind(LATE, OK, OK) == WON
    assert kind(LATE, OK, DOWN) == RETRY
    assert kind(DONE, DONE, LATE) == "done"


# -- refused -----------------------------------------------------------------------------------------------------------


def test_one_voter_with_other_settings_ends_the_attempt() -> None:
    """Whatever the others say: two groups of nodes would each have a quorum."""
    for others in ([None, None], [OK, OK], [HELD, HELD], [SHUT, SHUT], [DOWN, DOWN]):
        found = verdict(*others, VOTER_SET)
        assert found is not None
        assert (found.kind, found.text, found.answer) == (REFUSED, "voter_set", VOTER_SET)


def test_a_wrong_clock_is_the_nodes_when_a_quorum_says_so() -> None:
    """Else it is that voter's, which does not vote."""
    found = verdict(CLOCK, CLOCK, None)
    assert found is not None
    assert (found.kind, found.text) == (REFUSED, "clock")
    assert kind(CLOCK, OK, OK) == WON
    assert kind(CLOCK, OK, None) is None
    assert kind(CLOCK, OK, DOWN) == RETRY
    assert kind(CLOCK, HELD, HELD) == "held"


def test_final_failures_refuse_only_when_they_leave_no_quorum() -> None:
    """A wrong password at one of three servers costs one voter, at two the lock."""
    assert kind(SHUT, OK, OK) == WON
    assert kind(SHUT, OK, None) is None
    assert kind(SHUT, DOWN, DOWN) == RETRY
    assert kind(SHUT, DOWN, OK) == RETRY
    found = verdict(SHUT, SHUT, None)
    assert found is not None
    assert (found.kind, found.text) == (REFUSED, SHUT.text)
    assert kind(SHUT, SHUT, OK) == REFUSED
    assert kind(SHUT) == REFUSED
    assert kind(SHUT, OK) == REFUSED  # of two voters both are needed
    assert kind(SHUT, SHUT, OK, OK) == REFUSED
    assert kind(SHUT, OK, OK, OK) == WON


# -- again -------------------------------------------------------------------------------------------------------------


def test_nothing_is_decided_while_answers_that_could_decide_are_missing() -> None:
    """Then it is tried again, told apart from an outage: a quorum answered."""
    assert verdict(None, None, None) is None
    assert verdict(DOWN, DOWN, None) is None
    outage = undecided([DOWN, DOWN, None])
    assert (outage.kind, outage.reached, outage.text) == (RETRY, False, DOWN.text)
    split = verdict(OK, BUSY, HELD)
    assert split is not None
    assert (split.kind, split.reached, split.wait) == (RETRY, True, 0)
    assert undecided([OK, OK, None]).reached
    assert not undecided([OK, DOWN, None]).reached


def test_again_waits_as_long_as_any_voter_asked_for() -> None:
    """For those in front in the line."""
    found = verdict(said("yield", wait=500), said("yield", wait=1000), OK)
    assert found is not None
    assert (found.kind, found.wait) == (RETRY, 1000)


def test_a_quorum_of_ok_goes_on_in_spite_of_a_yield() -> None:
    """Yield is judged last."""
    assert kind(OK, OK, YIELD) == WON


# -- what is written ---------------------------------------------------------------------------------------------------


def test_the_time_is_the_median_and_of_two_the_lower() -> None:
    """One voter's clock that runs away must not carry the token away."""
    times = [{"time": time} for time in (30, 10, 20, 99)]
    assert median_time(times[:1]) == 30
    assert median_time(times[:2]) == 10
    assert median_time(times[:3]) == 20
    assert median_time(times) == 20


def test_a_token_is_above_all_that_were_seen_and_about_the_time() -> None:
    """The time is a floor: tokens grow even when a quorum forgot."""
    assert token([said("ok", 5, time=100), said("ok", 7, time=90), said("ok", 6, time=120)]) == 100
    assert token([said("ok", 500, time=100), said("ok", 7, time=90)]) == 501
    assert token([said("ok", 5, time=100), said("done", 700, time=100)]) == 701
    assert token([forgot(time=100)]) == 100


def claimed(answers: list[Fields], tick: int, again: bool = False) -> tuple[Any, ...]:
    fields = claim(answers, tick, again)
    assert set(fields) == {"token", "tick", "state", "attempt", "run_tick", "run_attempt"}
    assert fields["run_tick"] == tick
    return fields["tick"], fields["state"], fields["attempt"], fields["run_attempt"]


def test_a_newer_tick_is_claimed_by_its_first_attempt() -> None:
    """Whatever became of the tick before."""
    assert claimed([said("ok", attempt=3), forgot()], TICK) == (TICK, "running", 1, 1)
    assert claimed([forgot(), forgot()], TICK) == (TICK, "running", 1, 1)


def test_the_same_tick_is_claimed_by_the_next_attempt() -> None:
    """Counted from the highest that any voter knows of it; attempts of older ticks don't count."""
    answers = [said("ok", tick=TICK, attempt=1), said("ok", tick=TICK, attempt=2), said("ok", attempt=9)]
    assert claimed(answers, TICK) == (TICK, "running", 3, 3)
    assert claimed([said("ok", tick=TICK, attempt=0, state="back")], TICK) == (TICK, "running", 1, 1)


def test_a_run_that_was_given_back_uses_up_no_attempt_though_one_voter_has_not_heard_of_it() -> None:
    """It is woken by those that have; an older run that was given back says nothing of a newer one."""
    heard, not_yet = said("ok", tick=TICK, state="back", attempt=1), said("held", tick=TICK, state="running", attempt=2)
    assert claimed([heard, heard, not_yet], TICK) == (TICK, "running", 2, 2)
    older = said("ok", 6, tick=TICK, state="back", attempt=0)
    newer = said("ok", 7, tick=TICK, state="running", attempt=1)
    assert claimed([older, newer], TICK) == (TICK, "running", 2, 2)


@pytest.mark.parametrize("known", [TICK, TICK + 60])
def test_again_never_lowers_a_tick_nor_uses_up_its_attempts(known: int) -> None:
    """It writes the highest tick as done, so that nobody else runs it beside, and begins at attempt 1 itself."""
    answers = [said("ok", tick=known, attempt=2), said("ok", tick=known, attempt=3), said("ok", tick=TICK - 60)]
    assert claimed(answers, TICK, again=True) == (known, "done", 3, 1)


def test_again_on_a_newer_tick_is_a_run_like_any_other() -> None:
    """It claims it."""
    assert claimed([said("ok", attempt=3)], TICK, again=True) == (TICK, "running", 1, 1)
    assert claimed([forgot()], TICK, again=True) == (TICK, "running", 1, 1)


@pytest.mark.parametrize(
    ("states", "state"),
    [
        (["running", "done", "back"], "done"),
        (["running", "failed"], "failed"),
        (["back", "running"], "running"),
        (["back", "back"], "back"),
        (["", ""], ""),
    ],
)
@pytest.mark.parametrize("again", [False, True])
def test_a_run_without_a_tick_leaves_what_is_known_of_ticks(states: list[str], state: str, again: bool) -> None:
    """The highest, and of what voters say of it the most that happened."""
    answers = [said("ok", tick=TICK, state=each, attempt=i) for i, each in enumerate(states)]
    answers.append(said("ok", tick=TICK - 60, state="done", attempt=9))
    assert claimed(answers, 0, again) == (TICK, state, len(states) - 1, 1)


def test_a_run_whose_end_no_voter_heard_of_is_told_of() -> None:
    """By the node that runs next; one voter that knows how it ended is enough to know better."""
    dead = said("ok", 8, outcome="", node="web-2")
    assert unfinished_run([said("ok", 7), dead, forgot()]) == dead
    assert unfinished_run([dead, said("ok", 8, outcome="ran")]) is None
    assert unfinished_run([said("ok", 7, outcome=""), said("ok", 8)]) is None
    assert unfinished_run([dead, said("ok", 8, outcome="not run")]) is None
    assert unfinished_run([forgot(), forgot()]) is None


# -- how long to believe in it -----------------------------------------------------------------------------------------


def test_a_quorum_of_leases_is_good_until_the_weakest_of_it_ends() -> None:
    """Of the best ones."""
    assert lease_valid_until([10, 30, 20], 2) == 20
    assert lease_valid_until([10, 30, 20], 3) == 10
    assert lease_valid_until([0, 0, 30], 2) == 0
    assert lease_valid_until([5], 1) == 5


def test_drift_is_the_redlock_pages_allowance() -> None:
    """One per cent and 2 ms."""
    assert (drift(0), drift(2_000), drift(60_000), drift(3_600_000)) == (2, 22, 602, 36_002)


# -- for all answers ---------------------------------------------------------------------------------------------------

ANSWERS = ["ok", "ok", "ok", "busy", "held", "done", "paused", "late", "yield", "clock", "voter_set"]
answers = st.builds(
    said,
    st.sampled_from(ANSWERS),
    st.integers(0, 3),
    restarted=st.sampled_from([0, 0, 1]),
    wait=st.integers(0, 5_000),
    time=st.integers(0, 10),
    tick=st.sampled_from([0, TICK - 60, TICK, TICK + 60]),
    attempt=st.integers(0, 3),
    state=st.sampled_from(["running", "done", "failed", "back"]),
)
replies = st.one_of(answers, answers, answers, st.just(DOWN), st.just(SHUT), st.none())
rounds = st.lists(st.tuples(replies, st.booleans() | st.just(True)), min_size=1, max_size=7)


@settings(max_examples=500)
@given(rounds, st.sampled_from([0, TICK]))
def test_a_verdict_comes_from_a_quorum(votes_cast: list[tuple[Reply, bool]], tick: int) -> None:
    """Of valid oks, or of what ends the run; and a round that is complete has a verdict."""
    said_all, fresh = zip(*votes_cast, strict=True)
    found = judge(said_all, fresh, tick)
    if found and found.kind == WON:  # two winners at once would need one voter that said ok to both
        oks = [reply for reply, good in votes_cast if isinstance(reply, dict) and good and reply["answer"] == "ok"]
        assert len(oks) >= quorum(len(votes_cast))
        if tick and len(oks) < len(votes_cast):
            assert sum(not is_amnesic(ok) for ok in oks) >= quorum(len(votes_cast))
    if found and found.kind in (*QUIET, "late") and not heard_the_end(found.answer, tick):
        home = [reply for reply in said_all if isinstance(reply, dict) and reply["answer"] in {*QUIET, "late"}]
        assert len(home) >= quorum(len(votes_cast))
        assert found.answer in home
    if None not in said_all:  # nobody waits for an answer that will not come
        found = found or undecided(said_all)
    assert found is None or found.kind in (WON, RETRY, REFUSED, *QUIET, "late")


QUIET = ("held", "done", "paused")


def heard_the_end(answer: Fields, tick: int) -> bool:
    return (answer.get("answer"), answer.get("tick"), answer.get("state")) == ("done", tick or None, "done")


def test_one_voter_that_heard_the_end_stops_a_takeover() -> None:
    """The run's node died when it had told one voter: two others would give the tick to the next node."""
    taken, other = said("ok", tick=TICK, state="running"), said("done", tick=TICK, state="failed", attempt=3)
    ended = said("done", tick=TICK, state="done")
    assert kind(taken, taken, ended) == "done"
    assert kind(taken, taken, other) == WON
    assert kind(taken, taken, said("done", tick=TICK + 60)) == WON
    assert kind(taken, taken, None) == WON
    assert reports_earlier_run([taken, taken, None], TICK)
    assert not reports_earlier_run([said("ok", tick=TICK, state="back", attempt=0), OK, DONE], TICK)


@settings(max_examples=500, deadline=None)
@given(rounds, st.sampled_from([0, TICK]), st.data())
def test_a_verdict_stands_whatever_is_answered_after_it(
    votes_cast: list[tuple[Reply, bool]], tick: int, data: st.DataObject
) -> None:
    """The first answers that decide end the wait: later ones would not have changed a won into a way home.

    But for the word that the tick has ended well, for which whoever takes it over waits a little.
    """
    said_all, fresh = zip(*votes_cast, strict=True)
    found = judge(said_all, fresh, tick)
    later = [data.draw(replies) if reply is None else reply for reply in said_all]
    assume(not any(isinstance(reply, dict) and reply["answer"] == "voter_set" for reply in later))
    after = judge(later, fresh, tick)
    if found and found.kind == WON and tick:
        assert after is not None
        assert after.kind in (WON, REFUSED) or heard_the_end(after.answer, tick)
    if found and found.kind in QUIET:
        assert after is None or after.kind != WON


@settings(max_examples=500)
@given(st.lists(answers, min_size=1, max_size=7), st.sampled_from([0, TICK]), st.booleans())
def test_a_claim_is_above_all_that_was_seen(heard: list[Fields], tick: int, again: bool) -> None:
    """The token always; the tick is lowered neither by --again nor without one."""
    fields = claim(heard, tick, again)
    assert fields["token"] > max(answer["token"] for answer in heard)
    assert fields["token"] >= median_time(heard)
    if again or not tick:
        assert fields["tick"] == max(tick, *(answer["tick"] for answer in heard))
    assert fields["run_attempt"] >= 1
    assert fields["attempt"] >= (fields["state"] == "running" and tick > 0 and not again)


@given(st.sampled_from(ANSWERS))
def test_every_answer_of_the_record_is_known(answer: str) -> None:
    """No word stands here alone."""
    words = {
        state_machine.OK,
        state_machine.BUSY,
        state_machine.HELD,
        state_machine.DONE,
        state_machine.PAUSED,
        state_machine.LATE,
        state_machine.YIELD,
    }
    assert answer in words | {state_machine.CLOCK, state_machine.VOTER_SET}


def test_a_split_vote_on_a_new_key_is_no_outage() -> None:
    """Others ask at the same time: that is no copy that forgot, and passes in a moment."""
    split = undecided([forgot(), forgot(), forgot("busy")])
    assert (split.kind, split.reached) == (RETRY, True)
    new = undecided([forgot(), forgot(), DOWN])
    assert (new.kind, new.reached) == (RETRY, False)
    assert "2 of 3 voters have no record of this key" in new.text
    assert DOWN.text in new.text


def test_a_new_key_that_one_voter_refuses_for_good_is_refused() -> None:
    """Its first run needs all voters, and a wrong password will not pass."""
    assert undecided([forgot(), forgot(), SHUT]).kind == REFUSED


@pytest.mark.parametrize(
    ("replies", "kind"),
    [
        ([forgot(), forgot(), DOWN], WON),
        ([OK, forgot(), forgot()], WON),
        ([OK, OK, HELD], state_machine.HELD),
        ([OK, OK, PAUSED], state_machine.PAUSED),
        ([OK, OK, CLOCK], REFUSED),
        ([OK, DOWN, DOWN], RETRY),
        ([OK, BUSY, DOWN], state_machine.BUSY),
        ([OK, OK, BUSY], state_machine.BUSY),
    ],
)
def test_an_adoption_takes_the_word_of_a_quorum_and_never_of_a_live_lease(replies: list[Reply], kind: str) -> None:
    """Copies that forgot count; who holds, pauses or just asks anywhere forbids it."""
    judged = judge_adoption(replies, [True] * 3, False) or undecided(replies)
    assert judged.kind == kind
    assert judge_adoption([*replies[:2], None], [True] * 3, False) is None, "it waits for all answers"
