"""Variables of the bash tool of the same name (kvz/cronlock), and the replacement of each."""

SENTINEL = "write CRONLOCK_REDIS=redis+sentinel://HOST:PORT/MASTER"
OUTAGE = "write CRONLOCK_OUTAGE_WAIT, the time to keep trying"
INSTEAD = {  # from its README and source, version 0.1.0; a name that both tools have is read as this one's
    "CRONLOCK_HOST": "write CRONLOCK_REDIS=redis://HOST:PORT",
    "CRONLOCK_PORT": "write CRONLOCK_REDIS=redis://HOST:PORT",
    "CRONLOCK_AUTH": "write CRONLOCK_REDIS=redis://:PASSWORD@HOST:PORT",
    "CRONLOCK_DB": "write CRONLOCK_REDIS=redis://HOST:PORT/DB",
    "CRONLOCK_REDIS_TIMEOUT": OUTAGE,
    "CRONLOCK_RECONNECT_ATTEMPTS": OUTAGE,
    "CRONLOCK_RECONNECT_BACKOFF": OUTAGE,
    "CRONLOCK_GRACE": "remove it, a tick that ran is not run again",
    "CRONLOCK_RELEASE": "remove it, the lease is extended while the command runs",
    "CRONLOCK_TIMEOUT": "write CRONLOCK_MAX_RUNTIME",
    "CRONLOCK_NTPDATE": "remove it, clocks may differ",
    "CRONLOCK_RESET": "type cronlock unlock KEY",
    "CRONLOCK_USE_SENTINEL": SENTINEL,
    "CRONLOCK_SENTINEL_MASTER": SENTINEL,
    "CRONLOCK_SENTINEL_HOST": SENTINEL,
    "CRONLOCK_SENTINEL_PORT": SENTINEL,
}


def instead(name: str) -> str:
    """Return the advice on a variable of the bash tool; empty for any other variable."""
    return f"it belongs to the bash tool of the same name: {INSTEAD[name]}" if name in INSTEAD else ""
