"""Advice for an unknown variable or name: the nearest known one, or the replacement of a variable of the bash tool.

The bash tool is kvz/cronlock, which has the same name; the table follows its README and source, version 0.1.0. Names
that both tools have are read as ours. This module is imported only on the way to an error.
"""

from collections.abc import Iterable
from difflib import get_close_matches

PREFIX = "CRONLOCK_"
LEAST_RATIO = 0.3  # of difflib: even a name that hardly resembles a known one leads to it
_URL = "write CRONLOCK_REDIS=redis://HOST:PORT"
_SENTINEL = "write CRONLOCK_REDIS=redis+sentinel://HOST:PORT/MASTER"
_OUTAGE = "write CRONLOCK_OUTAGE_WAIT, the time to keep trying"
REPLACEMENTS = {
    "CRONLOCK_HOST": _URL,
    "CRONLOCK_PORT": _URL,
    "CRONLOCK_AUTH": "write CRONLOCK_REDIS=redis://:PASSWORD@HOST:PORT",
    "CRONLOCK_DB": "write CRONLOCK_REDIS=redis://HOST:PORT/DB",
    "CRONLOCK_REDIS_TIMEOUT": _OUTAGE,
    "CRONLOCK_RECONNECT_ATTEMPTS": _OUTAGE,
    "CRONLOCK_RECONNECT_BACKOFF": _OUTAGE,
    "CRONLOCK_GRACE": "remove it: a tick that ran is not run again",
    "CRONLOCK_RELEASE": "remove it: the lease is extended while the command runs",
    "CRONLOCK_TIMEOUT": "write CRONLOCK_MAX_RUNTIME",
    "CRONLOCK_NTPDATE": "remove it: clocks may differ",
    "CRONLOCK_RESET": "type cronlock unlock KEY",
    "CRONLOCK_USE_SENTINEL": _SENTINEL,
    "CRONLOCK_SENTINEL_MASTER": _SENTINEL,
    "CRONLOCK_SENTINEL_HOST": _SENTINEL,
    "CRONLOCK_SENTINEL_PORT": _SENTINEL,
}


def advice(name: str, known: Iterable[str]) -> str:
    """Return what to do about an unknown `name`, when these are known."""
    if name in REPLACEMENTS:
        return f"it belongs to the bash tool of the same name: {REPLACEMENTS[name]}"
    front = PREFIX if name.startswith(PREFIX) else ""  # what all names have in common would outweigh the rest
    near = get_close_matches(
        name.removeprefix(front), [each.removeprefix(front) for each in known], n=1, cutoff=LEAST_RATIO
    )
    return f"did you mean {front}{near[0]}?" if near else "see cronlock run --help"
