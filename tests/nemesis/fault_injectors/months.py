"""A month passes during a run: voters lose the records that were not renewed."""

from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING

import redis

if TYPE_CHECKING:
    from tests.nemesis.round import Round

MONTH = 3_000  # ms that stand for a month: half of the lease, so that a run extends once in it even when it is late
PASS = """
if redis.call('HGET', KEYS[1], 'kind') ~= 'run' then return 0 end
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, ARGV[1]) end
return 1
"""  # not after a run's end: then nothing renews the record, and a real month is longer than any tick


def month_passes(round: "Round", rng: Random) -> None:
    """Let a month pass at all voters that hold the run, at any moment of its lease; then start another node."""
    round.voters.watch.wait("commit", round.pace.period)
    round.sleep(rng.uniform(0, round.pace.ttl / 3))
    with round.hit("a month goes by") as hit:
        copies = 0
        for server, names in round.voters.copies(round.key):
            with suppress(redis.RedisError):
                copies += int(server.redis.eval(PASS, len(names.keys), *names.keys, str(MONTH)))
        hit.what += f" at {copies} copies"
        round.sleep(MONTH / 1000)
    if round.nodes.holder() and not round.over.is_set():
        round.nodes.start(rng.choice(round.nodes.all), next(round.more))
