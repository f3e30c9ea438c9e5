"""The voter in a file: the same state machine, one process at a time, and a file that is always whole."""

import errno
import json
import os
import random
import stat
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from cronlock.errors import Refused
from cronlock.lock.copy import Copy
from cronlock.lock.future_ticks import CLAIM, FutureTicks
from cronlock.lock.local import LocalVoters, state_directory
from cronlock.lock.local_copy import load
from cronlock.lock.protocol import RETENTION, Failure, is_future_tick
from cronlock.lock.quorum import claim
from cronlock.lock.witness import UNKNOWN, is_alive, this_clock
from cronlock.process.event_loop import Loop
from tests.support.commands import environment, wait_until
from tests.support.random_steps import RECORD, TOUR, walks
from tests.support.side_by_side import Pair, State, missing, side_by_side

Fields = dict[str, Any]
TICK = 1_700_000_000
KEY = "a job/ü"
LATER = 7_200  # s


class Voter:
    """The voter of one key in a directory."""

    made = LocalVoters

    def __init__(self, directory: Path, key: str = KEY, node: str = "", prefix: str = "cronlock") -> None:
        self.voters = self.made(Loop(), str(directory), prefix, key, node)
        self.voters.find(0)
        self.path = Path(self.voters.label(0))

    def reply(self, operation: str, **ask: Any) -> Fields | Failure:
        replies: list[Fields | Failure] = []
        self.voters.send(0, operation, ask, replies.append)
        (reply,) = replies
        return reply

    def ask(self, operation: str, **ask: Any) -> Fields:
        reply = self.reply(operation, **ask)
        assert isinstance(reply, dict), reply.text
        return reply

    def fail(self, operation: str = "release", **ask: Any) -> Failure:
        reply = self.reply(operation, **{"holder": "h1", **ask})
        assert isinstance(reply, Failure), reply
        assert reply.text.startswith(f"{self.path}: ")
        return reply

    def prepare(self, holder: str = "h1", **more: Any) -> Fields:
        return self.ask("prepare", **prepare_fields(holder, **more))

    def run(self, holder: str = "h1") -> Fields:
        self.prepare(holder)
        return self.ask("commit", **run_of(holder))

    @property
    def stored(self) -> Fields:
        return dict(json.loads(self.path.read_text()))

    def change(self, **more: Any) -> None:
        self.path.write_text(json.dumps(self.stored | more))

    def put_record(self, **more: Any) -> None:
        self.change(record=self.stored["record"] | more)

    @property
    def clock(self) -> tuple[str, str]:
        """The one that the lease is stored by."""
        return self.stored["boot"], self.stored["time"]

    def from_elsewhere(self, clock: tuple[str, str]) -> "Voter":
        """Another process's voter of the same file, by another clock."""
        other = Voter(self.path.parent)
        other.voters._clock = clock
        return other


class Later(LocalVoters):
    """Most of the steps' ticks are past for it."""

    wall_clock = staticmethod(lambda: time.time() + LATER)


class Stored(Voter):
    """As a side of the same steps."""

    made = Later
    run_id = ""
    lag = 0
    parts = ("record", "nodes", "history")

    def clocks(self) -> tuple[int, int]:
        return now(), wall() + LATER * 1000

    def call(self, operation: str, ask: Fields) -> Fields:
        return self.ask(operation, **ask)

    def state(self) -> State:
        self.seen, self.looked_at = self.stored, self.clocks()
        if self.clock != this_clock() and self.seen["record"].get("holder"):  # kept for those who have that clock
            self.seen["record"] |= {"holder": "", "kind": "", "lease_end": 0}
        return self.seen["record"], self.seen["nodes"], self.seen["history"]

    def expires(self) -> int:
        return int(self.seen["expires"])

    def put(self, part: int, values: Fields) -> None:
        if not self.path.exists():
            clock = dict(zip(("boot", "time"), this_clock(), strict=True))
            self.path.write_text(json.dumps({**clock, "expires": 0, "record": {}, "nodes": {}, "history": []}))
        self.change(**{self.parts[part]: self.stored[self.parts[part]] | values})

    def forget(self, parts: set[int]) -> None:
        for part in parts if self.path.exists() else ():
            self.change(**{self.parts[part]: type(self.stored[self.parts[part]])()})
        if RECORD in parts and self.path.exists():
            self.change(expires=0)


def now() -> int:
    return LocalVoters.clock()


def wall() -> int:
    return time.time_ns() // 1_000_000


def prepare_fields(holder: str = "h1", **more: Any) -> Fields:
    plain = {
        "holder": holder,
        "node": "web-1",
        "time": wall(),
        "tick": TICK,
        "start_deadline": 0,
        "takeover_deadline": 0,
        "attempts": 1,
    }
    plain |= {"again": 0, "fair": 0, "counts": 1, "job": ""}
    return {**plain, "lease": 2_000, "voter_set": "1 local", **more}


def run_of(holder: str = "h1", **more: Any) -> Fields:
    plain = {"holder": holder, "node": "web-1", "token": 7, "tick": TICK, "state": "running", "attempt": 1}
    plain |= {"voter_set": "1 local", "pid": 1, "start": 0, "run_tick": TICK, "run_attempt": 1, "command": "true"}
    plain |= {"schedule": "", "zone": "", "next": 0, "retention": RETENTION, "lease": 60_000}
    return {**plain, "not_after": now() + 2_000, **more}


def finish_of(holder: str = "h1", **more: Any) -> Fields:
    end = {"holder": holder, "token": 7, "state": "done", "outcome": "ran", "status": 0, "end": 0}
    return {**end, "retention": RETENTION, **more}


@pytest.fixture
def voter(tmp_path: Path) -> Voter:
    """One that knows nothing."""
    return Voter(tmp_path / "state")


# -- the same state machine --------------------------------------------------------------------------------------------


class InFile(Pair):
    """The file has steps of its own."""

    def __init__(self, directory: Path, met: "Counter[tuple[str, str]]") -> None:
        self.stored = Stored(directory)
        super().__init__(self.stored, met)

    def done(self, operation: str, ask: Fields, now: int, time: int) -> Fields:
        """Ticks that the clock denies do not count."""
        asks = operation in ("prepare", "commit")
        future = FutureTicks(self.pure, time) if asks and is_future_tick(self.pure.get("tick"), time) else None
        answer = super().done(operation, ask, now, time)
        if future and (operation, answer["answer"]) != ("commit", "ok"):
            future.undo(self.pure)
        return answer

    def start_anew(self) -> None:
        """The machine, and with it all that ran."""
        self.stored.voters.close()
        if self.stored.path.exists():
            self.stored.change(boot="another")
            if self.pure.get("holder"):
                self.pure.clear_holder()
            self.ask("release", "nobody", {})

    def be_over(self) -> None:
        """The time of the whole record, whose lease has ended."""
        if self.stored.path.exists():
            self.stored.put_record(holder="")
            self.stored.change(expires=wall())
            self.pure = Copy()
            self.ask("release", "nobody", {})


def test_the_file_and_the_pure_record_go_the_same_way(tmp_path: Path) -> None:
    """Every answer and all that is stored, through the file and back (--hypothesis-profile=long: for longer)."""
    met: Counter[tuple[str, str]] = Counter()

    @settings(side_by_side, max_examples=settings.default.max_examples)
    @example(TOUR)
    @given(walks(start_anew=(2, st.just(())), be_over=(1, st.just(()))))
    def walk(steps: list[Any]) -> None:
        both = InFile(tmp_path, met)
        both.stored.path.unlink(missing_ok=True)
        try:
            both.go(steps)
        finally:
            both.stored.voters.close()

    walk()
    assert not missing(met), met


def test_its_clock_stands_still_while_the_machine_sleeps(voter: Voter) -> None:
    """Leases by CLOCK_MONOTONIC, ticks by the wall clock: a lid that closes ends no job."""
    before, answer, after = now(), voter.prepare(), now()
    assert before <= answer["now"] <= after
    assert abs(answer["time"] - wall()) < 5_000
    assert (answer["run_id"], answer["restarted"]) == ("", 0)
    assert voter.stored["record"]["lease_end"] == answer["now"] + 2_000


def test_a_record_that_is_over_its_time_is_gone(voter: Voter) -> None:
    """As on a server: a blank one after a minute, a run after its retention."""
    voter.prepare("h1", lease=3_000_000)
    voter.ask("release", holder="h1")
    voter.run("h2")
    assert voter.stored["expires"] > wall() + RETENTION - 60_000
    voter.ask("finish", **finish_of("h2"))
    assert voter.prepare("h3")["answer"] == "done"
    voter.change(expires=wall() - 1)
    assert voter.prepare("h3")["answer"] == "ok"
    assert voter.stored["record"].get("token") is None


def test_a_record_does_not_expire_under_a_live_lease(voter: Voter) -> None:
    """A clock that people set forward while somebody holds it ends no lease, and people see it too."""
    voter.run()
    voter.change(expires=wall() - 1)
    assert voter.prepare("h2", tick=TICK + 60)["answer"] == "held"
    seen = load(str(voter.path))
    assert seen
    assert seen.get("holder") == "h1"
    voter.put_record(lease_end=now())
    assert voter.prepare("h2", tick=TICK + 60)["token"] == 0
    voter.put_record(lease_end=now() + 60_000)
    voter.change(expires=wall() - 1)
    assert voter.prepare("h3")["answer"] == "busy"


# -- clocks that differ ------------------------------------------------------------------------------------------------

BOOT, NAMESPACE = this_clock()
OTHERS = {"boot": ("another", NAMESPACE), "namespace": (BOOT, "time:[1]"), "both": ("another", "time:[1]")}
HIDDEN = {"no boot": (UNKNOWN, NAMESPACE), "nothing": (UNKNOWN, UNKNOWN), "no namespace": (BOOT, UNKNOWN)}


def clocks(named: dict[str, tuple[str, str]]) -> "pytest.MarkDecorator":
    """Each of these as `clock`."""
    return pytest.mark.parametrize("clock", named.values(), ids=named)


def test_a_start_of_the_machine_ends_leases_but_not_ticks(voter: Voter) -> None:
    """The clock of leases begins anew with it, and nobody is left who ran; what ran has run."""
    voter.run()
    assert voter.prepare("h2")["answer"] == "held"
    assert voter.clock == this_clock()
    voter.voters.close()
    voter.change(boot="another")
    answer = voter.prepare("h2")
    assert (answer["answer"], answer["token"], answer["tick"], answer["left"]) == ("done", 7, TICK, 0)
    assert voter.prepare("h2", tick=TICK + 60)["answer"] == "ok"
    assert voter.clock == this_clock()


@clocks(OTHERS | HIDDEN)
def test_a_run_that_lives_is_live_by_every_clock(voter: Voter, clock: tuple[str, str]) -> None:
    """Its whole lease may be left, for who can't read the clock that it ends by; people see the same."""
    voter.run()
    lease_end = voter.stored["record"]["lease_end"]
    other = voter.from_elsewhere(clock)
    voter.put_record(lease_end=1)  # which says nothing, by another clock
    answer = other.prepare("h2", tick=TICK + 60)
    assert answer["answer"] == "held"
    assert 59_000 < answer["left"] <= 60_000
    assert other.ask("forget", node="", retention=1)["answer"] == "held"
    assert voter.clock == this_clock()
    assert voter.stored["record"]["lease_end"] == 1
    voter.put_record(lease_end=lease_end)
    assert voter.prepare("h3", tick=TICK + 60)["answer"] == "held"
    voter.change(boot=clock[0], time=clock[1])
    seen = load(str(voter.path))
    assert seen
    assert seen.live(now())
    assert other.ask("unlock", token=7)["answer"] == "ok"
    assert other.prepare("h2", tick=TICK + 60)["answer"] == "ok"


@clocks(OTHERS | HIDDEN)
def test_a_run_that_ends_ends_by_every_clock(voter: Voter, clock: tuple[str, str]) -> None:
    """finish is done by a clock that others have written nothing with."""
    voter.run()
    other = voter.from_elsewhere(clock)
    assert other.prepare("h2", tick=TICK + 60)["answer"] == "held"
    assert voter.ask("finish", **finish_of())["answer"] == "ok"
    assert not is_alive(str(voter.path))
    assert other.prepare("h2", tick=TICK + 60)["answer"] == "ok"
    assert other.ask("commit", **run_of("h2", token=8, tick=TICK + 60))["answer"] == "ok"
    assert other.clock == clock
    assert voter.prepare("h3", tick=TICK + 120)["answer"] == "held"


def test_a_run_whose_processes_are_gone_is_over_by_another_clock_and_not_by_its_own(voter: Voter) -> None:
    """And who found it over, and took nothing, leaves the lease to those who can read it."""
    voter.run()
    voter.voters.close()
    other = voter.from_elsewhere(("another", NAMESPACE))
    assert other.prepare("h2")["answer"] == "done"
    assert other.ask("finish", **finish_of("h2"))["answer"] == "other"
    assert other.ask("pause", node="a", until=0, reason="", retention=RETENTION)["left"] == 0
    assert voter.prepare("h3", tick=TICK + 60)["answer"] == "held"
    assert other.ask("forget", node="", retention=RETENTION)["answer"] == "ok"
    assert voter.prepare("h3", tick=TICK + 60)["answer"] == "ok"


@clocks(HIDDEN)
def test_what_can_not_be_proven_over_is_not(voter: Voter, clock: tuple[str, str]) -> None:
    """Where a clock is hidden the end of the lease is believed, and nothing else."""
    voter.run()
    voter.voters.close()
    other = voter.from_elsewhere(clock)
    assert other.prepare("h2", tick=TICK + 60)["answer"] == "held"
    voter.put_record(lease_end=now())
    assert other.prepare("h2", tick=TICK + 60)["answer"] == "ok"


@clocks(OTHERS | HIDDEN)
def test_a_prepare_lease_by_another_clock_blocks_for_its_length_at_most(voter: Voter, clock: tuple[str, str]) -> None:
    """Its own process finds it, whatever is hidden from it, and its commit is strict."""
    other = voter.from_elsewhere(clock)
    other.prepare("h1")
    voter.put_record(lease_end=now() + 1_000_000)
    assert voter.prepare("h2")["answer"] == "ok"
    assert other.ask("commit", **run_of("h1"))["answer"] == "other"
    assert not is_alive(str(voter.path))
    voter.ask("release", holder="h2")
    other.prepare("h1")
    assert other.ask("commit", **run_of("h1"))["answer"] == "ok"


@clocks(HIDDEN)
def test_a_holder_whose_clock_is_hidden_extends_its_lease(voter: Voter, clock: tuple[str, str]) -> None:
    """What it writes stands, though it can't tell whether the clock of the record is its own."""
    other = voter.from_elsewhere(clock)
    other.run()
    other.put_record(lease_end=now() + 10)
    answer = other.ask("extend", **run_of())
    assert (answer["answer"], answer["left"]) == ("ok", 60_000)
    assert other.stored["record"]["lease_end"] == answer["now"] + 60_000


def test_a_commit_that_is_refused_leaves_no_witness(voter: Voter) -> None:
    """Nor does a release, nor a process that ends; a commit that comes twice keeps it."""
    voter.prepare()
    assert voter.ask("commit", **run_of(not_after=now() - 1))["answer"] == "expired"
    assert not is_alive(str(voter.path))
    assert voter.ask("commit", **run_of())["answer"] == "ok"
    assert voter.ask("commit", **run_of(not_after=now() - 1))["answer"] == "expired"
    assert is_alive(str(voter.path))
    voter.ask("release", holder="h1")
    assert not is_alive(str(voter.path))
    voter.prepare("h2", tick=TICK + 60)
    assert voter.ask("extend", **run_of())["answer"] == "busy"
    assert not is_alive(str(voter.path))


def test_the_witness_is_there_before_the_record_says_run(voter: Voter, monkeypatch: pytest.MonkeyPatch) -> None:
    """And until it says that the run has ended: who looks between the two steps must not find a dead run."""
    seen: list[bool] = []

    def replace(old: str, new: str, real: Any = os.replace) -> None:
        seen.append(is_alive(str(voter.path)))
        real(old, new)

    monkeypatch.setattr(os, "replace", replace)
    voter.run()
    voter.ask("extend", **run_of())
    voter.ask("finish", **finish_of())
    assert seen == [False, True, True, True]


def test_an_older_cronlocks_record_is_judged_by_its_boot(voter: Voter) -> None:
    """It names no time namespace, and its holder has no witness."""
    voter.run()
    voter.voters.close()
    old = voter.stored
    del old["time"]
    voter.path.write_text(json.dumps(old))
    assert voter.prepare("h2", tick=TICK + 60)["answer"] == "held"
    voter.path.write_text(json.dumps(old | {"boot": "another"}))
    assert voter.prepare("h2", tick=TICK + 60)["answer"] == "ok"


def test_those_who_wait_are_not_told_of_an_end_that_nobody_can_prove(voter: Voter) -> None:
    """By another clock: not while the holder lives, and as soon as it has ended."""
    voter.run()
    voter.put_record(lease_end=1)
    other = voter.from_elsewhere(("another", NAMESPACE))
    heard: list[int] = []
    other.voters.listen(lambda _voter, token: heard.append(token))
    other.voters.step(0)
    assert heard == []
    voter.ask("finish", **finish_of())
    other.voters.step(0)
    assert heard == [7]


def test_the_clock_is_the_same_in_every_process() -> None:
    """Until the next start."""
    code = "from cronlock.lock.witness import this_clock; print(*this_clock())"
    told = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True)
    assert told.stdout.split() == [*this_clock()]
    assert UNKNOWN not in this_clock()


# -- a clock that was ahead once ---------------------------------------------------------------------------------------

FAR = TICK + 200_000_000  # s: some years ahead of any clock here
NEAR = 60 * (wall() // 60_000)


def ran(voter: Voter, *ticks: int) -> None:
    """Runs of a machine whose clock said so."""
    for number, tick in enumerate(ticks):
        voter.prepare("h1", tick=0)
        run = run_of(token=7 + number, tick=tick, run_tick=tick)
        voter.ask("commit", **run)
        voter.ask("finish", **finish_of(token=7 + number))
    voter.change(nodes=voter.stored["nodes"] | {"seen:web-1": ticks[-1], "seen:web-2": ticks[0]})


@pytest.mark.parametrize(
    ("ticks", "left"),
    [
        ((FAR,), [0, 0, 0]),
        ((NEAR - 60, FAR), [NEAR - 60, 0, 0]),
        ((NEAR - 60, FAR, FAR + 60), [NEAR - 60, 0, 0]),
        ((FAR, FAR + 60, FAR + 120), [0, 0, 0]),
        ((NEAR - 120, NEAR - 60, FAR), [NEAR - 60, NEAR - 120, 0]),
    ],
)
def test_a_tick_from_a_future_that_the_clock_denies_does_not_count(
    voter: Voter, ticks: tuple[int, ...], left: list[int]
) -> None:
    """The newest tick before it counts, what it told of nodes does not, and the operator is told."""
    ran(voter, *ticks)
    before = voter.stored
    answer = voter.prepare("h2", tick=NEAR, fair=1)
    assert (answer["answer"], answer["tick"]) == ("ok", left[0])
    assert "years ahead of this clock: that tick does not count" in voter.voters.warning
    voter.ask("release", holder="h2")
    for name in CLAIM:  # this clock may be the wrong one
        assert voter.stored["record"].get(name, 0) == before["record"].get(name, 0)
    assert voter.stored["nodes"].items() >= before["nodes"].items() - {("seen:web-1", ticks[-1])}
    if left[0]:
        assert voter.prepare("h2", tick=left[0])["answer"] == "done"
    answer = voter.prepare("h2", tick=NEAR)
    claimed = claim([answer], NEAR, again=False)
    voter.ask("commit", **run_of("h2", **claimed))
    record = voter.stored["record"]
    assert [record.get(name, 0) for name in ("tick", "tick1", "tick2")] == [NEAR, *left[:2]]
    assert (record["state"], record["attempt"]) == ("running", 1)
    assert voter.stored["nodes"]["last:web-1"] == NEAR
    assert "seen:web-1" not in voter.stored["nodes"] or voter.stored["nodes"]["seen:web-1"] <= NEAR
    fresh = Voter(voter.path.parent)
    assert fresh.prepare("h3", tick=NEAR + 60)["answer"] == "held"
    assert fresh.voters.warning == ""


@pytest.mark.parametrize(("ahead", "counts"), [(63, True), (67, False)])
def test_a_tick_that_cron_may_name_early_counts(voter: Voter, ahead: int, counts: bool) -> None:
    """Five seconds for cron, and sixty by which clocks may differ."""
    tick = wall() // 1000 + ahead
    ran(voter, tick)
    assert voter.prepare("h2", tick=NEAR)["answer"] == ("done" if counts else "ok")
    assert bool(voter.voters.warning) != counts


def test_the_end_of_a_run_with_a_tick_from_the_future_is_written_down(voter: Voter) -> None:
    """The clock was set right while it ran; others are held meanwhile."""
    voter.prepare(tick=0)
    voter.ask("commit", **run_of(tick=FAR, run_tick=FAR))
    assert voter.prepare("h2", tick=NEAR)["answer"] == "held"
    assert voter.stored["record"]["missed_tick"] == NEAR
    assert voter.ask("extend", **run_of(tick=FAR, run_tick=FAR))["answer"] == "ok"
    assert voter.ask("finish", **finish_of())["answer"] == "ok"
    assert [voter.stored["record"][name] for name in ("tick", "state")] == [FAR, "done"]


def test_a_tick_that_no_calendar_has_is_no_traceback(voter: Voter) -> None:
    """A hand wrote it."""
    ran(voter, TICK)
    voter.put_record(tick=10**30)
    assert voter.prepare("h2", tick=NEAR)["answer"] == "ok"
    assert "that tick does not count" in voter.voters.warning


# -- where it lies -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077, 0o277, 0o777])
def test_only_its_user_may_read_it(tmp_path: Path, mask: int) -> None:
    """Whatever the umask: command lines stand in it."""
    before = os.umask(mask)
    try:
        (tmp_path / "a").mkdir()
        (tmp_path / "a").chmod(0o700)
        voter = Voter(tmp_path / "a" / "state")
        voter.run()
    finally:
        os.umask(before)
    assert stat.S_IMODE(voter.path.parent.stat().st_mode) == 0o700
    files = list(voter.path.parent.iterdir())
    assert voter.path in files
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o1777, 0o2775])
def test_a_directory_that_others_may_write_to_is_refused(tmp_path: Path, mode: int) -> None:
    """A record there may be anybody's, and so may the file that a name leads to."""
    state = tmp_path / "state"
    state.mkdir()
    state.chmod(mode)
    with pytest.raises(
        Refused, match=f"{state} is writable by other users: check its content, then run chmod go-w {state}: --local"
    ):
        Voter(state)
    assert list(state.iterdir()) == []


def test_a_directory_that_others_may_look_into_will_do(tmp_path: Path) -> None:
    """They see the names of keys; a link to another disk is no harm either."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk").chmod(0o755)
    (tmp_path / "state").symlink_to(tmp_path / "disk")
    assert Voter(tmp_path / "state").run()["answer"] == "ok"


def test_no_link_is_written_through(voter: Voter, tmp_path: Path) -> None:
    """Nor is a lock taken through one: somebody may have put it there while the directory was open to all."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    voter.prepare()
    for name in (".run", ".new", ".lock"):
        link = Path(f"{voter.path}{name}")
        link.unlink(missing_ok=True)
        link.symlink_to(victim)
        assert voter.fail("commit", **run_of()).final
        link.unlink()
    assert victim.read_text() == "precious"


def test_what_was_made_readable_is_its_users_alone_again(voter: Voter) -> None:
    """A copy from a backup, say: who can open a lock's file can keep it locked."""
    voter.run()
    for path in voter.path.parent.iterdir():
        path.chmod(0o644)
    voter.ask("finish", **finish_of())
    voter.prepare("h2", tick=TICK + 60)
    voter.ask("commit", **run_of("h2"))
    assert {stat.S_IMODE(path.stat().st_mode) for path in voter.path.parent.iterdir()} == {0o600}


def test_every_record_has_a_file_of_its_own(tmp_path: Path) -> None:
    """By prefix, key and node, however alike they look; the name shows the key and fits into a directory."""
    keys = ["a", "A", "a b", "a/b", "a_b", "../a", ".", "日本", "日木", "x" * 200, "x" * 199 + "y", "\udcff"]
    voters = [Voter(tmp_path, key) for key in keys] + [Voter(tmp_path, "a", "web-1"), Voter(tmp_path, "a", prefix="b")]
    assert len({voter.path for voter in voters}) == len(voters)
    for voter in voters:
        assert voter.path.parent == tmp_path
        voter.run()
        assert voter.stored["record"]["token"] == 7
    assert Voter(tmp_path, "nightly").path.name.startswith("nightly-")


def test_the_state_directory_is_roots_or_the_users_own() -> None:
    """XDG's rule: a relative path in the variable is as none."""
    code = "import os; os.geteuid = lambda: {}; from cronlock.lock.local import state_directory as d; print(d())"

    def directory(uid: int, **env: str) -> str:
        environ = environment({"HOME": "/home/me", **env})
        words = [sys.executable, "-c", code.format(uid)]
        return subprocess.run(words, env=environ, capture_output=True, text=True, check=True).stdout.strip()

    assert directory(0, XDG_STATE_HOME="/x") == "/var/lib/cronlock"
    assert directory(1000) == "/home/me/.local/state/cronlock"
    assert directory(1000, XDG_STATE_HOME="") == "/home/me/.local/state/cronlock"
    assert directory(1000, XDG_STATE_HOME="/x") == "/x/cronlock"
    assert directory(1000, XDG_STATE_HOME="x") == "/home/me/.local/state/cronlock"
    assert state_directory().endswith("/cronlock")


def test_a_directory_that_can_not_be_made_is_refused(tmp_path: Path) -> None:
    """With what it is for."""
    (tmp_path / "file").write_text("")
    with pytest.raises(Refused, match=f"can't create {tmp_path}/file/state, where --local keeps its records: not a d"):
        Voter(tmp_path / "file" / "state")


# -- damage ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        *("", " ", "{", "null", "1", "[]", "{}", '{"expires": 0}', "[" * 100_000, '{"expires": "x"}'),
        *('{"expires": 0, "record": [1], "nodes": {}, "history": [], "boot": ""}',),
        *('{"expires": 0, "record": {}, "nodes": 1, "history": [], "boot": ""}',),
        *('{"expires": 0, "record": {"tick": "x"}, "nodes": {}, "history": [], "boot": ""}',),
        *('{"expires": 0, "record": {"token": null}, "nodes": {}, "history": [], "boot": ""}',),
        *('{"expires": 0, "record": {"node": 1}, "nodes": {}, "history": [], "boot": ""}',),
        *('{"expires": 0, "record": {}, "nodes": {"seen:a": "x"}, "history": [], "boot": ""}',),
        *('{"expires": 0, "record": {}, "nodes": {}, "history": [1], "boot": ""}',),
    ],
)
def test_a_damaged_file_is_a_final_failure_that_names_it(voter: Voter, content: str) -> None:
    """Waiting mends nothing, and beginning anew by itself could run a tick twice; the file stays as it is."""
    voter.path.write_text(content)
    failure = voter.fail("prepare", **prepare_fields())
    assert failure.final
    assert failure.text == f"{voter.path}: the record is damaged: remove the file to start a new one"
    assert voter.path.read_text() == content


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2_000), st.integers(0, 255), st.booleans())
def test_no_damage_causes_a_traceback(tmp_path: Path, at: int, byte: int, cut: bool) -> None:
    """A byte that changed, or an end that is missing: an answer or a failure that names the file."""
    voter = Voter(tmp_path / "state")
    if not (tmp_path / "whole").exists():
        voter.run()
        (tmp_path / "whole").write_bytes(voter.path.read_bytes())
    data = (tmp_path / "whole").read_bytes()
    at %= len(data)
    voter.path.write_bytes(data[:at] if cut else data[:at] + bytes((byte,)) + data[at + 1 :])
    reply = voter.reply("prepare", **prepare_fields("h2", tick=TICK + 60, fair=1))
    assert isinstance(reply, dict) or (reply.final and str(voter.path) in reply.text)


@pytest.mark.parametrize("what", ["directory is gone", "it is a directory", "its lock is a directory"])
def test_what_waiting_will_not_mend_is_final(voter: Voter, what: str) -> None:
    """The message names the file and the reason."""
    if what == "directory is gone":
        voter.path.parent.rmdir()
    elif what == "it is a directory":
        voter.path.mkdir()
    else:
        Path(f"{voter.path}.lock").mkdir()
    assert voter.fail().final


def test_a_full_disk_is_a_failure_that_passes_and_changes_nothing(
    voter: Voter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is tried again for the outage window; what was stored before stands."""
    voter.run()
    before = voter.path.read_bytes()

    def full(_fd: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as disk:
        disk.setattr(os, "fsync", full)
        failure = voter.fail("finish", **finish_of())
    assert not failure.final
    assert failure.text == f"{voter.path}: {os.strerror(errno.ENOSPC).lower()}"
    assert voter.path.read_bytes() == before
    assert voter.ask("finish", **finish_of())["answer"] == "ok"


def test_what_a_killed_process_left_half_written_is_in_nobodys_way(voter: Voter) -> None:
    """It is written anew."""
    voter.run()
    Path(f"{voter.path}.new").write_text("half")
    assert voter.ask("finish", **finish_of())["answer"] == "ok"
    assert voter.stored["record"]["state"] == "done"


# -- several processes -------------------------------------------------------------------------------------------------

CHILD = """
import sys, time
from cronlock.lock.future_ticks import CLAIM, FutureTicks
from cronlock.lock.local import LocalVoters
from cronlock.lock.protocol import Failure, is_future_tick
from cronlock.process.event_loop import Loop
directory, holder = sys.argv[1:]
voters = LocalVoters(Loop(), directory, "cronlock", "job")
voters.find(0)
ask = {"holder": holder, "node": "web-1", "start_deadline": 0, "takeover_deadline": 0, "counts": 1,
       "attempts": 1, "again": 0, "fair": 0,
       "job": "", "lease": 60000, "voter_set": "1 local", "until": 0, "retention": 60000}
def said(operation, **more):
    reply = []
    while not reply:
        voters.send(0, operation, {**ask, "time": int(time.time() * 1000), **more}, reply.append)
        if isinstance(reply[0], Failure) and not reply[0].final:
            reply.clear()
    return reply[0]
print("ready", flush=True)
for line in sys.stdin:
    word, number = line.split()
"""


@contextmanager
def children(count: int, directory: Path, loop: str) -> Iterator[list["subprocess.Popen[str]"]]:
    """Processes that share a file; each carries out `loop` for every line that it is sent."""
    words = [sys.executable, "-c", CHILD + "\n".join(f"    {line}" for line in loop.splitlines()), str(directory)]
    processes = [
        subprocess.Popen([*words, f"h{i}"], env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for i in range(count)
    ]
    try:
        for process in processes:
            assert process.stdout
            assert process.stdout.readline() == "ready\n"
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def tell(processes: list["subprocess.Popen[str]"], line: str) -> None:
    for process in processes:
        assert process.stdin
        process.stdin.write(line + "\n")
        process.stdin.flush()


def heard(processes: list["subprocess.Popen[str]"]) -> list[str]:
    return [process.stdout.readline().strip() for process in processes if process.stdout]


def test_of_several_processes_at_once_one_gets_it(tmp_path: Path) -> None:
    """However often they meet; the others find it busy."""
    with children(6, tmp_path, 'print(said("prepare", tick=int(number))["answer"], flush=True)') as processes:
        for tick in range(TICK, TICK + 20):
            tell(processes, f"prepare {tick}")
            assert sorted(heard(processes)) == ["busy"] * 5 + ["ok"]
            voter = Voter(tmp_path, "job")
            assert voter.ask("release", holder=voter.stored["record"]["holder"])["answer"] == "ok"


def test_no_operation_of_another_process_is_lost(tmp_path: Path) -> None:
    """Each one reads what the one before wrote."""
    loop = 'for _ in range(int(number)): said("prepare", tick=1, time=0)\nprint("done", flush=True)'
    with children(4, tmp_path, loop) as processes:
        tell(processes, "count 25")
        assert heard(processes) == ["done"] * 4
    assert Voter(tmp_path, "job").stored["nodes"] == {"clock:web-1": 100}


def test_a_process_that_is_killed_leaves_a_whole_file(tmp_path: Path) -> None:
    """And no lock: whenever kill -9 comes, what stands there is the state before an operation or after it."""
    loop = 'for i in range(10**9): said("pause", reason=str(i % 10) * int(number))\n'
    voter = Voter(tmp_path, "job")
    size = 300_000
    for _ in range(15):
        voter.path.unlink(missing_ok=True)
        with children(1, tmp_path, loop) as (process,):
            tell([process], f"pause {size}")
            wait_until(voter.path.exists, message="its first write", interval=0.001)
            seen = {voter.stored["record"]["pause_reason"][0]}
            writes = random.randint(1, 5)
            wait_until(lambda: len(seen) > writes or seen.add(voter.stored["record"]["pause_reason"][0]), interval=0)  # noqa: B023
        reason = voter.stored["record"]["pause_reason"]
        assert reason == reason[0] * size
        assert voter.prepare("h9", tick=0)["answer"] == "ok"


def test_a_file_that_another_process_keeps_locked_is_a_failure_that_passes(tmp_path: Path) -> None:
    """A stopped process must not hang all others for good."""
    voter = Voter(tmp_path, "job")
    loop = (
        'import fcntl; file = open(voters.label(0) + ".lock", "w"); fcntl.flock(file, 2); print("locked", flush=True)'
    )
    with children(1, tmp_path, loop) as (process,):
        tell([process], "lock 1")
        assert heard([process]) == ["locked"]
        assert not voter.fail("prepare", **prepare_fields()).final
    assert voter.prepare()["answer"] == "ok"
