"""One `cronlock run` on one node: the real Contender and Hold, as run/session.py uses them, with faults."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cronlock.errors import Interrupted, Refused, Unreachable
from cronlock.lock.lease import Lease
from cronlock.lock.protocol import RETENTION
from cronlock.process.event_loop import signal
from cronlock.run.acquire import Acquirer
from cronlock.run.plan import ATTEMPTS, STOP_MARGIN, Plan
from cronlock.run.supervisor import Supervisor, ending, guard_times
from tests.simulation.command import Command, Guard
from tests.simulation.machine import Machine
from tests.simulation.server import EPOCH
from tests.simulation.virtual_time import Task

if TYPE_CHECKING:
    from tests.simulation.world import World


@dataclass(frozen=True)
class Terms:
    """What the calls of one key agree on. All in ms but the period, which is in seconds.

    `retention` is how long voters keep a record. `wait` is --wait; with `failover` there are three attempts, and with
    `retry_failed` also after one that failed.
    """

    lease: int = 10_000
    kill_after: int = 3_000
    outage_wait: int = 10_000
    period: int = 60
    ticks: bool = True
    fair: bool = False
    failover: bool = False
    retry_failed: bool = False
    wait: int = 0
    retention: int = RETENTION


@dataclass
class Fate:
    """What befalls a call at its `count`th moment of one kind: clock, send or step.

    `what`: "die" (kill -9), "crash" (the machine), "pause" for `length` ms, "signal" (SIGTERM); "host" is a pause of
    the machine, with its clock, while the command runs, and "host unseen" one that its wall clock does not show either.
    """

    what: str
    moment: str
    count: int
    length: int = 0


@dataclass
class Job:
    """What the command does: how long it takes, how long after SIGTERM it ends, and with what status otherwise."""

    length: int = 1_000
    obeys: int = 10
    status: int = 0


class Dead(BaseException):
    """Ends the thread of a call that is no more."""


class SimulatedPlan(Plan):
    """The decisions that a Plan would have come to; the node's wall clock is `offset` ms off."""

    def __init__(self, machine: Machine, node: str, tick: int, offset: int, terms: Terms) -> None:
        self.key, self.node, self.each_node, self.again = "job", node, "", False
        self.tick, self.next = (tick, tick + terms.period) if terms.ticks else (0, 0)
        self.schedule, self.ttl, self.retention = None, terms.lease, terms.retention
        self.kill_after, self.stop_margin = terms.kill_after, terms.kill_after + STOP_MARGIN
        self.outage_wait, self.start_deadline = terms.outage_wait, self.next * 1000
        self.takeover_deadline = self.start_deadline
        self.fair, self.wait, self.splay = terms.fair and terms.ticks, terms.wait, 0
        self.failover = terms.failover and terms.ticks
        self.retry_failed = terms.retry_failed and self.failover
        self.attempts = ATTEMPTS if self.failover else 1
        self.wall_clock = lambda: (EPOCH + offset + machine.wall) / 1000


class Call:
    """What one call came to: `outcome` is ran, lost, given back, held, done, late, unreachable, died or an error."""

    def __init__(self, world: "World", node: str, tick: int, terms: Terms, offset: int, job: Job, fate: Fate | None):
        self.node, self.tick, self.terms = node, tick if terms.ticks else 0, terms
        self.name = f"{node}/{tick - EPOCH // 1000}"
        self.begun = 0
        self.ended: int | None = None
        self.outcome = ""
        self.said = ""
        self.token = 0
        self.closed = False  # a quorum has heard that it ended well
        self.command: Command | None = None
        self.fate = fate
        self.struck = False
        self._world = world
        self.machine = Machine(world.time)
        self._plan = SimulatedPlan(self.machine, node, tick, offset, terms)
        self.job = job
        self._guard = Guard(self.machine, terms.kill_after)
        self._told_to_end = self._ending = False

    def info(self, text: str) -> None:
        """What Say would print."""
        self._world.tell(self.name, text)

    notice = info
    at_terminal = False

    def live(self, task: Task) -> None:
        """From its start to its end; the body of its thread."""
        self._task, self.begun = task, self._world.time.now
        self._world.tell(self.name, "starts")
        self.voters = self._world.voters_for(self, task)
        self.voters.point = self._point
        try:
            self.outcome = self._story()
        except (Unreachable, Refused, Interrupted) as error:
            self.outcome, self.said = type(error).__name__.lower(), str(error)
        except Dead:
            self.outcome = "died"
        except Exception as error:
            self.outcome, self.said = "error", f"{type(error).__name__}: {error}"
        self.voters.close()
        self.ended = self._world.time.now
        self._world.tell(self.name, "ends", self.outcome, self.said)

    def _story(self) -> str:
        got = Acquirer(self._plan, self.voters, self, ["job"]).acquire()
        if not isinstance(got, Lease):
            self.said = f"token {got.answer.get('token')}, tick {got.answer.get('tick')}"
            return got.kind
        try:
            self.command = self._launch(got)
        except BaseException as end:
            if not isinstance(end, Dead):
                self._guard.dismiss()
                got.release()
            raise
        hold = Supervisor(
            self.command, self._guard, self.voters, got, self.terms.kill_after, None, self._plan.wall_clock
        )
        status = hold.wait()
        self._ending = True
        state, outcome = ending(self._plan, status, hold.cause, broken_off=self._told_to_end)
        self.said = hold.why
        self._world.tell(self.name, "tells of its end:", state, outcome, self.said)
        self.closed = got.finish(state, outcome, hold.cause or status) and state == "done"
        return outcome

    def _launch(self, holder: Lease) -> Command:
        """Run._launch: guard and command, after one more look."""
        self._guard.set_deadlines(*guard_times(holder))
        if holder.stop_at <= self.voters.clock() or self._guard.begun:
            raise Unreachable("the lease was over before the command could start")
        self.token = holder.token
        job = self.job
        command = self._guard.command = Command(self.machine, self._task, job.length, job.obeys, job.status)
        self._world.tell(self.name, "runs, token", self.token, "attempt", holder.attempt)
        return command

    # -- what befalls it -------------------------------------------------------------------------------------------

    def _point(self, moment: str) -> None:
        fate = self.fate
        if not fate or fate.moment != moment or (fate.what.startswith("host") and not self.command):
            return
        fate.count -= 1
        if fate.count <= 0:
            self.fate = None
            self.struck = True
            self._befall(fate)

    def _befall(self, fate: Fate) -> None:
        self._world.tell(self.name, fate.what, fate.length or "")
        if fate.what == "pause":
            self._world.time.sleep(self._task, self._world.time.now + fate.length, deaf=True)
        elif fate.what.startswith("host"):
            self.pause_host(fate.length, told=fate.what == "host")
            self.machine.sleep_through(self._task)
        elif fate.what == "signal":
            self._told()
        else:
            self._die(at_once=fate.what == "crash")

    def pause_host(self, length: int, *, told: bool) -> None:
        """Only while the command runs: the run is then one that a lock can't keep from going on for a while."""
        if self.command and self.command.look() is None:
            self.struck = True
            self._world.tell(self.name, "is paused by its host, for", length, "" if told else "and no clock shows it")
            self.machine.pause(length, told)

    def _told(self) -> None:
        if self.command and self.command.look() is None:
            self._told_to_end = True
            self.command.signal(signal.SIGTERM)
        elif not self.command and not self._ending:
            self._ending = True
            raise Interrupted(signal.SIGTERM)

    def _die(self, at_once: bool) -> None:
        if self.command and at_once:
            self.command.signal(signal.SIGKILL)
        self._guard.begin()
        raise Dead
