"""The table of faults: how each is injected, what must hold all the same, and what no lock can guarantee."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.nemesis.fault_injectors import FaultInjector, calm
from tests.nemesis.fault_injectors.cluster import slots_moved, write_lost_in_failover
from tests.nemesis.fault_injectors.months import month_passes
from tests.nemesis.fault_injectors.network import cut, dies_inside_commit, replies_lost, requests_lost
from tests.nemesis.fault_injectors.nodes import crowd, node_frozen, password_changed, wrapper_killed, wrapper_stopped
from tests.nemesis.fault_injectors.operators import paused
from tests.nemesis.fault_injectors.promotions import failed_back
from tests.nemesis.fault_injectors.voters import (
    clock_off,
    flushed,
    flushed_by_majority,
    if_remembered,
    late_and_amnesic,
    out_of_memory,
    restarted_empty,
    restarted_old,
    scripts_flushed,
    stopped,
)

ALL = "G1, G2, G3, G4, G8"
SAFE = "G1, G2, G4, G8; a missed tick is reported"
FAILOVER = f"{ALL}; a tick whose run died is run again, up to three times, and then the failure is reported"
EACH = "for each node G1, G2, G4, G8; it runs its tick or reports why not"
FAILED = 7  # the status of a failing command
ALONE = ("three", "five")
FROZEN = "A frozen node can't stop its command; only a resource that checks the token refuses its writes"
MAJORITY = "A majority that forgets is a new lock; only a resource that checks the token can tell the runs apart"


@dataclass(frozen=True)
class Timing:
    """The pace of a round, in seconds: lease, time between ticks, number of ticks and nodes."""

    ttl: float = 3.0
    period: float = 2.5
    ticks: int = 4
    nodes: int = 5
    outage_wait: float = 4.0
    length: float = 1.0  # of the commands: shorter than usual, or longer


@dataclass(frozen=True)
class Fault:
    """One row of the table. `injectors` run one after the other, those of `also` at the same time.

    `loud`: exit statuses that a node may have besides its command's. `may_miss`: a tick without a run is not a
    violation if a node reported it. `conceded`: kinds of violation that no lock can prevent here, with the reason.
    `options`: further words for cronlock. `attempts`: of one tick. `fails`: the share of commands that fail. `each`:
    every node has a record of its own. `wait`: nodes have no ticks and wait this many seconds for the lock.
    """

    name: str
    how: str
    injectors: Sequence[FaultInjector]
    topologies: Sequence[str] = ("three", "five", "cluster")
    pace: Timing = Timing()
    conceded: dict[str, str] = field(default_factory=dict)
    loud: frozenset[int] = frozenset({122, 123})
    may_miss: bool = False
    proxied: bool = False
    own_clocks: bool = False
    password: str = ""
    also: Sequence[FaultInjector] = ()
    rest: float = 0.6  # s at most between two faults
    options: Sequence[str] = ()
    attempts: int = 1
    fails: float = 0
    each: bool = False
    wait: float = 0
    promises: str = ""  # in place of the usual ones
    stopped_holds: bool = False  # as in oracle.py

    @property
    def holds(self) -> str:
        """The guarantees that must hold."""
        return self.promises or (SAFE if self.may_miss else ALL)


TAKEN_OVER = Timing(ttl=3, period=5, ticks=3, length=0.4)  # time for a lease to end, and for another run
_TABLE = (
    Fault("calm", "only the nodes' clocks differ", [calm]),
    Fault("restarted empty", "a voter is killed and restarted without its data", [restarted_empty]),
    Fault("restarted old", "a voter is killed and restarted from a dump that is some runs old", [restarted_old]),
    Fault(
        "stopped half", "a voter is stopped for half a lease after prepare, commit, extend or finish", [stopped(0.5)]
    ),
    Fault("stopped twice", "the same, for two leases", [stopped(2)]),
    Fault(
        "replies lost",
        "a proxy drops the replies of one voter for up to two leases, or of all for a second",
        [replies_lost],
        ALONE,
        proxied=True,
    ),
    Fault(
        "requests lost",
        "a proxy drops prepares, commits, extends, finishes or releases to one voter, or to all for a second",
        [requests_lost],
        ALONE,
        proxied=True,
    ),
    Fault(
        "dies inside commit",
        "a proxy passes a commit to one voter only, and the node is killed",
        [dies_inside_commit],
        ALONE,
        proxied=True,
    ),
    Fault("cut off", "some nodes and some voters can't reach each other", [cut(True, True)]),
    Fault("can't send", "packets from some nodes to some voters are lost", [cut(True, False)]),
    Fault("can't hear", "packets from some voters to some nodes are lost", [cut(False, True)], may_miss=True),
    Fault(
        "failover",
        "a replica that missed an acknowledged commit takes over",
        [write_lost_in_failover],
        ["cluster"],
        Timing(9, 6, 3, outage_wait=12),
    ),
    Fault(
        "slots moved",
        "a fourth master joins, and the slots of the key's copies move between the four",
        [slots_moved],
        ["cluster"],
    ),
    Fault(
        "failed back",
        "voters are failed over from and back to, with data from before a run that others missed; nodes cut off",
        [failed_back],
        pace=Timing(9, 6, 3, outage_wait=6),
        may_miss=True,
    ),
    Fault(
        "beyond the retention",
        "nodes wait, and records are kept for 3 s; runs take longer and renew them in time",
        [month_passes],
        pace=Timing(ttl=6, period=3, ticks=2, nodes=3, length=1.3),
        loud=frozenset({122, 123, 75}),
        rest=0.1,
        wait=60,
        promises="G1, G4, G8; each waiting node runs or reports why not",
    ),
    Fault("flushed", "FLUSHALL on one voter", [flushed]),
    Fault(
        "late and amnesic",
        "voters that missed a dead node's run come back; others, fewer than a quorum, forget the run or go back",
        [late_and_amnesic],
    ),
    Fault("scripts flushed", "SCRIPT FLUSH on all voters, again and again", [scripts_flushed]),
    Fault("out of memory", "one voter reaches maxmemory with noeviction, or all do for a second", [out_of_memory]),
    Fault("clock off", "a voter's clock jumps by an hour, and back", [clock_off], own_clocks=True),
    Fault("wrapper killed", "SIGKILL to a cronlock that asks or runs its command", [wrapper_killed]),
    Fault("wrapper stopped", "SIGSTOP to a cronlock, for half a lease or two leases", [wrapper_stopped]),
    Fault(
        "boot ids",
        "with --local, containers share its folder; their boot ids are their own or hidden, their clocks ahead; "
        "wrappers are killed and stopped",
        [wrapper_killed, wrapper_stopped],
        ["local"],
        Timing(length=1.6),
        promises=f"{ALL}, but by other clocks a stopped wrapper holds the key until it continues",
        stopped_holds=True,
    ),
    Fault("50 nodes", "50 nodes start within one second", [crowd], pace=Timing(ticks=1, period=4, nodes=50)),
    Fault(
        "password changed",
        "requirepass changes voter by voter, and then node by node",
        [password_changed],
        loud=frozenset({122, 123, 125}),
        may_miss=True,
        password="first",
    ),
    Fault(
        "nodes fail over",
        "with --failover, wrappers are killed and stopped, nodes cut off, voters restarted empty",
        [wrapper_killed, wrapper_stopped, cut(True, True), restarted_empty],
        pace=TAKEN_OVER,
        loud=frozenset({121, 122, 123}),
        options=["--failover"],
        attempts=3,
        promises=FAILOVER,
    ),
    Fault(
        "commands fail",
        "with --failover --retry-failed, half of the commands fail; nodes cut off, voters stopped and restarted empty",
        [calm, cut(True, True), stopped(0.5), restarted_empty],
        pace=TAKEN_OVER,
        loud=frozenset({121, 122, 123, FAILED}),
        options=["--failover", "--retry-failed"],
        attempts=3,
        fails=0.5,
        promises=FAILOVER,
    ),
    Fault(
        "waiting",
        "without ticks, nodes wait for the lock; voters are restarted empty, nodes cut off, wrappers killed",
        [restarted_empty, cut(True, True), stopped(0.5), wrapper_killed],
        pace=Timing(length=0.25),
        loud=frozenset({122, 123, 75}),
        wait=15,
        promises="G1, G4, G8; each waiting node runs or reports why not",
    ),
    Fault(
        "paused",
        "an operator pauses and resumes the key; voters are restarted empty, flushed, restarted old",
        [paused],
        also=[restarted_empty, flushed, restarted_old],
        promises=f"{ALL}; no run starts during a pause",
    ),
    Fault(
        "each",
        "with --each, voters are restarted empty and flushed, nodes cut off, wrappers killed",
        [restarted_empty, flushed, cut(True, True), wrapper_killed],
        may_miss=True,
        each=True,
        promises=EACH,
    ),
    Fault(
        "each, paused",
        "the same, and an operator pauses and resumes the key",
        [restarted_empty, flushed, cut(True, True), wrapper_killed],
        also=[paused],
        may_miss=True,
        each=True,
        promises=f"{EACH}; no run starts during a pause",
    ),
    Fault(
        "mixed",
        "these faults one after the other on voters, and others on nodes and networks at the same time",
        [
            restarted_empty,
            flushed,
            if_remembered(stopped(0.5)),
            if_remembered(stopped(1.5)),
            if_remembered(out_of_memory),
        ],
        also=[scripts_flushed, cut(True, True), cut(True, False), wrapper_killed, wrapper_stopped],
    ),
    Fault(
        "node frozen",
        "wrapper, guard and command are stopped together for two leases",
        [node_frozen],
        conceded={"overlap": FROZEN},
    ),
    Fault(
        "majority flushed",
        "FLUSHALL on a majority of the voters",
        [flushed_by_majority],
        conceded={"overlap": MAJORITY, "twice": MAJORITY},
        may_miss=True,
    ),
)
FAULTS = {fault.name: fault for fault in _TABLE}
