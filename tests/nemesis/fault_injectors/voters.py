"""What happens to voters: they stop, forget, go back, run out of memory, and their clocks jump."""

import os
import signal
from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING

import redis

from tests.nemesis.fault_injectors import PHASES, Harm, deliver
from tests.support.servers import Server

if TYPE_CHECKING:
    from tests.nemesis.round import Round

HOUR = 3600  # s
OOM_SOON = "1"  # bytes of maxmemory


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
