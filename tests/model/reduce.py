"""Which states are taken for one, and which are not looked at: what is dropped can have no bearing on any promise.

- Voters are alike: their columns are sorted. So are nodes of the same tick that stand beside each other in a row.
- When nobody is left that may start a run, no promise can be broken any more: such a state has no future. A row about
  a pause looks no further than to the nodes that begin after it: the other rows have the same promises without one.
- A prepare whose lease is over leaves its copy to everybody; its holder has a meaning only to a node that may commit.
- An ended node that stands on no copy can do nothing more, apart from requests that are late.
- Of ticks that nobody may run any more it does not matter who ran them.
"""

import itertools
from typing import NamedTuple

from tests.model.model import Model
from tests.model.states import State
from tests.model.voter import DEAD, NOBODY, Answer, Kept, Unheard
from tests.model.world import (
    ASKING,
    BELIEVED,
    COMMITTING,
    CONTENDING,
    ENDED,
    GONE,
    IDLE,
    LEAVING,
    TO_COMMIT,
    Client,
    Column,
    Past,
)

MAY_COMMIT = (ASKING, COMMITTING, LEAVING)  # leaving: a commit that is late

Permutation = tuple[int, ...]


class Shape(NamedTuple):
    """What the nodes' phases alone say."""

    clients: tuple[int, ...]  # in order
    orders: list[Permutation]  # the ways to bring them into it; the empty one: as they are
    ticks: tuple[int, ...]  # that may still be run
    ended: list[int]


class Reduction:
    """Finds the one state that stands for all that are alike. It is asked for every step: what it finds out is kept."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._voters = model.voters
        self._rest: dict[tuple[int, int, bool], int] = {}
        self._gone = model.clients(Client(phase=GONE))
        self._shapes: dict[tuple[int, ...], Shape] = {}
        self._tidied: dict[tuple[int, int], tuple[int, int]] = {}
        self._holders: dict[int, int] = {}
        self._trims: dict[tuple[int, tuple[int, ...]], int] = {}
        self._others: dict[tuple[int, Permutation], int] = {}

    def __call__(self, state: State) -> State | None:
        """The state that stands for this one; None when no promise can be broken any more."""
        clients, past = state[self._voters : -1], state[-1]
        shape = self._shapes.get(clients) or self._shape(clients)
        if not shape.ticks:
            return None
        columns, holders = [], []
        for number in state[: self._voters]:
            holder = self._holders.get(number)
            if holder is None:
                holder = self._holder(number)
            pair = (number, clients[holder] if holder >= 0 else NOBODY)
            column, holder = self._tidied.get(pair) or self._tidy(*pair)
            columns.append(column)
            holders.append(holder)
        for c in shape.ended:
            client = self._rest.get((clients[c], past, c in holders)) or self._left(clients[c], past, c in holders)
            if client != clients[c]:
                clients = (*clients[:c], client, *clients[c + 1 :])
                shape = self._shapes.get(clients) or self._shape(clients)
                columns = [self._model.forgets(column, c, "") for column in columns]
        columns.sort()
        ways = [
            sorted([self._others.get((n, order)) or self._reordered(n, order) for n in columns]) if order else columns
            for order in shape.orders
        ]
        best = min(ways) if len(ways) > 1 else ways[0]
        trim = (past, shape.ticks)
        known = self._trims.get(trim)
        return (*best, *shape.clients, self._trimmed(*trim) if known is None else known)

    # -- nodes -----------------------------------------------------------------------------------------------------

    def _shape(self, clients: tuple[int, ...]) -> Shape:
        nodes = self._model.world.nodes
        groups = [list(group) for _node, group in itertools.groupby(range(len(nodes)), key=lambda c: nodes[c])]
        ways = itertools.product(*(itertools.permutations(group) for group in groups))
        orders = [tuple(itertools.chain(*way)) for way in ways]
        best = min(tuple(clients[c] for c in order) for order in orders)
        fitting = [order for order in orders if tuple(clients[c] for c in order) == best]
        same = tuple(range(len(nodes)))
        values = [self._model.clients.values[client] for client in clients]
        ticks = {node.tick for node, client in zip(nodes, values, strict=True) if self._open(client)}
        ended = [c for c, client in enumerate(values) if client.phase in (ENDED, LEAVING)]
        found = Shape(best, [() if order == same else order for order in fitting], tuple(sorted(ticks)), ended)
        self._shapes[clients] = found
        return found

    def _open(self, client: Client) -> bool:
        """Whether it may still break a promise."""
        world = self._model.world
        begins_after_pause = client.warned or client.phase == IDLE or world.retries
        return client.phase in CONTENDING and (begins_after_pause or not world.pause)

    def _left(self, number: int, past: int, stands: bool) -> int:
        """What is left of a node that ended: nothing where it stands on no copy, for a late commit needs a prepare."""
        client: Client = self._model.clients.values[number]
        late = self._model.pasts.values[past].late if self._model.world.late_commits else 0
        found = number
        if not stands and late < 2 and not client.unsure and not self._model.world.middle:
            found = self._gone
        elif client.phase == LEAVING and not late:
            found = self._model.clients(client._replace(claim=()))
        self._rest[number, past, stands] = found
        return found

    # -- copies ----------------------------------------------------------------------------------------------------

    def _holder(self, column: int) -> int:
        holder: int = self._model.columns.values[column].copy.holder
        self._holders[column] = holder
        return holder

    def _tidy(self, number: int, holder: int) -> tuple[int, int]:
        """The column without a holder that means nothing any more, and the holder that is left."""
        column = self._model.columns.values[number]
        copy = column.copy
        found = number, copy.holder
        over = copy.kind == "prepare" and not copy.live
        if over and (copy.holder == DEAD or not self._counts(column, self._model.clients.values[holder])):
            nobody = column._replace(copy=copy._replace(holder=NOBODY, kind=""))
            found = self._model.columns(nobody), NOBODY
        self._tidied[number, holder] = found
        return found

    def _counts(self, column: Column, holder: Client) -> bool:
        """Whether it matters to the holder of a prepared copy that it still is the holder."""
        view = column.views[column.copy.holder]
        return holder.phase in MAY_COMMIT and (isinstance(view, Answer | Unheard) or view in (TO_COMMIT, BELIEVED))

    # -- the past, and order ---------------------------------------------------------------------------------------

    def _trimmed(self, number: int, ticks: tuple[int, ...]) -> int:
        past: Past = self._model.pasts.values[number]
        found = number
        world = self._model.world
        if not (world.watch_exits or world.give_back or any(node.adopt for node in world.nodes)):
            ran = tuple(run for run in past.ran if run[0] in ticks)
            finished = tuple(tick for tick in past.finished if tick in ticks)
            found = self._model.pasts(past._replace(ran=ran, finished=finished))
        self._trims[number, ticks] = found
        return found

    def _reordered(self, number: int, order: Permutation) -> int:
        column: Column = self._model.columns.values[number]
        saved = column.saved and _renamed(column.saved, order)
        views = tuple(column.views[c] for c in order)
        earlier = tuple(sorted(order.index(c) for c in column.earlier))
        found = self._model.columns(Column(_renamed(column.copy, order), views, saved, earlier))
        self._others[number, order] = found
        return found


def _renamed(copy: Kept, order: Permutation) -> Kept:
    return copy if copy.holder < 0 else copy._replace(holder=order.index(copy.holder))
