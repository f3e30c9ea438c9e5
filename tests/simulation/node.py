"""One `cronlock run` on one node: the real Acquirer and Supervisor, as run/session.py uses them, with faults."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cronlock.errors import Interrupted, Refused, Unreachable
from cronlock.lock.lease import Lease
from cronlock.lock.protocol import RETENTION
from cronlock.process.event_loop import signal
from cronlock.run.acquire import Acquirer
from cronlock.run.plan import ATTEMPTS, STOP_MARGIN, Plan
from cronlock.run.supervisor import Supervisor, guard_deadlines, state_and_outcome
from tests.simulation.command import Command, Guard
from tests.simulation.machine import Machine
from tests.simulation.server import EPOCH
from tests.simulation.virtual_time import Task

if TYPE_CHECKING:
    from tests.simulation.world import World


@dataclass(frozen=True)
class Terms:
    """The settings that all calls of one key share. All in ms except the period, which is in seconds.

    `retention`: how long voters keep a record. `wait`: --wait. With `failover` there are three attempts, and with
    `retry_failed` also after a failed one.
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
class CallFault:
    """A fault that hits a call at the `count`th moment of one kind: clock, send or step.

    `what`: "die" (kill -9), "crash" (the machine), "pause" for `length` ms, "signal" (SIGTERM); "host" is a pause of
    the machine, with its clock, while the command runs, and "host unseen" one that its wall clock does not show either.
    """

    what: str
    moment: str
    count: int
    length: int = 0


@dataclass
class Job:
    """The command: how long it takes, how long after SIGTERM it ends, and its status otherwise."""

    length: int = 1_000
    sigterm_delay: int = 10
    status: int = 0


class Killed(BaseException):
    """Ends the thread of a dead call."""


class SimulatedPlan(Plan):
    """The decisions that a Plan would make; the node's wall clock is `offset` ms off."""

    def __init__(self, machine: Machine, node: str, tick: int, offset: int, terms: Terms) -> None:
        self.key, self.node, self.each_node, self.again = "job", node, "", False
        self.tick, self.next = (tick, tick + terms.period) if terms.ticks else (0, 0)
        self.schedule, self.ttl, self.retention = None, terms.lease, terms.retention
        self.kill_after, self.stop_margin = terms.kill_after, terms.kill_after + STOP_MARGIN
        self.max_runtime = None
        self.outage_wait, self.start_deadline = terms.outage_wait, self.next * 1000
        self.takeover_deadline = self.start_deadline
        self.fair, self.wait, self.splay = terms.fair and terms.ticks, terms.wait, 0
        self.failover = terms.failover and terms.ticks
        self.retry_failed = terms.retry_failed and self.failover
        self.attempts = ATTEMPTS if self.failover else 1
        self.wall_clock = lambda: (EPOCH + offset + machine.wall) / 1000


class Call:
    """One call of cronlock. Its outcome is ran, lost, given back, held, done, late, unreachable, died or an error."""

    def __init__(
        self, world: "World", node: str, tick: int, terms: Terms, offset: int, job: Job, fault: CallFault | None
    ):
        self.node, self.tick, self.terms = node, tick if terms.ticks else 0, terms
        self.name = f"{node}/{tick - EPOCH // 1000}"
        self.begun = 0
        self.ended: int | None = None
        self.outcome = ""
        self.said = ""
        self.token = 0
        self.closed = False  # a quorum has recorded that the run succeeded
        self.command: Command | None = None
        self.fault = fault
        self.fault_injected = False
        self._world = world
        self.machine = Machine(world.time)
        self._plan = SimulatedPlan(self.machine, node, tick, offset, terms)
        self.job = job
        self._guard = Guard(self.machine, terms.kill_after)
        self._interrupted = self._ending = False

    def info(self, text: str) -> None:
        """Log a link that Messages would print."""
        self._world.log(self.name, text)

    notice = info
    at_terminal = False

    def live(self, task: Task) -> None:
        """Run the call from its start to its end; the body of its thread."""
        self._task, self.begun = task, self._world.time.now
        self._world.log(self.name, "starts")
        self.voters = self._world.voters_for(self, task)
        self.voters.point = self._point
        try:
            self.outcome = self._trace()
        except (Unreachable, Refused, Interrupted) as error:
            self.outcome, self.said = type(error).__name__.lower(), str(error)
        except Killed:
            self.outcome = "died"
        except Exception as error:
            self.outcome, self.said = "error", f"{type(error).__name__}: {error}"
        self.voters.close()
        self.ended = self._world.time.now
        self._world.log(self.name, "ends", self.outcome, self.said)

    def _trace(self) -> str:
        got = Acquirer(self._plan, self.voters, self, ["job"]).acquire()
        if not isinstance(got, Lease):
            self.said = f"token {got.answer.get('token')}, tick {got.answer.get('tick')}"
            return got.kind
        try:
            self.command = self._launch(got)
        except BaseException as end:
            if not isinstance(end, Killed):
                self._guard.dismiss()
                got.release()
            raise
        supervisor = Supervisor(self._plan, self.voters, got, self._guard)
        supervisor.watch(self.command)
        status = supervisor.wait()
        self._ending = True
        state, outcome = state_and_outcome(self._plan, status, supervisor.cause, released=self._interrupted)
        self.said = supervisor.why
        self._world.log(self.name, "reports its end:", state, outcome, self.said)
        self.closed = got.finish(state, outcome, supervisor.cause or status) and state == "done"
        return outcome

    def _launch(self, holder: Lease) -> Command:
        """Start guard and command as Session does, after a last check of the lease."""
        self._guard.set_deadlines(*guard_deadlines(holder))
        if holder.stop_at <= self.voters.clock() or self._guard.begun:
            raise Unreachable("the lease expired before the command could start: pass a longer --ttl")
        self.token = holder.token
        job = self.job
        command = self._guard.command = Command(self.machine, self._task, job.length, job.sigterm_delay, job.status)
        self._world.log(self.name, "runs, token", self.token, "attempt", holder.attempt)
        return command

    # -- faults ----------------------------------------------------------------------------------------------------

    def _point(self, moment: str) -> None:
        fault = self.fault
        if not fault or fault.moment != moment or (fault.what.startswith("host") and not self.command):
            return
        fault.count -= 1
        if fault.count <= 0:
            self.fault = None
            self.fault_injected = True
            self._apply(fault)

    def _apply(self, fault: CallFault) -> None:
        self._world.log(self.name, fault.what, fault.length or "")
        if fault.what == "pause":
            self._world.time.sleep(self._task, self._world.time.now + fault.length, ignores_wakes=True)
        elif fault.what.startswith("host"):
            self.pause_host(fault.length, clock_shows=fault.what == "host")
            self.machine.sleep_through(self._task)
        elif fault.what == "signal":
            self._sigterm()
        else:
            self._die(at_once=fault.what == "crash")

    def pause_host(self, length: int, *, clock_shows: bool) -> None:
        """Pause the machine, only while the command runs: no lock can keep that run from going on for a while."""
        if self.command and self.command.poll() is None:
            self.fault_injected = True
            self._world.log(
                self.name, "is paused by its host, for", length, "" if clock_shows else "and no clock shows it"
            )
            self.machine.pause(length, clock_shows)

    def _sigterm(self) -> None:
        if self.command and self.command.poll() is None:
            self._interrupted = True
            self.command.signal(signal.SIGTERM)
        elif not self.command and not self._ending:
            self._ending = True
            raise Interrupted(signal.SIGTERM)

    def _die(self, at_once: bool) -> None:
        if self.command and at_once:
            self.command.signal(signal.SIGKILL)
        self._guard.begin()
        raise Killed
