"""All that can happen next: the steps of the nodes, of leases, and of voters that lose what they had."""

from collections.abc import Callable, Hashable
from typing import Any

from cronlock.lock import quorum
from tests.model.alone import Alone
from tests.model.months import Months
from tests.model.moves import ANSWERED, BEGIN, HEARD, JOINED, Move, Moves, said_ok, saw
from tests.model.promises import begins_badly, loses_badly
from tests.model.states import Numbers, State, Step
from tests.model.voter import Unheard, Voter
from tests.model.voter_faults import Fates
from tests.model.world import (
    ASKING,
    BELIEVED,
    COMMITTING,
    ENDED,
    IDLE,
    LEAVING,
    RUNNING,
    TO_COMMIT,
    UNASKED,
    Client,
    Column,
    Past,
    View,
    World,
)

Numbered = tuple[str, int, int, str, str]  # a move: text, column, client, what to look at afterwards, what it breaks


class Model:
    """The steps from state to state in one world. What depends on one column and one node is worked out once."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.voters = world.voters
        self.enough = quorum.quorum(world.voters)
        self.columns, self.clients, self.pasts = Numbers(), Numbers(), Numbers()
        self._voter = Voter(world.rules)
        self._moves = Moves(world, self._voter)
        self._known: dict[tuple[int, int, int], list[Numbered]] = {}  # steps at one voter
        self._memo: dict[Hashable, Any] = {}
        self._alone = Alone(self, self._moves)
        self._months = Months(self, self._voter)
        self._fates = Fates(world, self._voter, self.columns, self.clients, self.pasts)

    @property
    def start(self) -> State:
        """Nobody has asked yet."""
        count, world = len(self.world.nodes), self.world
        columns = tuple(self.columns(Column(copy, (UNASKED,) * count)) for copy in world.start)
        past = Past(
            world.forget,
            world.back,
            world.late,
            snapshots=int(world.middle),
            recommits=world.recommits,
            months=world.months,
        )
        return (*columns, *(self.clients(Client()),) * count, self.pasts(past))

    def steps(self, state: State) -> list[Step]:
        """Everything that may happen next. Of voters that are alike only one is taken."""
        columns, clients = state[: self.voters], state[self.voters : -1]
        different = [i for i, column in enumerate(columns) if column not in columns[:i]]
        late, serial = self.past(state).late, self.world.serial
        found: list[Step] = []
        for c, client in enumerate(clients):
            if serial and self._may_not_begin(c, clients):
                continue
            for voter in different:
                key = (columns[voter], c, client)
                moves = self._known.get(key)
                if moves is None:
                    moves = self._known[key] = self._at_voter(*key)
                for text, column, after, then, broken in moves:
                    following = self._with(state, voter, column, c, after)
                    if then:
                        following, worse = self._then(then, following, c)
                        broken = broken or worse  # noqa: PLW2901
                    found.append(Step(text, voter, following, broken))
                if late:
                    found += self._late_steps(state, voter, c, client)
            found += self._alone.steps(state, c)
        for voter in different:
            found += self._fates.steps(state, voter)
        if self.past(state).months:
            found += self._months.steps(state)
        return found

    # -- help with states ------------------------------------------------------------------------------------------

    def _once(self, work: Callable[..., Any], *about: int | str) -> Any:
        """What this work comes to; done once."""
        key = (work.__name__, *about)
        if key not in self._memo:
            self._memo[key] = work(*about)
        return self._memo[key]

    def _with(self, state: State, voter: int, column: int, c: int, client: int) -> State:
        at = self.voters + c
        return (*state[:voter], column, *state[voter + 1 : at], client, *state[at + 1 :])

    def client(self, state: State, c: int) -> Client:
        """Node c in this state."""
        found: Client = self.clients.values[state[self.voters + c]]
        return found

    def views(self, state: State, c: int) -> tuple[View, ...]:
        """What node c knows of each voter."""
        return tuple(self.columns.values[column].views[c] for column in state[: self.voters])

    def past(self, state: State) -> Past:
        found: Past = self.pasts.values[state[-1]]
        return found

    def becomes(self, state: State, c: int, client: Client, keeps: str, past: Past | None = None) -> State:
        """Node c goes on to another phase, and forgets of each voter what it does not need there."""
        columns = [self._once(self.forgets, column, c, keeps) for column in state[: self.voters]]
        number = self.pasts(past) if past else state[-1]
        clients = list(state[self.voters : -1])
        clients[c] = self.clients(client)
        return (*columns, *clients, number)

    def changed(self, state: State, c: int, client: Client) -> State:
        """Node c is another, and all else stays."""
        at = self.voters + c
        return (*state[:at], self.clients(client), *state[at + 1 :])

    def forgets(self, number: int, c: int, keeps: str) -> int:
        """The column when node c keeps of its views only this kind; an ok is what there is to commit."""
        column = self.columns.values[number]
        view = column.views[c]
        if keeps == TO_COMMIT and said_ok(view):
            view = TO_COMMIT
        on_its_way = keeps == TO_COMMIT and isinstance(view, Unheard) and said_ok(view.answer)
        return self.columns(saw(column, c, view if view == keeps or on_its_way else UNASKED))

    def doubts(self, number: int, c: int) -> int:
        """The column when node c counts an acknowledgement from here no more."""
        column = self.columns.values[number]
        return self.columns(saw(column, c, TO_COMMIT)) if column.views[c] == BELIEVED else number

    # -- steps of a node -------------------------------------------------------------------------------------------

    def _may_not_begin(self, c: int, clients: tuple[int, ...]) -> bool:
        """In a serial world a node begins when those before it run or are done."""
        if self.clients.values[clients[c]].phase != IDLE:
            return False
        nodes = self.world.nodes
        for k, number in enumerate(clients):
            phase = self.clients.values[number].phase
            alike = all(node == nodes[c] for node in nodes[min(k, c) : max(k, c) + 1])
            if phase in (ASKING, COMMITTING) or (phase == IDLE and k < c and not alike):
                return k < c or alike
        return False

    def _at_voter(self, number: int, c: int, client: int) -> list[Numbered]:
        column = self.columns.values[number]
        return [self._numbered(move, column) for move in self._moves.of(column, c, self.clients.values[client])]

    def _late_at_voter(self, number: int, c: int, client: int) -> list[Numbered]:
        column = self.columns.values[number]
        return [self._numbered(move, column) for move in self._moves.late(column, c, self.clients.values[client])]

    def _numbered(self, move: Move, before: Column) -> Numbered:
        broken = loses_badly(before.copy, move.column.copy) if self.world.watch_tokens else ""
        return move.text, self.columns(move.column), self.clients(move.client), move.then, broken

    def _late_steps(self, state: State, voter: int, c: int, client: int) -> list[Step]:
        after = self._once(self._one_late_less, state[-1])
        late = self._once(self._late_at_voter, state[voter], c, client)
        return [
            Step(text, voter, (*self._with(state, voter, column, c, client)[:-1], after), broken)
            for text, column, _client, _then, broken in late
        ]

    def _one_late_less(self, number: int) -> int:
        past: Past = self.pasts.values[number]
        return self.pasts(past._replace(late=past.late - 1))

    def _then(self, then: str, state: State, c: int) -> tuple[State, str]:
        """What follows at once from a step at one voter, when all the voters are looked at."""
        client, past = self.client(state, c), self.past(state)
        if then == HEARD:
            return self._heard(state, c), ""
        if then == JOINED:
            columns = [self._once(self.doubts, column, c) for column in state[: self.voters]]
            return (*columns, *state[self.voters :]), ""
        if then == ANSWERED:
            hopeless = sum(view == UNASKED or said_ok(view) for view in self.views(state, c)) < self.enough
            leaves = hopeless and not self.world.watch_exits and not self.world.retries
            return (self.becomes(state, c, client._replace(phase=LEAVING), "") if leaves else state), ""
        if then == BEGIN and self.world.watch_exits:
            past = self._stood(state, c, client.token, past)
            state = (*state[:-1], self.pasts(past))
        enough = self.views(state, c).count(BELIEVED) >= self.enough
        if then == BEGIN and enough:
            others = [self.client(state, d) for d in range(len(self.world.nodes)) if d != c]
            node = self.world.nodes[c]
            broken = begins_badly(node, client, others, past)
            after = past._replace(
                newest=max(past.newest, client.token), ran=tuple(sorted((*past.ran, (node.tick, node.again))))
            )
            return self.becomes(state, c, client._replace(phase=RUNNING, fresh=False), BELIEVED, after), broken
        if then != BEGIN and not enough:
            lost = "failed" if self.world.fails and not self.world.lost_is_done else "done"
            return self.becomes(state, c, client._replace(phase=ENDED, state=lost), ""), ""
        return state, ""

    def _heard(self, state: State, c: int) -> State:
        node, past, token = self.world.nodes[c], self.past(state), self.client(state, c).token
        copies = [self.columns.values[column].copy for column in state[: self.voters]]
        done = sum((copy.tick, copy.state, copy.token) == (node.tick, "done", token) for copy in copies)
        if done < self.enough or node.again or node.tick in past.finished:
            return state
        return (*state[:-1], self.pasts(past._replace(finished=tuple(sorted((*past.finished, node.tick))))))

    def _stood(self, state: State, c: int, token: int, past: Past) -> Past:
        same = sum(self.columns.values[column].copy.token == token for column in state[: self.voters])
        tick = self.world.nodes[c].tick
        return past if same < self.enough else past._replace(stood=tuple(sorted({*past.stood, tick})))
