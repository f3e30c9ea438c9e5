"""The judgement of one voter, branch by branch: what prepare answers, what a run may write, what stays of it."""

from typing import Any

import pytest

from cronlock.lock.copy import Copy
from cronlock.lock.local import OPERATIONS
from cronlock.lock.node_stats import HISTORY_LENGTH, RESULT
from cronlock.lock.protocol import LEASE_MAX, PREPARE_LEASE, RETENTION, YIELD_MAX
from cronlock.lock.state_machine import BLANK_RETENTION, CLOCK_LIMIT, YIELD_STEP

NOW = 1_800_000_000_000  # ms
TICK = NOW // 1000 - 5
EARLIER, LATER = TICK - 3600, TICK + 3600
LEASE = 60_000
Fields = dict[str, Any]


class Voter:
    """A copy, its clock, and short words for what is asked of it; `a`, `b` are holders, of nodes with such names."""

    def __init__(self) -> None:
        self.copy = Copy()
        self.now = NOW
        self.run_id = "aaaa"

    def ask(self, operation: str, holder: str, **more: Any) -> Fields:
        ask = {"holder": holder, "node": f"web-{holder[0]}", **more}
        return OPERATIONS[operation](self.copy, ask, self.now, self.now, self.run_id)

    def prepare(self, holder: str, tick: int = TICK, **more: Any) -> Fields:
        plain = {
            "time": self.now,
            "tick": tick,
            "start_deadline": 0,
            "takeover_deadline": 0,
            "attempts": 1,
            "again": 0,
            "fair": 0,
        }
        plain |= {"counts": 1, "job": ""}
        return self.ask("prepare", holder, **{**plain, "lease": PREPARE_LEASE, "voter_set": "1 3", **more})

    def write(self, operation: str, holder: str, token: int, tick: int = TICK, **more: Any) -> str:
        plain = {"token": token, "tick": tick, "state": "running", "attempt": 1, "voter_set": "1 3", "pid": 41}
        plain |= {"start": self.now, "run_tick": tick, "run_attempt": 1, "command": "true", "schedule": "", "zone": ""}
        plain |= {"next": 0, "retention": RETENTION, "lease": LEASE, "not_after": self.now + 2_000}
        return str(self.ask(operation, holder, **{**plain, **more})["answer"])

    def commit(self, holder: str, token: int = 7, tick: int = TICK, **more: Any) -> str:
        return self.write("commit", holder, token, tick, **more)

    def extend(self, holder: str, token: int = 7, tick: int = TICK, **more: Any) -> str:
        return self.write("extend", holder, token, tick, **more)

    def release(self, holder: str) -> str:
        return str(self.ask("release", holder)["answer"])

    def finish(self, holder: str, token: int = 7, state: str = "done", **more: Any) -> str:
        plain = {"token": token, "state": state, "outcome": "ran", "status": 0, "end": self.now, "retention": RETENTION}
        return str(self.ask("finish", holder, **{**plain, **more})["answer"])

    def pause(self, until: int, reason: str = "") -> str:
        return str(self.ask("pause", "admin", until=until, reason=reason, retention=RETENTION)["answer"])

    def run(self, holder: str, token: int = 7, tick: int = TICK, **more: Any) -> None:
        """A run that goes on."""
        assert self.prepare(holder, tick)["answer"] == "ok"
        assert self.commit(holder, token, tick, **more) == "ok"

    def ran(self, holder: str, token: int = 7, tick: int = TICK, state: str = "done", **more: Any) -> None:
        """A run that has ended."""
        self.run(holder, token, tick, **more)
        assert self.finish(holder, token, state) == "ok"

    def __getitem__(self, field: str) -> Any:
        return self.copy.get(field)


@pytest.fixture
def voter() -> Voter:
    """One that knows nothing."""
    return Voter()


# -- prepare -----------------------------------------------------------------------------------------------------------


def test_a_blank_copy_says_ok_and_takes_the_short_lease(voter: Voter) -> None:
    """And nothing else: who reaches only a minority has claimed nothing."""
    answer = voter.prepare("a")
    assert (answer["answer"], answer["token"], answer["tick"], answer["left"]) == ("ok", 0, 0, PREPARE_LEASE)
    lease = {"holder": "a", "kind": "prepare", "lease_end": NOW + PREPARE_LEASE, "lease": PREPARE_LEASE}
    assert voter.copy.record == lease
    assert voter.copy.expires == NOW + BLANK_RETENTION


def test_prepare_leaves_what_is_known_of_ticks_as_it_is(voter: Voter) -> None:
    """Only a commit claims a tick."""
    voter.ran("a", tick=EARLIER)
    before = dict(voter.copy.record)
    expires = voter.copy.expires
    assert voter.prepare("b")["answer"] == "ok"
    changed = {name for name in voter.copy.record if voter.copy.record[name] != before[name]}
    assert changed == {"holder", "kind", "lease_end", "lease"}
    assert voter.copy.expires == expires


def test_another_prepare_makes_it_busy_until_the_short_lease_is_over(voter: Voter) -> None:
    """Busy, not held: nobody runs yet."""
    voter.prepare("a")
    before = dict(voter.copy.record)
    assert voter.prepare("b")["answer"] == "busy"
    voter.now += PREPARE_LEASE - 1
    assert voter.prepare("b")["answer"] == "busy"
    assert voter.copy.record == before
    voter.now += 1
    assert voter.prepare("b")["answer"] == "ok"
    assert voter["holder"] == "b"


def test_the_same_holder_may_ask_again(voter: Voter) -> None:
    """Its short lease begins anew."""
    voter.prepare("a")
    voter.now += 1_000
    assert voter.prepare("a")["answer"] == "ok"
    assert voter["lease_end"] == NOW + 1_000 + PREPARE_LEASE


def test_a_late_prepare_never_touches_the_lease_that_its_commit_set(voter: Voter) -> None:
    """Else a duplicate on the network would end a run after 2 s."""
    voter.run("a", tick=0)
    assert voter.prepare("a", tick=0)["answer"] == "ok"
    assert (voter["kind"], voter["lease_end"], voter["lease"]) == ("run", NOW + LEASE, LEASE)
    voter.prepare("a", attempts=2)
    assert (voter["kind"], voter["lease_end"]) == ("run", NOW + LEASE)


def test_a_run_makes_it_held_for_any_tick(voter: Voter) -> None:
    """The same, an older, a newer and none; --again and a pause change nothing of that."""
    voter.run("a")
    for tick in (0, EARLIER, TICK, LATER):
        assert voter.prepare("b", tick)["answer"] == "held"
        assert voter.prepare("b", tick, again=1, attempts=3, start_deadline=1)["answer"] == "held"
    voter.pause(-1)
    answer = voter.prepare("b")
    assert answer["answer"] == "held"
    told = {"node": "web-a", "pid": 41, "start": NOW, "token": 7, "tick": TICK, "left": LEASE, "kind": "run"}
    assert {name: answer[name] for name in told} == told


def test_a_lease_that_is_over_holds_nobody_up(voter: Voter) -> None:
    """To the millisecond."""
    voter.run("a", tick=EARLIER)
    voter.now = NOW + LEASE - 1
    assert voter.prepare("b")["answer"] == "held"
    voter.now += 1
    assert voter.prepare("b")["answer"] == "ok"


def test_a_lease_further_away_than_the_longest_is_over(voter: Voter) -> None:
    """The server's clock was set back: the lease would last for hours."""
    voter.run("a", tick=EARLIER, lease=LEASE_MAX)
    assert voter.prepare("b")["answer"] == "held"
    voter.now -= 1
    answer = voter.prepare("b", time=voter.now)
    assert (answer["answer"], answer["left"]) == ("ok", PREPARE_LEASE)


def test_a_tick_that_ran_is_done_and_so_are_all_before_it(voter: Voter) -> None:
    """However short the command was; a newer tick is free."""
    voter.ran("a")
    assert voter.prepare("b")["answer"] == "done"
    assert voter.prepare("b", EARLIER)["answer"] == "done"
    assert voter.prepare("b", attempts=3)["answer"] == "done"
    assert voter.prepare("b", LATER)["answer"] == "ok"


def test_a_tick_whose_node_died_is_used_up_without_failover(voter: Voter) -> None:
    """One attempt is all; with failover the next attempt is free, up to its limit."""
    voter.run("a")
    voter.now += LEASE
    assert voter.prepare("b")["answer"] == "done"
    assert voter.prepare("b", attempts=2)["answer"] == "ok"
    assert voter.commit("b", 8, attempt=2) == "ok"
    voter.now += LEASE
    assert voter.prepare("c", attempts=2)["answer"] == "done"
    assert voter.prepare("c", attempts=3)["answer"] == "ok"


def test_a_failed_tick_is_done_but_for_those_with_attempts_left(voter: Voter) -> None:
    """--retry-failed asks with more attempts; one that ended well stops them all."""
    voter.ran("a", state="failed")
    assert voter.prepare("b")["answer"] == "done"
    assert voter.prepare("b", attempts=2)["answer"] == "ok"


def test_again_runs_what_is_done_but_never_beside_a_run_nor_while_paused(voter: Voter) -> None:
    """And never when it is late."""
    voter.ran("a")
    assert voter.prepare("b", again=1)["answer"] == "ok"
    voter.release("b")
    assert voter.prepare("b", EARLIER, again=1)["answer"] == "ok"
    voter.release("b")
    assert voter.prepare("b", again=1, start_deadline=NOW)["answer"] == "late"
    voter.pause(-1)
    assert voter.prepare("b", again=1)["answer"] == "paused"


def test_without_a_tick_nothing_is_ever_done(voter: Voter) -> None:
    """A plain mutex: only overlap is prevented."""
    voter.ran("a", tick=0)
    assert voter.prepare("b", 0)["answer"] == "ok"
    voter.release("b")
    voter.ran("a", 8)
    assert voter.prepare("b", 0)["answer"] == "ok"


def test_a_copy_without_a_token_knows_of_nothing_that_is_done(voter: Voter) -> None:
    """It forgot."""
    voter.ran("a")
    voter.copy.record["token"] = 0
    assert voter.prepare("b")["answer"] == "ok"


def test_a_pause_lasts_until_its_time_or_until_resumed(voter: Voter) -> None:
    """It comes after held and before done; the answer says who paused it and why."""
    voter.ran("a")
    voter.pause(NOW + 10_000, "migration")
    answer = voter.prepare("b")
    assert (answer["answer"], answer["paused_until"], answer["pause_reason"]) == ("paused", NOW + 10_000, "migration")
    assert voter["pause_by"] == "web-a"
    voter.now += 10_000
    assert voter.prepare("b")["answer"] == "done"
    voter.pause(-1)
    voter.now += 365 * 86_400_000
    assert voter.prepare("b", LATER)["answer"] == "paused"
    voter.pause(0)
    assert voter.prepare("b", LATER)["answer"] == "ok"


def test_a_pause_does_not_end_a_run(voter: Voter) -> None:
    """The run extends and finishes, and its messages leave the pause alone."""
    voter.run("a")
    voter.pause(-1, "x")
    assert voter.extend("a") == "ok"
    assert voter.finish("a") == "ok"
    assert voter["state"] == "done"
    assert (voter["paused_until"], voter["pause_reason"]) == (-1, "x")


def test_no_message_of_a_run_touches_a_pause(voter: Voter) -> None:
    """Neither commit nor write-back nor release."""
    voter.prepare("a")
    voter.pause(-1, "x")
    assert voter.commit("a") == "ok"
    assert voter.extend("b", 8) == "busy"
    voter.now += LEASE
    assert voter.extend("b", 8) == "ok"
    assert voter.release("b") == "ok"
    assert (voter["paused_until"], voter["pause_reason"], voter["pause_by"]) == (-1, "x", "web-a")


def test_a_tick_is_late_from_its_limit_on_but_done_comes_first(voter: Voter) -> None:
    """By the voter's clock; 0 is no limit."""
    assert voter.prepare("a", start_deadline=NOW + 1)["answer"] == "ok"
    voter.release("a")
    assert voter.prepare("a", start_deadline=NOW)["answer"] == "late"
    assert voter.prepare("a", start_deadline=NOW - 1)["answer"] == "late"
    voter.ran("a")
    assert voter.prepare("b", start_deadline=NOW - 1)["answer"] == "done"


def test_a_takeover_may_start_later_than_a_first_run(voter: Voter) -> None:
    """Until the next tick, also after a run that was given back; --again is no takeover, nor is another tick."""
    later = {"attempts": 3, "start_deadline": NOW, "takeover_deadline": NOW + 10_000}
    assert voter.prepare("b", **later)["answer"] == "late"
    voter.run("a")
    voter.now += LEASE
    assert voter.prepare("b", **later | {"takeover_deadline": voter.now + 1})["answer"] == "ok"
    voter.release("b")
    assert voter.prepare("b", **later | {"takeover_deadline": voter.now})["answer"] == "late"
    assert voter.prepare("b", again=1, **later | {"takeover_deadline": 0})["answer"] == "late"
    assert voter.prepare("b", LATER, **later | {"takeover_deadline": 0})["answer"] == "late"
    assert voter.extend("a") == "ok"
    assert voter.finish("a", state="back") == "ok"
    assert voter.prepare("b", **later | {"takeover_deadline": voter.now + 1})["answer"] == "ok"


def test_an_answer_counts_only_when_it_is_asked_for_the_first_time(voter: Voter) -> None:
    """Whoever waits asks again and again, and is one who was held."""
    voter.run("a")
    for counts in (1, 0, 0):
        assert voter.prepare("b", counts=counts)["answer"] == "held"
    assert voter.copy.nodes["held:web-b"] == 1


# Operations of an operator


def test_a_look_changes_nothing(voter: Voter) -> None:
    """It tells who holds it, and for how long."""
    voter.run("a")
    before = dict(voter.copy.record)
    seen = voter.ask("read", "operator")
    assert (seen["answer"], seen["kind"], seen["node"], seen["left"]) == ("ok", "run", "web-a", LEASE)
    assert voter.copy.record == before


def test_unlock_ends_the_lease_of_the_run_that_was_seen(voter: Voter) -> None:
    """Not of a newer one, and not of a node that asks; the attempt stays used, and the history tells."""
    voter.prepare("a")
    assert voter.ask("unlock", "operator", token=0)["answer"] == "other"
    assert voter.commit("a") == "ok"
    assert voter.ask("unlock", "operator", token=6)["answer"] == "other"
    assert voter.ask("unlock", "operator", token=7)["answer"] == "ok"
    assert voter.ask("read", "operator")["left"] == 0
    assert (voter["state"], voter["attempt"], voter["outcome"]) == ("running", 1, "unlocked")
    assert voter.copy.history[0].split("\t")[-2] == "unlocked"
    assert voter.prepare("b")["answer"] == "done"
    assert voter.prepare("b", attempts=3)["answer"] == "ok"


def test_a_commit_that_comes_after_unlock_is_refused_and_a_living_holder_goes_on(voter: Voter) -> None:
    """Its next extension takes the lease back, unless somebody came in between."""
    voter.run("a")
    voter.ask("unlock", "operator", token=7)
    assert voter.commit("a") == "other"
    assert voter.extend("a") == "ok"
    assert voter.ask("read", "operator")["left"] == LEASE
    voter.ask("unlock", "operator", token=7)
    voter.run("b", 8, LATER)
    assert voter.extend("a") == "newer"


def test_forget_leaves_the_token_and_nothing_of_ticks_counts_and_history(voter: Voter) -> None:
    """Never under a live lease; a copy without a token is gone."""
    assert voter.ask("forget", "admin", retention=RETENTION)["answer"] == "ok"
    assert (voter.copy.record, voter.copy.expires) == ({}, 0)
    voter.prepare("a")
    assert voter.ask("forget", "admin", retention=RETENTION)["answer"] == "busy"
    voter.commit("a")
    assert voter.ask("forget", "admin", retention=RETENTION)["answer"] == "held"
    voter.finish("a")
    voter.pause(-1)
    assert voter.ask("forget", "admin", retention=RETENTION)["answer"] == "ok"
    left = {"token": 7, "voter_set": "1 3", "voter_set_by": "web-a", "run_id": "aaaa", "outcome": "forgotten"}
    assert voter.copy.record == left
    assert (voter.copy.nodes, voter.copy.history) == ({}, [])
    assert voter.copy.expires == voter.now + RETENTION
    assert voter.prepare("b")["answer"] == "ok"


def test_a_nodes_own_record_is_paused_with_its_key_and_forgotten_alone(voter: Voter) -> None:
    """With --each: the nodes of others stay."""
    voter.copy.main = {"paused_until": -1, "pause_reason": "x"}
    answer = voter.prepare("a")
    assert (answer["answer"], answer["paused_until"], answer["pause_reason"]) == ("paused", -1, "x")
    voter.copy.main = {}
    voter.ran("a")
    voter.copy.nodes["seen:web-c"] = TICK
    assert voter.ask("forget", "a", retention=RETENTION)["answer"] == "ok"
    assert voter.copy.nodes == {"seen:web-c": TICK}


@pytest.mark.parametrize("off", [CLOCK_LIMIT + 1, -CLOCK_LIMIT - 1])
def test_a_node_with_a_wrong_clock_is_refused_whatever_it_asks(voter: Voter, off: int) -> None:
    """Before all else, and it leaves no tick behind that others would have to wait for."""
    voter.run("b")
    assert voter.prepare("a", time=NOW + off, voter_set="other")["answer"] == "clock"
    assert "seen:web-a" not in voter.copy.nodes
    assert voter.prepare("a", time=NOW + off // abs(off) * CLOCK_LIMIT)["answer"] == "held"


def test_a_node_with_other_settings_is_refused_before_held(voter: Voter) -> None:
    """Nodes that do not share all voters must not share a key; the answer names who set them."""
    voter.run("b")
    answer = voter.prepare("a", voter_set="1 5")
    assert (answer["answer"], answer["voter_set"], answer["voter_set_by"]) == ("voter_set", "1 3", "web-b")
    assert "seen:web-a" not in voter.copy.nodes
    assert voter["missed"] == 0


def test_a_node_that_asks_counts_its_tick_as_missed_once(voter: Voter) -> None:
    """For however many nodes ask, when the run of an older tick goes on; the same or an older tick is not missed."""
    voter.run("a")
    for holder, tick, missed in [("b", TICK, 0), ("b", EARLIER, 0), ("b", LATER, 1), ("c", LATER, 1), ("c", TICK, 1)]:
        voter.prepare(holder, tick)
        assert voter["missed"] == missed
    assert voter["missed_tick"] == LATER
    voter.prepare("b", LATER + 3600)
    assert (voter["missed"], voter["missed_tick"]) == (2, LATER + 3600)


def test_a_missed_tick_that_runs_after_all_was_not_missed(voter: Voter) -> None:
    """The node waited for a dead node's lease and got it."""
    voter.run("a")
    voter.prepare("b", LATER)
    voter.now += LEASE
    voter.run("b", 8, LATER)
    assert (voter["missed"], voter["missed_tick"]) == (0, 0)


def test_prepare_counts_what_it_answers_by_node_but_not_ok_busy_yield(voter: Voter) -> None:
    """For status and metrics: these three are no outcome."""
    voter.prepare("a")
    voter.prepare("b")
    voter.commit("a")
    voter.prepare("b")
    voter.prepare("b")
    voter.finish("a")
    voter.prepare("b")
    voter.prepare("b", time=0)
    voter.prepare("b", voter_set="x")
    voter.prepare("b", LATER, start_deadline=1)
    voter.pause(-1)
    voter.prepare("b", LATER)
    counts = {name: n for name, n in voter.copy.nodes.items() if name.split(":")[0] not in ("seen", "last", "result")}
    b = {"held": 2, "done": 1, "clock": 1, "voter_set": 1, "late": 1, "paused": 1}
    assert counts == {f"{answer}:web-b": n for answer, n in b.items()} | {"ran:web-a": 1}


def test_a_node_tells_what_it_would_run_now(voter: Voter) -> None:
    """Whoever gets the tick: status shows nodes that disagree."""
    voter.prepare("a", job="0 2 * * *\tUTC\ttrue")
    voter.prepare("b", job="0 3 * * *\tUTC\ttrue")
    assert voter.copy.nodes["job:web-a"] == "0 2 * * *\tUTC\ttrue"
    assert voter.copy.nodes["job:web-b"] == "0 3 * * *\tUTC\ttrue"
    voter.prepare("b", LATER)  # a run that was given its tick and no schedule
    assert voter.copy.nodes["job:web-b"] == "0 3 * * *\tUTC\ttrue"
    voter.prepare("b", job="30 2 * * *\tUTC\ttrue")
    assert voter.copy.nodes["job:web-b"] == "30 2 * * *\tUTC\ttrue", "the last tick of a new schedule may be older"
    assert voter.copy.nodes["seen:web-b"] == LATER
    voter.prepare("b", 0, job="\t\tfalse")
    assert voter.copy.nodes["job:web-b"] == "\t\tfalse"


def test_a_node_keeps_what_its_last_run_came_to_and_when_one_ended_well(voter: Voter) -> None:
    def result(node: str) -> dict[str, str]:
        return dict(zip(RESULT, voter.copy.nodes[f"result:{node}"].split("\t"), strict=True))

    def ran(holder: str, token: int, tick: int, **end: Any) -> None:
        voter.run(holder, token, tick)
        voter.finish(holder, token, **end)

    ran("a", 7, EARLIER, end=NOW + 5)
    assert result("web-a") == {
        "start": str(NOW),
        "end": str(NOW + 5),
        "outcome": "ran",
        "status": "0",
        "success": str(NOW + 5),
    }
    ran("a", 8, TICK, end=NOW + 9, status=3)
    assert (result("web-a")["status"], result("web-a")["success"]) == ("3", str(NOW + 5))
    ran("b", 9, LATER, end=NOW + 10, outcome="timed out")
    assert (result("web-b")["outcome"], result("web-b")["success"]) == ("timed out", "0")


def test_a_run_that_never_ended_is_counted_by_the_next_one(voter: Voter) -> None:
    voter.run("a", 7, EARLIER)
    voter.now += LEASE
    voter.run("b", 8)
    assert (voter.copy.nodes["died:web-a"], voter.copy.history[0].split("\t")[7]) == (1, "died")


def test_a_copy_that_another_server_process_wrote_is_reborn(voter: Voter) -> None:
    """It may have gone back to older data; one run mends it. Without a stamp nothing is known."""
    voter.ran("a", tick=EARLIER)
    assert voter.prepare("b")["restarted"] == 0
    voter.run_id = ""
    assert voter.prepare("b")["restarted"] == 0
    voter.run_id = "bbbb"
    answer = voter.prepare("b")
    assert (answer["restarted"], answer["run_id"], answer["answer"]) == (1, "bbbb", "ok")
    voter.commit("b", 8)
    assert voter.prepare("c")["restarted"] == 0


# -- commit ------------------------------------------------------------------------------------------------------------


def test_commit_makes_the_prepared_holder_the_run(voter: Voter) -> None:
    """Tick, token, attempt, lease: all as it was sent, all at once."""
    voter.prepare("a")
    assert voter.commit("a", command="job", schedule="@daily", zone="UTC", next=LATER) == "ok"
    expected = {"holder": "a", "kind": "run", "lease_end": NOW + LEASE, "lease": LEASE, "token": 7, "tick": TICK}
    expected |= {"state": "running", "attempt": 1, "node": "web-a", "pid": 41, "start": NOW, "run_tick": TICK}
    expected |= {"run_attempt": 1, "command": "job", "schedule": "@daily", "zone": "UTC", "next": LATER}
    expected |= {"voter_set": "1 3", "voter_set_by": "web-a", "run_id": "aaaa", "outcome": "", "end": 0, "status": 0}
    assert voter.copy.record == expected
    assert voter.copy.nodes["last:web-a"] == TICK
    assert voter.copy.expires == NOW + RETENTION


def test_only_the_holder_may_commit(voter: Voter) -> None:
    """Strictly: not where nobody holds, not where another one has prepared, however long ago."""
    assert voter.commit("a") == "other"
    voter.prepare("b")
    voter.now += PREPARE_LEASE + 1
    assert voter.commit("a") == "other"
    voter.release("b")
    assert voter.commit("b") == "other"
    assert voter["token"] == 0


def test_the_holder_may_commit_after_its_short_lease(voter: Voter) -> None:
    """Nobody else came: the slot is still its own."""
    voter.prepare("a")
    voter.now += 10 * PREPARE_LEASE
    assert voter.commit("a") == "ok"


def test_a_commit_may_be_repeated(voter: Voter) -> None:
    """Its acknowledgement may be lost; the lease begins anew, all else stays."""
    voter.run("a")
    before = dict(voter.copy.record)
    voter.now += 300
    assert voter.commit("a", start=NOW) == "ok"
    assert voter.copy.record == before | {"lease_end": NOW + 300 + LEASE}
    assert voter.copy.history == []


@pytest.mark.parametrize("operation", ["commit", "extend"])
def test_a_dead_request_is_not_executed(voter: Voter, operation: str) -> None:
    """A server that was stopped executes it when nobody waits any more."""
    voter.prepare("a")
    before = dict(voter.copy.record)
    assert voter.write(operation, "a", 7, not_after=NOW - 1) == "expired"
    assert voter.copy.record == before
    assert voter.write(operation, "a", 7, not_after=NOW) == "ok"


def test_a_newer_tick_remembers_the_two_before_it(voter: Voter) -> None:
    """The line for fairness is about the last three; an attempt more, or no tick, moves nothing."""
    for token, tick in enumerate((TICK, LATER, LATER + 60, LATER + 60), 7):
        voter.prepare("a", tick, attempts=3)
        voter.commit("a", token, tick)
        voter.finish("a", token, "failed")
    assert (voter["tick"], voter["tick1"], voter["tick2"]) == (LATER + 60, LATER, TICK)


def test_a_run_whose_end_nobody_heard_of_goes_into_history_as_died(voter: Voter) -> None:
    """When the next one writes over it; a repeated commit does not."""
    voter.run("a")
    voter.commit("a")
    voter.now += LEASE
    voter.run("b", 8, LATER)
    assert voter.copy.history == [f"7\t{TICK}\t1\tweb-a\t41\t{NOW}\t0\tdied\t0"]
    voter.finish("b", 8)
    assert len(voter.copy.history) == 2


def test_the_newest_tick_that_a_node_ran_is_never_lowered(voter: Voter) -> None:
    """By --again on an older one, or a run without one."""
    voter.ran("a")
    voter.prepare("a", EARLIER, again=1)
    voter.commit("a", 8, run_tick=EARLIER, state="done")
    assert voter.copy.nodes["last:web-a"] == TICK


# -- extend and write-back ---------------------------------------------------------------------------------------------


def test_extend_lengthens_the_lease_and_nothing_else(voter: Voter) -> None:
    """Also of a lease that is over, while nobody else has taken it."""
    voter.run("a")
    before = dict(voter.copy.record)
    voter.now += 2 * LEASE
    assert voter.extend("a", lease=30_000, start=1, command="x") == "ok"
    assert voter.copy.record == before | {"lease_end": voter.now + 30_000, "lease": 30_000}


def test_the_record_of_a_run_that_goes_on_never_expires(voter: Voter) -> None:
    """For longer than it is kept after a run; and after its end it stays as long as any."""
    voter.run("a")
    for _ in range(100):
        voter.now += RETENTION // 30
        assert voter.extend("a") == "ok"
        assert voter.copy.expires == voter.now + RETENTION
    voter.finish("a")
    assert voter.copy.expires == voter.now + RETENTION


def test_a_pause_during_a_run_keeps_its_record_for_good(voter: Voter) -> None:
    """An extension does not set an end to that."""
    voter.run("a")
    voter.pause(-1)
    voter.extend("a")
    assert voter.copy.expires == 0


def test_extend_gives_the_run_back_to_a_copy_that_forgot(voter: Voter) -> None:
    """All of it: the record is as after its commit."""
    voter.run("a")
    expected = dict(voter.copy.record)
    voter.copy = Copy()
    assert voter.extend("a") == "ok"
    assert voter.copy.record == expected
    assert voter.copy.expires == NOW + RETENTION


def test_a_write_back_reaches_a_copy_that_missed_the_commit(voter: Voter) -> None:
    """Over an older run, and over a prepare of another that is over."""
    voter.ran("b", 6, EARLIER)
    voter.prepare("c")
    voter.now += PREPARE_LEASE
    assert voter.extend("a") == "ok"
    assert (voter["holder"], voter["token"], voter["tick"], voter["state"]) == ("a", 7, TICK, "running")


def test_a_write_back_needs_no_prepare_of_another_gone_when_it_is_its_own(voter: Voter) -> None:
    """The commit was lost, the prepare still stands."""
    voter.prepare("a")
    assert voter.extend("a") == "ok"
    assert voter["kind"] == "run"


def test_a_write_back_never_goes_over_a_newer_token(voter: Voter) -> None:
    """Whatever its lease: that run came later. The same token, after its finish, may be written."""
    voter.ran("b", 8)
    before = dict(voter.copy.record)
    assert voter.extend("a", 7) == "newer"
    assert voter.copy.record == before
    assert voter.extend("a", 8) == "ok"


@pytest.mark.parametrize("commits", [False, True])
def test_a_write_back_never_goes_under_a_live_lease(voter: Voter, commits: bool) -> None:
    """A prepared one included: two quorums could come of it."""
    voter.prepare("b")
    if commits:
        voter.commit("b", 6, EARLIER)
    before = dict(voter.copy.record)
    assert voter.extend("a") == "busy"
    assert voter.copy.record == before


def test_a_write_back_keeps_out_of_a_record_with_other_settings(voter: Voter) -> None:
    """Somebody adopted other ones; but the own lease there is extended."""
    voter.ran("b", 6, voter_set="1 5")
    assert voter.extend("a") == "voter_set"
    voter.copy = Copy()
    voter.run("a")
    voter.copy.record["voter_set"] = "1 5"
    assert voter.extend("a") == "ok"


def test_a_prepared_holder_with_the_same_token_is_not_the_run(voter: Voter) -> None:
    """Holder, token and kind, all three: else extend would take a short lease for the run's."""
    voter.prepare("a")
    voter.copy.record["token"] = 7
    assert voter.finish("a") == "other"
    assert voter["kind"] == ""


# -- release -----------------------------------------------------------------------------------------------------------


def test_release_takes_back_a_prepare(voter: Voter) -> None:
    """Nothing is left but the marks of a lease that ended."""
    voter.prepare("a")
    assert voter.release("a") == "ok"
    assert (voter["holder"], voter["kind"], voter["lease_end"]) == ("", "", 0)
    assert voter.prepare("b")["answer"] == "ok"


def test_release_is_for_the_holder_only(voter: Voter) -> None:
    """Peers get this wrong: the lease of the next one would go."""
    voter.run("a")
    before = dict(voter.copy.record)
    assert voter.release("b") == "other"
    assert voter.copy.record == before


def test_release_of_a_commit_takes_its_attempt_back(voter: Voter) -> None:
    """The tick is as if it had not been claimed: the next one may run it."""
    voter.run("a")
    assert voter.release("a") == "ok"
    assert (voter["attempt"], voter["outcome"], voter["end"], voter["token"]) == (0, "not run", NOW, 7)
    assert voter.prepare("b")["answer"] == "ok"
    assert voter.copy.history == []


def test_release_of_a_second_attempt_leaves_the_first(voter: Voter) -> None:
    """A tick that ran once and died must not look as if it had never run."""
    voter.run("a")
    voter.now += LEASE
    voter.prepare("b", attempts=2)
    voter.commit("b", 8, attempt=2, run_attempt=2)
    voter.release("b")
    assert voter["attempt"] == 1
    assert voter.prepare("c")["answer"] == "done"


@pytest.mark.parametrize(
    "claim",
    [
        {"tick": TICK, "run_tick": TICK, "state": "done"},  # --again
        {"tick": LATER, "run_tick": TICK, "state": "running"},
        {"tick": TICK, "run_tick": 0, "state": "running"},  # no tick
        {"tick": 0, "run_tick": 0, "state": ""},
    ],
)
@pytest.mark.parametrize("state", ["", "done", "failed", "back"])
def test_a_run_that_claims_no_tick_changes_no_tick_by_its_end(voter: Voter, claim: Fields, state: str) -> None:
    """--again on a tick that is not newer, and a run without a tick: release and finish leave state and attempt."""
    voter.prepare("a", 0)
    voter.commit("a", **{**claim, "attempt": 2})
    assert (voter.finish("a", state=state) if state else voter.release("a")) == "ok"
    assert (voter["tick"], voter["state"], voter["attempt"]) == (claim["tick"], claim["state"], 2)


# -- finish ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "attempt", "one", "two"),
    [("done", 1, "done", "done"), ("failed", 1, "done", "ok"), ("back", 0, "ok", "ok")],
)
def test_finish_ends_the_tick(voter: Voter, state: str, attempt: int, one: str, two: str) -> None:
    """Done for all; failed for those without an attempt left; given back for nobody: it uses up no attempt."""
    voter.ran("a", state=state)
    assert (voter["state"], voter["attempt"], voter["holder"], voter["kind"]) == (state, attempt, "", "")
    assert voter.prepare("b", attempts=1)["answer"] == one
    voter.release("b")
    assert voter.prepare("b", attempts=2)["answer"] == two


def test_finish_tells_how_it_ended(voter: Voter) -> None:
    """In the record, in one line of history and in the counts."""
    voter.run("a")
    assert voter.finish("a", state="failed", outcome="timed out", status=124, end=NOW + 5) == "ok"
    assert (voter["outcome"], voter["status"], voter["end"]) == ("timed out", 124, NOW + 5)
    assert voter.copy.history == [f"7\t{TICK}\t1\tweb-a\t41\t{NOW}\t{NOW + 5}\ttimed out\t124"]
    assert voter.copy.nodes["timed out:web-a"] == 1
    assert voter.copy.expires == NOW + RETENTION


@pytest.mark.parametrize(("holder", "token"), [("b", 7), ("a", 8), ("a", 6)])
def test_finish_is_for_the_run_that_stands_here_only(voter: Voter, holder: str, token: int) -> None:
    """Holder and token."""
    voter.run("a")
    before = dict(voter.copy.record)
    assert voter.finish(holder, token) == "other"
    assert voter.copy.record == before
    assert voter.copy.history == []


def test_finish_comes_once(voter: Voter) -> None:
    """A repeated one, its answer was lost, writes no second line."""
    voter.ran("a")
    assert voter.finish("a") == "ok"
    assert voter.finish("a", outcome="lost") == "other"
    assert len(voter.copy.history) == 1


def test_finish_takes_back_its_own_prepare_where_the_commit_never_came(voter: Voter) -> None:
    """Its short lease need not run out."""
    voter.prepare("a")
    assert voter.finish("a") == "other"
    assert voter["holder"] == ""
    assert voter.copy.history == []


def test_history_keeps_the_newest_runs(voter: Voter) -> None:
    """Newest first, and no more than it should."""
    for token in range(1, HISTORY_LENGTH + 6):
        voter.ran("a", token, TICK + token)
    tokens = [int(line.split("\t")[0]) for line in voter.copy.history]
    assert tokens == list(range(HISTORY_LENGTH + 5, 5, -1))


def test_a_node_that_is_gone_for_the_retention_is_forgotten(voter: Voter) -> None:
    """With its counts; one that was seen since stays."""
    voter.copy.nodes.update({"seen:old": TICK, "last:old": TICK, "ran:old": 5, "seen:young": TICK + 1, "held:young": 2})
    voter.now = TICK * 1000 + RETENTION + 1
    tick = voter.now // 1000
    voter.ran("a", tick=tick)
    young = {"seen:young": TICK + 1, "held:young": 2}
    del voter.copy.nodes["result:web-a"]
    assert voter.copy.nodes == young | {"seen:web-a": tick, "last:web-a": tick, "ran:web-a": 1}


def test_a_node_that_never_names_a_tick_is_forgotten_too(voter: Voter) -> None:
    """Pods that use a key as a plain mutex come and go under new names; they never stand in line."""
    voter.prepare("old", tick=0)
    assert voter.copy.nodes == {"asked:web-o": NOW // 1000}
    voter.release("old")
    voter.now += RETENTION + 1001
    voter.ran("a", tick=0)
    assert "asked:web-o" not in voter.copy.nodes
    assert voter.copy.nodes["asked:web-a"] == voter.now // 1000


# -- how long it stays -------------------------------------------------------------------------------------------------


def test_a_paused_record_stays_until_resumed(voter: Voter) -> None:
    """Whatever is written meanwhile; then it gets its time again."""
    voter.run("a")
    voter.pause(-1)
    assert voter.copy.expires == 0
    voter.commit("a")
    voter.finish("a")
    assert voter.copy.expires == 0
    voter.pause(0)
    assert voter.copy.expires == NOW + RETENTION


def test_a_paused_copy_that_knows_nothing_else_stays_too(voter: Voter) -> None:
    """A prepare lease must not take the pause with it, not even one whose time is over."""
    voter.pause(NOW + 1)
    voter.now += 1
    assert voter.prepare("a")["answer"] == "ok"
    assert voter.copy.expires == 0


# -- fairness ----------------------------------------------------------------------------------------------------------


def fair(voter: Voter, holder: str, tick: int) -> Fields:
    answer = voter.prepare(holder, tick, fair=1)
    if answer["answer"] == "ok":
        voter.release(holder)
    return answer


def test_who_ran_last_lets_the_others_go_first(voter: Voter) -> None:
    """A step for each node in front; the first in line never waits."""
    for token, (holder, tick) in enumerate([("a", TICK), ("b", TICK + 60), ("c", TICK + 120)], 7):
        for other in "abc":
            voter.prepare(other, tick)
            voter.release(other)
        voter.ran(holder, token, tick)
    tick = TICK + 180
    waits = {holder: (fair(voter, holder, tick)["answer"], fair(voter, holder, tick)["wait"]) for holder in "cba"}
    assert waits == {"a": ("ok", 0), "b": ("yield", YIELD_STEP), "c": ("yield", 2 * YIELD_STEP)}


def test_a_yield_takes_no_lease(voter: Voter) -> None:
    """The one that goes first would find it busy."""
    voter.ran("a", tick=TICK)
    voter.prepare("b", TICK)
    assert fair(voter, "a", LATER)["answer"] == "yield"
    assert voter["holder"] == ""
    assert voter.prepare("a", LATER)["answer"] == "ok"  # --no-fair


def test_a_node_that_was_never_first_is_before_all_others(voter: Voter) -> None:
    """It was seen and has not run yet."""
    voter.prepare("b", TICK)
    voter.release("b")
    voter.ran("a", tick=TICK)
    assert fair(voter, "b", LATER)["answer"] == "ok"
    assert fair(voter, "a", LATER)["wait"] == YIELD_STEP


def test_a_dead_node_leaves_the_line_after_three_ticks(voter: Voter) -> None:
    """Else its place in front would slow down everybody for good."""
    voter.prepare("b", TICK)
    voter.release("b")
    answers = []
    for n in range(5):
        tick = TICK + 60 * n
        answers.append(fair(voter, "a", tick)["answer"])
        voter.prepare("a", tick)
        voter.commit("a", 7 + n, tick)
        voter.finish("a", 7 + n)
    assert answers == ["ok", "yield", "yield", "yield", "ok"]


def test_politeness_has_a_limit(voter: Voter) -> None:
    """It must not make a run late."""
    voter.ran("a")
    voter.copy.nodes.update({f"seen:n{i}": TICK for i in range(100)})
    assert fair(voter, "a", LATER)["wait"] == YIELD_MAX


def test_yield_is_judged_last(voter: Voter) -> None:
    """A node in the back of the line is told that it is done, or late, at once."""
    voter.prepare("b", TICK)
    voter.release("b")
    voter.ran("a", tick=TICK)
    assert voter.prepare("a", TICK, fair=1)["answer"] == "done"
    assert voter.prepare("a", LATER, fair=1, start_deadline=1)["answer"] == "late"
    voter.run("b", 8, TICK + 1)
    assert voter.prepare("a", LATER, fair=1)["answer"] == "held"
