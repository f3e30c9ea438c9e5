"""A month goes by during a run: what a voter keeps for a month is gone, unless it was renewed."""

from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING

import redis

if TYPE_CHECKING:
    from tests.nemesis.round import Round

MONTH = 3_000  # ms that it takes here: half of the lease, so that a run extends once in it, late though it may be
GOES_BY = """
if redis.call('HGET', KEYS[1], 'kind') ~= 'run' then return 0 end
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, ARGV[1]) end
return 1
"""  # not after a run's end: then nothing renews it, and a real month of that would be more than any tick's


def month_goes_by(round: "Round", rng: Random) -> None:
    """At all voters where the run stands, at any moment of its lease, again and again; then another node comes."""
    round.voters.watch.wait("commit", round.pace.period)
    round.sleep(rng.uniform(0, round.pace.ttl / 3))
    with round.hit("a month goes by") as hit:
        told = 0
        for server, names in round.voters.copies(round.key):
            with suppress(redis.RedisError):
                told += int(server.redis.eval(GOES_BY, len(names.keys), *names.keys, str(MONTH)))
        hit.what += f" at {told} copies"
        round.sleep(MONTH / 1000)
    if round.crew.holder() and not round.over.is_set():
        round.crew.start(rng.choice(round.crew.nodes), next(round.more))
