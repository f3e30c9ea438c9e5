"""Steps that a node takes by itself: it evaluates answers, gives up, retries or dies; its command ends."""

from typing import TYPE_CHECKING, Any, NamedTuple

from cronlock.lock import quorum, state_machine
from tests.model.contexts import Context
from tests.model.promises import check_give_up, check_quiet_exit, check_win
from tests.model.request_steps import RequestSteps, orphaned, saw
from tests.model.states import Memo, Numbers, State
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


Found = tuple[str, int | None, State, str]  # as Step
Planned = tuple[str, int, Memo | None]  # text, context, and column -> the column afterwards


class Verdict(NamedTuple):
    """A verdict, the content of the commit if it is won, the promise that it breaks, and voters without a commit."""

    kind: str
    claim: tuple[tuple[str, Any], ...]
    broken: str
    implausible: tuple[int, ...]


class Own:
    """The steps that a node has in one context, with any voters: text, context, the map of columns, broken promise."""

    __slots__ = ("claims", "gone", "phase", "plan", "quiet", "recommit", "rest")

    def __init__(self, phase: str) -> None:
        self.phase = phase
        self.plan: list[Planned] = []  # first
        self.rest: list[Planned] = []  # after what depends on the voters' views
        self.gone = 0  # the context in which it has left
        self.recommit: Planned | None = None
        self.claims: dict[int, tuple[str, int]] = {}  # by verdict: text and context of a commit
        self.quiet: dict[str, str] = {}  # by verdict: the promise that a quiet exit breaks


class NodeSteps:
    """The steps of node c that involve no particular voter."""

    def __init__(self, model: "Model", moves: RequestSteps) -> None:
        self._model = model
        self._world = model.world
        self._request_steps = moves
        nodes = range(len(model.world.nodes))
        views = self._views = Numbers()
        self._seen = [Memo(lambda number, c=c: views(model.columns.values[number].views[c])) for c in nodes]
        self._verdicts = [Memo(lambda seen, c=c: self._verdict(seen, c)) for c in nodes]
        self._rejected = [Memo(lambda number, c=c: model.columns.values[number].views[c] == REJECTED) for c in nodes]
        self._rejects = [Memo(lambda number, c=c: self._reject(number, c)) for c in nodes]
        self._orphans = [Memo(lambda number, c=c: self._orphan(number, c)) for c in nodes]

    def add(self, found: list[Found], state: State, context: Context, c: int) -> None:
        """Add every step that the node can take now."""
        own = context.own_steps[c] or self._own(context, c)
        columns = state[:-1]
        for text, place, kept in own.plan:
            after = columns if kept is None else [kept[column] for column in columns]
            found.append((text, None, (*after, place), ""))
        if own.phase == ASKING:
            self._evaluate(found, columns, own, context, c)
        elif own.phase == COMMITTING:
            self._rejections(found, columns, own, context, c)
        for text, place, kept in own.rest:
            found.append((text, None, (*[kept[column] for column in columns], place), ""))

    def _own(self, context: Context, c: int) -> Own:
        client = context.nodes[c]
        own = context.own_steps[c] = Own(client.phase)
        nothing = self._model.keeping(c, "")
        if client.phase == ASKING:
            self._plan_evaluation(own, context, c)
        elif client.phase == COMMITTING:
            self._plan_commit(own, context, c)
        elif client.phase == RETRYING:
            another = Client(yielded=self._world.yields, begun_in_pause=context.past.paused)
            place = self._becomes(context, c, another)
            own.plan.append((f"c{c} starts another attempt", place, self._orphans[c]))
        elif client.phase == RUNNING:
            self._plan_end(own, context, c)
        elif client.unsure:
            place = self._becomes(context, c, client._replace(unsure=False))
            own.plan.append((f"c{c}'s unanswered write-back is void", place, nothing))
        if self._world.deaths and client.phase in CONTENDING and client.phase != IDLE:
            own.rest.append((f"c{c} dies", self._becomes(context, c, Client(GONE)), nothing))
        if self._world.deaths and client.phase == RUNNING:
            gone = self._becomes(context, c, Client(GONE))
            own.rest.append((f"c{c} dies and its guard ends the command", gone, nothing))
        return own

    def _becomes(self, context: Context, c: int, client: Client, past: Past | None = None) -> int:
        return self._model.contexts.replaced(context, c, client, past)

    def _waits(self, context: Context, c: int, past: Past | None = None) -> Planned:
        waiting = context.nodes[c]._replace(phase=RETRYING, claim=(), fresh=False)
        place = self._becomes(context, c, waiting, past)
        return f"c{c} waits before it retries", place, self._model.keeping(c, "")

    # -- the answers to prepare ------------------------------------------------------------------------------------

    def _plan_evaluation(self, own: Own, context: Context, c: int) -> None:
        own.gone = self._becomes(context, c, context.nodes[c]._replace(phase=LEAVING))
        own.plan.append((f"c{c} gives up", own.gone, self._model.keeping(c, "")))
        if self._world.retries:
            own.plan.append(self._waits(context, c))

    def _evaluate(self, found: list[Found], columns: State, own: Own, context: Context, c: int) -> None:
        seen = self._seen[c]
        verdict = self._verdicts[c][tuple([seen[column] for column in columns])]
        kind = verdict.kind
        if kind == quorum.WON:
            known = own.claims.get(id(verdict))
            if known is None:
                known = own.claims[id(verdict)] = self._won(context, c, verdict)
            text, place = known
            keep, rejects = self._model.keeping(c, TO_COMMIT), self._rejects[c]
            if verdict.implausible:
                columns = tuple([rejects[n] if i in verdict.implausible else n for i, n in enumerate(columns)])
            found.append((text, None, (*[keep[column] for column in columns], place), verdict.broken))
        elif kind in quorum.QUIET and not (kind == state_machine.HELD and self._world.waits):
            broken = own.quiet.get(kind)
            if broken is None:
                broken = own.quiet[kind] = self._check_quiet_verdict(context, c, kind)
            keep = self._model.keeping(c, "")
            found.append((f"c{c} says {kind} and exits 0", None, (*[keep[n] for n in columns], own.gone), broken))

    def _verdict(self, seen: tuple[int, ...], c: int) -> Verdict:
        """Return the verdict on these views, each a number."""
        views = tuple(self._views.values[number] for number in seen)
        kind, claim = self._request_steps.verdict(views, c)
        if kind != quorum.WON:
            return Verdict(kind, claim, "", ())
        plausible = (True,) if self._world.commits_to_implausible else self._request_steps.plausible(views)
        implausible = tuple(voter for voter, good in enumerate(plausible) if not good)  # no commit is sent there
        return Verdict(kind, claim, check_win(self._world.nodes[c], views), implausible)

    def _won(self, context: Context, c: int, verdict: Verdict) -> tuple[str, int]:
        fresh = self._world.late_oks and not self._world.old_acks
        committing = context.nodes[c]._replace(phase=COMMITTING, claim=verdict.claim, fresh=fresh)
        won = tuple(sorted((*context.past.won, self._world.nodes[c].tick)))
        past = context.past._replace(won=won) if self._world.waits else None
        text = f"c{c} has its quorum of ok, token {committing.token}"
        return text, self._becomes(context, c, committing, past)

    def _reject(self, number: int, c: int) -> int:
        return self._model.columns(saw(self._model.columns.values[number], c, REJECTED))

    def _check_quiet_verdict(self, context: Context, c: int, kind: str) -> str:
        """Return the promise that this verdict breaks, or ""."""
        node, past, broken = self._world.nodes[c], context.past, ""
        if self._world.watch_exits:
            broken = check_quiet_exit(node.tick, past)
        if self._world.waits and kind == state_machine.DONE:
            broken = broken or check_give_up(node, past)
        return broken

    # -- the commit, and the run -----------------------------------------------------------------------------------

    def _plan_commit(self, own: Own, context: Context, c: int) -> None:
        late, client, past = self._world.late_commits, context.nodes[c], context.past
        leaving = client._replace(phase=LEAVING, claim=client.claim if late else (), fresh=False)
        own.gone = self._becomes(context, c, leaving)
        own.plan.append((f"c{c} gives up its commit", own.gone, self._model.keeping(c, TO_COMMIT if late else "")))
        if client.fresh:
            old = self._becomes(context, c, client._replace(fresh=False))
            own.plan.append((f"c{c}'s prepare leases expire", old, None))
        if past.recommits:
            own.recommit = self._waits(context, c, past._replace(recommits=past.recommits - 1))

    def _rejections(self, found: list[Found], columns: State, own: Own, context: Context, c: int) -> None:
        if not (own.recommit or self._world.retries):
            return
        rejected = sum(self._rejected[c][column] for column in columns)
        if own.recommit and rejected > self._model.voters - self._model.enough:
            text, place, kept = own.recommit
            found.append((text, None, (*[kept[column] for column in columns], place), ""))
        elif self._world.retries and rejected:
            kept = self._model.keeping(c, TO_COMMIT if self._world.late_commits else "")
            text = f"c{c} reports that its commit was not confirmed"
            found.append((text, None, (*[kept[column] for column in columns], own.gone), ""))

    def _orphan(self, number: int, c: int) -> int:
        """Return the column when the node attempts again under a new holder id; the old id belongs to no node."""
        column = self._model.columns.values[number]
        return self._model.columns(saw(column, c, UNASKED, orphaned(column.copy, c)))

    def _plan_end(self, own: Own, context: Context, c: int) -> None:
        client, past, nothing = context.nodes[c], context.past, self._model.keeping(c, "")
        ended = client._replace(phase=ENDED, state="done", unsure=not self._world.waits_for_writes)
        over = past._replace(succeeded=tuple(sorted({*past.succeeded, client.tick}))) if self._world.waits else None
        own.plan.append((f"c{c}'s command ends", self._becomes(context, c, ended, over), nothing))
        if self._world.fails:
            failed = self._becomes(context, c, ended._replace(state="failed"))
            own.plan.append((f"c{c}'s command fails", failed, nothing))
        if self._world.releases_runs:
            node = self._world.nodes[c]
            ran = list(past.ran)
            ran.remove((node.tick, node.again))
            back = self._becomes(context, c, ended._replace(state="back"), past._replace(ran=tuple(ran)))
            own.plan.append((f"c{c}'s command is interrupted", back, nothing))
