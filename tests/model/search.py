"""A breadth-first search through everything that can happen, until a promise is broken or no new state is left."""

import gc
import time
from typing import NamedTuple

from tests.model.liveness import NO_END, WaysOut, stuck
from tests.model.model import Model
from tests.model.reduce import Reduction
from tests.model.states import State, Step
from tests.model.voter import Voter
from tests.model.world import World

CAP = 3_000_000  # states: more than any row needs
NAMES = "xyzuvw"  # of the voters, in traces


class Result(NamedTuple):
    """The outcome of a search. `broken`: the promise that a shortest trace breaks. `exhaustive`: no state is left."""

    states: int
    seconds: float
    broken: str
    trace: list[str]
    exhaustive: bool


def search(world: World, cap: int = CAP) -> Result:
    """Try every order of events in this world."""
    collects = gc.isenabled()
    gc.disable()  # states are many, and none of them is part of a cycle
    try:
        return _search(world, cap)
    finally:
        if collects:
            gc.enable()


def _search(world: World, cap: int) -> Result:
    model, voter = Model(world), Voter(world.rules)
    reduced = Reduction(model)
    begun = time.process_time()
    first = reduced(model.start)
    assert first
    before: dict[State, State | None] = {first: None}
    ways = WaysOut()
    found = [first]
    watch_ends, watch_ticks, steps = world.watch_ends, world.watch_ticks, model.steps
    while found and len(before) < cap:
        level, found, tried = found, [], set()
        for state in level:
            for text, _voter, following, broken in steps(state):
                if broken:
                    trace = _trace(model, reduced, _path(before, state), broken)
                    return Result(len(before), time.process_time() - begun, broken, trace, False)
                if watch_ends:
                    key = reduced(following)
                    ways.add(text, state, key)
                elif following in tried:  # two steps in either order
                    continue
                else:
                    tried.add(following)
                    key = reduced(following)
                if key is not None and key not in before:
                    before[key] = state
                    found.append(key)
                    if watch_ticks and (lost := stuck(model, key, voter)):
                        trace = _trace(model, reduced, _path(before, key))
                        return Result(len(before), time.process_time() - begun, lost, trace, False)
    for state in ways.without_end(before) if world.watch_ends and not found else ():
        trace = _trace(model, reduced, _path(before, state))
        return Result(len(before), time.process_time() - begun, NO_END, trace, False)
    return Result(len(before), time.process_time() - begun, "", [], not found)


def replay(world: World, lines: list[str]) -> str:
    """Return the promise that these steps break, one after the other from the start; "" if a step can't be taken."""
    model = Model(world)
    states, broken = [model.start], ""
    for line in lines:
        steps = [step for state in states for step in map(Step._make, model.steps(state)) if _line(step) == line]
        states, broken = [step.state for step in steps], max((step.broken for step in steps), default="")
    return broken


def _path(before: dict[State, State | None], last: State) -> list[State]:
    path: list[State] = []
    at: State | None = last
    while at is not None:
        path.append(at)
        at = before[at]
    return path[::-1]


def _trace(model: Model, reduced: Reduction, path: list[State], broken: str = "") -> list[str]:
    """Return the steps from the start to this state, unreduced, so that voters and nodes keep their names."""
    state, lines = model.start, []
    for goal in path[1:]:
        step = next(step for step in map(Step._make, model.steps(state)) if reduced(step.state) == goal)
        state = step.state
        lines.append(_line(step))
    if broken:
        lines.append(_line(next(step for step in map(Step._make, model.steps(state)) if step.broken == broken)))
    return lines


def _line(step: Step) -> str:
    return step.text if step.voter is None else step.text % NAMES[step.voter]
