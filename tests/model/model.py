"""The successors of a state: steps of nodes, ends of leases, and losses of voters."""

from collections.abc import Callable, Hashable
from typing import Any

from cronlock.lock import quorum
from tests.model.months import Months
from tests.model.node_steps import NodeSteps
from tests.model.promises import check_copy, check_start
from tests.model.request_steps import ANSWERED, BEGIN, FINISHED, JOINED, RequestStep, RequestSteps, said_ok, saw
from tests.model.states import Numbers, State, Step
from tests.model.voter import Unanswered, Voter
from tests.model.voter_faults import VoterFaults
from tests.model.world import (
    ACKED,
    ASKING,
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

Numbered = tuple[str, int, int, str, str]  # a step: text, column, client, check to make afterwards, broken promise


class Model:
    """The steps from state to state in one world. The steps of one node at one voter are computed once and reused."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.voters = world.voters
        self.enough = quorum.quorum(world.voters)
        self.columns, self.clients, self.pasts = Numbers(), Numbers(), Numbers()
        self._voter = Voter(world.rules)
        self._request_steps = RequestSteps(world, self._voter)
        self._known: dict[tuple[int, int, int], list[Numbered]] = {}  # steps at one voter
        self._memo: dict[Hashable, Any] = {}
        self._node_steps = NodeSteps(self, self._request_steps)
        self._months = Months(self, self._voter)
        self._voter_faults = VoterFaults(world, self._voter, self.columns, self.clients, self.pasts)

    @property
    def start(self) -> State:
        """The state in which no node has asked yet."""
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
        """Return every possible next step; of identical voters only the first is considered."""
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
            found += self._node_steps.steps(state, c)
        for voter in different:
            found += self._voter_faults.steps(state, voter)
        if self.past(state).months:
            found += self._months.steps(state)
        return found

    # -- help with states ------------------------------------------------------------------------------------------

    def _once(self, work: Callable[..., Any], *about: int | str) -> Any:
        """Return the result of this function, computed once for each argument."""
        key = (work.__name__, *about)
        if key not in self._memo:
            self._memo[key] = work(*about)
        return self._memo[key]

    def _with(self, state: State, voter: int, column: int, c: int, client: int) -> State:
        at = self.voters + c
        return (*state[:voter], column, *state[voter + 1 : at], client, *state[at + 1 :])

    def client(self, state: State, c: int) -> Client:
        """Return node c in this state."""
        found: Client = self.clients.values[state[self.voters + c]]
        return found

    def views(self, state: State, c: int) -> tuple[View, ...]:
        """Return node c's view of each voter."""
        return tuple(self.columns.values[column].views[c] for column in state[: self.voters])

    def past(self, state: State) -> Past:
        found: Past = self.pasts.values[state[-1]]
        return found

    def becomes(self, state: State, c: int, client: Client, keeps: str, past: Past | None = None) -> State:
        """Move node c to another phase and drop the views that it does not need there."""
        columns = [self._once(self.keep_views, column, c, keeps) for column in state[: self.voters]]
        number = self.pasts(past) if past else state[-1]
        clients = list(state[self.voters : -1])
        clients[c] = self.clients(client)
        return (*columns, *clients, number)

    def changed(self, state: State, c: int, client: Client) -> State:
        """Replace node c and leave everything else as it is."""
        at = self.voters + c
        return (*state[:at], self.clients(client), *state[at + 1 :])

    def keep_views(self, number: int, c: int, keeps: str) -> int:
        """Return the column in which node c keeps only this kind of view; an ok is a vote to commit."""
        column = self.columns.values[number]
        view = column.views[c]
        if keeps == TO_COMMIT and said_ok(view):
            view = TO_COMMIT
        on_its_way = keeps == TO_COMMIT and isinstance(view, Unanswered) and said_ok(view.answer)
        return self.columns(saw(column, c, view if view == keeps or on_its_way else UNASKED))

    def discount_ack(self, number: int, c: int) -> int:
        """Return the column in which node c no longer counts the acknowledgement of this voter."""
        column = self.columns.values[number]
        return self.columns(saw(column, c, TO_COMMIT)) if column.views[c] == ACKED else number

    # -- steps of a node -------------------------------------------------------------------------------------------

    def _may_not_begin(self, c: int, clients: tuple[int, ...]) -> bool:
        """Return whether a serial world makes this node wait for the nodes before it."""
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
        return [self._numbered(move, column) for move in self._request_steps.of(column, c, self.clients.values[client])]

    def _late_at_voter(self, number: int, c: int, client: int) -> list[Numbered]:
        column = self.columns.values[number]
        return [
            self._numbered(move, column) for move in self._request_steps.late(column, c, self.clients.values[client])
        ]

    def _numbered(self, move: RequestStep, before: Column) -> Numbered:
        broken = check_copy(before.copy, move.column.copy) if self.world.watch_tokens else ""
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
        """Make the check over all voters that follows a step at one voter."""
        client, past = self.client(state, c), self.past(state)
        if then == FINISHED:
            return self._finished(state, c), ""
        if then == JOINED:
            columns = [self._once(self.discount_ack, column, c) for column in state[: self.voters]]
            return (*columns, *state[self.voters :]), ""
        if then == ANSWERED:
            hopeless = sum(view == UNASKED or said_ok(view) for view in self.views(state, c)) < self.enough
            leaves = hopeless and not self.world.watch_exits and not self.world.retries
            return (self.becomes(state, c, client._replace(phase=LEAVING), "") if leaves else state), ""
        if then == BEGIN and self.world.watch_exits:
            past = self._with_committed(state, c, client.token, past)
            state = (*state[:-1], self.pasts(past))
        enough = self.views(state, c).count(ACKED) >= self.enough
        if then == BEGIN and enough:
            others = [self.client(state, d) for d in range(len(self.world.nodes)) if d != c]
            node = self.world.nodes[c]
            broken = check_start(node, client, others, past)
            after = past._replace(
                newest=max(past.newest, client.token), ran=tuple(sorted((*past.ran, (node.tick, node.again))))
            )
            return self.becomes(state, c, client._replace(phase=RUNNING, fresh=False), ACKED, after), broken
        if then != BEGIN and not enough:
            lost = "failed" if self.world.fails and not self.world.lost_is_done else "done"
            return self.becomes(state, c, client._replace(phase=ENDED, state=lost), ""), ""
        return state, ""

    def _finished(self, state: State, c: int) -> State:
        node, past, token = self.world.nodes[c], self.past(state), self.client(state, c).token
        copies = [self.columns.values[column].copy for column in state[: self.voters]]
        done = sum((copy.tick, copy.state, copy.token) == (node.tick, "done", token) for copy in copies)
        if done < self.enough or node.again or node.tick in past.finished:
            return state
        return (*state[:-1], self.pasts(past._replace(finished=tuple(sorted((*past.finished, node.tick))))))

    def _with_committed(self, state: State, c: int, token: int, past: Past) -> Past:
        same = sum(self.columns.values[column].copy.token == token for column in state[: self.voters])
        tick = self.world.nodes[c].tick
        return past if same < self.enough else past._replace(committed=tuple(sorted({*past.committed, tick})))
