"""The servers behind the URLs: plain servers, or the masters of a Redis Cluster; discovery, slots and redirects."""

import hiredis

from cronlock.config.redis_url import HOST_MAX, PORT_MAX
from cronlock.errors import Refused
from cronlock.lock.protocol import COPIES, Failure
from cronlock.lock.quorum import named_twice
from cronlock.servers.connection import Connection, failure_of_reply
from cronlock.servers.placement import copies

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from cronlock.config.redis_url import Address
    from cronlock.process.event_loop import Loop
    from cronlock.servers.connection import Callback, Locate
    from cronlock.servers.placement import Names

CLUSTER_SLOTS = [b"CLUSTER", b"SLOTS"]
NOT_A_CLUSTER = "cluster support disabled"  # in the error reply of a plain server
CHECK_CLUSTER = "run redis-cli --cluster check"
NO_SLOTS = f"its cluster has no slots yet: {CHECK_CLUSTER}"
ONE_CLUSTER = "name nodes of one cluster only, or plain servers only"
MALFORMED = (TypeError, LookupError, ValueError, AttributeError)  # raised for a reply that is not a list of slots


class Master:
    """A master of a cluster, with its slots and its replicas' labels."""

    __slots__ = ("address", "replicas", "slots")

    def __init__(self, address: "Address") -> None:
        self.address = address
        self.slots: list[range] = []
        self.replicas: list[str] = []


def masters(reply: "Any", asked: "Address") -> list[Master]:
    """Return all masters in a reply to CLUSTER SLOTS from the server `asked`. Raises one of MALFORMED."""
    found: dict[str, Master] = {}
    for first, last, primary, *others in reply:
        address = node_address(primary, asked)
        if address is None:
            continue
        master = found.setdefault(address.label, Master(address))
        master.slots.append(range(first, last + 1))
        replicas = [(node_address(node, asked) or asked.beside("?", node[1])).label for node in others]
        master.replicas += [label for label in replicas if label not in master.replicas]
    return list(found.values())


def master_of_slot(slot: int, reply: "Any", asked: "Address") -> "Address | None":
    """Return the address of the master that has this slot; None without one. Raises one of MALFORMED."""
    for first, last, master, *_ in reply:
        if first <= slot <= last:
            return node_address(master, asked)
    return None


def node_ids(reply: "Any") -> "frozenset[bytes]":
    """Return the ids of all nodes in a reply to CLUSTER SLOTS. Raises TypeError or LookupError for other replies."""
    return frozenset(node[2] for slots in reply for node in slots[2:] if len(node) > 2)


def node_host(node: "Sequence[Any]") -> "bytes | None":
    """Return the host of a node of CLUSTER SLOTS; empty for the host that was asked, None if unknown.

    In a cluster that prefers host names, a node that has no name yet is reported as ? with its IP address behind
    (Redis 7).
    """
    if node[0] != b"?":
        return node[0] or b""
    about = node[3] if len(node) > 3 else []
    return dict(zip(about[::2], about[1::2], strict=False)).get(b"ip")


def node_address(node: "Sequence[Any]", asked: "Address") -> "Address | None":
    """Return the address of a node of CLUSTER SLOTS, as reported by the server `asked`; None if unknown."""
    host = node_host(node)
    return None if host is None else asked.beside(host.decode("utf-8", "surrogateescape") or asked.host, node[1])


def refuse_repeated(addresses: "Sequence[Address]") -> None:
    """Raise Refused when two URLs name the same server."""
    repeated = named_twice([(address.label, address.label) for address in addresses])
    if repeated:
        from cronlock.lock.refusals import same_server_twice

        raise Refused(same_server_twice(repeated[0]))


class Discovery:
    """The answers to one round of CLUSTER SLOTS: one good answer decides. `silent` have not answered yet."""

    __slots__ = ("asked", "decided", "failures", "silent")

    def __init__(self, asked: "Sequence[Connection]") -> None:
        self.asked = asked
        self.decided = False
        self.failures: list[Failure] = []
        self.silent = list(asked)

    @property
    def pending(self) -> bool:
        """Return whether an answer may still decide."""
        return not self.decided and len(self.failures) < len(self.asked)

    @property
    def failure(self) -> Failure:
        """The failure to report: one that waiting may cure, if there is one."""
        passing = [failure for failure in self.failures if not failure.final]
        if passing:
            return passing[0]
        if len(self.failures) == len(self.asked):
            return self.failures[0]
        first = self.asked[0]
        return Failure(f"{first.address.label}: {first.timeout_text}")


class ServerMap:
    """Maps each voter to the connection to its server: a plain server, or the master that has the slot of its copy."""

    def __init__(
        self, loop: "Loop", locate: "Locate", addresses: "Sequence[Address]", prefix: str, key: str, node: str
    ) -> None:
        refuse_repeated(addresses)
        self.conflict = ""  # why these servers can't be used together
        self.is_cluster = False
        self.names: list[Names] = []  # of each voter's keys
        self.connections: list[Connection | None] = []  # of each voter; None if its slot has no master
        self._loop = loop
        self._locate = locate
        self._key = prefix, key, node
        self._seeds = [Connection(loop, address, locate, buffered=True) for address in addresses]
        self.pool = {seed.address.label: seed for seed in self._seeds}
        self._members: set[bytes] = set()  # the ids of the cluster's nodes
        self._nodes: set[tuple[bytes, int]] = set()  # their hosts and ports
        self._losses_at_discovery = -1

    @property
    def count(self) -> int:
        """The number of voters; before the first discovery, the number of URLs."""
        return len(self.connections) or len(self._seeds)

    @property
    def seed_labels(self) -> "list[str]":
        """The labels of the URLs' servers."""
        return [seed.address.label for seed in self._seeds]

    def label(self, voter: int) -> str:
        """Return a voter's name for messages."""
        connection = self.connections[voter] if voter < len(self.connections) else self._seeds[voter]
        where = connection.address.label if connection else "no master"
        return f"copy {voter} at {where}" if self.is_cluster else where

    def is_current(self) -> bool:
        """Return whether discovery can be skipped.

        Plain servers stay what they are. A cluster that has lost a connection is asked again; redirects show other
        changes.
        """
        if not self.connections or not self.is_cluster:
            return bool(self.connections)
        return self._losses() == self._losses_at_discovery and None not in self.connections

    def discover(self) -> Discovery:
        """Ask every known server for the cluster's slots."""
        discovery = Discovery(list(self.pool.values()))
        self._members.clear()  # a cluster that was rebuilt at the same addresses has new ids
        for connection in discovery.asked:
            connection.send(CLUSTER_SLOTS, self._on_slots(connection, discovery))
        return discovery

    def confirm(self) -> None:
        """Take the map as current until a connection is lost."""
        self._losses_at_discovery = self._losses()

    def awaits_strangers(self, discovery: Discovery) -> bool:
        """Return whether a silent server is not a known node of the cluster.

        Without its answer a server outside the cluster would be passed over, and another node may ask it first.
        """
        if not self.is_cluster:
            return False
        silent = [connection.address for connection in discovery.silent]
        return any((a.host.encode(errors="surrogateescape"), a.port) not in self._nodes for a in silent)

    def refresh(self) -> None:
        """Ask a cluster for its slots again, without waiting; for after a failure."""
        if self.is_cluster:
            for connection in list(self.pool.values()):
                if connection.idle:
                    connection.send(CLUSTER_SLOTS, self._on_slots(connection, Discovery([])))

    def redirect(self, voter: int, asked: Connection, text: str) -> "Connection | None":
        """Return the connection that a MOVED or ASK reply names; None for other replies. MOVED changes the map."""
        code, _, rest = text.partition(" ")
        if code not in ("MOVED", "ASK") or not self.is_cluster:
            return None
        host, _, port = rest.rpartition(" ")[2].rpartition(":")
        if not (port.isascii() and port.isdigit()) or len(port) > 5 or not 0 < int(port) <= PORT_MAX:
            return None
        if len(host.encode()) > HOST_MAX:
            return None
        target = self._connection(asked.address.beside(host or asked.address.host, int(port)))
        if code == "MOVED":
            self.connections[voter] = target
        return target

    def _losses(self) -> int:
        return sum(connection.failures for connection in self.pool.values())

    def _on_slots(self, connection: Connection, discovery: Discovery) -> "Callback":
        def answered(reply: "Any") -> None:
            if connection in discovery.silent:
                discovery.silent.remove(connection)
            label = connection.address.label
            if isinstance(reply, hiredis.ReplyError) and NOT_A_CLUSTER in str(reply):
                self._use_plain(connection)
                if connection in self._seeds:
                    discovery.decided = True
                else:
                    discovery.failures.append(Failure(f"{label}: no longer part of the cluster"))
            elif isinstance(reply, hiredis.ReplyError):
                discovery.failures.append(failure_of_reply(label, str(reply)))
            elif isinstance(reply, Failure):
                discovery.failures.append(reply)
            elif self._use_slots(connection, reply):
                discovery.decided = True
            else:
                discovery.failures.append(Failure(f"{label}: {NO_SLOTS}"))

        return answered

    def _use_plain(self, connection: Connection) -> None:
        if connection not in self._seeds:  # a former node of the cluster, whose address another server has now
            self.pool.pop(connection.address.label, None)
        elif self.is_cluster:
            self.conflict = f"{connection.address.label} is not part of the cluster of the other URLs: {ONE_CLUSTER}"
        elif not self.connections:
            self.names = copies(*self._key, 1) * len(self._seeds)
            self.connections = list(self._seeds)

    def _use_slots(self, connection: Connection, reply: "Any") -> bool:
        try:
            return self._use_cluster(connection, reply)
        except MALFORMED:
            return False

    def _use_cluster(self, connection: Connection, reply: "Any") -> bool:
        members = node_ids(reply)
        if not members:
            return False
        if self.connections and not self.is_cluster:
            what = f"{connection.address.label} is part of a cluster, and another URL names a plain server"
            self.conflict = f"{what}: {ONE_CLUSTER}"
            return False
        if self._members and not self._members & members:
            if connection in self._seeds:
                what = f"{connection.address.label} is part of another cluster than the other URLs"
                self.conflict = f"{what}: {ONE_CLUSTER}"
            return False
        self.is_cluster = True
        self._members |= members
        self._nodes |= {(node[0], node[1]) for slots in reply for node in slots[2:]}
        self.names = self.names or copies(*self._key, COPIES)
        found = [master_of_slot(names.slot, reply, connection.address) for names in self.names]
        self.connections = [None if address is None else self._connection(address) for address in found]
        return True

    def _connection(self, address: "Address") -> Connection:
        if not isinstance(address.port, int) or not 0 < address.port <= PORT_MAX or len(address.host) > HOST_MAX:
            raise ValueError
        label = address.label
        if label not in self.pool:
            self.pool[label] = Connection(self._loop, address, self._locate, buffered=True)
        return self.pool[label]
