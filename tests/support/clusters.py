"""Real clusters of Redis or Valkey for the tests: failovers, moved slots, replicas."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from tests.support.commands import wait_until
from tests.support.servers import START_TIMEOUT, Closing, Place, Server, start_servers

SLOTS = 16384


NODE_TIMEOUT = 2000  # ms: a loaded machine must not cause a failover, a wanted one must not take long


CLUSTERED = {
    "cluster-enabled": "yes",
    "cluster-config-file": "nodes.conf",
    "cluster-node-timeout": str(NODE_TIMEOUT),
    "cluster-replica-validity-factor": "0",  # a replica that was stopped for long may be promoted all the same
    "repl-diskless-sync": "yes",
    "rdb-del-sync-files": "yes",  # a replica must not come back with what its first synchronization left on disk
}


@dataclass(frozen=True)
class Seen:
    """One line of CLUSTER NODES: what one node of a cluster says of another, or of itself."""

    id: str
    port: int
    flags: frozenset[str]
    master_id: str
    slots: tuple[range, ...]
    moving: tuple[str, ...]

    @classmethod
    def from_line(cls, line: str) -> "Seen":
        node_id, address, flags, master_id, _, _, _, _, *slots = line.split()
        ranges = (text.partition("-") for text in slots if text[0] != "[")
        return cls(
            id=node_id,
            port=int(address.partition("@")[0].rpartition(":")[2]),
            flags=frozenset(flags.split(",")) - {"myself"},
            master_id=master_id,
            slots=tuple(range(int(first), int(last or first) + 1) for first, _, last in ranges),
            moving=tuple(text for text in slots if text[0] == "["),
        )


class Cluster(Closing):
    """Masters, each with an equal part of the slots and some replicas; `options` and `places` as for servers."""

    def __init__(
        self,
        binary: Path | None = None,
        *,
        masters: int = 3,
        replicas: int = 1,
        kind: type[Server] = Server,
        places: Sequence[Place] = (),
        **options: Any,
    ) -> None:
        self.binary = binary
        self.kind = kind
        self.options: dict[str, Any] = CLUSTERED | {
            name.replace("_", "-"): str(value) for name, value in options.items()
        }
        self.nodes = start_servers(masters * (1 + replicas), binary, kind=kind, places=places, **self.options)
        try:
            self._join(masters)
        except BaseException:
            self.close()
            raise
        self.built = self.layout()

    def _join(self, masters: int) -> None:
        for number, node in enumerate(self.nodes):
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)  # else they collide, one by one
            if number < masters:
                slots = range(number * SLOTS // masters, (number + 1) * SLOTS // masters)
                node.ask("CLUSTER", "ADDSLOTS", *slots)  # ADDSLOTSRANGE came with 7.0
        for number, node in enumerate(self.nodes):
            self._meet(node, self.nodes[:number])
        for node in self.nodes:
            self._introduce(node)
        for number, replica in enumerate(self.nodes[masters:]):
            self._replicate(replica, self.nodes[number % masters])
        self.wait_ok()

    @staticmethod
    def _meet(node: Server, others: Iterable[Server]) -> None:
        """Everybody meets everybody: gossip alone would take seconds."""
        for other in others:
            node.ask("CLUSTER", "MEET", other.place.address, other.port, other.bus_port)

    def _replicate(self, replica: Server, master: Server) -> None:
        def known() -> bool:
            return any(seen.port == master.port and "handshake" not in seen.flags for seen in self.view(replica))

        wait_until(known, START_TIMEOUT, "a replica to know its master")
        replica.ask("CLUSTER", "REPLICATE", self.id_of(master))

    @property
    def urls(self) -> list[str]:
        """Of the masters."""
        return [master.url for master in self.masters()]

    @property
    def seeds(self) -> list[str]:
        """Of all nodes, dead ones too."""
        return [node.url for node in self.nodes]

    def running(self) -> list[Server]:
        return [node for node in self.nodes if node.running]

    @staticmethod
    def view(node: Server) -> list[Seen]:
        """The cluster as one node sees it."""
        return [Seen.from_line(line) for line in node.ask("CLUSTER", "NODES").splitlines()]

    @staticmethod
    def id_of(node: Server) -> str:
        return str(node.ask("CLUSTER", "MYID"))

    def _server(self, port: int) -> Server:
        return next(node for node in self.nodes if node.port == port)

    def _with_role(self, role: str) -> list[Server]:
        seen = {node.port: node.flags for node in self.view(self.running()[0])}
        return [node for node in self.running() if role in seen[node.port]]

    def owners(self) -> list[Server]:
        """The master of each slot."""
        by_port = {node.port: node for node in self.nodes}
        owners: dict[int, Server] = {}
        for seen in self.view(self.nodes[0]):
            for part in seen.slots:
                owners |= dict.fromkeys(part, by_port[seen.port])
        return [owners[slot] for slot in range(SLOTS)]

    def masters(self) -> list[Server]:
        """The running ones, an empty one among them."""
        return self._with_role("master")

    def replicas(self, master: Server | None = None) -> list[Server]:
        """The running ones, of one master or of all."""
        if master is None:
            return self._with_role("slave")
        seen = self.view(self.running()[0])
        wanted = next(node.id for node in seen if node.port == master.port)
        return [node for node in self.replicas() if any(s.port == node.port and s.master_id == wanted for s in seen)]

    def slot_of(self, key: str) -> int:
        return int(self.running()[0].ask("CLUSTER", "KEYSLOT", key))

    def master_of(self, slot: int) -> Server:
        """The owner of a slot, dead or alive, as a running node sees it."""
        for seen in self.view(self.running()[0]):
            if any(slot in part for part in seen.slots):
                return self._server(seen.port)
        raise LookupError(f"nobody has slot {slot}")

    def layout(self) -> tuple[object, ...]:
        """All that a test can change for good: nodes, roles, slots, half-done migrations, settings."""
        return tuple(
            (node.port, sorted(self.view(node), key=lambda seen: seen.port), node.settings()) for node in self.nodes
        )

    def _ok(self) -> bool:
        """Return whether all running nodes serve all slots and agree on roles, and all replicas are connected."""
        ports = {node.port for node in self.running()}
        opinions = set()
        for node in self.running():
            if "cluster_state:ok" not in node.ask("CLUSTER", "INFO"):
                return False
            link = node.redis.info("replication")
            if link["role"] == "slave" and link["master_link_status"] != "up":
                return False
            view = self.view(node)
            known = [seen for seen in view if seen.port in ports]
            if len(known) < len(ports) or any(seen.flags & {"handshake", "fail", "fail?"} for seen in known):
                return False
            roles = frozenset((seen.port, "master" in seen.flags, seen.master_id) for seen in known)
            opinions.add((roles, frozenset((seen.port, seen.slots) for seen in view if seen.slots)))
        return len(opinions) == 1

    def wait_ok(self, timeout: float = 30) -> None:
        """Returns as soon as all running nodes serve all slots and agree, and all running replicas are connected."""

        def ok() -> bool:
            try:
                return self._ok()
            except redis.RedisError:
                return False

        try:
            wait_until(ok, timeout, "the cluster to be well", 0.02)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self._opinions()}") from None

    def _opinions(self) -> str:
        """Return the view of each running node, for the reader of a failure."""
        told = []
        for node in self.running():
            try:
                told.append(f"{node.port}: {node.ask('CLUSTER', 'INFO').split()[0]}\n{node.ask('CLUSTER', 'NODES')}")
            except redis.RedisError as error:
                told.append(f"{node.port}: {error}")
        return "\n".join(told)

    def failover(self, master: Server) -> Server:
        """Kills a master and returns the replica that the cluster put in its place (4 s or so)."""
        slot = next(seen.slots[0][0] for seen in self.view(master) if seen.port == master.port)
        master.kill()
        wait_until(lambda: self.master_of(slot) is not master, 30, "a replica to be promoted", 0.02)
        self.wait_ok()
        return self.master_of(slot)

    def add_master(self, place: Place | None = None) -> Server:
        """A further master, without slots."""
        node = self.kind(self.binary, place=place or Place(), **self.options)
        self.nodes.append(node)
        self._introduce(node)
        self.wait_ok()
        return node

    def _introduce(self, node: Server) -> None:
        """Until it knows all others: on a slow machine a handshake takes longer than it may, and is forgotten."""
        others = [other for other in self.running() if other is not node]

        def known() -> bool:
            seen = {seen.port for seen in self.view(node) if "handshake" not in seen.flags}
            unknown = [other for other in others if other.port not in seen]
            self._meet(node, unknown)
            return not unknown

        wait_until(known, START_TIMEOUT, "a new node to be known", 0.1)

    def begin_migration(self, slot: int, target: Server) -> None:
        """From now on the slot's owner answers ASK for keys that it doesn't have, and has, after `move_keys`, none."""
        source = self.master_of(slot)
        target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", self.id_of(source))
        source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", self.id_of(target))

    def move_keys(self, slot: int, target: Server, *, count: int = 1_000_000) -> int:
        """Moves up to so many keys of a slot whose migration has begun, and returns how many."""
        source = self.master_of(slot)
        keys = source.ask("CLUSTER", "GETKEYSINSLOT", slot, count)
        if keys:
            source.ask("MIGRATE", target.place.address, target.port, "", 0, 2000, "KEYS", *keys)
        return len(keys)

    def finish_migration(self, slot: int, target: Server) -> None:
        """Tells all masters of the new owner, itself first: it could lose the slot to its own ignorance otherwise."""
        source, owner = self.master_of(slot), self.id_of(target)
        others = [node for node in self.masters() if node not in (source, target)]
        for node in (target, source, *others):
            node.ask("CLUSTER", "SETSLOT", slot, "NODE", owner)
        self.wait_ok()

    def migrate(self, slot: int, target: Server) -> None:
        """Moves a slot with its keys to another master."""
        self.begin_migration(slot, target)
        self.move_keys(slot, target)
        self.finish_migration(slot, target)

    def reset(self) -> None:
        """Empties it."""
        for master in self.masters():
            master.redis.flushall()

    def heal(self) -> None:
        """As new, whatever a test did to it. Raises when only a new cluster would do."""
        for node in self.nodes:
            node.continue_process()
        if not all(node.running for node in self.nodes):
            raise RuntimeError("a node is dead")
        self.reset()
        self.wait_ok(10)
        if self.layout() != self.built:
            raise RuntimeError("roles, slots or settings have changed")

    def close(self) -> None:
        for node in self.nodes:
            node.close()
