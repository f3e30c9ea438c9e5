"""All of a state but its voters: the nodes and the past. Few contexts occur, each beside many voters."""

from collections.abc import Callable
from typing import Any

from tests.model.states import Memo, Numbers
from tests.model.world import Client, Past


class Context:
    """The nodes and the past of many states, and what was computed for all of these states."""

    __slots__ = (
        "clients",
        "faults",
        "late_moves",
        "moves",
        "nodes",
        "own_steps",
        "past",
        "past_number",
        "shape",
        "starts",
    )

    def __init__(self, clients: tuple[int, ...], past_number: int, nodes: list[Client], past: Past) -> None:
        self.clients, self.past_number = clients, past_number
        self.nodes, self.past = nodes, past
        self.moves: list[Memo | None] = []  # by node: column -> its steps at a voter with this column; None: it waits
        self.late_moves: list[Memo] = []  # by node: column -> its late requests there
        self.faults: Memo  # column -> what may happen to this voter
        self.own_steps: list[Any] = []  # by node: see node_steps.py
        self.starts: dict[int, tuple[int, str]] = {}  # by node: the context after its start, and a broken promise
        self.shape: Any = None  # see reduce.py


class Contexts:
    """The numbered contexts of one model."""

    def __init__(self, begin: Callable[[Context], None]) -> None:
        self.clients, self.pasts = Numbers(), Numbers()
        self.values: list[Context] = []
        self._begin = begin
        self._numbers: dict[tuple[tuple[int, ...], int], int] = {}

    def __call__(self, clients: tuple[int, ...], past: int) -> int:
        """Return the number of the context of these numbers."""
        number = self._numbers.get((clients, past))
        if number is None:
            number = self._numbers[clients, past] = len(self.values)
            values = self.clients.values
            context = Context(clients, past, [values[client] for client in clients], self.pasts.values[past])
            self.values.append(context)
            self._begin(context)
        return number

    def replaced(self, context: Context, c: int, client: Client, past: Past | None = None) -> int:
        """Return the context with this node c and, if one is given, this past."""
        number = context.past_number if past is None else self.pasts(past)
        return self((*context.clients[:c], self.clients(client), *context.clients[c + 1 :]), number)

    def with_client(self, context: Context, c: int, client: int) -> int:
        """Return the context in which node c has this number."""
        return self((*context.clients[:c], client, *context.clients[c + 1 :]), context.past_number)
