"""What a node may do at one voter, phase by phase; the record itself decides what comes of it."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from cronlock.lock import quorum, state_machine
from cronlock.lock.protocol import Failure
from tests.model.voter import DEAD, NOBODY, Answer, Kept, Unheard, Voter
from tests.model.world import (
    ASKING,
    BELIEVED,
    COMMITTING,
    ENDED,
    IDLE,
    LEAVING,
    REJECTED,
    RETRYING,
    RUNNING,
    TO_COMMIT,
    UNASKED,
    UNHEARD,
    Client,
    Column,
    Node,
    View,
    World,
)

ANSWERED, JOINED, BEGIN, STOP, HEARD = (
    "answered",
    "joined",
    "begin",
    "stop",
    "heard",
)  # what to look at afterwards: see model.py


class Move(NamedTuple):
    """One step at one voter, which the text leaves open."""

    text: str
    column: Column
    client: Client
    then: str = ""


def saw(column: Column, c: int, view: View, copy: Kept | None = None) -> Column:
    """The column once node c knows this of the voter."""
    return column._replace(copy=copy or column.copy, views=(*column.views[:c], view, *column.views[c + 1 :]))


def orphaned(copy: Kept, c: int) -> Kept:
    """The copy once node c has given up the id that it had there."""
    return copy._replace(holder=DEAD) if copy.holder == c else copy


def said_ok(view: View) -> bool:
    return isinstance(view, Answer) and view.answer == state_machine.OK


class Moves:
    """The steps of node c in front of one voter."""

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

    def of(self, column: Column, c: int, client: Client) -> list[Move]:
        """Every step that it may take now."""
        phase = self._phases.get(client.phase)
        return list(phase(column, c, client)) if phase else []

    def _executed(
        self, text: str, column: Column, copy: Kept, client: Client, c: int, view: View | None = None, then: str = ""
    ) -> Iterator[Move]:
        """The voter did it, but the answer did not arrive."""
        if copy != column.copy and not self._world.lossless:
            after = saw(column, c, view, copy) if view else column._replace(copy=copy)
            yield Move(f"{text}: done, answer lost", after, client, then)

    def _prepared(self, column: Column, c: int, holder: int | None = None) -> tuple[Answer, Kept]:
        node = self._world.nodes[c]
        ask = (("tick", node.tick), ("attempts", node.attempts), ("again", int(node.again)))
        if node.adopt or node.voter_set:
            ask = (*ask, ("adopt", int(node.adopt)), *_settings(node))
        return self._do("prepare", column.copy, c if holder is None else holder, ask)

    def _asking(self, column: Column, c: int, client: Client) -> Iterator[Move]:
        if column.views[c] != UNASKED:
            return
        text, asking = f"c{c} prepare at %s", client._replace(phase=ASKING)
        answer, copy = self._prepared(column, c)
        blank = "" if answer.token and not answer.restarted else " (blank)"
        then = "" if said_ok(answer) else ANSWERED
        yield Move(f"{text}: {answer.answer}{blank}", saw(column, c, answer, copy), asking, then)
        if self._world.yields and said_ok(answer) and not client.pressed:
            polite = answer._replace(answer=state_machine.YIELD)
            yield Move(f"{text}: yield", saw(column, c, polite), asking, ANSWERED)
        view = Unheard(answer) if self._world.late_oks else UNHEARD
        yield from self._executed(text, column, copy, asking, c, view, ANSWERED)

    def _committing(self, column: Column, c: int, client: Client) -> Iterator[Move]:
        if column.views[c] == BELIEVED:
            yield Move(f"the lease from %s is over for c{c}", saw(column, c, TO_COMMIT), client)
        elif column.views[c] == TO_COMMIT:
            text = f"c{c} commit (token {client.token}) at %s"
            answer, copy = self._do("commit", column.copy, c, client.claim)
            if answer.answer == state_machine.OK and c not in column.earlier:
                yield Move(f"{text}: ok", saw(column, c, BELIEVED, copy), client, BEGIN)
            else:
                yield Move(f"{text}: {answer.answer}", saw(column, c, REJECTED, copy), client)
            yield from self._executed(text, column, copy, client, c, then=BEGIN)
        elif self._world.late_oks:
            yield from self._late_ok(column, c, client)

    def _late_ok(self, column: Column, c: int, client: Client) -> Iterator[Move]:
        """What a voter said comes late, or it is asked again: under another id, where its answer was lost."""
        view = column.views[c]
        if isinstance(view, Unheard):
            yield self._joining(f"c{c} hears the late ok of %s", column, c, client, view.answer)
            column = column._replace(copy=orphaned(column.copy, c))
        elif view != UNASKED:
            return
        answer, copy = self._prepared(column, c)
        if said_ok(answer):
            text = f"c{c} prepare at %s once more"
            yield self._joining(f"{text}: ok", saw(column, c, UNASKED, copy), c, client, answer)
            yield from self._executed(text, column, copy, client, c, Unheard(answer))

    def _joining(self, text: str, column: Column, c: int, client: Client, answer: Answer) -> Move:
        if not self._world.rules.may_join_commit(answer.fields(), client.token):
            return Move(text, saw(column, c, REJECTED), client)
        then = "" if client.fresh or self._world.old_acks else JOINED
        return Move(text, saw(column, c, TO_COMMIT), client, then)

    def _running(self, column: Column, c: int, client: Client) -> Iterator[Move]:
        lease_valid_until = column.views[c] == BELIEVED
        if lease_valid_until:
            yield Move(f"the lease from %s is over for c{c}", saw(column, c, UNASKED), client, STOP)
        if self._world.unlocks == "alive":
            yield from self._unlocked(column, c, client)
        answer, copy = self._do("extend", column.copy, c, client.claim)
        if answer.answer == state_machine.OK and not (lease_valid_until and copy == column.copy):
            text = f"c{c} extend (token {client.token}) at %s"
            yield Move(f"{text}: ok", saw(column, c, BELIEVED, copy), client)
            yield from self._executed(text, column, copy, client, c)

    def _ended(self, column: Column, c: int, client: Client) -> Iterator[Move]:
        _answer, copy = self._do("finish", column.copy, c, (("token", client.token), ("state", client.state)))
        if copy != column.copy:
            yield Move(f"c{c} finish ({client.state}) at %s", column._replace(copy=copy), client, HEARD)
        yield from self._unlocked(column, c, client)

    def _leaving(self, column: Column, c: int, client: Client) -> Iterator[Move]:
        _answer, copy = self._do("release", column.copy, c)
        if copy != column.copy:
            yield Move(f"c{c} release at %s", column._replace(copy=copy), client)
        if client.claim:
            yield from self._unlocked(column, c, client)

    def _unlocked(self, column: Column, c: int, client: Client) -> Iterator[Move]:
        """A person names this run, and ends its lease."""
        if self._world.unlocks:
            _answer, copy = self._do("unlock", column.copy, NOBODY, (("token", client.token),))
            if copy != column.copy:
                yield Move(f"a person's unlock of c{c} reaches %s", column._replace(copy=copy), client)

    def lease_valid_until(self, views: tuple[View, ...]) -> Sequence[bool]:
        """Which of the voters' answers count."""
        replies = [view.fields() if isinstance(view, Answer) else None for view in views]
        return self._world.rules.lease_valid_until(replies)

    def verdict(self, views: tuple[View, ...], c: int) -> tuple[str, tuple[tuple[str, Any], ...]]:
        """What node c makes of the answers: the kind of verdict, and what it commits when it won."""
        node, rules = self._world.nodes[c], self._world.rules
        silent = Failure("down") if node.adopt and self._world.adopts_without else None
        replies = [view.fields() if isinstance(view, Answer) else silent for view in views]
        odd = Failure("not believed", final=True)
        replies = [reply if good else odd for reply, good in zip(replies, self.lease_valid_until(views), strict=True)]
        judge = rules.judge_adoption if node.adopt else rules.judge
        verdict = judge(replies, [True] * len(replies), node.tick)
        if not verdict or verdict.kind != quorum.WON:
            return (verdict.kind if verdict else ""), ()
        claim = rules.claim([reply for reply in replies if isinstance(reply, dict)], node.tick, node.again)
        return quorum.WON, (*sorted(claim.items()), *_settings(node))

    def late(self, column: Column, c: int, client: Client) -> list[Move]:
        """Requests of node c that are executed after it went on to another phase."""
        if client.phase in (IDLE, ASKING, RETRYING):
            return []
        found = []
        if self._world.late_writes:
            pass
        elif self._world.twice == "the same id" or client.phase != COMMITTING or column.views[c] == UNASKED:
            found.append(("prepare", self._prepared(column, c)[1]))
        if self._world.twice == "another id":
            found.append(("first prepare", self._prepared(column, c, DEAD)[1]))
        may_commit = client.phase in (RUNNING, ENDED) or column.views[c] == TO_COMMIT
        if self._world.late_commits and client.phase != COMMITTING and client.claim and may_commit:
            found.append(("commit", self._do("commit", column.copy, c, client.claim)[1]))
        if client.phase == ENDED:
            mine = column.copy.holder == c and column.copy.token == client.token
            in_time = mine or client.unsure
            found.append(("extend", self._do("extend", column.copy, c, client.claim, in_time)[1]))
        return [
            Move(f"LATE {name} of c{c} at %s", column._replace(copy=copy), client)
            for name, copy in found
            if copy != column.copy
        ]


def _settings(node: Node) -> tuple[tuple[str, Any], ...]:
    return (("voter_set", node.voter_set),) if node.voter_set else ()
