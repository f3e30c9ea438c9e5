"""Variables of the bash tool of the same name (kvz/cronlock), and what stands for each of them here."""

SENTINEL = "write CRONLOCK_REDIS=redis+sentinel://HOST:PORT/MASTER"
OUTAGE = "write CRONLOCK_OUTAGE_WAIT, how long to keep trying"
INSTEAD = {  # its README and its source, version 0.1.0; names that both have are read as ours
    "CRONLOCK_HOST": "write CRONLOCK_REDIS=redis://HOST:PORT",
    "CRONLOCK_PORT": "write CRONLOCK_REDIS=redis://HOST:PORT",
    "CRONLOCK_AUTH": "write CRONLOCK_REDIS=redis://:PASSWORD@HOST:PORT",
    "CRONLOCK_DB": "write CRONLOCK_REDIS=redis://HOST:PORT/DB",
    "CRONLOCK_REDIS_TIMEOUT": OUTAGE,
    "CRONLOCK_RECONNECT_ATTEMPTS": OUTAGE,
    "CRONLOCK_RECONNECT_BACKOFF": OUTAGE,
    "CRONLOCK_GRACE": "leave it out, a tick that ran is not run again",
    "CRONLOCK_RELEASE": "leave it out, the lease is extended while the command runs",
    "CRONLOCK_TIMEOUT": "write CRONLOCK_MAX_RUNTIME",
    "CRONLOCK_NTPDATE": "leave it out, clocks may differ",
    "CRONLOCK_RESET": "type cronlock unlock KEY",
    "CRONLOCK_USE_SENTINEL": SENTINEL,
    "CRONLOCK_SENTINEL_MASTER": SENTINEL,
    "CRONLOCK_SENTINEL_HOST": SENTINEL,
    "CRONLOCK_SENTINEL_PORT": SENTINEL,
}


def instead(name: str) -> str:
    """What to do about a variable of the other tool; empty when it has none of that name."""
    return f"it belongs to the bash tool of the same name: {INSTEAD[name]}" if name in INSTEAD else ""
