"""The protocol between a node and its voters: the words of answers, and the limits that both sides know."""

PREPARE_LEASE = 2_000  # ms: long enough for two round trips, short enough that a dead node blocks others only briefly
RETENTION = 30 * 86_400_000  # ms: tick and token must not vanish with the lease
LEASE_MAX = 3_600_000  # ms: a lease that ends later was written before a clock was set back, and counts as expired
YIELD_MAX = 5_000  # ms: yielding must not make a run late

OK, BUSY, HELD, DONE, PAUSED, LATE, YIELD = "ok", "busy", "held", "done", "paused", "late", "yield"
OTHER, NEWER, EXPIRED = "other", "newer", "expired"  # reasons for which commit, extend and finish are refused
VOTER_SET, CLOCK = "voter_set", "clock"  # reasons for which prepare is refused
ADOPTED = "adopted"  # the outcome that an adoption writes

MAIN = "record"  # precedes the key in the name of its main record
COPIES = 7  # of a key on a Redis Cluster, as servers/placement.py distributes them
TICK_AHEAD_MAX = 65  # s: a tick further ahead than clocks may differ would stop all real ticks until it comes

PENDING, ACTIVE = "pending", "active"  # states of a subscription at a voter
ANSWER_WAIT = 1_000  # ms for one answer

LARGEST = 2**53  # what Lua's numbers hold exactly, and more than any time or tick
TICK_MAX = 10**11 - 1  # s: cron/schedule.py takes larger numbers for milliseconds
TIME_MAX = 1000 * TICK_MAX  # ms
RANGES = {  # of each number in an answer; a number outside is replaced by the nearest limit
    "now": (0, TIME_MAX),
    "time": (0, TIME_MAX),
    "restarted": (0, 1),
    "left": (0, LEASE_MAX),
    "wait": (0, YIELD_MAX),
    "token": (0, LARGEST),  # quorum.overreaching finds the impossible ones
    "tick": (0, TICK_MAX),
    "tick1": (0, TICK_MAX),
    "tick2": (0, TICK_MAX),
    "run_tick": (0, TICK_MAX),
    "attempt": (0, 99),  # --failover has three of one tick
    "run_attempt": (0, 99),
    "pid": (0, 2**31 - 1),
    "start": (0, TIME_MAX),
    "paused_until": (-1, TIME_MAX),
}
TEXTS = {  # the greatest number of characters that is read of each text in an answer
    "answer": 20,
    "run_id": 100,
    "state": 20,
    "kind": 20,
    "outcome": 40,
    "node": 200,  # as long as the option's
    "voter_set_by": 200,
    "voter_set": 8_192,  # the names of all voters
    "pause_reason": 500,
}
ANSWERED = (RANGES.keys() | TEXTS.keys()) - {"wait"}  # by every operation; prepare answers `wait` too
NUMBERS = frozenset(
    "token tick tick1 tick2 attempt lease_end lease pid start end run_tick run_attempt next status missed missed_tick"
    " paused_until not_after start_deadline takeover_deadline attempts again fair counts retention time now left"
    " restarted wait until".split()
)


class Failure:
    """Stands in place of an answer. `final`: waiting does not cure the failure (a wrong password, a missing right)."""

    __slots__ = ("final", "text")

    def __init__(self, text: str, final: bool = False) -> None:
        self.text = text
        self.final = final


def is_future_tick(tick: int, time: int) -> bool:
    """Return whether a tick is further ahead of a clock, in ms, than any node may name it."""
    return tick * 1000 > time + TICK_AHEAD_MAX * 1000
