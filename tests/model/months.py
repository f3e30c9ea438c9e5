"""A month that passes during a run: longer than a voter keeps a record that is not renewed."""

from typing import TYPE_CHECKING

from cronlock.lock import state_machine
from tests.model.request_steps import saw
from tests.model.states import State, Step
from tests.model.voter import BLANK, Voter
from tests.model.world import ACKED, ASKING, COMMITTING, RUNNING, UNASKED, Client, Column

if TYPE_CHECKING:
    from tests.model.model import Model


class Months:
    """One step of all voters and nodes at once.

    Every lease ends except those of the run, which is extended again and again at the voters that its node reaches. No
    node asks or commits during the month, and every request under way becomes void. A month in which nothing runs is
    not modelled: a voter could then forget only ticks that have been late for long and tokens that are lower than the
    time.
    """

    def __init__(self, model: "Model", voter: Voter) -> None:
        self._model, self._voter = model, voter

    def steps(self, state: State) -> list[Step]:
        """Return the step in which a month passes, if one may pass now."""
        model = self._model
        context = model.context(state)
        clients = context.nodes
        runs = [c for c, client in enumerate(clients) if client.phase == RUNNING]
        if not runs or any(client.phase in (ASKING, COMMITTING) for client in clients):
            return []
        columns = [self._after(model.columns.values[number], runs, clients) for number in state[:-1]]
        if any(sum(column.views[c] == ACKED for column in columns) < model.enough for c in runs):
            return []
        numbers, past = model.contexts, context.past
        after = tuple(numbers.clients(client._replace(unsure=False)) for client in clients)
        place = numbers(after, numbers.pasts(past._replace(months=past.months - 1)))
        return [Step("a month passes", None, (*(model.columns(column) for column in columns), place))]

    def _after(self, column: Column, runs: list[int], clients: list[Client]) -> Column:
        """Return the voter after a month: a record that was not renewed is gone."""
        copy = column.copy
        if copy.live and not (copy.holder in runs and column.views[copy.holder] == ACKED):
            copy = self._voter.end_lease(copy)
        column = column._replace(copy=copy._replace(old=bool(copy.token) and not copy.paused))
        for c in runs:
            if column.views[c] != ACKED:
                continue
            answer, copy = self._voter.do("extend", column.copy, c, clients[c].claim)
            column = saw(column, c, ACKED if answer.answer == state_machine.OK else UNASKED, copy)
        if column.copy.old or not column.copy.token:
            column = column._replace(copy=BLANK)
        return column
