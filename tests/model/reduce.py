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

from tests.model.contexts import Context
from tests.model.model import Model
from tests.model.states import Memo, State
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
)

MAY_COMMIT = (ASKING, COMMITTING, LEAVING)  # leaving: its commit may be late

Permutation = tuple[int, ...]


class Shape:
    """The facts that follow from a context alone. It is needed at every step, so results are kept."""

    __slots__ = ("after", "ended", "final", "freed", "holding", "orders", "ticks")

    def __init__(self, ticks: tuple[int, ...]) -> None:
        self.ticks = ticks  # that may still be run
        self.orders: list[Memo | None] = []  # ways to bring the nodes into order; None, or no way: as they are
        self.final = 0  # the context in order, without what does not matter
        self.ended: list[int] = []  # nodes that may be gone
        self.freed: Memo  # column -> the column without a holder that matters no more
        self.holding: Memo  # column -> the remaining holder, as a bit
        self.after: Memo  # the holders -> the nodes that are gone, and the shape without them


class Reduction:
    """Choice of the one state that represents all equivalent ones."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._contexts = model.contexts
        self._gone = model.contexts.clients(Client(phase=GONE))
        self._freed: dict[tuple[int, int], tuple[int, int]] = {}
        self._others: dict[Permutation, Memo] = {}

    def __call__(self, state: State) -> State | None:
        """Return the representative of this state, or None if no promise can be broken any more."""
        context = self._contexts.values[state[-1]]
        shape = context.shape or self._shape(context)
        if not shape.ticks:
            return None
        freed = shape.freed
        columns = [freed[number] for number in state[:-1]]
        if shape.ended:
            holding, holders = shape.holding, 0
            for number in state[:-1]:
                holders |= holding[number]
            gone, shape = shape.after[holders]
            for c in gone:
                keeps = self._model.keeping(c, "")
                columns = [keeps[column] for column in columns]
        columns.sort()
        if shape.orders:
            ways = [columns if other is None else sorted([other[n] for n in columns]) for other in shape.orders]
            columns = min(ways) if len(ways) > 1 else ways[0]
        return (*columns, shape.final)

    # -- nodes -----------------------------------------------------------------------------------------------------

    def _shape(self, context: Context) -> Shape:
        world, clients = self._model.world, context.clients
        values = zip(world.nodes, context.nodes, strict=True)
        shape = context.shape = Shape(tuple(sorted({node.tick for node, client in values if self._open(client)})))
        shape.freed = Memo(lambda number: self._without_holder(number, clients)[0])
        shape.holding = Memo(
            lambda number: 1 << holder if (holder := self._without_holder(number, clients)[1]) >= 0 else 0
        )
        shape.ended = [c for c, client in enumerate(context.nodes) if client.phase in (ENDED, LEAVING)]
        shape.after = Memo(lambda holders: self._without_gone(context, holders))
        groups = [list(group) for _, group in itertools.groupby(range(len(clients)), key=lambda c: world.nodes[c])]
        ways = itertools.product(*(itertools.permutations(group) for group in groups))
        orders = [tuple(itertools.chain(*way)) for way in ways]
        best = min(tuple(clients[c] for c in order) for order in orders)
        fitting = [order for order in orders if tuple(clients[c] for c in order) == best]
        same = tuple(range(len(clients)))
        if fitting != [same]:
            shape.orders = [None if order == same else self._reordering(order) for order in fitting]
        shape.final = self._contexts(best, self._trimmed(context, shape.ticks))
        return shape

    def _open(self, client: Client) -> bool:
        """Return whether this node may still break a promise."""
        world = self._model.world
        begins_after_pause = client.begun_in_pause or client.phase == IDLE or world.retries
        return client.phase in CONTENDING and (begins_after_pause or not world.pause)

    def _without_gone(self, context: Context, holders: int) -> tuple[list[int], Shape]:
        """Return the ended nodes of which less remains while these nodes hold copies, and the shape afterwards."""
        clients, less = context.clients, []
        for c in context.shape.ended:
            rest = self._rest(context, c, bool(holders >> c & 1))
            if rest != clients[c]:
                clients = (*clients[:c], rest, *clients[c + 1 :])
                less.append(c)
        after = self._contexts.values[self._contexts(clients, context.past_number)]
        return less, after.shape or self._shape(after)

    def _rest(self, context: Context, c: int, stands: bool) -> int:
        """Return the rest of an ended node: nothing if no copy names it, since a late commit needs a prepare."""
        client = context.nodes[c]
        late = context.past.late if self._model.world.late_commits else 0
        if not stands and late < 2 and not client.unsure and not self._model.world.middle:
            return self._gone
        if client.phase == LEAVING and not late:
            return self._contexts.clients(client._replace(claim=()))
        return context.clients[c]

    # -- copies ----------------------------------------------------------------------------------------------------

    def _without_holder(self, number: int, clients: tuple[int, ...]) -> tuple[int, int]:
        """Return the column without a holder that matters no more, and the remaining holder."""
        column = self._model.columns.values[number]
        holder: int = column.copy.holder
        key = (number, clients[holder] if holder >= 0 else NO_HOLDER)
        if key not in self._freed:
            self._freed[key] = self._free(number, column, key[1])
        return self._freed[key]

    def _free(self, number: int, column: Column, holder: int) -> tuple[int, int]:
        copy = column.copy
        over = copy.kind == "prepare" and not copy.live
        if over and (copy.holder == ABANDONED or not self._counts(column, self._contexts.clients.values[holder])):
            freed = column._replace(copy=copy._replace(holder=NO_HOLDER, kind=""))
            return self._model.columns(freed), NO_HOLDER
        return number, copy.holder

    def _counts(self, column: Column, holder: Client) -> bool:
        """Return whether the holder of a prepared copy still depends on being its holder."""
        view = column.views[column.copy.holder]
        return holder.phase in MAY_COMMIT and (isinstance(view, Answer | Unanswered) or view in (TO_COMMIT, ACKED))

    # -- the past, and order ---------------------------------------------------------------------------------------

    def _trimmed(self, context: Context, ticks: tuple[int, ...]) -> int:
        world, past = self._model.world, context.past
        if world.watch_exits or world.releases_runs or any(node.adopt for node in world.nodes):
            return context.past_number
        ran = tuple(run for run in past.ran if run[0] in ticks)
        finished = tuple(tick for tick in past.finished if tick in ticks)
        return self._contexts.pasts(past._replace(ran=ran, finished=finished))

    def _reordering(self, order: Permutation) -> Memo:
        """Return column -> the column with its nodes in this order."""
        if order not in self._others:
            self._others[order] = Memo(lambda number: self._reordered(number, order))
        return self._others[order]

    def _reordered(self, number: int, order: Permutation) -> int:
        column: Column = self._model.columns.values[number]
        saved = column.saved and _renamed(column.saved, order)
        views = tuple(column.views[c] for c in order)
        earlier = tuple(sorted(order.index(c) for c in column.earlier))
        return self._model.columns(Column(_renamed(column.copy, order), views, saved, earlier))


def _renamed(copy: CopyValue, order: Permutation) -> CopyValue:
    return copy if copy.holder < 0 else copy._replace(holder=order.index(copy.holder))
