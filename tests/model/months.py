"""A month goes by during a run: longer than a voter keeps a record that nobody renews."""

from typing import TYPE_CHECKING

from cronlock.lock import state_machine
from tests.model.moves import saw
from tests.model.states import State, Step
from tests.model.voter import BLANK, Voter
from tests.model.world import ASKING, BELIEVED, COMMITTING, RUNNING, UNASKED, Client, Column

if TYPE_CHECKING:
    from tests.model.model import Model


class Months:
    """One step of all voters and nodes at once.

    In it every lease ends but those of the run, which extends again and again at the voters that hear it. Nobody asks
    or commits for a month, and what was under way is void. No month is looked at in which nothing runs: all that it
    lets a voter forget are ticks that have been late for long, and tokens that are smaller than the time.
    """

    def __init__(self, model: "Model", voter: Voter) -> None:
        self._model, self._voter = model, voter

    def steps(self, state: State) -> list[Step]:
        """The month that may go by now, if any may."""
        model = self._model
        clients = [model.clients.values[number] for number in state[model.voters : -1]]
        runs = [c for c, client in enumerate(clients) if client.phase == RUNNING]
        if not runs or any(client.phase in (ASKING, COMMITTING) for client in clients):
            return []
        columns = [self._after(model.columns.values[number], runs, clients) for number in state[: model.voters]]
        if any(sum(column.views[c] == BELIEVED for column in columns) < model.enough for c in runs):
            return []
        past = model.past(state)
        return [
            Step(
                "a month goes by",
                None,
                (
                    *(model.columns(column) for column in columns),
                    *(model.clients(client._replace(unsure=False)) for client in clients),
                    model.pasts(past._replace(months=past.months - 1)),
                ),
            )
        ]

    def _after(self, column: Column, runs: list[int], clients: list[Client]) -> Column:
        """What a month leaves of a voter: whose expiry was not renewed in it is gone."""
        copy = column.copy
        if copy.live and not (copy.holder in runs and column.views[copy.holder] == BELIEVED):
            copy = self._voter.end_lease(copy)
        column = column._replace(copy=copy._replace(old=bool(copy.token) and not copy.paused))
        for c in runs:
            if column.views[c] != BELIEVED:
                continue
            answer, copy = self._voter.do("extend", column.copy, c, clients[c].claim)
            column = saw(column, c, BELIEVED if answer.answer == state_machine.OK else UNASKED, copy)
        if column.copy.old or not column.copy.token:
            column = column._replace(copy=BLANK)
        return column
