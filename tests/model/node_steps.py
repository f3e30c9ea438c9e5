"""Steps that a node takes by itself: it evaluates answers, gives up, retries or dies; its command ends."""

from typing import TYPE_CHECKING

from cronlock.lock import quorum, state_machine
from tests.model.promises import check_give_up, check_quiet_exit, check_win
from tests.model.request_steps import RequestSteps, orphaned, saw
from tests.model.states import State, Step
from tests.model.world import (
    ASKING,
    COMMITTING,
    CONTENDING,
    ENDED,
    GONE,
    IDLE,
    LEAVING,
    REJECTED,
    RETRYING,
    RUNNING,
    TO_COMMIT,
    UNASKED,
    Client,
    Past,
)

if TYPE_CHECKING:
    from tests.model.model import Model


class NodeSteps:
    """The steps of node c that involve no particular voter."""

    def __init__(self, model: "Model", moves: RequestSteps) -> None:
        self._model = model
        self._world = model.world
        self._request_steps = moves
        self._verdicts: dict[object, tuple[str, tuple[tuple[str, object], ...]]] = {}

    def steps(self, state: State, c: int) -> list[Step]:
        """Return every step that the node can take now."""
        client, found = self._model.client(state, c), []
        if client.phase == ASKING:
            found = self._evaluate(state, c, client)
        elif client.phase == COMMITTING:
            found = self._committing(state, c, client)
        elif client.phase == RETRYING:
            found = [Step(f"c{c} starts another attempt", None, self._another_attempt(state, c))]
        elif client.phase == RUNNING:
            found = self._ends(state, c, client)
        elif client.unsure:
            sure = self._model.becomes(state, c, client._replace(unsure=False), "")
            found = [Step(f"c{c}'s unanswered write-back is void", None, sure)]
        if self._world.deaths and client.phase in CONTENDING and client.phase != IDLE:
            found.append(Step(f"c{c} dies", None, self._model.becomes(state, c, Client(GONE), "")))
        if self._world.deaths and client.phase == RUNNING:
            gone = self._model.becomes(state, c, Client(GONE), "")
            found.append(Step(f"c{c} dies and its guard ends the command", None, gone))
        return found

    def _evaluate(self, state: State, c: int, client: Client) -> list[Step]:
        gone = self._model.becomes(state, c, client._replace(phase=LEAVING), "")
        found = [Step(f"c{c} gives up", None, gone)]
        if self._world.retries:
            found.append(self._waits(state, c, client))
        views = self._model.views(state, c)
        if (views, c) not in self._verdicts:
            self._verdicts[views, c] = self._request_steps.verdict(views, c)
        kind, claim = self._verdicts[views, c]
        if kind == quorum.WON:
            fresh = self._world.late_oks and not self._world.old_acks
            committing = client._replace(phase=COMMITTING, claim=claim, fresh=fresh)
            after = self._model.becomes(
                self._without_implausible(state, c), c, committing, TO_COMMIT, self._won(state, c)
            )
            broken = check_win(self._world.nodes[c], views)
            found.append(Step(f"c{c} has its quorum of ok, token {committing.token}", None, after, broken))
        elif kind in quorum.QUIET and not (kind == state_machine.HELD and self._world.waits):
            found.append(Step(f"c{c} says {kind} and exits 0", None, gone, self._check_quiet_verdict(state, c, kind)))
        return found

    def _without_implausible(self, state: State, c: int) -> State:
        """Return the state in which no commit is sent to a voter whose answer is implausible."""
        columns = list(state[: self._model.voters])
        if self._world.commits_to_implausible:
            return state
        for voter, good in enumerate(self._request_steps.plausible(self._model.views(state, c))):
            if not good:
                column = self._model.columns.values[columns[voter]]
                columns[voter] = self._model.columns(saw(column, c, REJECTED))
        return (*columns, *state[self._model.voters :])

    def _won(self, state: State, c: int) -> Past | None:
        past = self._model.past(state)
        won = tuple(sorted((*past.won, self._world.nodes[c].tick)))
        return past._replace(won=won) if self._world.waits else None

    def _check_quiet_verdict(self, state: State, c: int, kind: str) -> str:
        """Return the promise that this verdict breaks, or ""."""
        node, past, broken = self._world.nodes[c], self._model.past(state), ""
        if self._world.watch_exits:
            broken = check_quiet_exit(node.tick, past)
        if self._world.waits and kind == state_machine.DONE:
            broken = broken or check_give_up(node, past)
        return broken

    def _committing(self, state: State, c: int, client: Client) -> list[Step]:
        late = self._world.late_commits
        leaving = client._replace(phase=LEAVING, claim=client.claim if late else (), fresh=False)
        gone = self._model.becomes(state, c, leaving, TO_COMMIT if late else "")
        found = [Step(f"c{c} gives up its commit", None, gone)]
        if client.fresh:
            found.append(
                Step(f"c{c}'s prepare leases expire", None, self._model.changed(state, c, client._replace(fresh=False)))
            )
        rejected, past = self._model.views(state, c).count(REJECTED), self._model.past(state)
        if past.recommits and rejected > self._model.voters - self._model.enough:
            found.append(self._waits(state, c, client, past._replace(recommits=past.recommits - 1)))
        elif self._world.retries and rejected:
            found.append(Step(f"c{c} reports that its commit was not confirmed", None, gone))
        return found

    def _waits(self, state: State, c: int, client: Client, past: Past | None = None) -> Step:
        waiting = client._replace(phase=RETRYING, claim=(), fresh=False)
        return Step(f"c{c} waits before it retries", None, self._model.becomes(state, c, waiting, "", past))

    def _another_attempt(self, state: State, c: int) -> State:
        """Start another attempt under a new holder id, without yielding again; the old id belongs to no node."""
        columns = []
        for number in state[: self._model.voters]:
            column = self._model.columns.values[number]
            columns.append(self._model.columns(saw(column, c, UNASKED, orphaned(column.copy, c))))
        state = (*columns, *state[self._model.voters :])
        another = Client(yielded=self._world.yields, begun_in_pause=self._model.past(state).paused)
        return self._model.changed(state, c, another)

    def _ends(self, state: State, c: int, client: Client) -> list[Step]:
        ended = client._replace(phase=ENDED, state="done", unsure=not self._world.waits_for_writes)
        past = self._model.past(state)
        over = past._replace(succeeded=tuple(sorted({*past.succeeded, client.tick}))) if self._world.waits else None
        found = [Step(f"c{c}'s command ends", None, self._model.becomes(state, c, ended, "", over))]
        if self._world.fails:
            failed = self._model.becomes(state, c, ended._replace(state="failed"), "")
            found.append(Step(f"c{c}'s command fails", None, failed))
        if self._world.releases_runs:
            node = self._world.nodes[c]
            ran = list(past.ran)
            ran.remove((node.tick, node.again))
            given = past._replace(ran=tuple(ran))
            back = self._model.becomes(state, c, ended._replace(state="back"), "", given)
            found.append(Step(f"c{c}'s command is interrupted", None, back))
        return found
