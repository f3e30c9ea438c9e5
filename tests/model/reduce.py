"""States that are treated as one, and states without a future; neither can change whether a promise is broken.

- Voters are interchangeable, so their columns are sorted. So are adjacent nodes with the same tick.
- Once no node is left that may start a run, no promise can be broken any more: such a state has no future. A row
  about a pause looks no further than the nodes that begin after it, since the other rows check the same promises
  without a pause.
- A prepare whose lease has ended leaves its copy free; its holder matters only to a node that may still commit.
- An ended node that no copy names can do nothing more, apart from late requests.
- The runs of a tick that no node may run any more do not matter.
"""

import itertools
from typing import NamedTuple

from tests.model.model import Model
from tests.model.states import State
from tests.model.voter import ABANDONED, NO_HOLDER, Answer, CopyValue, Unanswered
from tests.model.world import (
    ACKED,
    ASKING,
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

MAY_COMMIT = (ASKING, COMMITTING, LEAVING)  # leaving: its commit may be late

Permutation = tuple[int, ...]


class Shape(NamedTuple):
    """The facts that follow from the nodes' phases alone."""

    clients: tuple[int, ...]  # in order
    orders: list[Permutation]  # permutations that bring the nodes into order; empty: as they are
    ticks: tuple[int, ...]  # ticks that may still be run
    ended: list[int]


class Reduction:
    """Choice of the one state that represents all equivalent ones. It is needed at every step, so results are kept."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._voters = model.voters
        self._rest: dict[tuple[int, int, bool], int] = {}
        self._gone = model.clients(Client(phase=GONE))
        self._shapes: dict[tuple[int, ...], Shape] = {}
        self._without_stale_holders: dict[tuple[int, int], tuple[int, int]] = {}
        self._holders: dict[int, int] = {}
        self._trims: dict[tuple[int, tuple[int, ...]], int] = {}
        self._others: dict[tuple[int, Permutation], int] = {}

    def __call__(self, state: State) -> State | None:
        """Return the representative of this state, or None if no promise can be broken any more."""
        clients, past = state[self._voters : -1], state[-1]
        shape = self._shapes.get(clients) or self._shape(clients)
        if not shape.ticks:
            return None
        columns, holders = [], []
        for number in state[: self._voters]:
            holder = self._holders.get(number)
            if holder is None:
                holder = self._holder(number)
            pair = (number, clients[holder] if holder >= 0 else NO_HOLDER)
            column, holder = self._without_stale_holders.get(pair) or self._without_stale_holder(*pair)
            columns.append(column)
            holders.append(holder)
        for c in shape.ended:
            client = self._rest.get((clients[c], past, c in holders)) or self._rest_of_client(
                clients[c], past, c in holders
            )
            if client != clients[c]:
                clients = (*clients[:c], client, *clients[c + 1 :])
                shape = self._shapes.get(clients) or self._shape(clients)
                columns = [self._model.keep_views(column, c, "") for column in columns]
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
        """Return whether this node may still break a promise."""
        world = self._model.world
        begins_after_pause = client.begun_in_pause or client.phase == IDLE or world.retries
        return client.phase in CONTENDING and (begins_after_pause or not world.pause)

    def _rest_of_client(self, number: int, past: int, stands: bool) -> int:
        """Return the rest of an ended node: nothing if no copy names it, since a late commit needs a prepare."""
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

    def _without_stale_holder(self, number: int, holder: int) -> tuple[int, int]:
        """Return the column without a holder that matters no more, and the remaining holder."""
        column = self._model.columns.values[number]
        copy = column.copy
        found = number, copy.holder
        over = copy.kind == "prepare" and not copy.live
        if over and (copy.holder == ABANDONED or not self._counts(column, self._model.clients.values[holder])):
            freed = column._replace(copy=copy._replace(holder=NO_HOLDER, kind=""))
            found = self._model.columns(freed), NO_HOLDER
        self._without_stale_holders[number, holder] = found
        return found

    def _counts(self, column: Column, holder: Client) -> bool:
        """Return whether the holder of a prepared copy still depends on being its holder."""
        view = column.views[column.copy.holder]
        return holder.phase in MAY_COMMIT and (isinstance(view, Answer | Unanswered) or view in (TO_COMMIT, ACKED))

    # -- the past, and order ---------------------------------------------------------------------------------------

    def _trimmed(self, number: int, ticks: tuple[int, ...]) -> int:
        past: Past = self._model.pasts.values[number]
        found = number
        world = self._model.world
        if not (world.watch_exits or world.releases_runs or any(node.adopt for node in world.nodes)):
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


def _renamed(copy: CopyValue, order: Permutation) -> CopyValue:
    return copy if copy.holder < 0 else copy._replace(holder=order.index(copy.holder))
