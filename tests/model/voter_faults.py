"""What happens to voters without any node's doing: leases end, copies are lost, a person pauses the key."""

from tests.model.states import Numbers, State, Step
from tests.model.voter import BLANK, DEAD, NOBODY, Answer, Kept, Voter
from tests.model.world import (
    ASKING,
    BELIEVED,
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


class Fates:
    """The steps of one voter. Those that depend on the copy, its holder and the past are worked out once."""

    def __init__(self, world: World, voter: Voter, columns: Numbers, clients: Numbers, pasts: Numbers) -> None:
        self._world = world
        self._voter = voter
        self._columns, self._clients, self._pasts = columns, clients, pasts
        self._known: dict[tuple[int, int, int], list[tuple[str, int, int]]] = {}

    def steps(self, state: State, voter: int) -> list[Step]:
        """All that may happen to this voter now."""
        number, past = state[voter], state[-1]
        copy = self._columns.values[number].copy
        holder = state[self._world.voters + copy.holder] if copy.holder >= 0 else NOBODY
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
        """What may happen to a copy: text, column, past."""
        column, past, world = self._columns.values[number], self._pasts.values[past_number], self._world
        copy, found = column.copy, []

        def becomes(text: str, after: Kept, then: Past) -> None:
            found.append((text, self._columns(column._replace(copy=after)), self._pasts(then)))

        if copy.live and not (holder != NOBODY and self._outlasts(column, self._clients.values[holder])):
            whose = f"c{copy.holder}" if holder != NOBODY else "a dead id"
            becomes(f"the lease of {whose} ends at %s", self._voter.end_lease(copy), past)
        if past.forgets and copy != BLANK:
            becomes("%s FORGETS everything", BLANK, past._replace(forgets=past.forgets - 1))
        if past.backs and not world.middle and copy != world.start[0]:
            older = world.start[0]._replace(stale=world.tells)
            becomes("%s GOES BACK to what it had at first", older, past._replace(backs=past.backs - 1))
        if world.retries and copy.holder == DEAD and copy.kind == "run":
            becomes("LATE release under a dead id at %s", self._voter.do("release", copy, DEAD)[1], past)
        if world.erases and (erased := self._voter.do("forget", copy, NOBODY)[1]) != copy:
            wanted = past._replace(ran=(), finished=(), over=(), stood=()) if world.erases == "at once" else past
            becomes("a person's forget reaches %s", erased, wanted)
        return found

    def _saved(self, number: int, past_number: int) -> list[tuple[str, int, int]]:
        """A snapshot is taken of one voter, and it goes back there: a lease of then may be over by now."""
        column, past = self._columns.values[number], self._pasts.values[past_number]
        if past.snapshots:
            saved = self._columns(column._replace(saved=column.copy))
            return [("%s's snapshot is taken", saved, self._pasts(past._replace(snapshots=0)))]
        if not past.backs or column.saved is None:
            return []
        older = column.saved._replace(stale=self._world.tells and column.saved.token > 0)
        then = self._pasts(past._replace(backs=past.backs - 1))
        known = self._world.same_server and self._world.tells
        asked = tuple(c for c, view in enumerate(column.views) if view != UNASKED) if known else ()
        return [
            (text, self._columns(column._replace(copy=copy, saved=None, earlier=asked)), then)
            for text, copy in (
                ("%s GOES BACK to its snapshot", older),
                ("%s GOES BACK to its snapshot, the lease is over", self._voter.end_lease(older)),
            )
        ]

    def _outlasts(self, column: Column, holder: Client) -> bool:
        """Whether this lease goes on at its voter as long as its holder counts on it."""
        view = column.views[column.copy.holder]
        if holder.fresh and view == TO_COMMIT:
            return True
        if column.copy.kind == "prepare":
            return self._world.prompt and holder.phase == ASKING and isinstance(view, Answer)
        if column.copy.stale:  # this copy has gone back, and its lease too
            return False
        believes = (COMMITTING, RUNNING) if self._world.prompt_acks else (RUNNING,)
        return self._world.punctual and holder.phase in believes and view == BELIEVED

    def _paused(self, state: State, voter: int) -> Step:
        """Pause reaches a voter; once enough have it, it is said to be done, and who begins later is warned."""
        column, past = self._columns.values[state[voter]], self._pasts.values[state[-1]]
        _answer, copy = self._voter.do("pause", column.copy, -1)
        columns = [*state[: self._world.voters]]
        columns[voter] = self._columns(column._replace(copy=copy))
        clients = state[self._world.voters : -1]
        if sum(self._columns.values[number].copy.paused for number in columns) >= self._world.pause:
            past = past._replace(paused=True)
            clients = tuple(self._warned(number) for number in clients)
        return Step("pause reaches %s", voter, (*columns, *clients, self._pasts(past)))

    def _warned(self, number: int) -> int:
        """The node once pause has been said to be done: if it has not begun yet, it must not run any more."""
        client: Client = self._clients.values[number]
        return self._clients(client._replace(warned=True)) if client.phase == IDLE else number
