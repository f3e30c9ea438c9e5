"""Faults of voters, independent of any node: leases end, copies are lost, an operator pauses the key."""

from tests.model.contexts import Context, Contexts
from tests.model.states import Numbers, State, Step
from tests.model.voter import ABANDONED, BLANK, NO_HOLDER, Answer, CopyValue, Voter
from tests.model.world import (
    ACKED,
    ASKING,
    COMMITTING,
    IDLE,
    RUNNING,
    TO_COMMIT,
    UNASKED,
    Client,
    Column,
    Past,
    World,
)


class VoterFaults:
    """The steps of one voter."""

    def __init__(self, world: World, voter: Voter, columns: Numbers, contexts: Contexts) -> None:
        self._world = world
        self._voter = voter
        self._columns, self._contexts = columns, contexts
        self._known: dict[tuple[int, int, int], list[tuple[str, int, Past]]] = {}

    def of(self, number: int, context: Context) -> list[tuple[str, int, int]]:
        """Return everything that may happen to a voter with this column, each as text, column and context."""
        copy = self._columns.values[number].copy
        holder = context.clients[copy.holder] if copy.holder >= 0 else NO_HOLDER
        key = (number, holder, context.past_number)
        if key not in self._known:
            saved = self._saved(number, context.past) if self._world.middle else []
            self._known[key] = self._happens(number, holder, context.past) + saved
        pasts = self._contexts.pasts
        return [(text, after, self._contexts(context.clients, pasts(then))) for text, after, then in self._known[key]]

    def pause(self, state: State, voter: int) -> list[Step]:
        """Return the step in which an operator's pause reaches this voter, if it has not."""
        past = self._contexts.values[state[-1]].past
        return [] if past.paused or self._columns.values[state[voter]].copy.paused else [self._paused(state, voter)]

    def _happens(self, number: int, holder: int, past: Past) -> list[tuple[str, int, Past]]:
        """Return the events that may happen to a copy, each as text, column and past."""
        column, world = self._columns.values[number], self._world
        copy, found = column.copy, []

        def becomes(text: str, after: CopyValue, then: Past) -> None:
            found.append((text, self._columns(column._replace(copy=after)), then))

        if copy.live and not (
            holder != NO_HOLDER and self._lease_is_relied_on(column, self._contexts.clients.values[holder])
        ):
            whose = f"c{copy.holder}" if holder != NO_HOLDER else "an abandoned id"
            becomes(f"the lease of {whose} ends at %s", self._voter.end_lease(copy), past)
        if past.forgets and copy != BLANK:
            becomes("%s FORGETS everything", BLANK, past._replace(forgets=past.forgets - 1))
        if past.backs and not world.middle and copy != world.start[0]:
            older = world.start[0]._replace(stale=world.shows_going_back)
            becomes("%s GOES BACK to its data of the start", older, past._replace(backs=past.backs - 1))
        if world.retries and copy.holder == ABANDONED and copy.kind == "run":
            becomes("LATE release under an abandoned id at %s", self._voter.do("release", copy, ABANDONED)[1], past)
        if world.operator_forgets and (erased := self._voter.do("forget", copy, NO_HOLDER)[1]) != copy:
            wanted = (
                past._replace(ran=(), finished=(), succeeded=(), committed=())
                if world.operator_forgets == "at once"
                else past
            )
            becomes("an operator's forget reaches %s", erased, wanted)
        return found

    def _saved(self, number: int, past: Past) -> list[tuple[str, int, Past]]:
        """Return the steps that take a snapshot or go back to it; a lease of that time may have ended since."""
        column = self._columns.values[number]
        if past.snapshots:
            saved = self._columns(column._replace(saved=column.copy))
            return [("%s's snapshot is taken", saved, past._replace(snapshots=0))]
        if not past.backs or column.saved is None:
            return []
        older = column.saved._replace(stale=self._world.shows_going_back and column.saved.token > 0)
        then = past._replace(backs=past.backs - 1)
        known = self._world.same_server and self._world.shows_going_back
        asked = tuple(c for c, view in enumerate(column.views) if view != UNASKED) if known else ()
        return [
            (text, self._columns(column._replace(copy=copy, saved=None, earlier=asked)), then)
            for text, copy in (
                ("%s GOES BACK to its snapshot", older),
                ("%s GOES BACK to its snapshot, whose lease has ended", self._voter.end_lease(older)),
            )
        ]

    def _lease_is_relied_on(self, column: Column, holder: Client) -> bool:
        """Return whether this lease lasts at its voter as long as its holder relies on it."""
        view = column.views[column.copy.holder]
        if holder.fresh and view == TO_COMMIT:
            return True
        if column.copy.kind == "prepare":
            return self._world.oks_expire and holder.phase == ASKING and isinstance(view, Answer)
        if column.copy.stale:  # this copy has gone back, and its lease with it
            return False
        believes = (COMMITTING, RUNNING) if self._world.acks_expire else (RUNNING,)
        return self._world.stops_in_time and holder.phase in believes and view == ACKED

    def _paused(self, state: State, voter: int) -> Step:
        """Let pause reach a voter; once enough voters have it, pause is reported as done."""
        column, context = self._columns.values[state[voter]], self._contexts.values[state[-1]]
        _answer, copy = self._voter.do("pause", column.copy, -1)
        columns = [*state[:-1]]
        columns[voter] = self._columns(column._replace(copy=copy))
        place = state[-1]
        if sum(self._columns.values[number].copy.paused for number in columns) >= self._world.pause:
            clients = tuple(self._begun_in_pause(number) for number in context.clients)
            place = self._contexts(clients, self._contexts.pasts(context.past._replace(paused=True)))
        return Step("pause reaches %s", voter, (*columns, place))

    def _begun_in_pause(self, number: int) -> int:
        """Mark a node that has not begun when pause is reported as done: it must not run."""
        clients = self._contexts.clients
        client: Client = clients.values[number]
        return clients(client._replace(begun_in_pause=True)) if client.phase == IDLE else number
