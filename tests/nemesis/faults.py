"""The table of faults: what goes wrong, how it is made, what must hold all the same, and what no lock can give."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.nemesis.fault_injectors import Harm, calm
from tests.nemesis.fault_injectors.cluster import slots_moved, write_lost_in_failover
from tests.nemesis.fault_injectors.months import month_goes_by
from tests.nemesis.fault_injectors.network import cut, dies_inside_commit, replies_lost, requests_lost
from tests.nemesis.fault_injectors.nodes import crowd, node_frozen, password_changed, wrapper_killed, wrapper_stopped
from tests.nemesis.fault_injectors.people import paused
from tests.nemesis.fault_injectors.promotions import failed_back
from tests.nemesis.fault_injectors.voters import (
    clock_off,
    flushed,
    flushed_by_majority,
    late_and_forgetful,
    out_of_memory,
    restarted_empty,
    restarted_old,
    scripts_flushed,
    stopped,
    when_remembered,
)

ALL = "G1, G2, G3, G4, G8"
SAFE = "G1, G2, G4, G8; a tick that nobody ran is told"
FAILOVER = f"{ALL}; a tick whose run died is run again, up to three times, and then that is told"
EACH = "of each node G1, G2, G4, G8; it runs its tick, or says why not"
FAILED = 7  # the status of a command that fails
ALONE = ("three", "five")
FROZEN = "A frozen node can't stop its command; only a resource that looks at the token keeps its writes out"
MAJORITY = "A majority that forgets is a new lock; only a resource that looks at the token tells the runs apart"


@dataclass(frozen=True)
class Pace:
    """How a round goes, in seconds: the lease, a tick's distance from the next, how many ticks, how many nodes."""

    ttl: float = 3.0
    period: float = 2.5
    ticks: int = 4
    nodes: int = 5
    outage_wait: float = 4.0
    length: float = 1.0  # of the commands: shorter than usual, or longer


@dataclass(frozen=True)
class Fault:
    """One row of the table. Of `harms` one is done after the other, and of `also` at the same time.

    `loud`: exit statuses that a node may end with besides its command's. `may_miss`: a tick that nobody ran is no
    violation when a node said so. `conceded`: kinds of violation that no lock can prevent here, with the reason.
    `options`: more words for cronlock. `attempts` of one tick. `fails`: the share of commands that do. `each`: every
    node has a record of its own. `wait`: nodes have no ticks, they wait so many seconds for the lock.
    """

    name: str
    how: str
    harms: Sequence[Harm]
    topologies: Sequence[str] = ("three", "five", "cluster")
    pace: Pace = Pace()
    conceded: dict[str, str] = field(default_factory=dict)
    loud: frozenset[int] = frozenset({122, 123})
    may_miss: bool = False
    proxied: bool = False
    own_clocks: bool = False
    password: str = ""
    also: Sequence[Harm] = ()
    rest: float = 0.6  # s at most between two harms
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


TAKEN_OVER = Pace(ttl=3, period=5, ticks=3, length=0.4)  # time for a lease to end, and for another run
_TABLE = (
    Fault("calm", "nothing but clocks that differ", [calm]),
    Fault("restarted empty", "a voter killed, and started without its data", [restarted_empty]),
    Fault("restarted old", "a voter killed, and started from a dump some runs old", [restarted_old]),
    Fault("stopped half", "a voter stopped for half a lease after prepare, commit, extend, finish", [stopped(0.5)]),
    Fault("stopped twice", "the same for two leases", [stopped(2)]),
    Fault(
        "replies lost",
        "a proxy eats the replies of one voter for up to two leases, or for a second of all",
        [replies_lost],
        ALONE,
        proxied=True,
    ),
    Fault(
        "requests lost",
        "a proxy eats prepares, commits, extends, finishes or releases, to one voter, or for a second to all",
        [requests_lost],
        ALONE,
        proxied=True,
    ),
    Fault(
        "dies inside commit",
        "a proxy lets a commit through to one voter only, and the node is killed",
        [dies_inside_commit],
        ALONE,
        proxied=True,
    ),
    Fault("cut off", "some nodes and some voters don't hear each other", [cut(True, True)]),
    Fault("can't send", "what some nodes send to some voters is lost", [cut(True, False)]),
    Fault("can't hear", "what some voters send to some nodes is lost", [cut(False, True)], may_miss=True),
    Fault(
        "failover",
        "a replica takes over that has not heard of the acknowledged commit",
        [write_lost_in_failover],
        ["cluster"],
        Pace(9, 6, 3, outage_wait=12),
    ),
    Fault(
        "slots moved",
        "a fourth master joins; the slots of the key's copies move between the four",
        [slots_moved],
        ["cluster"],
    ),
    Fault(
        "failed back",
        "voters are failed over from and back to, and have data of before a run that others missed; nodes cut off",
        [failed_back],
        pace=Pace(9, 6, 3, outage_wait=6),
        may_miss=True,
    ),
    Fault(
        "beyond the retention",
        "nodes wait, and records are kept for 3 s: runs are longer, and extend them in time",
        [month_goes_by],
        pace=Pace(ttl=6, period=3, ticks=2, nodes=3, length=1.3),
        loud=frozenset({122, 123, 75}),
        rest=0.1,
        wait=60,
        promises="G1, G4, G8; who waits runs, or is told",
    ),
    Fault("flushed", "FLUSHALL on one voter", [flushed]),
    Fault(
        "late and forgetful",
        "voters that missed the run of a node that died come back; others, less than a quorum, forget it or go back",
        [late_and_forgetful],
    ),
    Fault("scripts flushed", "SCRIPT FLUSH on all voters, again and again", [scripts_flushed]),
    Fault("out of memory", "maxmemory reached, with noeviction: one voter, or for a second all", [out_of_memory]),
    Fault("clock off", "a voter's clock jumps by an hour, and back", [clock_off], own_clocks=True),
    Fault("wrapper killed", "SIGKILL to a cronlock that asks, or that runs its command", [wrapper_killed]),
    Fault("wrapper stopped", "SIGSTOP to it, for half a lease or two leases", [wrapper_stopped]),
    Fault(
        "boot ids",
        "with --local, in containers that share its folder: boot ids of their own or hidden, clocks that are ahead; "
        "wrappers killed and stopped",
        [wrapper_killed, wrapper_stopped],
        ["local"],
        Pace(length=1.6),
        promises=f"{ALL}, but by other clocks a stopped wrapper holds the key until it goes on",
        stopped_holds=True,
    ),
    Fault("50 nodes", "50 nodes within one second", [crowd], pace=Pace(ticks=1, period=4, nodes=50)),
    Fault(
        "password changed",
        "requirepass changes on one voter after the other, and on the nodes one by one",
        [password_changed],
        loud=frozenset({122, 123, 125}),
        may_miss=True,
        password="first",
    ),
    Fault(
        "nodes fail over",
        "with --failover, wrappers killed and stopped, nodes cut off, voters restarted empty",
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
        "without ticks, nodes wait for the lock; voters restarted empty, nodes cut off, wrappers killed",
        [restarted_empty, cut(True, True), stopped(0.5), wrapper_killed],
        pace=Pace(length=0.25),
        loud=frozenset({122, 123, 75}),
        wait=15,
        promises="G1, G4, G8; who waits runs, or is told",
    ),
    Fault(
        "paused",
        "a person pauses the key at all voters, and resumes it; voters restarted empty, flushed, restarted old",
        [paused],
        also=[restarted_empty, flushed, restarted_old],
        promises=f"{ALL}; no run begins in a pause",
    ),
    Fault(
        "each",
        "with --each, voters restarted empty and flushed, nodes cut off, wrappers killed",
        [restarted_empty, flushed, cut(True, True), wrapper_killed],
        may_miss=True,
        each=True,
        promises=EACH,
    ),
    Fault(
        "each, paused",
        "the same, and a person pauses the key and resumes it",
        [restarted_empty, flushed, cut(True, True), wrapper_killed],
        also=[paused],
        may_miss=True,
        each=True,
        promises=f"{EACH}; no run begins in a pause",
    ),
    Fault(
        "mixed",
        "one of these after the other on the voters, another one on nodes and networks at the same time",
        [
            restarted_empty,
            flushed,
            when_remembered(stopped(0.5)),
            when_remembered(stopped(1.5)),
            when_remembered(out_of_memory),
        ],
        also=[scripts_flushed, cut(True, True), cut(True, False), wrapper_killed, wrapper_stopped],
    ),
    Fault(
        "node frozen",
        "wrapper, guard and command stopped together for two leases",
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
