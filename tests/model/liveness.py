"""The promises that no tick is lost and that every attempt can end.

`stuck` asks whether a node that has not asked yet can still run its tick once everything else has ended. `WaysOut` asks
whether from every state some way leads, without further faults and without giving up, to a state in which every attempt
has ended. Nodes wait at random before they retry, so such a way is taken eventually.
"""

import itertools
from collections import defaultdict
from collections.abc import Iterable

from cronlock.lock import quorum, state_machine
from cronlock.lock.protocol import Failure
from tests.model.model import Model
from tests.model.states import Memo, State
from tests.model.voter import CopyValue, Voter
from tests.model.world import ASKING, COMMITTING, IDLE, RUNNING

BUSY = (ASKING, COMMITTING, RUNNING)
# words that mark the steps that a way out must do without
FAULTS = frozenset("lost FORGETS BACK LATE gives dies operator's".split())
NO_END = "NO WAY OUT: a node can only contend for ever or give up"


class WaysOut:
    """The fault-free steps, backwards. The state None is one in which every attempt has ended."""

    def __init__(self) -> None:
        self._before: dict[State | None, set[State]] = defaultdict(set)
        self._faulty = Memo(lambda text: bool(FAULTS & set(text.split())))

    def add(self, text: str, state: State, after: State | None) -> None:
        """Record that this step leads from one state to the other."""
        if not self._faulty[text]:
            self._before[after].add(state)

    def without_end(self, states: Iterable[State]) -> Iterable[State]:
        """Return the given states from which no way leads out, in their order."""
        reached: set[State | None] = {None}
        level: list[State | None] = [None]
        while level:
            level = [state for after in level for state in self._before.get(after, ()) if state not in reached]
            reached.update(level)
            level = list(dict.fromkeys(level))
        return (state for state in states if state not in reached)


def stuck(model: Model, state: State, voter: Voter) -> str:
    """Return the reason why the last node can't run its tick although no run did and enough voters are up, or "".

    This is checked only when no other node contends, every lease has ended, and at most `World.dead_commits` copies
    hold a claim on this tick without a run behind it, left by a node that died inside its commit. A copy that knows a
    newer tick counts as one of these: a tick is never lowered, even if the newer one was released.
    """
    context = model.context(state)
    clients = context.nodes
    idle = [c for c, client in enumerate(clients) if client.phase == IDLE]
    if len(idle) != 1 or any(client.phase in BUSY for client in clients):
        return ""
    copies = [model.columns.values[column].copy for column in state[:-1]]
    tick, past = model.world.nodes[idle[0]].tick, context.past
    if any(copy.live or copy.paused for copy in copies) or any(ran >= tick for ran, _again in past.ran):
        return ""
    left = sum(copy.tick > tick or (copy.tick == tick and copy.attempt > 0) for copy in copies)
    if left > model.world.dead_commits:
        return ""
    all_voters = tuple(range(model.voters))
    remembering = [i for i in all_voters if copies[i].token and not copies[i].stale]
    some = itertools.combinations(remembering, model.enough) if model.world.watch_ticks == "some up" else ()
    for up in (all_voters, *some):
        why = _obstacle(model, idle[0], copies, up, voter)
        if why:
            return f"TICK LOST: with {len(up)} voters up tick {tick} can't be run: {why}"
    return ""


def _obstacle(model: Model, c: int, copies: list[CopyValue], up: tuple[int, ...], voter: Voter) -> str:
    """Return the answers that keep node c from running its tick with these voters up, or ""."""
    node, rules = model.world.nodes[c], model.world.rules
    ask = (("tick", node.tick), ("attempts", node.attempts), ("again", int(node.again)))
    asked = {i: voter.do("prepare", copies[i], c, ask) for i in up}
    down = Failure("down")
    replies = [asked[i][0].fields() if i in asked else down for i in range(len(copies))]
    verdict = rules.judge(replies, [True] * len(replies), node.tick)
    if not verdict or verdict.kind != quorum.WON:
        return ", ".join(answer.answer for answer, _copy in asked.values())
    answers = [answer.fields() for answer, _copy in asked.values()]
    claim = tuple(sorted(rules.claim(answers, node.tick, node.again).items()))
    oks = [copy for answer, copy in asked.values() if answer.answer == state_machine.OK]
    committed = [voter.do("commit", copy, c, claim)[0].answer for copy in oks]
    return "" if committed.count(state_machine.OK) >= model.enough else "commit " + ", ".join(committed)
