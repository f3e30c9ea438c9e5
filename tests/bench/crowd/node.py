"""One node at one tick: as run/session.py, but the command lasts until all others have been answered."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cronlock.config.settings import load
from cronlock.errors import Refused, Unreachable
from cronlock.lock.lease import Lease
from cronlock.lock.protocol import Failure
from cronlock.process.event_loop import monotonic
from cronlock.run.acquire import Acquirer
from cronlock.run.plan import Plan
from cronlock.servers.redis_voters import RedisVoters
from tests.bench.crowd.hub import Hub, NodeLoop

LOOK = 20  # ms between two looks of the command at whether it is over
UNANSWERED = "unanswered"


@dataclass(frozen=True)
class Question:
    """What the nodes of a crowd ask for."""

    urls: Sequence[str]  # of all servers, or of one node of a cluster
    key: str
    tick: int


@dataclass
class Fate:
    """What became of one node. Times are ms on monotonic()."""

    node: str
    begun: int = 0
    answered: int = 0
    outcome: str = UNANSWERED
    attempts: int = 0
    text: str = ""
    token: int = 0
    ended: int = 0  # of the command


class CountingVoters(RedisVoters):
    """The voters, and how many attempts there were: each begins with a look at what they are."""

    attempts = 0

    def find(self, until: int) -> Failure | None:
        self.attempts += 1
        return super().find(until)


class Mute:
    """Say's counterpart."""

    at_terminal = False

    def info(self, text: str) -> None:
        pass

    notice = info


class Node:
    """Made before the crowd begins; `live` is the body of its greenlet. `told` hears of its answer."""

    def __init__(self, hub: Hub, name: str, question: Question, told: Callable[[], None]) -> None:
        given = {"key": question.key, "redis": list(question.urls), "node": name, "tick": str(question.tick)}
        settings = load(given, {}, ())
        self.fate = Fate(name)
        self.loop = NodeLoop(hub)
        self._hub = hub
        self._told = told
        self._plan = Plan(settings, time.time(), {})
        self._voters = CountingVoters(self.loop, settings.redis, settings.prefix, question.key)
        self.over = False  # so may the command be

    def live(self) -> None:
        fate = self.fate
        fate.begun = monotonic()
        try:
            got = Acquirer(self._plan, self._voters, Mute(), ["job"]).acquire()
            outcome = "ran" if isinstance(got, Lease) else got.kind
        except (Unreachable, Refused) as error:
            got, outcome, fate.text = None, type(error).__name__.lower(), str(error)
        finally:
            fate.attempts = self._voters.attempts
        fate.answered, fate.outcome = monotonic(), outcome
        self._told()
        if isinstance(got, Lease):
            self._work(got)
        self._voters.close()

    def _work(self, holder: Lease) -> None:
        self.fate.token = holder.token
        while not self.over:
            if self._voters.clock() >= holder.stop_at:
                self.fate.outcome = "lost"
                break
            holder.tend()
            self._voters.step(LOOK)
        self.fate.ended = monotonic()
        holder.finish("done", "ran", 0)

    def close(self) -> None:
        """Let go of what one that was stopped still has."""
        self._voters.close()
