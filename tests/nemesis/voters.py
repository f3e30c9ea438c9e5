"""The servers of one round: three or five separate ones, or a cluster of three masters with one replica each."""

import random
import re
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import redis

from cronlock.servers.placement import Names, copies
from tests.nemesis.network_namespaces import BridgedNetwork, Namespace
from tests.support.clusters import Cluster
from tests.support.commands import faked_clock, wait_until
from tests.support.proxies import Proxy
from tests.support.servers import Closing, Place, Server, start_servers

TOPOLOGIES = {"three": 3, "five": 5, "cluster": 7}  # servers with namespaces; the cluster's last one joins on demand
OPERATION = re.compile(" (prepare|commit|extend|finish|release) holder ")  # as MONITOR shows a call of the script


class Voters(Closing):
    """The servers, with the interface that the nemesis needs. `proxied`: nodes reach them through proxies.

    `own_clocks` is a folder with one file for each server, which contains the offset of its clock in seconds.
    """

    def __init__(
        self, topology: str, network: BridgedNetwork, proxied: bool, own_clocks: Path | None, password: str
    ) -> None:
        self.password = password
        self.namespaces = network.namespaces[: TOPOLOGIES[topology]]
        places = [self._place(number, namespace, own_clocks) for number, namespace in enumerate(self.namespaces)]
        options = {"requirepass": password} if password else {}
        if topology == "cluster":
            if password:
                options |= {"masterauth": password}
            self.cluster: Cluster | None = Cluster(places=places, **options)
            self.spare_place = places[-1]
        else:
            self.cluster = None
            self._servers = start_servers(len(places), places=places, **options)
        self.proxies = [Proxy(server, network.address) for server in self.all] if proxied else []
        self.each_of: list[str] = [""]  # names of the nodes with records of their own
        self.watch = Watch(self)
        self._replicas: dict[Server, Server] = {}

    def _place(self, number: int, namespace: Namespace, own_clocks: Path | None) -> Place:
        if not own_clocks:
            return Place(namespace.address, namespace.words)
        offset = own_clocks / f"clock{number}"
        offset.write_text("+0")
        env = faked_clock(FAKETIME_TIMESTAMP_FILE=str(offset), FAKETIME_NO_CACHE="1")
        return Place(namespace.address, namespace.words, tuple(env.items()))

    @property
    def all(self) -> list[Server]:
        """Every server process, dead ones included."""
        return self.cluster.nodes if self.cluster else self._servers

    @property
    def voting(self) -> list[Server]:
        """The servers that hold copies; the masters of a cluster."""
        return self.cluster.masters() if self.cluster else self._servers

    def urls(self, password: str) -> str:
        """Return the value of CRONLOCK_REDIS."""
        urls = [place.url for place in self.proxies or self.all]
        return " ".join(url.replace("//", f"//:{password}@") if password else url for url in urls)

    def place(self, password: str) -> dict[str, str]:
        """Return the environment variables that name the voters."""
        return {"CRONLOCK_REDIS": self.urls(password)}

    def one(self, rng: random.Random) -> Server:
        return rng.choice(sorted(self.voting, key=lambda server: server.port))

    def namespace(self, server: Server) -> Namespace:
        return next(namespace for namespace in self.namespaces if namespace.address == server.place.address)

    def copies(self, key: str, node: str = "") -> list[tuple[Server, Names]]:
        """Return every copy of a key, or of its record for one node, with the server that holds it."""
        if self.cluster:
            return [(self.cluster.master_of(names.slot), names) for names in copies("cronlock", key, node)]
        (names,) = copies("cronlock", key, node, count=1)
        return [(server, names) for server in self._servers]

    def records(self, key: str, node: str = "") -> list[tuple[Server, dict[str, Any]]]:
        """Return the record of each copy; empty if its server is down."""
        found = []
        for server, names in self.copies(key, node):
            try:
                record = server.redis.hgetall(names.keys[0]) if server.running else {}
            except redis.RedisError:
                record = {}
            found.append((server, record))
        return found

    def replica_of(self, master: Server) -> Server:
        """Return a master's replica; a separate server gets one."""
        if self.cluster:
            (replica,) = self.cluster.replicas(master) or [self._replicas[master]]
            self._replicas[master] = replica
        elif master not in self._replicas:
            replica = self._replicas[master] = start_servers(1, places=[master.place])[0]
            follow(replica, master)
        return self._replicas[master]

    def remembered(self, key: str, victim: Server | None) -> bool:
        """Return whether all copies except the victim's hold the newest run as their server wrote it.

        Only then may the victim forget.
        """
        return all(self._remembered(self.records(key, node), victim) for node in self.each_of)

    @staticmethod
    def _remembered(records: list[tuple[Server, dict[str, Any]]], victim: Server | None) -> bool:
        newest = max((record.get("token", "") for _, record in records), key=lambda token: int(token or 0))
        return all(
            record.get("token") == newest and record.get("run_id") == server.stamp
            for server, record in records
            if server is not victim
        )

    def leases(self, key: str) -> list[str]:
        """Return the live leases by server."""
        left = []
        for server, record in (found for node in self.each_of for found in self.records(key, node)):
            if record.get("holder"):
                seconds, micros = server.redis.time()
                ms = int(record["lease_end"]) - (int(seconds) * 1000 + int(micros) // 1000)
                if 0 < ms <= 3_600_000:
                    left.append(f"{server.place.address}: {record['kind']} of {record.get('node')}, {ms} ms left")
        return left

    def heal(self) -> None:
        """Start or continue all servers with the data that they have."""
        for server in self.all:
            server.continue_process()
            if not server.running:
                server.restart()
        for proxy in self.proxies:
            proxy.pass_all()
        if self.cluster:
            self.cluster.wait_ok()

    def close(self) -> None:
        self.watch.over = True
        added = () if self.cluster else self._replicas.values()
        for closing in (*added, *self.proxies, *([self.cluster] if self.cluster else self._servers)):
            closing.close()


def follow(replica: Server, master: Server) -> None:
    """Make a server the replica of a master and wait until it has its data."""

    def synced() -> bool:
        link = replica.redis.info("replication")
        return link.get("master_port") == master.port and link["master_link_status"] == "up"

    replica.ask("REPLICAOF", master.place.address, master.port)
    wait_until(synced, 30, "a replica to have its master's data", 0.02)


class Watch:
    """Operations that the servers execute, seen with MONITOR; `wait` returns right after one."""

    def __init__(self, voters: Voters) -> None:
        self.over = False
        self._voters = voters
        self._seen: Counter[str] = Counter()
        self._changed = threading.Condition()
        self._threads: list[threading.Thread] = []

    def wait(self, operation: str, timeout: float) -> bool:
        """Return whether the operation was executed within this time, on any server."""
        if not self._threads:
            self._threads = [
                threading.Thread(target=self._monitor, args=(server,), daemon=True) for server in self._voters.all
            ]
            for thread in self._threads:
                thread.start()
        with self._changed:
            before = self._seen[operation]
            return self._changed.wait_for(lambda: self._seen[operation] > before, timeout)

    def _monitor(self, server: Server) -> None:
        while not self.over:
            try:
                with server.client(socket_timeout=None).monitor() as monitor:
                    for line in monitor.listen():
                        if found := OPERATION.search(line["command"]):
                            self._record(found[1])
            except (redis.RedisError, OSError, ValueError):
                time.sleep(0.02)

    def _record(self, operation: str) -> None:
        with self._changed:
            self._seen[operation] += 1
            self._changed.notify_all()
