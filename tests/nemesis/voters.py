"""The servers of one round: three or five alone, or a cluster of three masters with a replica each."""

import random
import re
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import redis

from cronlock.servers.placement import Names, copies
from tests.nemesis.network_namespaces import House, Room
from tests.support.commands import faked_clock, wait_until
from tests.support.servers import Closing, Cluster, Place, Proxy, Server, start_servers

TOPOLOGIES = {"three": 3, "five": 5, "cluster": 7}  # servers with rooms: the cluster's last one joins when asked
OPERATION = re.compile(" (prepare|commit|extend|finish|release) holder ")  # as MONITOR shows a call of the script


class Voters(Closing):
    """The servers, by what the nemesis needs of them. `proxied`: nodes reach them through proxies.

    `own_clocks` is a folder with a file for each that says how many seconds its clock is off.
    """

    def __init__(self, topology: str, house: House, proxied: bool, own_clocks: Path | None, password: str) -> None:
        self.password = password
        self.rooms = house.rooms[: TOPOLOGIES[topology]]
        places = [self._place(number, room, own_clocks) for number, room in enumerate(self.rooms)]
        options = {"requirepass": password} if password else {}
        if topology == "cluster":
            if password:
                options |= {"masterauth": password}
            self.cluster: Cluster | None = Cluster(places=places, **options)
            self.spare_place = places[-1]
        else:
            self.cluster = None
            self._servers = start_servers(len(places), places=places, **options)
        self.proxies = [Proxy(server, house.address) for server in self.all] if proxied else []
        self.each_of: list[str] = [""]  # names of the nodes that have a record of their own
        self.watch = Watch(self)
        self._replicas: dict[Server, Server] = {}

    def _place(self, number: int, room: Room, own_clocks: Path | None) -> Place:
        if not own_clocks:
            return Place(room.address, room.words)
        offset = own_clocks / f"clock{number}"
        offset.write_text("+0")
        env = faked_clock(FAKETIME_TIMESTAMP_FILE=str(offset), FAKETIME_NO_CACHE="1")
        return Place(room.address, room.words, tuple(env.items()))

    @property
    def all(self) -> list[Server]:
        """Every server process, the dead ones too."""
        return self.cluster.nodes if self.cluster else self._servers

    @property
    def voting(self) -> list[Server]:
        """Those that hold copies; of a cluster the masters."""
        return self.cluster.masters() if self.cluster else self._servers

    def urls(self, password: str) -> str:
        """What CRONLOCK_REDIS says."""
        urls = [place.url for place in self.proxies or self.all]
        return " ".join(url.replace("//", f"//:{password}@") if password else url for url in urls)

    def place(self, password: str) -> dict[str, str]:
        """What says where the voters are."""
        return {"CRONLOCK_REDIS": self.urls(password)}

    def one(self, rng: random.Random) -> Server:
        return rng.choice(sorted(self.voting, key=lambda server: server.port))

    def room(self, server: Server) -> Room:
        return next(room for room in self.rooms if room.address == server.place.address)

    def copies(self, key: str, node: str = "") -> list[tuple[Server, Names]]:
        """Every copy of a key, or of its record on one node, with the server that it lies on."""
        if self.cluster:
            return [(self.cluster.master_of(names.slot), names) for names in copies("cronlock", key, node)]
        (names,) = copies("cronlock", key, node, count=1)
        return [(server, names) for server in self._servers]

    def records(self, key: str, node: str = "") -> list[tuple[Server, dict[str, Any]]]:
        """What each copy holds; nothing of those whose server is away."""
        found = []
        for server, names in self.copies(key, node):
            try:
                record = server.redis.hgetall(names.keys[0]) if server.running else {}
            except redis.RedisError:
                record = {}
            found.append((server, record))
        return found

    def replica_of(self, master: Server) -> Server:
        """Of a cluster its replica; to a server alone one is added, beside it."""
        if self.cluster:
            (replica,) = self.cluster.replicas(master) or [self._replicas[master]]
            self._replicas[master] = replica
        elif master not in self._replicas:
            replica = self._replicas[master] = start_servers(1, places=[master.place])[0]
            for server in (master, replica):
                server.ask("CONFIG", "SET", "repl-diskless-sync-delay", "0")
            follow(replica, master)
        return self._replicas[master]

    def remembered(self, key: str, victim: Server | None) -> bool:
        """Whether all copies but the victim's hold the newest run as their server wrote it: it may go next."""
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
        """The leases that still run, by server."""
        left = []
        for server, record in (found for node in self.each_of for found in self.records(key, node)):
            if record.get("holder"):
                seconds, micros = server.redis.time()
                ms = int(record["lease_end"]) - (int(seconds) * 1000 + int(micros) // 1000)
                if 0 < ms <= 3_600_000:
                    left.append(f"{server.place.address}: {record['kind']} of {record.get('node')}, {ms} ms left")
        return left

    def heal(self) -> None:
        """Everybody runs again, with what they have."""
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
    """Returns when it has what its master has."""

    def synced() -> bool:
        link = replica.redis.info("replication")
        return link.get("master_port") == master.port and link["master_link_status"] == "up"

    replica.ask("REPLICAOF", master.place.address, master.port)
    wait_until(synced, 30, "a replica to have its master's data", 0.02)


class Watch:
    """What the servers are asked to do, seen with MONITOR: `wait` returns when one of them has just done it."""

    def __init__(self, voters: Voters) -> None:
        self.over = False
        self._voters = voters
        self._seen: Counter[str] = Counter()
        self._changed = threading.Condition()
        self._threads: list[threading.Thread] = []

    def wait(self, operation: str, timeout: float) -> bool:
        """Whether it was done within so many seconds, on any server."""
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
                            self._tell(found[1])
            except (redis.RedisError, OSError, ValueError):
                time.sleep(0.02)

    def _tell(self, operation: str) -> None:
        with self._changed:
            self._seen[operation] += 1
            self._changed.notify_all()
