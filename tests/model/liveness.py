"""No tick is lost, and nobody contends for ever.

`stuck`: when all that went on is over, a node that has not asked yet can still run its tick. `Ways`: from every state a
way leads on, without any more faults and without anybody giving up, to one in which everybody who contended has ended.
Since nodes wait at random before they try again, such a way is taken in the end.
"""

import itertools
from collections.abc import Iterable

from cronlock.lock import quorum, state_machine
from cronlock.lock.protocol import Failure
from tests.model.model import Model
from tests.model.states import State
from tests.model.voter import Kept, Voter
from tests.model.world import ASKING, COMMITTING, IDLE, RUNNING

BUSY = (ASKING, COMMITTING, RUNNING)
FAULTS = "lost FORGETS BACK LATE gives dies person's".split()  # words of the steps that a way out must do without
NO_END = "NO WAY OUT: whatever follows, a node contends for ever, or gives up"


class Ways:
    """The steps that are no faults, backwards. A state without a number is one in which everybody has ended."""

    def __init__(self) -> None:
        self._before: dict[State | None, set[State]] = {None: set()}

    def add(self, text: str, state: State, after: State | None) -> None:
        """That this step leads from one state to the other."""
        if not set(text.split()) & set(FAULTS):
            self._before.setdefault(after, set()).add(state)

    def without_end(self, states: Iterable[State]) -> Iterable[State]:
        """Those of the states, in this order, from which no way leads out."""
        reached: set[State | None] = {None}
        level: list[State | None] = [None]
        while level:
            level = [state for after in level for state in self._before.get(after, ()) if state not in reached]
            reached.update(level)
            level = list(dict.fromkeys(level))
        return (state for state in states if state not in reached)


def stuck(model: Model, state: State, voter: Voter) -> str:
    """Why the one node that has not asked can't run its tick, though nobody did, and the voters that it needs are up.

    Looked at only where nobody else contends, every lease is over, and no more copies than the world concedes hold a
    claim on this tick that no run stands behind, since a node died there inside its commit. A copy that has heard of a
    newer tick counts like these: a tick is never lowered, even where the newer one was released.
    """
    clients = [model.client(state, c) for c in range(len(model.world.nodes))]
    idle = [c for c, client in enumerate(clients) if client.phase == IDLE]
    if len(idle) != 1 or any(client.phase in BUSY for client in clients):
        return ""
    copies = [model.columns.values[column].copy for column in state[: model.voters]]
    tick, past = model.world.nodes[idle[0]].tick, model.past(state)
    if any(copy.live or copy.paused for copy in copies) or any(ran >= tick for ran, _again in past.ran):
        return ""
    left = sum(copy.tick > tick or (copy.tick == tick and copy.attempt > 0) for copy in copies)
    if left > model.world.dead_commits:
        return ""
    everybody = tuple(range(model.voters))
    remembering = [i for i in everybody if copies[i].token and not copies[i].stale]
    some = itertools.combinations(remembering, model.enough) if model.world.watch_ticks == "some up" else ()
    for up in (everybody, *some):
        why = _refused(model, idle[0], copies, up, voter)
        if why:
            return f"TICK LOST: with {len(up)} voters up tick {tick} can't be run: {why}"
    return ""


def _refused(model: Model, c: int, copies: list[Kept], up: tuple[int, ...], voter: Voter) -> str:
    """What node c meets when it tries, with these voters up."""
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
