"""The successors of a state: steps of nodes, ends of leases, and losses of voters."""

from cronlock.lock import quorum
from tests.model.contexts import Context, Contexts
from tests.model.months import Months
from tests.model.node_steps import NodeSteps
from tests.model.promises import check_copy, check_start
from tests.model.request_steps import ANSWERED, BEGIN, FINISHED, JOINED, RequestStep, RequestSteps, said_ok, saw
from tests.model.states import Memo, Numbers, State
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

# a step: text, column, context (or client), check to make afterwards, broken promise
Numbered = tuple[str, int, int, str, str]


class Model:
    """The steps from state to state in one world. What depends on one voter and the context is computed once."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.voters = world.voters
        self.enough = quorum.quorum(world.voters)
        self.columns = Numbers()
        self.contexts = Contexts(self._begin)
        self._voter = Voter(world.rules)
        self._request_steps = RequestSteps(world, self._voter)
        self._moves = Memo(self._requests)  # by column, node and its client
        self._late_moves = Memo(self._late_requests)
        self._ever_leaves = not world.watch_exits and not world.retries
        nodes = range(len(world.nodes))
        # by node: column -> a column, or a fact about the node's view
        self._keeps = [{keeps: self._keeping(c, keeps) for keeps in ("", TO_COMMIT, ACKED)} for c in nodes]
        self._discounts = [Memo(lambda number, c=c: self._discount_ack(number, c)) for c in nodes]
        self._acked = [Memo(lambda number, c=c: self._view(number, c) == ACKED) for c in nodes]
        self._may_say_ok = [Memo(lambda number, c=c: _is_open(self._view(number, c))) for c in nodes]
        self._voter_faults = VoterFaults(world, self._voter, self.columns, self.contexts)
        self._node_steps = NodeSteps(self, self._request_steps)
        self._months = Months(self, self._voter)

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
        clients = (self.contexts.clients(Client()),) * count
        return (*columns, self.contexts(clients, self.contexts.pasts(past)))

    def steps(self, state: State) -> list[tuple[str, int | None, State, str]]:
        """Return every possible next step; of identical voters only the first is considered."""
        columns, context = state[:-1], self.context(state)
        different = [
            (voter, column, columns[:voter], columns[voter + 1 :])
            for voter, column in enumerate(columns)
            if column not in columns[:voter]
        ]
        late, found = context.past.late, []
        for c, moves in enumerate(context.moves):
            if moves is None:
                continue
            for voter, number, before, after in different:
                for text, column, place, then, broken in moves[number]:
                    following = (*before, column, *after, place)
                    if then:
                        following, worse = self._then(then, following, c)
                        broken = broken or worse  # noqa: PLW2901
                    found.append((text, voter, following, broken))
                if late:
                    found += [
                        (text, voter, (*before, column, *after, place), broken)
                        for text, column, place, _then, broken in context.late_moves[c][number]
                    ]
            self._node_steps.add(found, state, context, c)
        for voter, number, before, after in different:
            found += [
                (text, voter, (*before, column, *after, place), "") for text, column, place in context.faults[number]
            ]
            if self.world.pause:
                found += self._voter_faults.pause(state, voter)
        if context.past.months:
            found += self._months.steps(state)
        return found

    # -- help with states ------------------------------------------------------------------------------------------

    def context(self, state: State) -> Context:
        """Return all of this state but its voters."""
        return self.contexts.values[state[-1]]

    def views(self, state: State, c: int) -> tuple[View, ...]:
        """Return node c's view of each voter."""
        return tuple(self._view(column, c) for column in state[:-1])

    def keeping(self, c: int, keeps: str) -> Memo:
        """Return column -> the column in which node c keeps only this kind of view; an ok is a vote to commit."""
        return self._keeps[c][keeps]

    def becomes(self, state: State, c: int, client: Client, keeps: str, past: Past | None = None) -> State:
        """Move node c to another phase and drop the views that it does not need there."""
        kept = self._keeps[c][keeps]
        return (*[kept[column] for column in state[:-1]], self.contexts.replaced(self.context(state), c, client, past))

    def _begin(self, context: Context) -> None:
        """Prepare what is to be known of a context."""
        for c in range(len(context.clients)):
            waits = self.world.serial and self._may_not_begin(c, context)
            context.moves.append(None if waits else Memo(lambda number, c=c: self._at_voter(number, c, context)))
            context.late_moves.append(Memo(lambda number, c=c: self._late_at_voter(number, c, context)))
            context.own_steps.append(None)
        context.faults = Memo(lambda number: self._voter_faults.of(number, context))

    def _view(self, number: int, c: int) -> View:
        view: View = self.columns.values[number].views[c]
        return view

    def _keeping(self, c: int, keeps: str) -> Memo:
        return Memo(lambda number: self._keep_views(number, c, keeps))

    def _keep_views(self, number: int, c: int, keeps: str) -> int:
        column = self.columns.values[number]
        view = column.views[c]
        if keeps == TO_COMMIT and said_ok(view):
            view = TO_COMMIT
        on_its_way = keeps == TO_COMMIT and isinstance(view, Unanswered) and said_ok(view.answer)
        return self.columns(saw(column, c, view if view == keeps or on_its_way else UNASKED))

    def _discount_ack(self, number: int, c: int) -> int:
        """Return the column in which node c no longer counts the acknowledgement of this voter."""
        column = self.columns.values[number]
        return self.columns(saw(column, c, TO_COMMIT)) if column.views[c] == ACKED else number

    # -- steps of a node -------------------------------------------------------------------------------------------

    def _may_not_begin(self, c: int, context: Context) -> bool:
        """Return whether a serial world makes this node wait for the nodes before it."""
        if context.nodes[c].phase != IDLE:
            return False
        nodes = self.world.nodes
        for k, client in enumerate(context.nodes):
            phase = client.phase
            alike = all(node == nodes[c] for node in nodes[min(k, c) : max(k, c) + 1])
            if phase in (ASKING, COMMITTING) or (phase == IDLE and k < c and not alike):
                return k < c or alike
        return False

    def _at_voter(self, number: int, c: int, context: Context) -> list[Numbered]:
        known = self._moves[number, c, context.clients[c]]
        return [
            (text, column, self.contexts.with_client(context, c, client), then, broken)
            for text, column, client, then, broken in known
        ]

    def _late_at_voter(self, number: int, c: int, context: Context) -> list[Numbered]:
        known = self._late_moves[number, c, context.clients[c]]
        past = self.contexts.pasts(context.past._replace(late=context.past.late - 1))
        place = self.contexts(context.clients, past)
        return [(text, column, place, "", broken) for text, column, _client, _then, broken in known]

    def _requests(self, key: tuple[int, int, int]) -> list[Numbered]:
        number, c, client = key
        column = self.columns.values[number]
        moves = self._request_steps.of(column, c, self.contexts.clients.values[client])
        return [self._numbered(move, column) for move in moves]

    def _late_requests(self, key: tuple[int, int, int]) -> list[Numbered]:
        number, c, client = key
        column = self.columns.values[number]
        moves = self._request_steps.late(column, c, self.contexts.clients.values[client])
        return [self._numbered(move, column) for move in moves]

    def _numbered(self, move: RequestStep, before: Column) -> Numbered:
        broken = check_copy(before.copy, move.column.copy) if self.world.watch_tokens else ""
        then = "" if move.then == ANSWERED and not self._ever_leaves else move.then
        return move.text, self.columns(move.column), self.contexts.clients(move.client), then, broken

    def _then(self, then: str, state: State, c: int) -> tuple[State, str]:
        """Make the check over all voters that follows a step at one voter."""
        if then == FINISHED:
            return self._finished(state, c), ""
        if then == JOINED:
            discounts = self._discounts[c]
            return (*[discounts[column] for column in state[:-1]], state[-1]), ""
        if then == ANSWERED:
            may_say_ok = self._may_say_ok[c]
            if sum([may_say_ok[column] for column in state[:-1]]) >= self.enough:
                return state, ""
            return self.becomes(state, c, self.context(state).nodes[c]._replace(phase=LEAVING), ""), ""
        if then == BEGIN and self.world.watch_exits:
            state = self._with_committed(state, c)
        acked = self._acked[c]
        enough = sum([acked[column] for column in state[:-1]]) >= self.enough
        if then == BEGIN and enough:
            context = self.context(state)
            started = context.starts.get(c)
            if started is None:
                started = context.starts[c] = self._started(context, c)
            kept = self._keeps[c][ACKED]
            return (*[kept[column] for column in state[:-1]], started[0]), started[1]
        if then != BEGIN and not enough:
            lost = "failed" if self.world.fails and not self.world.lost_is_done else "done"
            client = self.context(state).nodes[c]
            return self.becomes(state, c, client._replace(phase=ENDED, state=lost), ""), ""
        return state, ""

    def _started(self, context: Context, c: int) -> tuple[int, str]:
        """Return the context after this node's run began, and the promise that the run breaks."""
        client, past, node = context.nodes[c], context.past, self.world.nodes[c]
        others = [other for d, other in enumerate(context.nodes) if d != c]
        broken = check_start(node, client, others, past)
        after = past._replace(
            newest=max(past.newest, client.token), ran=tuple(sorted((*past.ran, (node.tick, node.again))))
        )
        return self.contexts.replaced(context, c, client._replace(phase=RUNNING, fresh=False), after), broken

    def _finished(self, state: State, c: int) -> State:
        context, node = self.context(state), self.world.nodes[c]
        past, token = context.past, context.nodes[c].token
        copies = [self.columns.values[column].copy for column in state[:-1]]
        done = sum((copy.tick, copy.state, copy.token) == (node.tick, "done", token) for copy in copies)
        if done < self.enough or node.again or node.tick in past.finished:
            return state
        return self._with_past(state, past._replace(finished=tuple(sorted((*past.finished, node.tick)))))

    def _with_committed(self, state: State, c: int) -> State:
        context, tick = self.context(state), self.world.nodes[c].tick
        token, past = context.nodes[c].token, context.past
        same = sum(self.columns.values[column].copy.token == token for column in state[:-1])
        if same < self.enough:
            return state
        return self._with_past(state, past._replace(committed=tuple(sorted({*past.committed, tick}))))

    def _with_past(self, state: State, past: Past) -> State:
        clients = self.context(state).clients
        return (*state[:-1], self.contexts(clients, self.contexts.pasts(past)))


def _is_open(view: View) -> bool:
    """Return whether a node may still count an ok here."""
    return view == UNASKED or said_ok(view)
