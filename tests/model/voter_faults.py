"""Faults of voters, independent of any node: leases end, copies are lost, an operator pauses the key."""

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
    """The steps of one voter. Those that depend on its copy, the holder and the past are computed once."""

    def __init__(self, world: World, voter: Voter, columns: Numbers, clients: Numbers, pasts: Numbers) -> None:
        self._world = world
        self._voter = voter
        self._columns, self._clients, self._pasts = columns, clients, pasts
        self._known: dict[tuple[int, int, int], list[tuple[str, int, int]]] = {}

    def steps(self, state: State, voter: int) -> list[Step]:
        """Return everything that may happen to this voter now."""
        number, past = state[voter], state[-1]
        copy = self._columns.values[number].copy
        holder = state[self._world.voters + copy.holder] if copy.holder >= 0 else NO_HOLDER
        key = (number, holder, past)
        if key not in self._known:
            saved = self._saved(number, past) if self._world.middle else []
            self._known[key] = self._happens(*key) + saved
        found = [
            Step(text, voter, (*state[:voter], after, *state[voter + 1 : -1], then))
            for text, after, then in self._known[key]
        ]
        if self._world.pause and not self._pasts.values[past].paused and not copy.paused:
            found.append(self._paused(state, voter))
        return found

    def _happens(self, number: int, holder: int, past_number: int) -> list[tuple[str, int, int]]:
        """Return the events that may happen to a copy, each as text, column and past."""
        column, past, world = self._columns.values[number], self._pasts.values[past_number], self._world
        copy, found = column.copy, []

        def becomes(text: str, after: CopyValue, then: Past) -> None:
            found.append((text, self._columns(column._replace(copy=after)), self._pasts(then)))

        if copy.live and not (holder != NO_HOLDER and self._lease_is_relied_on(column, self._clients.values[holder])):
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

    def _saved(self, number: int, past_number: int) -> list[tuple[str, int, int]]:
        """Return the steps that take a snapshot or go back to it; a lease of that time may have ended since."""
        column, past = self._columns.values[number], self._pasts.values[past_number]
        if past.snapshots:
            saved = self._columns(column._replace(saved=column.copy))
            return [("%s's snapshot is taken", saved, self._pasts(past._replace(snapshots=0)))]
        if not past.backs or column.saved is None:
            return []
        older = column.saved._replace(stale=self._world.shows_going_back and column.saved.token > 0)
        then = self._pasts(past._replace(backs=past.backs - 1))
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
        column, past = self._columns.values[state[voter]], self._pasts.values[state[-1]]
        _answer, copy = self._voter.do("pause", column.copy, -1)
        columns = [*state[: self._world.voters]]
        columns[voter] = self._columns(column._replace(copy=copy))
        clients = state[self._world.voters : -1]
        if sum(self._columns.values[number].copy.paused for number in columns) >= self._world.pause:
            past = past._replace(paused=True)
            clients = tuple(self._begun_in_pause(number) for number in clients)
        return Step("pause reaches %s", voter, (*columns, *clients, self._pasts(past)))

    def _begun_in_pause(self, number: int) -> int:
        """Mark a node that has not begun when pause is reported as done: it must not run."""
        client: Client = self._clients.values[number]
        return self._clients(client._replace(begun_in_pause=True)) if client.phase == IDLE else number
