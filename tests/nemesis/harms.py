"""Harms: each does one thing to a round, and takes it back.

Harms that make voters forget wait until all the others remember: the lock promises nothing beyond fewer than a quorum
of forgetful voters between two runs (guarantee G1).
"""

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING

import redis

from tests.commands import descendants, wait_until
from tests.servers import Server

if TYPE_CHECKING:
    from tests.nemesis.round import Round

Harm = Callable[["Round", Random], None]

PHASES = ("prepare", "commit", "extend", "finish")
HOUR = 3600  # s
OOM_SOON = "1"  # bytes of maxmemory


# -- a voter -----------------------------------------------------------------------------------------------------------


def stopped(part: float) -> Harm:
    """A voter stopped for a part of the lease, as soon as some voter has done a certain step."""

    def harm(round: "Round", rng: Random) -> None:
        phase = rng.choice(PHASES)
        round.voters.watch.wait(phase, round.pace.period)
        victim = round.voters.one(rng)
        with round.hit(f"{victim.place.address} stopped after {phase}"):
            victim.stop_process()
            round.sleep(part * round.pace.ttl)
            victim.continue_process()
        if round.voters.cluster:
            round.voters.heal()

    return harm


def forgetful(round: "Round", rng: Random) -> Server | None:
    """A voter that may forget now."""
    round.sleep(rng.uniform(0, round.pace.period))
    victim = round.voters.one(rng)
    try:
        return victim if round.voters.remembered(round.key, victim) else None
    except redis.RedisError:
        return None


def restarted_empty(round: "Round", rng: Random) -> None:
    if victim := forgetful(round, rng):
        with round.hit(f"{victim.place.address} restarted empty"):
            victim.restart(empty=True)
        round.voters.heal()


def restarted_old(round: "Round", rng: Random) -> None:
    """Back to what it held some runs ago."""
    old = {server: server.redis.save() for server in round.voters.voting}
    round.sleep(round.pace.period * rng.uniform(0.5, 2))
    if (victim := forgetful(round, rng)) in old:
        with round.hit(f"{victim.place.address} restarted from an old dump"):
            victim.restart()
        round.voters.heal()


def when_remembered(other: Harm) -> Harm:
    """The same, only when the voters that stay remember the key: others may have forgotten it before."""

    def harm(round: "Round", rng: Random) -> None:
        if forgetful(round, rng) and all(round.voters.remembered(round.key, server) for server in round.voters.voting):
            other(round, rng)

    return harm


def flushed(round: "Round", rng: Random) -> None:
    if victim := forgetful(round, rng):
        with round.hit(f"{victim.place.address} flushed"):
            victim.redis.flushall()
        round.sleep(round.pace.period)


def flushed_by_majority(round: "Round", rng: Random) -> None:
    round.sleep(rng.uniform(0, round.pace.period))
    voting = round.voters.voting
    with round.hit("a majority flushed"):
        for victim in rng.sample(voting, len(voting) // 2 + 1):
            victim.redis.flushall()


def late_and_forgetful(round: "Round", rng: Random) -> None:
    """Some voters are stopped and miss a run, whose node dies; when they are back, others forget it, or go back.

    Less than a quorum forgets: the tick must not run again.
    """
    voting = sorted(round.voters.voting, key=lambda server: server.port)
    rng.shuffle(voting)
    some = (len(voting) - 1) // 2
    late, forgetful = voting[:some], voting[some : 2 * some]
    if not all(round.voters.remembered(round.key, server) for server in voting):
        round.sleep(0.1)
        return
    for server in forgetful:
        server.redis.save()
    for server in late:
        server.stop_process()
    try:
        if not round.voters.watch.wait("commit", 2 * round.pace.period):
            return
        round.sleep(0.2)
        if not (attempt := round.crew.holder()):
            return
        attempt.harmed = True
        deliver(attempt.pid, signal.SIGKILL)
    finally:
        for server in late:
            server.continue_process()
    forget = rng.random() < 0.5
    with round.hit(f"{some} voters {'forgot' if forget else 'went back before'} a run that {some} others had missed"):
        for server in forgetful:
            server.redis.flushall() if forget else server.restart()
    round.voters.heal()
    round.sleep(round.pace.period)


def scripts_flushed(round: "Round", rng: Random) -> None:
    with round.hit("scripts flushed"):
        for server in round.voters.all:
            with suppress(redis.RedisError):  # it is stopped, or starts
                server.ask("SCRIPT", "FLUSH")


def out_of_memory(round: "Round", rng: Random) -> None:
    """One voter for up to a lease, or all of them for up to a second."""
    victims, most = [round.voters.one(rng)], round.pace.ttl
    if rng.random() < 0.3:
        victims, most = round.voters.voting, 1.0
    with round.hit(f"{len(victims)} out of memory"):
        for victim in victims:
            victim.ask("CONFIG", "SET", "maxmemory", OOM_SOON)
        round.sleep(rng.uniform(0.2, most))
        for victim in victims:
            victim.ask("CONFIG", "SET", "maxmemory", "0")


def clock_off(round: "Round", rng: Random) -> None:
    victim = round.voters.one(rng)
    file = dict(victim.place.env)["FAKETIME_TIMESTAMP_FILE"]
    offset = rng.choice((-HOUR, HOUR, HOUR - 600))
    round.sleep(rng.uniform(0, round.pace.period))
    with round.hit(f"{victim.place.address}'s clock off by {offset} s"):
        write(file, f"{offset:+d}")
        round.sleep(rng.uniform(0.5, 2) * round.pace.ttl)
        write(file, "+0")


def write(path: str, text: str) -> None:
    """The file is whole at any time."""
    with open(path + ".new", "w", encoding="ascii") as file:
        file.write(text)
    os.replace(path + ".new", path)


# -- the way there -----------------------------------------------------------------------------------------------------


def replies_lost(round: "Round", rng: Random) -> None:
    """Of one voter for up to two leases, or of all for up to a second: done, and nobody hears of it."""
    round.voters.watch.wait(rng.choice(PHASES), round.pace.period)
    everywhere = rng.random() < 0.3
    proxies = round.voters.proxies if everywhere else [rng.choice(round.voters.proxies)]
    with round.hit(f"replies of {len(proxies)} lost"):
        for proxy in proxies:
            proxy.drop_replies()
        round.sleep(rng.uniform(0.2, 1.0 if everywhere else 2 * round.pace.ttl))
        for proxy in proxies:
            proxy.pass_all()
            proxy.disconnect()


def requests_lost(round: "Round", rng: Random) -> None:
    """Of one or two kinds, to one voter for up to two leases, or to all for up to a second: they are never done."""
    everywhere = rng.random() < 0.3
    proxies = round.voters.proxies if everywhere else [rng.choice(round.voters.proxies)]
    kinds = rng.sample((*PHASES, "release"), rng.randint(1, 2))
    with round.hit(f"{kinds} to {len(proxies)} lost"):
        for proxy in proxies:
            proxy.drop_requests(*kinds)
        round.sleep(rng.uniform(0.2, 1.0 if everywhere else 2 * round.pace.ttl))
        for proxy in proxies:
            proxy.pass_all()


def dies_inside_commit(round: "Round", rng: Random) -> None:
    """A node's commit reaches one voter only, and then the node dies: that is no run, and another one has to run."""
    here = rng.choice(round.voters.proxies)
    for proxy in round.voters.proxies:
        if proxy is not here:
            proxy.drop_requests("commit")
    if round.voters.watch.wait("commit", round.pace.period) and (attempt := round.committed(here.server)):
        with round.hit(f"{attempt.node} died, with a commit at {here.server.place.address} only"):
            attempt.harmed, attempt.spent = True, False
            deliver(attempt.pid, signal.SIGKILL)
    for proxy in round.voters.proxies:
        proxy.pass_all()
    round.sleep(round.pace.period)


def cut(there: bool, back: bool) -> Harm:
    """Some nodes can't reach some voters, or can't be reached by them; one node can all the time."""

    def harm(round: "Round", rng: Random) -> None:
        nodes = rng.sample(round.crew.nodes[1:], rng.randint(1, len(round.crew.nodes) - 1))
        voters = rng.sample(round.voters.rooms, rng.randint(1, len(round.voters.rooms)))
        house, rooms = round.house, [node.room for node in nodes]
        with round.hit(f"{len(nodes)} nodes cut off from {len(voters)} voters"):
            for room in rooms if there else ():
                house.cut(room, voters)
            for voter in voters if back else ():
                house.cut(voter, rooms)
            round.sleep(rng.uniform(0.3, 2 * round.pace.ttl))
            for room in rooms if there else ():
                house.mend(room, voters)
            for voter in voters if back else ():
                house.mend(voter, rooms)

    return harm


# -- a cluster ---------------------------------------------------------------------------------------------------------


def write_lost_in_failover(round: "Round", rng: Random) -> None:
    """A replica that stands still does not hear of a commit that its master has acknowledged, and takes over."""
    cluster = round.voters.cluster
    assert cluster
    master = round.voters.one(rng)
    (replica,) = cluster.replicas(master)
    round.voters.watch.wait("finish", 2 * round.pace.period)
    if not round.voters.remembered(round.key, master):
        return
    replica.stop_process()
    master.ask("CLIENT", "KILL", "TYPE", "replica")  # else the write survives in a socket's buffer
    try:
        if not round.voters.watch.wait("commit", 2 * round.pace.period):
            return
        with round.hit(f"{master.place.address} failed over, without the last commit"):
            time.sleep(0.005)
            slot = cluster.view(master)
            own = next(seen.slots[0][0] for seen in slot if seen.port == master.port)
            master.kill()
            replica.continue_process()
            wait_until(lambda: cluster.master_of(own) is replica, 30, "the replica to be promoted", 0.05)
    finally:
        round.voters.heal()


def slots_moved(round: "Round", rng: Random) -> None:
    """The slots of this key's copies move, one by one, between four masters; keys last, ownership in the end."""
    cluster = round.voters.cluster
    assert cluster
    if len(cluster.nodes) == 6:
        cluster.add_master(round.voters.spare_place)
    source, names = rng.choice(round.voters.copies(round.key))
    target = rng.choice([master for master in cluster.masters() if master is not source])
    with round.hit(f"slot {names.slot} moved"):
        cluster.begin_migration(names.slot, target)
        round.sleep(rng.uniform(0, 0.5))
        cluster.move_keys(names.slot, target, count=rng.randint(1, 3))
        round.sleep(rng.uniform(0, 0.5))
        wait_until(lambda: not cluster.move_keys(names.slot, target), 10, "a slot to be empty")
        cluster.finish_migration(names.slot, target)


# -- a node ------------------------------------------------------------------------------------------------------------


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


def deliver(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


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


def calm(round: "Round", rng: Random) -> None:
    """Nothing goes wrong but the clocks."""
    round.sleep(round.pace.period)
