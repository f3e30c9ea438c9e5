"""What a node does by itself: it judges, gives up, tries again, dies; its command ends."""

from typing import TYPE_CHECKING

from cronlock.lock import quorum, state_machine
from tests.model.moves import Moves, orphaned, saw
from tests.model.promises import exits_badly, stays_badly, wins_badly
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


class Alone:
    """The steps of node c at no voter in particular."""

    def __init__(self, model: "Model", moves: Moves) -> None:
        self._model = model
        self._world = model.world
        self._moves = moves
        self._verdicts: dict[object, tuple[str, tuple[tuple[str, object], ...]]] = {}

    def steps(self, state: State, c: int) -> list[Step]:
        """Every one that it may take now."""
        client, found = self._model.client(state, c), []
        if client.phase == ASKING:
            found = self._judged(state, c, client)
        elif client.phase == COMMITTING:
            found = self._committing(state, c, client)
        elif client.phase == RETRYING:
            found = [Step(f"c{c} begins afresh", None, self._afresh(state, c))]
        elif client.phase == RUNNING:
            found = self._ends(state, c, client)
        elif client.unsure:
            sure = self._model.becomes(state, c, client._replace(unsure=False), "")
            found = [Step(f"c{c}'s leases would be over", None, sure)]
        if self._world.deaths and client.phase in CONTENDING and client.phase != IDLE:
            found.append(Step(f"c{c} dies", None, self._model.becomes(state, c, Client(GONE), "")))
        if self._world.deaths and client.phase == RUNNING:
            gone = self._model.becomes(state, c, Client(GONE), "")
            found.append(Step(f"c{c} dies and its guard ends the command", None, gone))
        return found

    def _judged(self, state: State, c: int, client: Client) -> list[Step]:
        gone = self._model.becomes(state, c, client._replace(phase=LEAVING), "")
        found = [Step(f"c{c} gives up", None, gone)]
        if self._world.retries:
            found.append(self._waits(state, c, client))
        views = self._model.views(state, c)
        if (views, c) not in self._verdicts:
            self._verdicts[views, c] = self._moves.verdict(views, c)
        kind, claim = self._verdicts[views, c]
        if kind == quorum.WON:
            fresh = self._world.late_oks and not self._world.old_acks
            committing = client._replace(phase=COMMITTING, claim=claim, fresh=fresh)
            after = self._model.becomes(self._left_out(state, c), c, committing, TO_COMMIT, self._won(state, c))
            broken = wins_badly(self._world.nodes[c], views)
            found.append(Step(f"c{c} has its quorum of ok, token {committing.token}", None, after, broken))
        elif kind in quorum.QUIET and not (kind == state_machine.HELD and self._world.stays):
            found.append(Step(f"c{c} says {kind} and exits 0", None, gone, self._sent_home(state, c, kind)))
        return found

    def _left_out(self, state: State, c: int) -> State:
        """No commit to a voter whose answer is not believed."""
        columns = list(state[: self._model.voters])
        if self._world.commits_to_odd:
            return state
        for voter, good in enumerate(self._moves.lease_valid_until(self._model.views(state, c))):
            if not good:
                column = self._model.columns.values[columns[voter]]
                columns[voter] = self._model.columns(saw(column, c, REJECTED))
        return (*columns, *state[self._model.voters :])

    def _won(self, state: State, c: int) -> Past | None:
        past = self._model.past(state)
        won = tuple(sorted((*past.won, self._world.nodes[c].tick)))
        return past._replace(won=won) if self._world.stays else None

    def _sent_home(self, state: State, c: int, kind: str) -> str:
        """What is wrong with that."""
        node, past, broken = self._world.nodes[c], self._model.past(state), ""
        if self._world.watch_exits:
            broken = exits_badly(node.tick, past)
        if self._world.stays and kind == state_machine.DONE:
            broken = broken or stays_badly(node, past)
        return broken

    def _committing(self, state: State, c: int, client: Client) -> list[Step]:
        late = self._world.late_commits
        leaving = client._replace(phase=LEAVING, claim=client.claim if late else (), fresh=False)
        gone = self._model.becomes(state, c, leaving, TO_COMMIT if late else "")
        found = [Step(f"c{c} gives up its commit", None, gone)]
        if client.fresh:
            found.append(Step(f"c{c}'s oks are old", None, self._model.changed(state, c, client._replace(fresh=False))))
        rejected, past = self._model.views(state, c).count(REJECTED), self._model.past(state)
        if past.recommits and rejected > self._model.voters - self._model.enough:
            found.append(self._waits(state, c, client, past._replace(recommits=past.recommits - 1)))
        elif self._world.retries and rejected:
            found.append(Step(f"c{c} tells that its commit was not confirmed", None, gone))
        return found

    def _waits(self, state: State, c: int, client: Client, past: Past | None = None) -> Step:
        waiting = client._replace(phase=RETRYING, claim=(), fresh=False)
        return Step(f"c{c} waits, to try again", None, self._model.becomes(state, c, waiting, "", past))

    def _afresh(self, state: State, c: int) -> State:
        """Under another id, and not polite any more; what is left under the one before belongs to nobody."""
        columns = []
        for number in state[: self._model.voters]:
            column = self._model.columns.values[number]
            columns.append(self._model.columns(saw(column, c, UNASKED, orphaned(column.copy, c))))
        state = (*columns, *state[self._model.voters :])
        afresh = Client(pressed=self._world.yields, warned=self._model.past(state).paused)
        return self._model.changed(state, c, afresh)

    def _ends(self, state: State, c: int, client: Client) -> list[Step]:
        ended = client._replace(phase=ENDED, state="done", unsure=not self._world.waits_for_writes)
        past = self._model.past(state)
        over = past._replace(over=tuple(sorted({*past.over, client.tick}))) if self._world.stays else None
        found = [Step(f"c{c}'s command ends", None, self._model.becomes(state, c, ended, "", over))]
        if self._world.fails:
            failed = self._model.becomes(state, c, ended._replace(state="failed"), "")
            found.append(Step(f"c{c}'s command fails", None, failed))
        if self._world.give_back:
            node = self._world.nodes[c]
            ran = list(past.ran)
            ran.remove((node.tick, node.again))
            given = past._replace(ran=tuple(ran))
            back = self._model.becomes(state, c, ended._replace(state="back"), "", given)
            found.append(Step(f"c{c}'s command is broken off", None, back))
        return found
