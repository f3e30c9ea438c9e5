"""Errors of servers: whether waiting can cure an error reply, and what an operator can do about it."""

from cronlock.lock.protocol import Failure
from cronlock.messages import shortened

TEXT_MAX = 300  # characters of an error reply: the longest of Redis's own have 200
REPLICA = "name the address of its master"
PROTECTED = "set a password for its default user (requirepass), and put a password into its URL"
CURES = {  # by the word of a reply: whether waiting may cure it (restart, failover, migration), and the advice
    "LOADING": (True, "wait until it has loaded its data"),
    "READONLY": (True, REPLICA),
    "CLUSTERDOWN": (True, "run redis-cli --cluster check for the slots without a master"),
    "MASTERDOWN": (True, REPLICA),
    "TRYAGAIN": (True, ""),
    "BUSY": (True, ""),
    "OOM": (True, "give it more memory: CONFIG SET maxmemory"),
    "MISCONF": (True, "check its disk and read its log"),
    "NOREPLICAS": (True, "check its replicas, or CONFIG SET min-replicas-to-write 0"),
    "MOVED": (True, ""),
    "ASK": (True, ""),
    "WRONGPASS": (False, "put the right user and password into its URL"),
    "DENIED": (False, PROTECTED),
    "NOAUTH": (False, "put a password into its URL"),
}
LONE_USER = "its URL has a user but not a password: write a colon before the password"
PHRASES = {  # the same for replies that share the word ERR with others
    "max number of clients": (True, ""),
    "without any password configured": (False, "remove the password from its URL, or unset REDIS_PASSWORD"),
    "unknown command 'CLUSTER'": (False, "for a Sentinel write redis+sentinel://HOST/SERVICE"),
    "unknown command 'SENTINEL'": (False, "this server is not a Sentinel"),
}


def explained_failure(label: str, text: str, lone_user: bool = False) -> Failure:
    """Return the Failure for an error reply of the server `label`, with advice where the reply has a known cure.

    `lone_user`: the login has a user but not a password, as in redis://PASSWORD@HOST.
    """
    found = cure(text)
    if lone_user and found == CURES["WRONGPASS"]:
        found = (False, LONE_USER)
    if "script" in text:  # Redis 7.0 puts the position in the script behind the error, 6.2 in front of it
        text = text.partition(" script: ")[0].rpartition(": -")[2]
    advice = f": {found[1]}" if found[1] else ""
    return Failure(f"{label}: {shortened(text.rstrip('. '), TEXT_MAX)}{advice}", final=not found[0])


def cure(text: str) -> "tuple[bool, str]":
    """Return whether waiting may cure an error reply, and the advice: also if a script's error wraps it (Redis 6.2)."""
    words = text.replace("-", " ").split()
    for code, found in CURES.items():
        if code in words:
            return found
    return next((found for phrase, found in PHRASES.items() if phrase in text), (False, ""))
