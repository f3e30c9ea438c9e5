"""Faults of voters: they stop, forget, go back, run out of memory, and their clocks jump."""

import os
import signal
from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING

import redis

from tests.nemesis.fault_injectors import PHASES, FaultInjector, deliver
from tests.support.servers import Server

if TYPE_CHECKING:
    from tests.nemesis.round import Round

HOUR = 3600  # s
OOM_SOON = "1"  # bytes of maxmemory


def stopped(part: float) -> FaultInjector:
    """Stop a voter for a part of the lease, as soon as some voter has executed a certain operation."""

    def inject(round: "Round", rng: Random) -> None:
        phase = rng.choice(PHASES)
        round.voters.watch.wait(phase, round.pace.period)
        victim = round.voters.one(rng)
        with round.hit(f"{victim.place.address} stopped after {phase}"):
            victim.stop_process()
            round.sleep(part * round.pace.ttl)
            victim.continue_process()
        if round.voters.cluster:
            round.voters.heal()

    return inject


def amnesic(round: "Round", rng: Random) -> Server | None:
    """Return a voter that may forget now, if there is one."""
    round.sleep(rng.uniform(0, round.pace.period))
    victim = round.voters.one(rng)
    try:
        return victim if round.voters.remembered(round.key, victim) else None
    except redis.RedisError:
        return None


def restarted_empty(round: "Round", rng: Random) -> None:
    if victim := amnesic(round, rng):
        with round.hit(f"{victim.place.address} restarted empty"):
            victim.restart(empty=True)
        round.voters.heal()


def restarted_old(round: "Round", rng: Random) -> None:
    """Restart a voter with its data of some runs ago."""
    old = {server: server.redis.save() for server in round.voters.voting}
    round.sleep(round.pace.period * rng.uniform(0.5, 2))
    if (victim := amnesic(round, rng)) in old:
        with round.hit(f"{victim.place.address} restarted from an old dump"):
            victim.restart()
        round.voters.heal()


def if_remembered(other: FaultInjector) -> FaultInjector:
    """Inject a fault only while all voters remember the key, since others may have forgotten it before."""

    def inject(round: "Round", rng: Random) -> None:
        if amnesic(round, rng) and all(round.voters.remembered(round.key, server) for server in round.voters.voting):
            other(round, rng)

    return inject


def flushed(round: "Round", rng: Random) -> None:
    if victim := amnesic(round, rng):
        with round.hit(f"{victim.place.address} flushed"):
            victim.redis.flushall()
        round.sleep(round.pace.period)


def flushed_by_majority(round: "Round", rng: Random) -> None:
    round.sleep(rng.uniform(0, round.pace.period))
    voting = round.voters.voting
    with round.hit("a majority flushed"):
        for victim in rng.sample(voting, len(voting) // 2 + 1):
            victim.redis.flushall()


def late_and_amnesic(round: "Round", rng: Random) -> None:
    """Let some voters miss a run whose node dies; when they are back, let others forget the run or go back.

    Fewer than a quorum forget: the tick must not run again.
    """
    voting = sorted(round.voters.voting, key=lambda server: server.port)
    rng.shuffle(voting)
    minority = (len(voting) - 1) // 2
    late, amnesic = voting[:minority], voting[minority : 2 * minority]
    if not all(round.voters.remembered(round.key, server) for server in voting):
        round.sleep(0.1)
        return
    for server in amnesic:
        server.redis.save()
    for server in late:
        server.stop_process()
    try:
        if not round.voters.watch.wait("commit", 2 * round.pace.period):
            return
        round.sleep(0.2)
        if not (attempt := round.nodes.holder()):
            return
        attempt.disturbed = True
        deliver(attempt.pid, signal.SIGKILL)
    finally:
        for server in late:
            server.continue_process()
    forget = rng.random() < 0.5
    with round.hit(
        f"{minority} voters {'forgot' if forget else 'went back before'} a run that {minority} others had missed"
    ):
        for server in amnesic:
            server.redis.flushall() if forget else server.restart()
    round.voters.heal()
    round.sleep(round.pace.period)


def scripts_flushed(round: "Round", rng: Random) -> None:
    with round.hit("scripts flushed"):
        for server in round.voters.all:
            with suppress(redis.RedisError):  # the server is stopped or starting
                server.ask("SCRIPT", "FLUSH")


def out_of_memory(round: "Round", rng: Random) -> None:
    """Exhaust the memory of one voter for up to a lease, or of all voters for up to a second."""
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
    """Replace the file atomically."""
    with open(path + ".new", "w", encoding="ascii") as file:
        file.write(text)
    os.replace(path + ".new", path)
