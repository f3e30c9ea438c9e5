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


def voters_for(settings: "Settings", loop: "Loop", key: str, each_node: str) -> "Voters":
    """Return the voters of a key, or of its each-record if a node is given. Raises Refused if none is configured."""
    voters: Voters
    if settings.local:
        from cronlock.lock.local import LocalVoters, state_directory

        voters = LocalVoters(loop, state_directory(), settings.prefix, key, each_node)
        voters.location_flags = lambda: _location_flags(settings)
        return voters
    if not settings.redis:
        raise Refused(not_configured(settings))
    try:
        from cronlock.servers.redis_voters import RedisVoters
    except OSError as error:  # no free file descriptor
        raise Refused(unreadable_code(error)) from None

    voters = RedisVoters(loop, settings.redis, settings.prefix, key, each_node)
    voters.location_flags = lambda: _location_flags(settings)
    return voters


def not_configured(settings: "Settings") -> str:
    """Return the message for settings that name no server."""
    return f"no Redis server is configured: {how_to_configure(settings)}"


def how_to_configure(settings: "Settings") -> str:
    """Return what to do when no server is named; --config replaces the usual files."""
    path = settings.config or "/etc/cronlock.toml"
    return f'put redis = "redis://HOST" into {path}, pass --redis URL, or use --local on a single machine'


def _location_flags(settings: "Settings") -> str:
    try:
        from cronlock.config.suggested_command import location_flags  # rare: for messages that suggest a command
    except Exception:  # an upgrade during the run took the module away
        return ""
    return location_flags(settings)
