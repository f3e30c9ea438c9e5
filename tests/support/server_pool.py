"""Servers that tests share, each as new for its test."""

from pathlib import Path

from tests.support.clusters import Cluster
from tests.support.servers import Server, start_servers


class Pool:
    """The servers that tests share, by binary; started when first needed, mended when needed again."""

    def __init__(self) -> None:
        self._servers: dict[Path, list[Server]] = {}
        self._clusters: dict[Path, Cluster] = {}

    def servers(self, binary: Path, count: int) -> list[Server]:
        servers = self._servers.setdefault(binary, [])
        for server in servers[:count]:
            server.heal()
        servers += start_servers(count - len(servers), binary)
        return servers[:count]

    def cluster(self, binary: Path) -> Cluster:
        if cluster := self._clusters.pop(binary, None):
            try:
                cluster.heal()
            except Exception:  # whatever it is, a new one won't have it
                cluster.close()
                cluster = None
        self._clusters[binary] = cluster or Cluster(binary)
        return self._clusters[binary]

    def close(self) -> None:
        for server in [server for servers in self._servers.values() for server in servers]:
            server.close()
        for cluster in self._clusters.values():
            cluster.close()
