"""A service as Sentinel watches it: a master, a replica, and a sentinel that puts the one in place of the other."""

from pathlib import Path
from typing import Any

from tests.support.commands import wait_until
from tests.support.servers import START_TIMEOUT, Closing, Server, start_servers
from tests.support.tls import TlsServer, parameters

SERVICE = "jobs"
DOWN_AFTER = 300  # ms without an answer after which a master is down


class Sentinel(Server):
    """A sentinel process that is alone in watching a master: its own opinion is a quorum."""

    mode = ("--sentinel",)

    def __init__(self, binary: Path | None, master: Server, **kw: Any) -> None:
        self.watched = master
        super().__init__(binary, **kw)

    def config(self) -> str:
        lines = {**self.listens(), "bind": self.place.address, "dir": self.folder, "logfile": "server.log"}
        plain = [f"{name} {value}" for name, value in lines.items()]
        master = f"{self.watched.place.address} {self.watched.port}"
        return "\n".join(
            [
                *plain,
                f"sentinel monitor {SERVICE} {master} 1",
                f"sentinel down-after-milliseconds {SERVICE} {DOWN_AFTER}",
                f"sentinel failover-timeout {SERVICE} 5000",
                "",
            ]
        )

    def settings(self) -> tuple[Any, Any]:
        return "", self.ask("ACL", "LIST")


class TlsSentinel(TlsServer, Sentinel):
    """One that speaks TLS with clients, and with what it watches."""


class Service(Closing):
    """A master with a replica that has all its data, and the sentinel that tells who is master; with TLS, all of it."""

    def __init__(self, binary: Path | None = None, *, tls: bool = False, **options: Any) -> None:
        self.tls = tls
        kind = TlsServer if tls else Server
        self.servers = start_servers(2, binary, kind=kind, **options)
        self.sentinel: Sentinel | None = None
        try:
            master, replica = self.servers
            replica.ask("REPLICAOF", master.place.address, master.port)
            wait_until(lambda: self._up(replica), START_TIMEOUT, "the replica to be connected", 0.02)
            self.sentinel = (TlsSentinel if tls else Sentinel)(binary, master)
            wait_until(self._knows, START_TIMEOUT, "the sentinel to know the replica", 0.02)
        except BaseException:
            self.close()
            raise

    @staticmethod
    def _up(replica: Server) -> bool:
        return bool(replica.redis.info("replication")["master_link_status"] == "up")

    def _asked(self, *words: object) -> Any:
        assert self.sentinel
        return self.sentinel.ask("SENTINEL", *words)

    def _knows(self) -> bool:
        return len(self._asked("REPLICAS", SERVICE)) == 1

    @property
    def master(self) -> Server:
        """As the sentinel tells."""
        port = int(self._asked("GET-MASTER-ADDR-BY-NAME", SERVICE)[1])
        return next(server for server in self.servers if server.port == port)

    @property
    def urls(self) -> list[str]:
        """Of the service: a sentinel that is down, and the one that is not."""
        assert self.sentinel
        place = f"127.0.0.1:1,{self.sentinel.place.host}:{self.sentinel.port}/{SERVICE}"
        return [f"rediss+sentinel://{place}?{parameters()}" if self.tls else f"redis+sentinel://{place}"]

    def failover(self) -> Server:
        """Kills the master, whose replica has all that it has, and returns the one in its place (2 s or so)."""
        dead = self.master
        [replica] = [server for server in self.servers if server is not dead]
        self._level(dead)
        dead.kill()
        wait_until(lambda: self.master is replica, 30, "the replica to be promoted", 0.02)
        wait_until(self._settled, 10, "the end of the failover", 0.02)
        return replica

    @staticmethod
    def _level(master: Server) -> None:
        """Returns when its replica has all of its writes."""
        with master.redis.pipeline(transaction=False) as same:  # WAIT is for the writes of its own connection
            same.set("level", "", px=1)
            same.wait(1, 10_000)
            assert same.execute()[1] == 1, "the replica does not follow"

    def _settled(self) -> bool:
        """Return whether all commands of a sentinel name the same master, with no fault."""
        told = self._asked("MASTER", SERVICE)
        fields = dict(zip(told[::2], told[1::2], strict=True))
        return int(fields["port"]) == self.master.port and set(fields["flags"].split(",")) == {"master"}

    def close(self) -> None:
        for server in (*([self.sentinel] if self.sentinel else []), *self.servers):
            server.close()
