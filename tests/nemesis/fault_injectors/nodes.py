"""What happens to nodes: they die, stop, freeze, come in crowds, and learn of a new password one by one."""

import signal
from random import Random
from typing import TYPE_CHECKING

from tests.nemesis.fault_injectors import PHASES, deliver
from tests.support.commands import descendants

if TYPE_CHECKING:
    from tests.nemesis.round import Round


def wrapper_killed(round: "Round", rng: Random) -> None:
    round.voters.watch.wait(rng.choice(PHASES), round.pace.period)
    round.sleep(rng.uniform(0, 0.3))
    if attempt := round.crew.anybody(rng):
        with round.hit(f"the wrapper on {attempt.node} killed"):
            attempt.harmed = True
            deliver(attempt.pid, signal.SIGKILL)


def wrapper_stopped(round: "Round", rng: Random) -> None:
    round.voters.watch.wait(rng.choice(PHASES), round.pace.period)
    if attempt := round.crew.anybody(rng):
        with round.hit(f"the wrapper on {attempt.node} stopped"):
            attempt.harmed = True
            deliver(attempt.pid, signal.SIGSTOP)
            round.sleep(rng.choice((0.5, 2)) * round.pace.ttl)
            deliver(attempt.pid, signal.SIGCONT)


def node_frozen(round: "Round", rng: Random) -> None:
    """Wrapper, guard and command stand still together, for longer than the lease."""
    round.voters.watch.wait("commit", round.pace.period)
    round.sleep(0.2)
    if attempt := round.crew.holder():
        family = [attempt.pid, *descendants(attempt.pid)]
        with round.hit(f"{attempt.node} frozen with its command"):
            attempt.harmed = True
            for pid in family:
                deliver(pid, signal.SIGSTOP)
            round.sleep(2 * round.pace.ttl)
            for pid in family:
                deliver(pid, signal.SIGCONT)


def password_changed(round: "Round", rng: Random) -> None:
    """On one voter after the other, connections closed; the nodes learn of it one by one, some early, some late."""
    if round.voters.password != round.fault.password:
        round.sleep(round.pace.period)
        return
    round.sleep(round.pace.period)
    round.voters.watch.wait("commit", 2 * round.pace.period)
    round.sleep(rng.uniform(0, 0.5))
    with round.hit("password changed"):
        round.voters.password = "second"
        nodes = round.crew.nodes[:]
        rng.shuffle(nodes)
        for server in round.voters.all:
            if round.voters.cluster:
                server.ask("CONFIG", "SET", "masterauth", round.voters.password)
            server.ask("CONFIG", "SET", "requirepass", round.voters.password)
            server.options["requirepass"] = round.voters.password
            server.redis = server.client()
            server.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            round.sleep(rng.uniform(0, 0.4))
            if nodes:
                nodes.pop().password = round.voters.password
        for node in nodes:
            node.password = round.voters.password


def crowd(round: "Round", rng: Random) -> None:
    if round.voters.watch.wait("prepare", round.pace.period):
        with round.hit(f"{round.pace.nodes} nodes"):
            round.sleep(1)
