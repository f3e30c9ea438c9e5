"""The subject of one row: its nodes, the possible faults, and the rules in force."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from cronlock.lock import quorum
from tests.model.rules import Rules
from tests.model.voter import BLANK, NO_HOLDER, Answer, CopyValue, Unanswered

# phases of a node
IDLE, ASKING, COMMITTING, RUNNING = "idle", "asking", "committing", "running"
ENDED = "ended"  # the command ended or was stopped in time: a finish may still reach voters
LEAVING = "leaving"  # it starts nothing: a release may still reach voters
RETRYING = "retrying"  # it waits before a new attempt: a release may reach voters first
GONE = "gone"  # nothing of the node is left anywhere
CONTENDING = (IDLE, ASKING, COMMITTING, RETRYING)  # phases in which a node may still start a run

# What a node knows of a voter, besides its answer to prepare.
UNASKED, UNANSWERED = "unasked", "unanswered"  # unanswered: prepare was executed, and its answer was lost
TO_COMMIT, ACKED, REJECTED = "to commit", "acked", "rejected"
View = str | Answer | Unanswered

ONCE_DONE = CopyValue(token=1, tick=0, state="done", attempt=1)
IMPLAUSIBLE = ONCE_DONE._replace(token=10 * quorum.TOKEN_AHEAD)  # far beyond every clock

# The cause of older data: the run_id and the replication id of the server afterwards.
RESTART, PROMOTION = ("another", "the same"), ("the same", "another")


class Node(NamedTuple):
    """One attempt of one node. `attempts` counts those of one tick over all nodes."""

    tick: int = 1
    attempts: int = 1
    again: bool = False
    adopt: bool = False  # an operator who declares the voters' answers to be the truth
    voter_set: str = ""  # differs from the other nodes' voter set, if not empty


class Client(NamedTuple):
    """The progress of a node. `claim` is the content of its commit, as pairs."""

    phase: str = IDLE
    claim: tuple[tuple[str, Any], ...] = ()
    begun_in_pause: bool = False  # its attempt began after the pause was reported as done
    state: str = ""  # as its finish reports it
    fresh: bool = False  # while it commits: the prepare leases of its oks are live
    yielded: bool = False  # it has yielded once
    unsure: bool = False  # its unanswered write-back may still be in time

    @property
    def token(self) -> int:
        return int(dict(self.claim)["token"])

    @property
    def tick(self) -> int:
        return int(dict(self.claim)["tick"])


class Column(NamedTuple):
    """One voter: its copy, each node's view of it, and the data that it may go back to."""

    copy: CopyValue
    views: tuple[View, ...]
    saved: CopyValue | None = None
    earlier: tuple[int, ...] = ()  # nodes that asked before it went back; for World.same_server


class Past(NamedTuple):
    """The remaining faults, and the events that promises depend on."""

    forgets: int
    backs: int
    late: int
    newest: int = 0  # token of the newest run
    ran: tuple[tuple[int, bool], ...] = ()  # the tick of each run, and whether --again started it
    finished: tuple[int, ...] = ()  # ticks whose finish reached a quorum
    committed: tuple[int, ...] = ()  # ticks with a run that a quorum of the voters recorded; for World.watch_exits
    paused: bool = False  # pause was reported as done
    snapshots: int = 0
    recommits: int = 0
    months: int = 0
    won: tuple[int, ...] = ()  # ticks for which a node had its quorum of ok; for World.waits
    succeeded: tuple[int, ...] = ()  # ticks of runs whose command succeeded; for World.waits


def nodes(*ticks: int, attempts: tuple[int, ...] = (), again: int = NO_HOLDER) -> tuple[Node, ...]:
    """Return one node for each tick; `again` is the index of the node with --again."""
    each = attempts or (1,) * len(ticks)
    return tuple(Node(tick, each[i], i == again) for i, tick in enumerate(ticks))


@dataclass(frozen=True)
class World:
    """Bounds of a search and its possible faults. Each switch that is not a number is a known-bad environment."""

    nodes: tuple[Node, ...] = field(default_factory=lambda: nodes(1, 1))
    rules: Rules = field(default_factory=Rules)
    start: tuple[CopyValue, ...] = (ONCE_DONE,) * 3  # the voters' copies
    forget: int = 0  # times that a voter loses everything
    back: int = 0  # times that a voter goes back to its data of the start
    middle: bool = False  # or to its data of one moment, its snapshot
    same_server: bool = True  # an acknowledgement counts only from the server that said ok
    late: int = 0  # requests that are executed after their node has gone on
    late_writes: bool = False  # bound: only write-backs are late
    late_commits: bool = False  # commits may be late, too
    late_oks: bool = False  # while a commit is unknown, late oks and oks to repeated requests count
    old_acks: bool = False  # acknowledgements from before the prepare leases expired count beside one from after
    twice: str = ""  # a late prepare may arrive where another was answered, under "the same id" or "another id"
    run_ids: bool = True  # servers have a run_id and a replication id
    goes_back_by: tuple[str, str] = RESTART  # or by a PROMOTION: failed over from, and failed back to
    months: int = 0  # months that pass during a run and erase the copies that were not renewed
    pause: int = 0  # 0: never; else the number of voters that have it when pause is reported as done
    lossless: bool = False  # bound: no answer is lost
    serial: bool = False  # bound: a node begins when those before it run or have ended
    watch_tokens: bool = True  # check that a voter's token never goes down
    watch_exits: bool = False  # check nodes that exit quietly, too
    watch_ticks: str = (
        ""  # check that a tick can be run once everything else has ended, with "all up", or a quorum with "some up"
    )
    dead_commits: int = 0  # the check is made while dead nodes' commits left at most this number of copies
    watch_ends: bool = False  # check that a way leads from every state to one in which every attempt has ended
    retries: bool = False  # a node retries under another id as long as the votes are split
    recommits: int = 0  # times that a node retries after a rejected commit
    waits: bool = False  # a node does not exit on held: with --failover it waits and asks again
    yields: bool = False  # a voter may ask a node to yield, once
    # a node may die while it contends or runs, as a step of its own, for the checks of other nodes
    deaths: bool = False
    adopts_without: bool = False  # an operator may adopt without one voter
    operator_unlocks: str = ""  # an operator ends the lease of a run that is "dead", or of one that is "alive"
    operator_forgets: str = ""  # an operator's forget reaches the voters one by one, "at once" or "late"
    fails: bool = False  # a command may fail, which counts like a death of its node or a lost lease
    lost_is_done: bool = False  # a run that was stopped because its lease was lost is done, with --failover too
    releases_runs: bool = False  # an operator may interrupt a command, which releases its run
    oks_expire: bool = True  # oks count only while the prepare lease is live
    acks_expire: bool = True  # a commit's acknowledgements count only while its lease is live
    stops_in_time: bool = True  # the command is stopped before its leases end
    commits_to_implausible: bool = False  # a voter whose token is implausible is sent the commit, too
    waits_for_writes: bool = True  # finish waits until an unanswered write-back is void

    @property
    def shows_going_back(self) -> bool:
        """Return whether a server's stamp shows that it went back to older data."""
        before = self.rules.stamp("the same", "the same")
        return self.run_ids and self.rules.stamp(*self.goes_back_by) != before

    @property
    def voters(self) -> int:
        return len(self.start)


NEW = (BLANK,) * 3
ONE_BLANK = (ONCE_DONE, ONCE_DONE, BLANK)
ONE_IMPLAUSIBLE = (ONCE_DONE, ONCE_DONE, IMPLAUSIBLE)
