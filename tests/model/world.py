"""What a row of the tables is about: the nodes, what may go wrong, and the rules that they live by."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from cronlock.lock import quorum
from tests.model.rules import Rules
from tests.model.voter import BLANK, NOBODY, Answer, Kept, Unheard

# phases of a node
IDLE, ASKING, COMMITTING, RUNNING = "idle", "asking", "committing", "running"
ENDED = "ended"  # the command ended, or was stopped in time: a finish may still reach voters
LEAVING = "leaving"  # it starts nothing: a release may still reach voters
RETRYING = "retrying"  # it waits for a new attempt: a release may reach voters before
GONE = "gone"  # and nothing of it is left anywhere
CONTENDING = (IDLE, ASKING, COMMITTING, RETRYING)  # whoever may still start a run

# what a node knows of a voter, besides its answer to prepare
UNASKED, UNHEARD = "unasked", "unheard"  # unheard: prepare was executed, its answer was lost
TO_COMMIT, BELIEVED, REJECTED = "to commit", "lease_valid_until", "rejected"
View = str | Answer | Unheard

ONCE_DONE = Kept(token=1, tick=0, state="done", attempt=1)
ODD = ONCE_DONE._replace(token=10 * quorum.TOKEN_AHEAD)  # far beyond every clock

# how a voter comes to older data: the run_id and the replication id that its server has then
RESTART, PROMOTION = ("another", "the same"), ("the same", "another")


class Node(NamedTuple):
    """One attempt of one node. `attempts`: of one tick over all nodes."""

    tick: int = 1
    attempts: int = 1
    again: bool = False
    adopt: bool = False  # a person, who says that what the voters answer is the truth
    voter_set: str = ""  # other ones than the others have


class Client(NamedTuple):
    """How far a node has come. `claim`: what it commits, as pairs."""

    phase: str = IDLE
    claim: tuple[tuple[str, Any], ...] = ()
    warned: bool = False  # its attempt began after a pause had been said to be done
    state: str = ""  # that its finish reports
    fresh: bool = False  # while it commits: the short leases of its oks stand
    pressed: bool = False  # it has let others go first once
    unsure: bool = False  # a write-back of it that was not answered may still be in time

    @property
    def token(self) -> int:
        return int(dict(self.claim)["token"])

    @property
    def tick(self) -> int:
        return int(dict(self.claim)["tick"])


class Column(NamedTuple):
    """One voter: its copy, what each node knows of it, and what it may go back to."""

    copy: Kept
    views: tuple[View, ...]
    saved: Kept | None = None
    earlier: tuple[int, ...] = ()  # nodes that asked before it went back; for World.same_server


class Past(NamedTuple):
    """What may still go wrong, and what has happened."""

    forgets: int
    backs: int
    late: int
    newest: int = 0  # token of a run
    ran: tuple[tuple[int, bool], ...] = ()  # the ticks of all runs, and whether it was by --again
    finished: tuple[int, ...] = ()  # ticks whose finish reached a quorum
    stood: tuple[int, ...] = ()  # ticks for which one run stood at a quorum of the voters; for World.watch_exits
    paused: bool = False  # pause was said to be done
    snapshots: int = 0
    recommits: int = 0
    months: int = 0
    won: tuple[int, ...] = ()  # ticks for which a node had its quorum of ok; for World.stays
    over: tuple[int, ...] = ()  # ticks of runs whose command ended well; for World.stays


def nodes(*ticks: int, attempts: tuple[int, ...] = (), again: int = NOBODY) -> tuple[Node, ...]:
    """One node for each tick; `again` is the place of the one that was told --again."""
    each = attempts or (1,) * len(ticks)
    return tuple(Node(tick, each[i], i == again) for i, tick in enumerate(ticks))


@dataclass(frozen=True)
class World:
    """Bounds of a search, and what may go wrong in it; each switch that is not a number is a known-bad environment."""

    nodes: tuple[Node, ...] = field(default_factory=lambda: nodes(1, 1))
    rules: Rules = field(default_factory=Rules)
    start: tuple[Kept, ...] = (ONCE_DONE,) * 3  # the copies
    forget: int = 0  # how often a voter loses everything
    back: int = 0  # how often a voter goes back to what it had at the start
    middle: bool = False  # or to what one of them had at one moment, its snapshot
    same_server: bool = True  # an acknowledgement counts only from the server that said ok
    late: int = 0  # how many requests are executed after their node has gone on
    late_writes: bool = False  # bound: only write-backs of these
    late_commits: bool = False  # these too
    late_oks: bool = False  # while a commit is unknown, oks that come late, or for which a voter is asked again, count
    old_acks: bool = (
        False  # beside one that came when the short leases were over, acknowledgements from before it count
    )
    twice: str = ""  # a late prepare may come where another was answered: under "the same id", or "another id"
    run_ids: bool = True  # servers have one, and a replication id
    goes_back_by: tuple[str, str] = RESTART  # or by a PROMOTION: failed over from, and failed back to
    months: int = 0  # how often a month goes by during a run: copies that were not renewed in it are gone
    pause: int = 0  # 0: never, else how many voters have it when pause is said to be done
    lossless: bool = False  # bound: no answer is lost
    serial: bool = False  # bound: a node begins when those before it run or are done
    watch_tokens: bool = True  # a voter's token must not go down
    watch_exits: bool = False  # judge those who are sent home, too
    watch_ticks: str = (
        ""  # when all that went on is over, can a tick be run with "all up", and with "some up", a quorum
    )
    dead_commits: int = 0  # as long as nodes that died inside their commits left no more copies than this
    watch_ends: bool = False  # does a way lead from every state to one in which all have ended, and nobody gave up
    retries: bool = False  # a node tries again, under another id, as often as the votes are split
    recommits: int = 0  # how often one does so after a commit that was rejected
    stays: bool = False  # held sends nobody home: a node with --failover waits, and asks again
    yields: bool = False  # a voter may ask a node to let others go first, once
    deaths: bool = False  # a node that contends or runs may die: steps of their own, for what watches the others
    adopts_without: bool = False  # a person who adopts may do without a voter
    unlocks: str = ""  # a person ends the lease of a run that is "dead", or of one that is "alive"
    erases: str = ""  # a person has the key forgotten, voter by voter: "at once", or when he has long gone, "late"
    fails: bool = False  # a command may fail, which counts as the death of its node, as a lost lease does
    lost_is_done: bool = False  # with --failover too, a run that was stopped since its lease was lost is done
    give_back: bool = False  # a command may be broken off by its operator: its run is given back
    prompt: bool = True  # oks count only while the short lease stands
    prompt_acks: bool = True  # and a commit's only while its lease stands
    punctual: bool = True  # the command is stopped before its leases end
    commits_to_odd: bool = False  # also a voter whose fencing token is not believed is sent the commit
    waits_for_writes: bool = True  # finish waits until a write-back that was not answered is void

    @property
    def tells(self) -> bool:
        """Whether a server's stamp tells that it went back to older data."""
        before = self.rules.stamp("the same", "the same")
        return self.run_ids and self.rules.stamp(*self.goes_back_by) != before

    @property
    def voters(self) -> int:
        return len(self.start)


NEW = (BLANK,) * 3
ONE_BLANK = (ONCE_DONE, ONCE_DONE, BLANK)
ONE_ODD = (ONCE_DONE, ONCE_DONE, ODD)
