"""From addresses to voters: one server, several servers, or the copies on a Redis Cluster."""

import os

import hiredis

from cronlock.errors import Refused
from cronlock.lock import protocol
from cronlock.lock.protocol import COPIES, Failure
from cronlock.process.event_loop import boottime, sha1
from cronlock.servers.connection import Connection, refused_by_server
from cronlock.servers.placement import copies
from cronlock.servers.url import HOST_MAX, PORT_MAX

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from cronlock.lock.requests import Answer, OnReply
    from cronlock.process.event_loop import Loop
    from cronlock.servers.connection import Callback
    from cronlock.servers.placement import Names
    from cronlock.servers.subscriptions import Subscriptions
    from cronlock.servers.url import Address


PROTOCOL = "2"  # nodes that speak another one must not share a key
OTHERS_WAIT = 300  # ms for further URLs of a cluster that it does not tell as its nodes: a name, or another server
REDIRECTS = 5  # as redis-cli and the client libraries: more is a cluster that does not know itself
NUMBERS = {name.encode(): (name, bounds) for name, bounds in protocol.RANGES.items()}  # as they stand in a reply
TEXTS = {name.encode(): (name, length) for name, length in protocol.TEXTS.items()}
SCRIPT = "scripts/record.lua"
DIGEST = b"24728c2bc8c602799df100bbc870d8f15b69448e"  # its SHA-1, which a test holds to it


def _script() -> bytes:
    """The script's text, read at the start: a run that lasts for months may outlive the file."""
    try:
        fd = os.open(os.path.join(os.path.dirname(__file__), SCRIPT), os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise Refused(f"cronlock itself can't be read: {(error.strerror or str(error)).lower()}") from None
    try:
        return os.read(fd, os.fstat(fd).st_size)
    finally:
        os.close(fd)


def agreed(labels: "Sequence[str]", cluster: bool) -> str:
    """What all nodes that share a key must agree on, as it stands in the record: a single server has no name."""
    if cluster:
        return f"{PROTOCOL} cluster"
    return f"{PROTOCOL} {len(labels)}" + (f" {','.join(sorted(labels))}" if len(labels) > 1 else "")


def encoded(value: object) -> bytes:
    return str(value).encode("utf-8", "surrogateescape")


def decoded(reply: "Any") -> "Answer":
    """A script's flat reply as fields: those that the protocol has, and of each what the protocol allows.

    What a hand or a hostile server wrote would else make a node sleep for ever, or write a line of megabytes.
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


def known_host(node: "Sequence[Any]") -> "bytes | None":
    """Where a node of CLUSTER SLOTS is; empty for the host that was asked, None when nobody knows.

    A node that has no name yet in a cluster that prefers host names is told as ?, with its address behind (Redis 7).
    """
    if node[0] != b"?":
        return node[0] or b""
    about = node[3] if len(node) > 3 else []
    return dict(zip(about[::2], about[1::2], strict=False)).get(b"ip")


class Call:
    """One script call on its way. `void`: something later was sent to its voter, so it must not be sent again."""

    __slots__ = ("answered", "redirects", "void", "voter", "words")

    def __init__(self, voter: int, words: "list[bytes]", answered: "OnReply") -> None:
        self.voter = voter
        self.words = words
        self.answered = answered
        self.redirects = 0
        self.void = False


class Discovery:
    """What the servers said when asked what they are: one good answer decides. `silent` have not answered yet."""

    __slots__ = ("decided", "failures", "silent")

    def __init__(self, silent: "Sequence[Connection]") -> None:
        self.decided = False
        self.failures: list[Failure] = []
        self.silent = list(silent)


class RedisVoters:
    """The voters behind some addresses. `find` learns what they are; `send` asks one of them."""

    clock = staticmethod(boottime)
    warning = ""  # only of a local file: servers refuse a node whose clock is off
    witness = -1  # nor have they a lock that a living process holds

    def __init__(self, loop: "Loop", addresses: "Sequence[Address]", prefix: str, key: str, node: str = "") -> None:
        labels = [address.label for address in addresses]
        for label in labels:
            if labels.count(label) > 1:
                raise Refused(f"the same server twice: {label}: name each server once")
        self.conflict = ""  # why these addresses can't be used together, once an answer shows it
        self._loop = loop
        self.key, self.node = key, node  # the node is empty where all nodes share the record
        self._prefix = prefix
        self._seeds = [Connection(loop, address, buffered=True) for address in addresses]
        self._pool = {seed.address.label: seed for seed in self._seeds}
        self._names: list[Names] = []
        self._places: list[Connection | None] = []
        self._members: set[bytes] = set()  # their ids
        self._nodes: set[tuple[bytes, int]] = set()  # their hosts and ports
        self._cluster = False
        self._lost = -1  # connections, when it was asked last
        self._subscriptions: Subscriptions | None = None
        self._script = _script()

    @property
    def count(self) -> int:
        """How many voters there are; before `find` succeeded, as many as addresses."""
        return len(self._places) or len(self._seeds)

    @property
    def voter_set(self) -> str:
        """What all nodes that share a key must agree on."""
        return agreed([seed.address.label for seed in self._seeds], self._cluster)

    @property
    def distinct(self) -> bool:
        """Whether every voter must be a server of its own."""
        return not self._cluster

    def label(self, voter: int) -> str:
        """A voter's name in messages."""
        place = self._places[voter] if voter < len(self._places) else self._seeds[voter]
        where = place.address.label if place else "no master"
        return f"copy {voter} at {where}" if self._cluster else where

    def find(self, until: int) -> "Failure | None":
        """Learn whether this is a cluster and who has which slots, by `until`; the Failure when nobody told.

        The first answer decides. Once known, plain servers stay what they are; a cluster that has lost a connection is
        asked again: of what else has moved a redirect tells.
        """
        if self._places and (not self._cluster or (self._losses() == self._lost and None not in self._places)):
            return None
        asked = list(self._pool.values())
        discovery = Discovery(asked)
        self._members.clear()  # a cluster that was built anew at the same place is not the one of before
        for connection in asked:
            connection.send([b"CLUSTER", b"SLOTS"], self._listener(connection, discovery))
        while not discovery.decided and len(discovery.failures) < len(asked) and self.clock() < until:
            self.step(until - self.clock())
        if discovery.decided:
            self._hear_the_others(discovery, until)
            self._lost = self._losses()
            return None
        passing = [failure for failure in discovery.failures if not failure.final]
        silent = [Failure(f"{asked[0].address.label}: {asked[0].silence}")]
        return (passing or discovery.failures if len(discovery.failures) == len(asked) else passing or silent)[0]

    def _hear_the_others(self, discovery: Discovery, until: int) -> None:
        """Of a cluster: a server that is no part of it must not be passed over, for another node may ask it first."""
        until = min(until, self.clock() + OTHERS_WAIT)
        while self._cluster and self.clock() < until:
            asked = [connection.address for connection in discovery.silent]
            if all((address.host.encode(errors="surrogateescape"), address.port) in self._nodes for address in asked):
                break
            self.step(until - self.clock())

    def _losses(self) -> int:
        return sum(connection.failures for connection in self._pool.values())

    def _listener(self, connection: Connection, discovery: Discovery) -> "Callback":
        def described(reply: "Any") -> None:
            if connection in discovery.silent:
                discovery.silent.remove(connection)
            if isinstance(reply, hiredis.ReplyError) and "cluster support disabled" in str(reply):
                self._use_plain(connection)
                if connection in self._seeds:
                    discovery.decided = True
                else:
                    discovery.failures.append(Failure(f"{connection.address.label}: it is no part of the cluster now"))
            elif isinstance(reply, hiredis.ReplyError):
                discovery.failures.append(refused_by_server(connection.address.label, str(reply)))
            elif isinstance(reply, Failure):
                discovery.failures.append(reply)
            elif self._understood(connection, reply):
                discovery.decided = True
            else:
                discovery.failures.append(Failure(f"{connection.address.label}: its cluster has no slots yet"))

        return described

    def _use_plain(self, connection: Connection) -> None:
        if connection not in self._seeds:  # it was a node once, and another server has its address now
            self._pool.pop(connection.address.label, None)
        elif self._cluster:
            self.conflict = f"{connection.address.label} is no part of the cluster that the other URLs lead to"
        elif not self._places:
            names = copies(self._prefix, self.key, self.node, 1)
            self._names = names * len(self._seeds)
            self._places = list(self._seeds)

    def _understood(self, connection: Connection, reply: "Any") -> bool:
        try:
            return self._use_cluster(connection, reply)
        except (TypeError, LookupError, ValueError, AttributeError):  # no list of slots
            return False

    def _use_cluster(self, connection: Connection, reply: "Any") -> bool:
        members = {node[2] for slots in reply for node in slots[2:] if len(node) > 2}
        if not members:
            return False
        if self._places and not self._cluster:
            self.conflict = f"{connection.address.label} is part of a cluster, another URL is a server of its own"
            return False
        if self._members and not self._members & members:
            if connection in self._seeds:
                self.conflict = f"{connection.address.label} is part of another cluster than the other URLs"
            return False
        self._cluster = True
        self._members |= members
        self._nodes |= {(node[0], node[1]) for slots in reply for node in slots[2:]}
        self._names = self._names or copies(self._prefix, self.key, self.node, COPIES)
        self._places = [self._master_of(names.slot, reply, connection) for names in self._names]
        return True

    def _master_of(self, slot: int, reply: "Any", asked: Connection) -> "Connection | None":
        for first, last, master, *_ in reply:
            if first <= slot <= last:
                host = known_host(master)
                return None if host is None else self._connection(asked, host, master[1])
        return None

    def _connection(self, beside: Connection, host: bytes, port: int) -> Connection:
        if not isinstance(port, int) or not 0 < port <= PORT_MAX or len(host) > HOST_MAX:
            raise ValueError
        address = beside.address.beside(host.decode("utf-8", "surrogateescape") or beside.address.host, port)
        if address.label not in self._pool:
            self._pool[address.label] = Connection(self._loop, address, buffered=True)
        return self._pool[address.label]

    def send(self, voter: int, operation: str, ask: "dict[str, Any]", answered: "OnReply") -> Call:
        """Call the script for one voter's copy; `answered` gets the answer's fields, or a Failure."""
        words = [encoded(operation)]
        for name, value in ask.items():
            words += (encoded(name), encoded(value))
        call = Call(voter, words, answered)
        place = self._places[voter]
        if place is None:
            answered(Failure(f"{self.label(voter)}: no master has its slot"))
        else:
            self._send(place, call, DIGEST)
        return call

    def _send(self, place: Connection, call: Call, script: bytes) -> None:
        how = b"EVALSHA" if script is DIGEST else b"EVAL"
        keys = self._names[call.voter].keys
        place.send(
            [how, script, b"%d" % len(keys), *keys, *call.words],
            lambda reply: self._replied(place, call, reply),
        )

    def _replied(self, place: Connection, call: Call, reply: "Any") -> None:
        if isinstance(reply, Failure):
            call.answered(reply)
        elif not isinstance(reply, hiredis.ReplyError):
            try:
                fields = decoded(reply)
                if not fields.keys() >= protocol.ANSWERED:
                    raise ValueError
            except (TypeError, AttributeError, ValueError):
                place.fail("its answers are not those of cronlock's script")
                call.answered(Failure(f"{place.address.label}: its answers are not those of cronlock's script"))
                return
            call.answered(fields)
        elif not self._follow(place, call, str(reply)):
            call.answered(refused_by_server(place.address.label, str(reply)))
            if place.address.sentinels and "READONLY" in str(reply):
                place.fail("its master is a replica now")  # the sentinels will tell the new one

    def _follow(self, place: Connection, call: Call, text: str) -> bool:
        """Whether the call goes on elsewhere: the script is not loaded yet, or the slot has moved."""
        code, _, rest = text.partition(" ")
        call.redirects += 1
        if call.redirects > REDIRECTS or call.void:
            return False
        if code == "NOSCRIPT" and self._is_ours():
            self._send(place, call, self._script)
            return True
        if code not in ("MOVED", "ASK") or not self._cluster:
            return False
        host, _, port = rest.rpartition(" ")[2].rpartition(":")
        if not (port.isascii() and port.isdigit()) or len(port) > 5 or not 0 < int(port) <= PORT_MAX:
            return False
        if len(host.encode()) > HOST_MAX:
            return False
        target = self._connection(place, host.encode(), int(port))
        if code == "ASK":
            target.send([b"ASKING"], lambda _: None)
        else:
            self._places[call.voter] = target
        self._send(target, call, self._script if code == "ASK" else DIGEST)
        return True

    def _is_ours(self) -> bool:
        """Whether the script is the one that this code knows: an upgrade may have come between the two."""
        try:
            return sha1(self._script).encode() == DIGEST
        except Exception:  # no file to be had, no Python any more, or that of another version
            return True

    def listen(self, on_run_ended: "Callable[[int, int], None]") -> None:
        """Be told of the ends of runs, by voter and token, from now on; again, to mend what was lost meanwhile."""
        from cronlock.servers.subscriptions import Subscriptions

        self._subscriptions = self._subscriptions or Subscriptions(self._loop, on_run_ended)
        self._subscriptions.listen(
            (voter, place.address, self._names[voter].keys[0]) for voter, place in enumerate(self._places) if place
        )

    def listening(self, state: str) -> int:
        """How many voters' subscriptions are in this state (lock/protocol.py)."""
        return self._subscriptions.count(state) if self._subscriptions else 0

    def refresh(self) -> None:
        """Ask a cluster again who has which slots, without waiting; for after a failure."""
        if self._cluster:
            for connection in list(self._pool.values()):
                if connection.idle:
                    connection.send([b"CLUSTER", b"SLOTS"], self._listener(connection, Discovery([])))

    def failures(self, voter: int) -> int:
        """How often the connection to this voter was lost: another number than before means that it may be another."""
        place = self._places[voter]
        return place.failures if place else 0

    def flush(self) -> None:
        """Send what is to be sent: `step` begins with it."""
        for connection in list(self._pool.values()):  # a failure may bring new ones
            connection.flush()

    def close(self) -> None:
        """Let go of all connections."""
        self.flush()
        for connection in self._pool.values():
            connection.close()
        if self._subscriptions:
            self._subscriptions.close()

    def step(self, timeout: int) -> None:
        """Wait at most so many ms for something to happen; what has been silent for too long counts as lost."""
        self.flush()
        roots = [*self._pool.values(), *(self._subscriptions.connections if self._subscriptions else ())]
        connections = [part for connection in roots for part in connection.parts]
        busy = [connection for connection in connections if not connection.idle]
        self._loop.step(min([timeout, *(connection.time_left for connection in busy)]))
        for connection in busy:
            if not connection.idle and connection.time_left <= 0:
                connection.fail(connection.silence)
