"""Faults of nodes: they die, stop, freeze, start in crowds, and learn a new password one by one."""

import signal
from random import Random
from typing import TYPE_CHECKING

from tests.nemesis.fault_injectors import PHASES, deliver
from tests.support.processes import descendants

if TYPE_CHECKING:
    from tests.nemesis.round import Round


def wrapper_killed(round: "Round", rng: Random) -> None:
    round.voters.watch.wait(rng.choice(PHASES), round.pace.period)
    round.sleep(rng.uniform(0, 0.3))
    if attempt := round.nodes.any_attempt(rng):
        with round.hit(f"the wrapper on {attempt.node} killed"):
            attempt.disturbed = True
            deliver(attempt.pid, signal.SIGKILL)


def wrapper_stopped(round: "Round", rng: Random) -> None:
    round.voters.watch.wait(rng.choice(PHASES), round.pace.period)
    if attempt := round.nodes.any_attempt(rng):
        with round.hit(f"the wrapper on {attempt.node} stopped"):
            attempt.disturbed = True
            deliver(attempt.pid, signal.SIGSTOP)
            round.sleep(rng.choice((0.5, 2)) * round.pace.ttl)
            deliver(attempt.pid, signal.SIGCONT)


def node_frozen(round: "Round", rng: Random) -> None:
    """Stop wrapper, guard and command together for longer than the lease."""
    round.voters.watch.wait("commit", round.pace.period)
    round.sleep(0.2)
    if attempt := round.nodes.holder():
        family = [attempt.pid, *descendants(attempt.pid)]
        with round.hit(f"{attempt.node} frozen with its command"):
            attempt.disturbed = True
            for pid in family:
                deliver(pid, signal.SIGSTOP)
            round.sleep(2 * round.pace.ttl)
            for pid in family:
                deliver(pid, signal.SIGCONT)


def password_changed(round: "Round", rng: Random) -> None:
    """Change the password voter by voter and close connections.

    The nodes learn it one by one, minority early, minority late.
    """
    if round.voters.password != round.fault.password:
        round.sleep(round.pace.period)
        return
    round.sleep(round.pace.period)
    round.voters.watch.wait("commit", 2 * round.pace.period)
    round.sleep(rng.uniform(0, 0.5))
    with round.hit("password changed"):
        round.voters.password = "second"
        nodes = round.nodes.all[:]
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
