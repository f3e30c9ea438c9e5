"""Steps of a node at one voter, phase by phase; the state machine decides the answer."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from cronlock.lock import quorum, state_machine
from cronlock.lock.protocol import Failure
from tests.model.voter import ABANDONED, NO_HOLDER, Answer, CopyValue, Unanswered, Voter
from tests.model.world import (
    ACKED,
    ASKING,
    COMMITTING,
    ENDED,
    IDLE,
    LEAVING,
    REJECTED,
    RETRYING,
    RUNNING,
    TO_COMMIT,
    UNANSWERED,
    UNASKED,
    Client,
    Column,
    Node,
    View,
    World,
)

ANSWERED, JOINED, BEGIN, STOP, FINISHED = (
    "answered",
    "joined",
    "begin",
    "stop",
    "finished",
)  # checks to make afterwards: see model.py


class RequestStep(NamedTuple):
    """One step at one voter; the text has a gap for the voter's name."""

    text: str
    column: Column
    client: Client
    then: str = ""


def saw(column: Column, c: int, view: View, copy: CopyValue | None = None) -> Column:
    """Return the column after node c has learned this about the voter."""
    return column._replace(copy=copy or column.copy, views=(*column.views[:c], view, *column.views[c + 1 :]))


def orphaned(copy: CopyValue, c: int) -> CopyValue:
    """Return the copy after node c has abandoned its holder id there."""
    return copy._replace(holder=ABANDONED) if copy.holder == c else copy


def said_ok(view: View) -> bool:
    return isinstance(view, Answer) and view.answer == state_machine.OK


class RequestSteps:
    """The steps of node c at one voter."""

    def __init__(self, world: World, voter: Voter) -> None:
        self._world = world
        self._do = voter.do
        self._phases = {
            IDLE: self._asking,
            ASKING: self._asking,
            COMMITTING: self._committing,
            RUNNING: self._running,
            ENDED: self._ended,
            LEAVING: self._leaving,
            RETRYING: self._leaving,
        }

    def of(self, column: Column, c: int, client: Client) -> list[RequestStep]:
        """Return every step that the node can take now."""
        phase = self._phases.get(client.phase)
        return list(phase(column, c, client)) if phase else []

    def _executed(
        self,
        text: str,
        column: Column,
        copy: CopyValue,
        client: Client,
        c: int,
        view: View | None = None,
        then: str = "",
    ) -> Iterator[RequestStep]:
        """Yield the step in which the voter executed the request but its answer was lost."""
        if copy != column.copy and not self._world.lossless:
            after = saw(column, c, view, copy) if view else column._replace(copy=copy)
            yield RequestStep(f"{text}: done, answer lost", after, client, then)

    def _prepared(self, column: Column, c: int, holder: int | None = None) -> tuple[Answer, CopyValue]:
        node = self._world.nodes[c]
        ask = (("tick", node.tick), ("attempts", node.attempts), ("again", int(node.again)))
        if node.adopt or node.voter_set:
            ask = (*ask, ("adopt", int(node.adopt)), *_voter_set(node))
        return self._do("prepare", column.copy, c if holder is None else holder, ask)

    def _asking(self, column: Column, c: int, client: Client) -> Iterator[RequestStep]:
        if column.views[c] != UNASKED:
            return
        text, asking = f"c{c} prepare at %s", client._replace(phase=ASKING)
        answer, copy = self._prepared(column, c)
        blank = "" if answer.token and not answer.restarted else " (blank)"
        then = "" if said_ok(answer) else ANSWERED
        yield RequestStep(f"{text}: {answer.answer}{blank}", saw(column, c, answer, copy), asking, then)
        if self._world.yields and said_ok(answer) and not client.yielded:
            yielding = answer._replace(answer=state_machine.YIELD)
            yield RequestStep(f"{text}: yield", saw(column, c, yielding), asking, ANSWERED)
        view = Unanswered(answer) if self._world.late_oks else UNANSWERED
        yield from self._executed(text, column, copy, asking, c, view, ANSWERED)

    def _committing(self, column: Column, c: int, client: Client) -> Iterator[RequestStep]:
        if column.views[c] == ACKED:
            yield RequestStep(f"the lease from %s expires for c{c}", saw(column, c, TO_COMMIT), client)
        elif column.views[c] == TO_COMMIT:
            text = f"c{c} commit (token {client.token}) at %s"
            answer, copy = self._do("commit", column.copy, c, client.claim)
            if answer.answer == state_machine.OK and c not in column.earlier:
                yield RequestStep(f"{text}: ok", saw(column, c, ACKED, copy), client, BEGIN)
            else:
                yield RequestStep(f"{text}: {answer.answer}", saw(column, c, REJECTED, copy), client)
            yield from self._executed(text, column, copy, client, c, then=BEGIN)
        elif self._world.late_oks:
            yield from self._late_ok(column, c, client)

    def _late_ok(self, column: Column, c: int, client: Client) -> Iterator[RequestStep]:
        """Yield the steps of a late ok, or of a repeated request under another id whose first answer was lost."""
        view = column.views[c]
        if isinstance(view, Unanswered):
            yield self._joining(f"c{c} receives the late ok of %s", column, c, client, view.answer)
            column = column._replace(copy=orphaned(column.copy, c))
        elif view != UNASKED:
            return
        answer, copy = self._prepared(column, c)
        if said_ok(answer):
            text = f"c{c} prepare at %s once more"
            yield self._joining(f"{text}: ok", saw(column, c, UNASKED, copy), c, client, answer)
            yield from self._executed(text, column, copy, client, c, Unanswered(answer))

    def _joining(self, text: str, column: Column, c: int, client: Client, answer: Answer) -> RequestStep:
        if not self._world.rules.may_join_commit(answer.fields(), client.token):
            return RequestStep(text, saw(column, c, REJECTED), client)
        then = "" if client.fresh or self._world.old_acks else JOINED
        return RequestStep(text, saw(column, c, TO_COMMIT), client, then)

    def _running(self, column: Column, c: int, client: Client) -> Iterator[RequestStep]:
        acked = column.views[c] == ACKED
        if acked:
            yield RequestStep(f"the lease from %s expires for c{c}", saw(column, c, UNASKED), client, STOP)
        if self._world.operator_unlocks == "alive":
            yield from self._unlocked(column, c, client)
        answer, copy = self._do("extend", column.copy, c, client.claim)
        if answer.answer == state_machine.OK and not (acked and copy == column.copy):
            text = f"c{c} extend (token {client.token}) at %s"
            yield RequestStep(f"{text}: ok", saw(column, c, ACKED, copy), client)
            yield from self._executed(text, column, copy, client, c)

    def _ended(self, column: Column, c: int, client: Client) -> Iterator[RequestStep]:
        _answer, copy = self._do("finish", column.copy, c, (("token", client.token), ("state", client.state)))
        if copy != column.copy:
            yield RequestStep(f"c{c} finish ({client.state}) at %s", column._replace(copy=copy), client, FINISHED)
        yield from self._unlocked(column, c, client)

    def _leaving(self, column: Column, c: int, client: Client) -> Iterator[RequestStep]:
        _answer, copy = self._do("release", column.copy, c)
        if copy != column.copy:
            yield RequestStep(f"c{c} release at %s", column._replace(copy=copy), client)
        if client.claim:
            yield from self._unlocked(column, c, client)

    def _unlocked(self, column: Column, c: int, client: Client) -> Iterator[RequestStep]:
        """Yield the step in which an operator names this run and ends its lease."""
        if self._world.operator_unlocks:
            _answer, copy = self._do("unlock", column.copy, NO_HOLDER, (("token", client.token),))
            if copy != column.copy:
                yield RequestStep(f"an operator's unlock of c{c} reaches %s", column._replace(copy=copy), client)

    def plausible(self, views: tuple[View, ...]) -> Sequence[bool]:
        """Return which of the voters' answers are plausible."""
        replies = [view.fields() if isinstance(view, Answer) else None for view in views]
        return self._world.rules.plausible(replies)

    def verdict(self, views: tuple[View, ...], c: int) -> tuple[str, tuple[tuple[str, Any], ...]]:
        """Return the kind of node c's verdict, and the content of its commit if it won."""
        node, rules = self._world.nodes[c], self._world.rules
        silent = Failure("down") if node.adopt and self._world.adopts_without else None
        replies = [view.fields() if isinstance(view, Answer) else silent for view in views]
        odd = Failure("implausible", final=True)
        replies = [reply if good else odd for reply, good in zip(replies, self.plausible(views), strict=True)]
        judge = rules.judge_adoption if node.adopt else rules.judge
        verdict = judge(replies, [True] * len(replies), node.tick)
        if not verdict or verdict.kind != quorum.WON:
            return (verdict.kind if verdict else ""), ()
        claim = rules.claim([reply for reply in replies if isinstance(reply, dict)], node.tick, node.again)
        return quorum.WON, (*sorted(claim.items()), *_voter_set(node))

    def late(self, column: Column, c: int, client: Client) -> list[RequestStep]:
        """Return the requests of node c that are executed after it went on to another phase."""
        if client.phase in (IDLE, ASKING, RETRYING):
            return []
        found = []
        if self._world.late_writes:
            pass
        elif self._world.twice == "the same id" or client.phase != COMMITTING or column.views[c] == UNASKED:
            found.append(("prepare", self._prepared(column, c)[1]))
        if self._world.twice == "another id":
            found.append(("first prepare", self._prepared(column, c, ABANDONED)[1]))
        may_commit = client.phase in (RUNNING, ENDED) or column.views[c] == TO_COMMIT
        if self._world.late_commits and client.phase != COMMITTING and client.claim and may_commit:
            found.append(("commit", self._do("commit", column.copy, c, client.claim)[1]))
        if client.phase == ENDED:
            own = column.copy.holder == c and column.copy.token == client.token
            in_time = own or client.unsure
            found.append(("extend", self._do("extend", column.copy, c, client.claim, in_time)[1]))
        return [
            RequestStep(f"LATE {name} of c{c} at %s", column._replace(copy=copy), client)
            for name, copy in found
            if copy != column.copy
        ]


def _voter_set(node: Node) -> tuple[tuple[str, Any], ...]:
    return (("voter_set", node.voter_set),) if node.voter_set else ()
