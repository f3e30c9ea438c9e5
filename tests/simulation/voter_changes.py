"""One simulation per seed of changing voters: node by node, while ticks go on, and an operator adopts.

`python -m tests.simulation changes SEED` prints the trace of one.
"""

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from cronlock.lock.adoption import Adoption
from cronlock.lock.quorum import WON
from tests.nemesis.oracle import Violation
from tests.simulation.fault_injectors import FaultInjector, RandomNetwork, fault, fewer_than_quorum
from tests.simulation.machine import Machine
from tests.simulation.network import Delivery, SimulatedVoters
from tests.simulation.node import Job, Killed, Terms
from tests.simulation.oracle import Report, missed_last_tick, violations_of
from tests.simulation.seeds import CALM, FINAL
from tests.simulation.server import EPOCH, Server
from tests.simulation.virtual_time import Task
from tests.simulation.world import World

OPERATOR = "operator"
STEP = 5  # ticks for one change
VOTER_PATHS = (  # of the voters' names, from one set to the next; the last two are too much at once, and not adopted
    ("A", "ABC", "ABCDE"),
    ("ABC", "ABCDE", "ABC"),
    ("ABC", "AB", "A"),
    ("ABC", "ABD", "ABE"),
    ("ABC", "ABCD", "BCD"),
    ("ABCDE", "ABC", "ABCDE"),
    ("A", "AB", "ABC"),
    ("ABC", "ABD", "ABC"),
    ("ABC", "A"),
    ("ABCDE", "AB"),
)


class PerfectNetwork:
    """A network without delays and losses."""

    def delivery(self, _node: str, _server: Server, _operation: str) -> Delivery:
        return Delivery(1, 1)


class Operator:
    """An operator actor repeats `cronlock adopt` with the new list until it succeeds, and may be killed on the way."""

    def __init__(
        self, world: World, servers: list[Server], fatal: float = 0, *, every: int = 0, knows: bool = False
    ) -> None:
        """Create an operator. `fatal`: the share of calls that are killed. `every`: ms between two calls, else random.

        `knows`: no node has an older list any more, so that --leave-out is right.
        """
        self.done = False
        self._every, self._knows = every, knows
        self._world, self._servers, self._fatal = world, servers, fatal

    def call(self, at: int, until: int) -> None:
        """Call adopt for the first time then, and again some seconds later."""
        self._until = until
        self._world.time.start(at, self._live)

    def _live(self, task: Task) -> None:
        rng, world = self._world.rng, self._world
        while not self.done and world.time.now < self._until:
            voters = SimulatedVoters(Machine(world.time), task, OPERATOR, OPERATOR, self._servers, world.network)
            left = rng.randint(1, 60) if rng.random() < self._fatal else 0
            try:
                voters.point = self._killed_after(left)
                self.done = self._adopt(voters, task)
                world.log(OPERATOR, "has adopted" if self.done else "did not adopt", voters.voter_set)
            except Killed:
                world.log(OPERATOR, "is killed")
            voters.close()
            world.time.sleep(task, world.time.now + (self._every or rng.randint(100, 6_000)), ignores_wakes=True)

    def _killed_after(self, left: int) -> Callable[[str], None]:
        steps = iter(range(left, 0, -1))

        def point(_moment: str) -> None:
            if left and next(steps, 0) == 0:
                raise Killed

        return point

    def _adopt(self, voters: SimulatedVoters, task: Task) -> bool:
        for again in (False, True):
            adoption = Adoption(voters, OPERATOR, EPOCH + self._world.time.now)
            if adoption.settled or adoption.new:
                adoption.release()
                return True
            reason = "; ".join(adoption.missing) or ("" if self._knows else adoption.hindrance)
            if adoption.verdict.kind != WON or reason:
                self._world.log(OPERATOR, "sees:", adoption.verdict.kind, reason)
                adoption.release()
                return False
            if again:
                return not adoption.write(1, _last_run(adoption))
            adoption.release()
            self._world.time.sleep(task, self._world.time.now + self._world.rng.randint(1, 1_000), ignores_wakes=True)
        return False


def _last_run(adoption: Adoption) -> dict[str, object]:
    """Return the last run that the answers know."""
    newest = max((answer for _, answer in adoption.answers), key=lambda answer: answer["token"])
    return newest if newest["node"] else {}


def simulate(seed: int) -> Report:
    """Return the report of this seed, which is always the same.

    In every third seed nothing fails and no tick is missed_last_tick.
    """
    rng = random.Random(seed)
    calm = seed % 3 == 0
    network = PerfectNetwork() if calm else RandomNetwork(rng)
    world = World(rng, 5, network, skewed=not calm and rng.random() < 0.5)
    nodes = [f"n{number}" for number in range(1, rng.randint(2, 4) + 1)]
    path = rng.choice(VOTER_PATHS)
    terms = Terms(rng.randint(3_000, 7_000), 300, rng.choice((1_000, 5_000)), 8, ticks=calm or rng.random() < 0.8)
    end = STEP * (len(path) - 1) * terms.period * 1000
    for node in nodes:
        world.lists[node] = _named(world, path[0])
    _plan_calls(world, nodes, terms, end // 1000, calm=calm)
    for number, names in enumerate(path[1:]):
        _plan_change(world, nodes, names, number * STEP * terms.period * 1000, terms, calm=calm)
    if isinstance(network, RandomNetwork):
        FaultInjector(world, nodes, network, end).plan()
    world.run_until(end)
    if isinstance(network, RandomNetwork):
        network.fine, network.cuts = True, {}
    return _ended(world, nodes, path[-1], end, terms, calm=calm)


def _ended(world: World, nodes: list[str], names: str, end: int, terms: Terms, *, calm: bool) -> Report:
    """Give all nodes the last list, adopt it, run one tick, and return the report."""
    world.run_until(end + CALM)
    for node in nodes:
        world.lists[node] = _named(world, names)
    operator = Operator(world, _named(world, names), knows=True)
    operator.call(end + CALM, end + CALM + 30_000)
    world.run_until(end + CALM + 40_000)
    tick = (end + CALM) // 1000 + 40
    last = [world.call(tick * 1000, node, tick, replace(FINAL, ticks=terms.ticks), Job(2_000)) for node in nodes]
    world.run_until(tick * 1000 + 30_000)
    wrong = [*violations_of(world), *missed_last_tick(world, last), *(_ticks_not_run(world) if calm else ())]
    if not operator.done:
        wrong.append(Violation("missed", "nothing was adopted in the end"))
    return Report(wrong, world.trace(), sum(bool(call.command) for call in world.calls))


def _named(world: World, names: str) -> list[Server]:
    return [server for server in world.servers if server.name in names]


def _plan_calls(world: World, nodes: Sequence[str], terms: Terms, end: int, *, calm: bool) -> None:
    rng = world.rng
    often = 0 if calm else rng.choice((0, 0.1, 0.3))
    for tick in range(0, end, terms.period):
        for node in nodes:
            late = rng.choice((0, rng.randint(0, 20), rng.randint(0, 1_500 if calm else 6_000)))
            job = Job(rng.choice((rng.randint(1, 300), rng.randint(100, 3_000 if calm else 9_000))))
            world.call(tick * 1000 + late, node, tick, terms, job, fault(rng, often))


def _plan_change(world: World, nodes: list[str], names: str, begin: int, terms: Terms, *, calm: bool) -> None:
    """Give each node the new list at a time of its own, and let an operator adopt; one node may keep the old list.

    If nothing else fails, the first node has the list before the adoption and the last one after it, and the adoption
    happens between two ticks: a node that asks with the new list just before it, or with the old list just after it, is
    refused.
    """
    rng, period = world.rng, terms.period * 1000
    length, servers = STEP * period, _named(world, names)

    def change(node: str) -> None:
        if fewer_than_quorum(world.forgot, servers):
            world.lists[node] = servers
            world.log(node, "has the voters", names)

    order = rng.sample(nodes, len(nodes))
    if not calm and rng.random() < 0.3:
        order.pop()
    for node in order:
        at = begin + rng.randint(2_000, length - 2_000)
        if calm:
            at = begin + (2_000 if node == order[0] else length - 1)
        world.time.at(at, lambda node=node: change(node))
    operator = Operator(world, servers, 0 if calm else rng.choice((0, 0.3)), every=period if calm else 0)
    at = rng.randint(0, 2) * period + rng.randint(5_000, 6_900) if calm else rng.randint(3_000, length // 2)
    operator.call(begin + at, begin + length - 1_000)


def _ticks_not_run(world: World) -> Iterable[Violation]:
    """Yield the ticks that were not run."""
    ran = {call.tick for call in world.calls if call.command}
    for tick in sorted({call.tick for call in world.calls} - ran):
        yield Violation("missed", f"the tick {tick - EPOCH // 1000}")
