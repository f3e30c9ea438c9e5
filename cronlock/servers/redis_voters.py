"""Voters in Redis: calls of the script for each voter's copy, and the loop that waits for the replies."""

import os

import hiredis

from cronlock.errors import Refused
from cronlock.lock import protocol
from cronlock.lock.protocol import Failure
from cronlock.messages import unreadable_code
from cronlock.process.event_loop import boottime, sha1
from cronlock.servers.cluster import CHECK_CLUSTER, ServerMap
from cronlock.servers.connection import STRAGGLER_WAIT, Connection, failure_of_reply, step

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from cronlock.config.redis_url import Address
    from cronlock.lock.requests import Answer, OnReply
    from cronlock.process.event_loop import Loop
    from cronlock.servers.connection import Located, Search
    from cronlock.servers.subscriptions import Subscriptions

PROTOCOL = "2"  # nodes with another version must not share a key
REDIRECTS_MAX = 5  # as in redis-cli and the client libraries: after more, the cluster disagrees on its slots
NUMBERS = {name.encode(): (name, bounds) for name, bounds in protocol.RANGES.items()}  # by their names in a reply
TEXTS = {name.encode(): (name, length) for name, length in protocol.TEXTS.items()}
SCRIPT_FILE = "scripts/record.lua"
DIGEST = b"66a62a5ec5ec57ae7c1936fe575263adb6c10d8a"  # the SHA-1 of this file, as a test confirms
NOT_THE_SCRIPT = "its replies are not those of cronlock's script: check host and port"


def locate(loop: "Loop", address: "Address", on_located: "Located") -> "Search":
    """Return a search for the socket addresses of a host name or a Sentinel service."""
    from cronlock.servers.locator import Locator

    return Locator(loop, address, on_located)


def voter_set_of(labels: "Sequence[str]", cluster: bool) -> str:
    """Return the voter set as the record has it, equal on all nodes that share a key: a single server has no name."""
    if cluster:
        return f"{PROTOCOL} cluster"
    return f"{PROTOCOL} {len(labels)}" + (f" {','.join(sorted(labels))}" if len(labels) > 1 else "")


def encoded(value: object) -> bytes:
    return str(value).encode("utf-8", "surrogateescape")


def decoded(reply: "Any") -> "Answer":
    """Return the fields of a script's flat reply: only the protocol's, each within its range or length.

    Without the limits, a hand-written record or a hostile server could make a node sleep for years, or log megabytes.
    """
    fields: Any = {}
    for name, value in zip(reply[::2], reply[1::2], strict=True):
        if name in NUMBERS:
            field, (least, most) = NUMBERS[name]
            number = int(value)
            fields[field] = number if least <= number <= most else max(least, min(number, most))
        elif name in TEXTS:
            field, length = TEXTS[name]
            fields[field] = value.decode("utf-8", "surrogateescape")[:length]
    return fields  # type: ignore[no-any-return]


class ScriptCall:
    """A script call on its way. `void`: a later one was sent to its voter, so this one must not be sent again."""

    __slots__ = ("answered", "redirects", "void", "voter", "words")

    def __init__(self, voter: int, words: "list[bytes]", answered: "OnReply") -> None:
        self.voter = voter
        self.words = words
        self.answered = answered
        self.redirects = 0
        self.void = False


class RedisVoters:
    """The voters behind some URLs: `find` discovers them, `send` asks one of them (lock/voters.py)."""

    clock = staticmethod(boottime)
    warning = ""  # only local files have one
    witness = -1  # only local files have a lock that a living process holds

    def __init__(self, loop: "Loop", addresses: "Sequence[Address]", prefix: str, key: str, node: str = "") -> None:
        self.key, self.node = key, node
        self.location_flags: Callable[[], str] = str
        self._loop = loop
        self._servers = ServerMap(loop, locate, addresses, prefix, key, node)
        self._subscriptions: Subscriptions | None = None
        self._script = _read_script()

    @property
    def count(self) -> int:
        """The number of voters; before `find` has succeeded, the number of URLs."""
        return self._servers.count

    @property
    def conflict(self) -> str:
        """The reason why these servers can't be used together, once an answer shows one."""
        return self._servers.conflict

    @property
    def voter_set(self) -> str:
        """The voter set on which all nodes that share a key must agree."""
        return voter_set_of(self._servers.seed_labels, self._servers.is_cluster)

    @property
    def distinct(self) -> bool:
        """Return whether every voter must be a server of its own."""
        return not self._servers.is_cluster

    def label(self, voter: int) -> str:
        """Return a voter's name for messages."""
        return self._servers.label(voter)

    def find(self, until: int) -> "Failure | None":
        """Discover the servers by `until`; return the Failure if no server answered."""
        servers = self._servers
        if servers.is_current():
            return None
        discovery = servers.discover()
        while discovery.pending and self.clock() < until:
            self.step(until - self.clock())
        if not discovery.decided:
            return discovery.failure
        until = min(until, self.clock() + STRAGGLER_WAIT)
        while servers.awaits_strangers(discovery) and self.clock() < until:
            self.step(until - self.clock())
        servers.confirm()
        return None

    def send(self, voter: int, operation: str, fields: "dict[str, Any]", answered: "OnReply") -> ScriptCall:
        """ScriptCall the script for one voter's copy; `answered` gets the answer's fields, or a Failure."""
        words = [encoded(operation)]
        for name, value in fields.items():
            words += (encoded(name), encoded(value))
        call = ScriptCall(voter, words, answered)
        connection = self._servers.connections[voter]
        if connection is None:
            answered(Failure(f"{self.label(voter)}: no master serves its slot: {CHECK_CLUSTER}"))
        else:
            self._send(connection, call, DIGEST)
        return call

    def _send(self, connection: Connection, call: ScriptCall, script: bytes) -> None:
        how = b"EVALSHA" if script is DIGEST else b"EVAL"
        keys = self._servers.names[call.voter].keys
        connection.send(
            [how, script, b"%d" % len(keys), *keys, *call.words],
            lambda reply: self._replied(connection, call, reply),
        )

    def _replied(self, connection: Connection, call: ScriptCall, reply: "Any") -> None:
        if isinstance(reply, Failure):
            call.answered(reply)
        elif not isinstance(reply, hiredis.ReplyError):
            try:
                fields = decoded(reply)
                if not fields.keys() >= protocol.ANSWERED:
                    raise ValueError
            except (TypeError, AttributeError, ValueError):
                connection.fail(NOT_THE_SCRIPT)
                call.answered(Failure(f"{connection.address.label}: {NOT_THE_SCRIPT}"))
                return
            call.answered(fields)
        elif not self._resend(connection, call, str(reply)):
            call.answered(failure_of_reply(connection.address.label, str(reply)))
            if connection.address.sentinels and "READONLY" in str(reply):
                connection.fail("the master is a replica now")  # the next request asks the Sentinels again

    def _resend(self, connection: Connection, call: ScriptCall, text: str) -> bool:
        """Send a call again whose script was not loaded yet or whose slot has moved; return whether it was sent."""
        call.redirects += 1
        if call.redirects > REDIRECTS_MAX or call.void:
            return False
        if text.startswith("NOSCRIPT") and self._script_matches_digest():
            self._send(connection, call, self._script)
            return True
        target = self._servers.redirect(call.voter, connection, text)
        if target is None:
            return False
        asking = text.startswith("ASK ")
        if asking:
            target.send([b"ASKING"], lambda _: None)
        self._send(target, call, self._script if asking else DIGEST)
        return True

    def _script_matches_digest(self) -> bool:
        """Return whether this code knows the script: an upgrade may have replaced the file between the two."""
        try:
            return sha1(self._script).encode() == DIGEST
        except Exception:  # no free file descriptor, or Python was removed or replaced
            return True

    def listen(self, on_run_ended: "Callable[[int, int], None]") -> None:
        """Subscribe to the ends of runs, reported by voter and token; a second call restores lost subscriptions."""
        from cronlock.servers.subscriptions import Subscriptions

        self._subscriptions = self._subscriptions or Subscriptions(self._loop, on_run_ended, locate)
        servers = self._servers
        self._subscriptions.listen(
            (voter, connection.address, servers.names[voter].keys[0])
            for voter, connection in enumerate(servers.connections)
            if connection
        )

    def listening(self, state: str) -> int:
        """Return the number of voters whose subscription is in this state (lock/protocol.py)."""
        return self._subscriptions.count(state) if self._subscriptions else 0

    def refresh(self) -> None:
        """Ask a cluster for its slots again, without waiting; for after a failure."""
        self._servers.refresh()

    def failures(self, voter: int) -> int:
        """Return how often this voter's connection was lost: after a loss, a new request may overtake an old one."""
        connection = self._servers.connections[voter]
        return connection.failures if connection else 0

    def flush(self) -> None:
        """Send all queued requests; `step` begins with it."""
        for connection in list(self._servers.pool.values()):  # a failure may add connections
            connection.flush()

    def close(self) -> None:
        """Close all connections."""
        self.flush()
        for connection in self._servers.pool.values():
            connection.close()
        if self._subscriptions:
            self._subscriptions.close()

    def step(self, timeout: int) -> None:
        """Wait up to `timeout` ms for something to happen; fail the connections that have timed out."""
        self.flush()
        subscribed = self._subscriptions.connections if self._subscriptions else ()
        step(self._loop, [*self._servers.pool.values(), *subscribed], timeout)


def _read_script() -> bytes:
    """Return the script, read at the start: a run that lasts for months may outlive the file."""
    try:
        fd = os.open(os.path.join(os.path.dirname(__file__), SCRIPT_FILE), os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise Refused(unreadable_code(error)) from None
    try:
        return os.read(fd, os.fstat(fd).st_size)
    finally:
        os.close(fd)
