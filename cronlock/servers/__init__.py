"""Redis servers: addresses, connections, discovery and the script calls that make them voters.

The entry of this package is voters_for(), which chooses between Redis servers and the local file.
"""

from cronlock.errors import Refused
from cronlock.messages import unreadable_code

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from cronlock.config.settings import Settings
    from cronlock.lock.voters import Voters
    from cronlock.process.event_loop import Loop

HOW_TO_CONFIGURE = (
    'put redis = "redis://HOST" into /etc/cronlock.toml, pass --redis URL, or use --local on a single machine'
)
NOT_CONFIGURED = f"no Redis server is configured: {HOW_TO_CONFIGURE}"


def voters_for(settings: "Settings", loop: "Loop", key: str, each_node: str) -> "Voters":
    """Return the voters of a key, or of its each-record if a node is given. Raises Refused if none is configured."""
    voters: Voters
    if settings.local:
        from cronlock.lock.local import LocalVoters, state_directory

        voters = LocalVoters(loop, state_directory(), settings.prefix, key, each_node)
        voters.location_flags = lambda: _location_flags(settings)
        return voters
    if not settings.redis:
        raise Refused(NOT_CONFIGURED)
    try:
        from cronlock.servers.redis_voters import RedisVoters
    except OSError as error:  # no free file descriptor
        raise Refused(unreadable_code(error)) from None

    voters = RedisVoters(loop, settings.redis, settings.prefix, key, each_node)
    voters.location_flags = lambda: _location_flags(settings)
    return voters


def _location_flags(settings: "Settings") -> str:
    try:
        from cronlock.config.suggested_command import location_flags  # rare: for messages that suggest a command
    except Exception:  # an upgrade during the run took the module away
        return ""
    return location_flags(settings)
