"""--local where processes that share the file read different clocks: real processes, in namespaces of their own.

Containers with one folder have boot ids of their own, a time namespace shifts the clock of leases, systemd's ProcSubset
hides the boot id. Whoever can't read the holder's clock must not take its lease away.
"""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from cronlock.lock.local import state_directory
from cronlock.lock.witness import is_alive, witness_path
from tests.support.commands import cronlock, environment, home, start_cronlock, wait_until
from tests.support.processes import about, bearing, descendants, guards_of

OFFSET = ("--monotonic", "100000", "--boottime", "100000")
ELSEWHERE = {  # words in front of a command: where it is then
    "another boot id": ("unshare", "--mount", "sh", "-c", 'echo 1-2-3 > boot; mount --bind boot "$0"; exec "$@"'),
    "no /proc/sys": ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /proc/sys; exec "$@"'),
    "no /proc": ("unshare", "--mount", "sh", "-c", 'umount -l /proc; exec "$@"'),
    "a time namespace": ("unshare", "--time", *OFFSET, "--fork", "--kill-child", "sh", "-c", 'exec "$@"'),
    "both": (
        *("unshare", "--mount", "--time", *OFFSET, "--fork", "--kill-child"),
        *("sh", "-c", 'echo 4-5-6 > boot2; mount --bind boot2 "$0"; exec "$@"'),
    ),
}
BOOT_ID = "/proc/sys/kernel/random/boot_id"
TICK, NEXT = ("--tick", "2026-11-20T02:00Z"), ("--tick", "2026-11-20T03:00Z")
SLEEPER = ("--", "sh", "-c", "touch ready; exec sleep 60")
DEAF = ("--", "sh", "-c", "trap '' TERM; touch ready; exec sleep 60")
pytestmark = pytest.mark.debian
everywhere = pytest.mark.parametrize("place", ELSEWHERE)


def inside(place: str) -> tuple[str, ...]:
    """The words that put a command there."""
    return (*ELSEWHERE[place], BOOT_ID) if place else ()


class Job:
    """One key, run at different places."""

    def __init__(self, key: str) -> None:
        self.words = ("--local", "--key", key)
        self._key = key

    @property
    def path(self) -> Path:
        [path] = Path(state_directory()).glob(f"{self._key}-*.json")
        return path

    @property
    def record(self) -> dict[str, object]:
        return dict(json.loads(self.path.read_text())["record"])

    def hold(self, *words: str, place: str = "", command: Sequence[str] = SLEEPER) -> "HeldLock":
        """A run that goes on, as soon as it does."""
        Path(home(), "ready").unlink(missing_ok=True)
        process = start_cronlock("run", *self.words, *(words or TICK), *command, before=inside(place))
        wait_until(Path(home(), "ready").exists, message="the command")
        return HeldLock(process)

    def run(self, *words: str, place: str = "") -> "subprocess.CompletedProcess[str]":
        """What another run comes to, by its status and output."""
        return cronlock("run", *self.words, "-v", *(words or NEXT), "--", "echo", "ran", before=inside(place))

    def held(self, place: str = "") -> bool:
        done = self.run(place=place)
        assert done.returncode == 0, done.stderr
        assert ("held by" in done.stderr) != ("ran\n" in done.stdout), done
        return "held by" in done.stderr

    def held_everywhere(self) -> bool:
        return all(self.held(place) for place in ("", *ELSEWHERE))


class HeldLock:
    """The processes of a run."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        [self.command] = wait_until(
            lambda: [pid for pid in descendants(process.pid) if about(pid)["Name"] == "sleep"], message="the command"
        )
        self.guard = os.getpgid(self.command)  # which it leads; it has no name of its own without /proc
        self.wrapper = int(about(self.guard)["PPid"])

    def kill(self, *pids: int) -> None:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: all(about(pid)["State"][0] in "gZ" for pid in pids), message="their death")

    def finish(self) -> None:
        os.kill(self.command, signal.SIGTERM)
        self.process.communicate(timeout=20)


@pytest.fixture
def job(local_key: str) -> Job:
    return Job(local_key)


@everywhere
def test_a_run_that_lives_holds_everywhere(job: Job, place: str) -> None:
    """Whoever looks, from wherever, and however often: the next ordinary process finds it held as well."""
    holder = job.hold(place=place)
    assert job.held_everywhere()
    assert job.held_everywhere()
    holder.finish()
    assert job.run(*NEXT).stdout == "ran\n"


@everywhere
def test_an_ordinary_run_holds_there(job: Job, place: str) -> None:
    """By status as well; when it has ended the next one runs there, and one after that here."""
    holder = job.hold()
    assert job.held(place)
    assert "running" in cronlock("status", *job.words[:1], job.words[2], before=inside(place)).stdout
    assert cronlock("forget", "--yes", *job.words[:1], job.words[2], before=inside(place)).returncode != 0
    assert job.held()
    holder.finish()
    assert job.run(*NEXT, place=place).stdout == "ran\n"
    assert job.run("--tick", "2026-11-20T04:00Z").stdout == "ran\n"


@everywhere
def test_the_wrappers_death_ends_no_command_early(job: Job, place: str) -> None:
    """While the guard lives it may still have to end the command: held; then it is over where no clock is shared."""
    holder = job.hold(*TICK, "--kill-after", "20s", command=DEAF)
    holder.kill(holder.wrapper)
    assert job.held(place)
    holder.kill(holder.guard)
    holder.kill(holder.command)
    assert job.held(), "its own clock knows of its lease"
    assert job.held(place) == (place in ("no /proc", "no /proc/sys"))


def test_a_guard_that_is_replaced_holds_the_witness_too(job: Job) -> None:
    """The wrapper's death after that leaves it to the second one."""
    holder = job.hold(*TICK, "--kill-after", "20s", command=DEAF)
    os.kill(holder.guard, signal.SIGKILL)

    [second] = wait_until(
        lambda: [pid for pid in guards_of(holder.wrapper) if pid != holder.guard], message="another guard"
    )
    wait_until(lambda: stripped(second), message="its files")
    holder.kill(holder.wrapper)
    assert job.held("another boot id")
    holder.kill(second, holder.command)
    assert not job.held("another boot id")


def open_files(pid: int) -> list[int]:
    return sorted(map(int, os.listdir(f"/proc/{pid}/fd")))


def stripped(guard: int) -> bool:
    """Whether it has closed all but the standard three, the pipe, the witness, and the two ends of the tether."""
    files = open_files(guard)
    return files[:5] == [*range(5)] and len(files) == 7


STRIP = """
import os, sys
from cronlock.process.guard import _close_all_but
pipe, witness, result = int(sys.argv[1]), int(sys.argv[2]), os.path.abspath("result")
kept = os.open("witness", os.O_RDWR | os.O_CREAT), os.pipe()[0]
high = [os.dup2(fd, 50 + place) for place, fd in enumerate(kept)]
tether = tuple(os.dup2(fd, 60 + place) for place, fd in enumerate(os.pipe()))
os.dup2(high[0], witness), os.dup2(high[1], pipe)
_close_all_but(pipe, witness, tether)
names = [os.readlink(f"/proc/self/fd/{fd}") for fd in range(5)]
with open(result, "w") as file:
    file.write(" ".join([*names, *sorted(os.listdir("/proc/self/fd"))]))
"""


@pytest.mark.parametrize(("pipe", "witness"), [(3, 4), (4, 3), (4, 5), (5, 3), (5, 4), (3, 5), (8, 9)])
def test_neither_of_the_guards_two_files_gets_in_the_others_way(pipe: int, witness: int) -> None:
    """Each may have the number that the other one is to have."""
    words = [sys.executable, "-c", STRIP, str(pipe), str(witness)]
    subprocess.run(words, env=environment(), cwd=home(), check=True, timeout=30)
    files = Path(home(), "result").read_text().split()
    assert files[:3] == ["/dev/null"] * 3
    assert files[3].startswith("pipe:")
    assert files[4] == f"{home()}/witness"
    assert sorted(map(int, files[5:])) == [*range(7), 60, 61], "its own four, the result and the listing"


@pytest.mark.parametrize("taken", [(), (3,), (4,), (3, 4), (3, 4, 5)])
def test_the_guard_keeps_the_witness_and_the_command_does_not(job: Job, taken: Sequence[int]) -> None:
    """Whatever numbers were free in the wrapper."""
    pairs = [os.pipe() for _ in taken]
    redirect = "".join(f" {number}< /dev/null" for number in taken)
    before = ("sh", "-c", f'exec "$@"{redirect}', "sh")
    process = start_cronlock("run", *job.words, *TICK, *SLEEPER, before=before)
    wait_until(Path(home(), "ready").exists, message="the command")
    holder = HeldLock(process)
    wait_until(lambda: stripped(holder.guard), message="the guard's files")
    files = [os.readlink(f"/proc/{holder.guard}/fd/{fd}") for fd in range(5)]
    assert files[:3] == ["/dev/null"] * 3
    assert files[3].startswith("pipe:")
    assert files[4] == witness_path(str(job.path))
    assert {os.readlink(f"/proc/{holder.command}/fd/{fd}") for fd in open_files(holder.command)} & {files[4]} == set()
    holder.finish()
    assert not is_alive(str(job.path))
    for fd in (fd for pair in pairs for fd in pair):
        os.close(fd)


def test_what_the_command_leaves_behind_holds_nothing(job: Job) -> None:
    """A daemon that it started lives on; the next run starts, here and elsewhere."""
    left = "setsid sh -c 'touch ready; exec sleep 60' > /dev/null 2>&1 & while ! test -e ready; do sleep 0.1; done"
    assert cronlock("run", *job.words, *TICK, "--", "sh", "-c", left).returncode == 0
    assert "sleep" in bearing(f"HOME={home()}").values()
    assert job.run(*NEXT, place="another boot id").stdout == "ran\n"


def test_a_start_of_the_machine_ends_a_lock(job: Job) -> None:
    """Another boot id, and nobody who holds the witness: all died in the power cut."""
    holder = job.hold()
    holder.kill(holder.guard, holder.wrapper, holder.command)
    assert job.held()
    text = job.path.read_text()
    job.path.write_text(re.sub(r'"boot": "[^"]+"', '"boot": "before the power cut"', text))
    assert job.run(*NEXT).stdout == "ran\n"


@everywhere
def test_unlock_ends_a_lease_there(job: Job, place: str) -> None:
    """By the word of an operator, though its processes live; the run after it holds as any other does."""
    first = job.hold("--schedule", "none", "--ttl", "1h")
    assert cronlock("unlock", "--yes", *job.words[:1], job.words[2], before=inside(place)).returncode == 0
    second = job.hold("--schedule", "none", place=place)
    assert job.held_everywhere()
    first.finish()
    assert job.held_everywhere()
    second.finish()
    assert not is_alive(str(job.path))
    assert job.run("--schedule", "none").stdout == "ran\n"


@everywhere
def test_each_is_held_there_too(job: Job, place: str) -> None:
    """A node's record of its own has a witness of its own."""
    holder = job.hold("--each", "--node", "web-1", *TICK)
    done = job.run("--each", "--node", "web-1", *NEXT, place=place)
    assert "held by web-1" in done.stderr
    assert job.run("--each", "--node", "web-2", *NEXT, place=place).stdout == "ran\n"
    holder.finish()
    assert job.run("--each", "--node", "web-1", *NEXT, place=place).stdout == "ran\n"


@everywhere
def test_who_waits_there_runs_when_it_has_ended(job: Job, place: str) -> None:
    """And not before, however long that takes."""
    holder = job.hold("--schedule", "none", "--ttl", "4s", "--kill-after", "500ms")
    words = ("run", *job.words, "--schedule", "none", "--wait", "50s", "--", "sh", "-c", "touch began; echo ran")
    waiting = start_cronlock(*words, before=inside(place))
    assert waiting.stderr
    assert "waiting at most 50s for the lock, held by" in waiting.stderr.readline()
    start = job.record["lease_end"]
    wait_until(lambda: job.record["lease_end"] != start, message="an extension")
    start = job.record["lease_end"]
    wait_until(lambda: job.record["lease_end"] != start, message="another one")
    assert not Path(home(), "began").exists()
    holder.finish()
    assert waiting.communicate(timeout=20)[0] == "ran\n"


def test_a_wrapper_that_is_stopped_past_its_lease_has_lost_it(job: Job) -> None:
    """The guard ends the command, and then the witness goes: elsewhere it is over when it is over here."""
    holder = job.hold("--schedule", "none", "--ttl", "5s", "--kill-after", "500ms")
    os.kill(holder.wrapper, signal.SIGSTOP)
    assert job.held("another boot id")
    assert holder.process.wait(20) == 123
    assert job.run("--schedule", "none", place="another boot id").stdout == "ran\n"


def test_python_is_where_these_places_can_see_it() -> None:
    """Else the tests above would be about something else."""
    for place in ELSEWHERE:
        words = [*inside(place), sys.executable, "-c", "from cronlock.lock.witness import this_clock as c; print(c())"]
        told = subprocess.run(words, cwd=home(), capture_output=True, text=True, check=True).stdout
        here = subprocess.run(words[-3:], cwd=home(), capture_output=True, text=True, check=True).stdout
        assert told != here
