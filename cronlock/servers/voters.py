"""Chooses the voters that the settings name: Redis servers or the local file."""

from cronlock.errors import Refused

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from cronlock.config.settings import Settings
    from cronlock.lock.voters import Voters
    from cronlock.process.event_loop import Loop

NOWHERE = (
    'where is Redis? put redis = "redis://HOST" into /etc/cronlock.toml, or give --redis URL; '
    "--local for this machine alone"
)


def voters_for(settings: "Settings", loop: "Loop", key: str, each_node: str) -> "Voters":
    """The voters of a key; of its each-record when a node is named. Raises Refused when nobody said where they are."""
    if settings.local:
        from cronlock.lock.local import LocalVoters, state_directory

        return LocalVoters(loop, state_directory(), settings.prefix, key, each_node)
    if not settings.redis:
        raise Refused(NOWHERE)
    try:
        from cronlock.servers.redis_voters import RedisVoters
    except OSError as error:  # no file to be had
        raise Refused(f"cronlock itself can't be read: {(error.strerror or str(error)).lower()}") from None

    return RedisVoters(loop, settings.redis, settings.prefix, key, each_node)
