"""One node at one tick, like run/session.py, but the command lasts until all other nodes are answered."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cronlock.config.settings import load
from cronlock.errors import Refused, Unreachable
from cronlock.lock.lease import Lease
from cronlock.lock.protocol import Failure
from cronlock.process.event_loop import monotonic
from cronlock.run.acquire import Acquirer
from cronlock.run.plan import make_plan
from cronlock.servers.redis_voters import RedisVoters
from tests.bench.crowd.hub import Hub, NodeLoop

LOOK = 20  # ms after which the command checks again whether it may end
UNANSWERED = "unanswered"


@dataclass(frozen=True)
class Question:
    """The key and the tick that the nodes of a crowd ask for."""

    urls: Sequence[str]  # of all servers, or of one node of a cluster
    key: str
    tick: int


@dataclass
class NodeResult:
    """The outcome of one node. Times are ms on monotonic()."""

    node: str
    begun: int = 0
    answered: int = 0
    outcome: str = UNANSWERED
    attempts: int = 0
    text: str = ""
    token: int = 0
    ended: int = 0  # of the command


class CountingVoters(RedisVoters):
    """Voters that count attempts: each attempt begins by finding them."""

    attempts = 0

    def find(self, until: int) -> Failure | None:
        self.attempts += 1
        return super().find(until)


class Mute:
    """The counterpart of Messages, which prints nothing."""

    at_terminal = False

    def info(self, text: str) -> None:
        pass

    notice = info


class Node:
    """A node, made before the crowd starts.

    `live` is the body of its greenlet, `on_answer` is called with its answer.
    """

    def __init__(self, hub: Hub, name: str, question: Question, on_answer: Callable[[], None]) -> None:
        given = {"key": question.key, "redis": list(question.urls), "node": name, "tick": str(question.tick)}
        settings = load(given, {}, ())
        self.result = NodeResult(name)
        self.loop = NodeLoop(hub)
        self._hub = hub
        self._on_answer = on_answer
        self._plan = make_plan(settings, time.time(), {})
        self._voters = CountingVoters(self.loop, settings.redis, settings.prefix, question.key)
        self.over = False  # the command may end

    def live(self) -> None:
        result = self.result
        result.begun = monotonic()
        try:
            got = Acquirer(self._plan, self._voters, Mute(), ["job"]).acquire()
            outcome = "ran" if isinstance(got, Lease) else got.kind
        except (Unreachable, Refused) as error:
            got, outcome, result.text = None, type(error).__name__.lower(), str(error)
        finally:
            result.attempts = self._voters.attempts
        result.answered, result.outcome = monotonic(), outcome
        self._on_answer()
        if isinstance(got, Lease):
            self._work(got)
        self._voters.close()

    def _work(self, holder: Lease) -> None:
        self.result.token = holder.token
        while not self.over:
            if self._voters.clock() >= holder.stop_at:
                self.result.outcome = "lost"
                break
            holder.extend_if_due()
            self._voters.step(LOOK)
        self.result.ended = monotonic()
        holder.finish("done", "ran", 0)

    def close(self) -> None:
        """Close the connections of a node that was stopped."""
        self._voters.close()
