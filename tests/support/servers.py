"""Real Redis and Valkey servers for the tests: one, several, a cluster, and a proxy that loses things on the way."""

import asyncio
import contextlib
import os
import random
import re
import signal
import socket
import socketserver
import ssl
import struct
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.support.binaries import default_binary
from tests.support.commands import heir, new_folder, remove_folder, wait_until

SLOTS = 16384
NODE_TIMEOUT = 2000  # ms: a loaded machine must not cause a failover, a wanted one must not take long
START_TIMEOUT = 20.0  # s
BUS = 10_000  # from a node's port to that of its cluster bus
# Below the ports that the kernel gives to clients, or one could take a dead server's port before it is restarted; the
# cluster bus listens 10000 above.
PORTS = range(10_000, 22_000)
LOOPBACK = "127.0.0.1"
QUIET = {
    "protected-mode": "no",
    "daemonize": "no",
    "save": "",
    "appendonly": "no",
    "logfile": "server.log",
    "unixsocket": "server.sock",
    "databases": "16",
}
CLUSTERED = {
    "cluster-enabled": "yes",
    "cluster-config-file": "nodes.conf",
    "cluster-node-timeout": str(NODE_TIMEOUT),
    "cluster-replica-validity-factor": "0",  # a replica that was stopped for long may be promoted all the same
    "repl-diskless-sync": "yes",
    "repl-diskless-sync-delay": "0",  # 5 s by default
    "rdb-del-sync-files": "yes",  # a replica must not come back with what its first synchronization left on disk
}


def _free(port: int) -> bool:
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """A port which nobody listens on now, nor on its cluster bus."""
    for _ in range(1000):
        port = random.choice(PORTS)
        if _free(port) and _free(port + BUS):
            return port
    raise RuntimeError(f"no free port among {PORTS}")


class PortTakenError(Exception):
    """Raised when somebody else was faster to listen on a server's port."""


@dataclass(frozen=True)
class Place:
    """The place of a server: its address, the words before its command line, additions to its environment."""

    address: str = LOOPBACK
    words: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()

    @property
    def host(self) -> str:
        """The address, as it stands in a URL."""
        return f"[{self.address}]" if ":" in self.address else self.address


class Closing:
    """To be used in `with`."""

    def close(self) -> None:
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


class Server(Closing):
    """One server process on an address and a unix socket, in a folder of its own, empty, without persistence.

    It listens on another port than `port` if that is taken. `options` are lines of redis.conf, with _ for -:
    Server(maxmemory="1mb", save="60 1").
    """

    mode: tuple[str, ...] = ()  # words behind the name of its configuration

    def __init__(
        self,
        binary: Path | None = None,
        *,
        port: int | None = None,
        ready: bool = True,
        place: Place = Place(),
        **options: Any,
    ) -> None:
        self.binary = binary or default_binary()
        self.place = place
        self.options: dict[str, Any] = QUIET | {"bind": place.address}
        self.options |= {name.replace("_", "-"): str(value) for name, value in options.items()}
        self.folder = new_folder()
        self.port = port or free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self.stopped = False
        self._launch()
        if ready:
            self.wait_ready()

    @property
    def url(self) -> str:
        return f"redis://{self.place.host}:{self.port}"

    @property
    def bus_port(self) -> int:
        """The port for the other nodes of its cluster."""
        return self.port + BUS

    @property
    def unix_url(self) -> str:
        return f"unix://{self.folder}/server.sock"

    @property
    def pid(self) -> int:
        if self.process is None:
            raise RuntimeError("the server was killed")
        return self.process.pid

    @property
    def running(self) -> bool:
        """Started, not ended, not stopped."""
        return self.process is not None and not self.stopped and self.process.poll() is None

    @property
    def log(self) -> str:
        return "".join(
            (self.folder / name).read_text(errors="replace")
            for name in ("output", "server.log")
            if (self.folder / name).exists()
        )

    @property
    def run_id(self) -> str:
        """Another one after each restart."""
        return str(self.redis.info("server")["run_id"])

    @property
    def stamp(self) -> str:
        """Return the stamp that the script writes into a run: the owner of these data, and the last promotion."""
        return f"{self.run_id}/{self.redis.info('replication')['master_replid']}"

    def client(self, **kw: Any) -> "redis.Redis":
        """A redis-py client that gives up after 2 s, never tries again, and decodes replies; `kw` go to redis.Redis."""
        defaults: dict[str, Any] = {
            "host": self.place.address,
            "port": self.port,
            "password": self.options.get("requirepass"),
            "socket_timeout": 2,
            "socket_connect_timeout": 2,
            "retry": Retry(NoBackoff(), 0),
            "decode_responses": True,
            "protocol": 2,
        }
        return redis.Redis(**defaults | kw)

    def ask(self, *words: object) -> Any:
        """The reply to a command, as redis-py gives it; two words, as in "CLUSTER", "NODES", give it as it came."""
        return self.redis.execute_command(*words)  # type: ignore[no-untyped-call]

    def listens(self) -> dict[str, Any]:
        """The lines of its configuration that say on which ports."""
        return {"port": self.port}

    def move(self) -> None:
        """Another port, before the next start: its own got taken."""
        self.port = free_port()

    def config(self) -> str:
        lines = {**self.options, **self.listens(), "dir": self.folder}
        return "".join(f"{name} {value if value != '' else chr(34) * 2}\n" for name, value in lines.items())

    def _launch(self) -> None:
        (self.folder / "server.conf").write_text(self.config())
        for name in ("server.log", "output"):
            (self.folder / name).unlink(missing_ok=True)
        with (self.folder / "output").open("wb") as output:
            self.process = subprocess.Popen(
                [*self.place.words, self.binary, self.folder / "server.conf", *self.mode],
                env=os.environ | dict(self.place.env),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        heir().tell(f"+pid {self.process.pid}")
        self.stopped = False
        self.redis = self.client()

    def _answers(self) -> bool:
        """Return whether this server answers, and not another one on its port."""
        if self.process is None or self.process.poll() is not None:
            self.kill()
            if re.search("Address already in use|Failed listening", self.log):
                raise PortTakenError(f"port {self.port} is taken")
            raise RuntimeError(f"{self.binary} ended at its start:\n{self.log[-2000:]}")
        try:
            return bool(self.redis.info("server")["process_id"] == self.pid and self.redis.ping())
        except redis.RedisError:  # not listening yet, or still loading
            return False

    def wait_ready(self, *, other_port: bool = True) -> None:
        """Returns as soon as the server answers; begins again on another port when its port got taken."""
        for _ in range(10):
            try:
                wait_until(self._answers, START_TIMEOUT, f"{self.binary} to answer on port {self.port}", 0.005)
            except PortTakenError:
                if not other_port:
                    raise
                self.move()
                self._launch()
            except BaseException:
                self.close()
                raise
            else:
                self.built = self.settings()
                return
        raise PortTakenError("ten ports in a row were taken")

    def settings(self) -> tuple[Any, Any]:
        """Return the settings that a test may change with CONFIG SET, ACL SETUSER or REPLICAOF."""
        return self.ask("CONFIG", "GET", "*"), self.ask("ACL", "LIST")

    def stop_process(self) -> None:
        """SIGSTOP: connections stay, the kernel accepts new ones, nothing answers. Returns when it has stopped."""
        os.kill(self.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WNOWAIT)
        self.stopped = True

    def given_up(self) -> int:
        """Return how many connections clients have closed since it was stopped (IPv4: sockets in CLOSE_WAIT)."""
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        return [(row[1].split(":")[1], row[3]) for row in rows].count((f"{self.port:04X}", "08"))

    def continue_process(self) -> None:
        if self.stopped:
            os.kill(self.pid, signal.SIGCONT)
            self.stopped = False

    def kill(self) -> None:
        """SIGKILL: connections are reset, new ones are refused. Returns when the process is gone."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            heir().tell(f"-pid {self.process.pid}")
        self.process, self.stopped = None, False

    def restart(self, *, empty: bool = False, other_port: bool = False, wait: bool = True) -> None:
        """Kills and starts it on the same port: with what its dump or append-only file has, or empty."""
        self.kill()
        if empty:
            (self.folder / "dump.rdb").unlink(missing_ok=True)
            (self.folder / "appendonly.aof").unlink(missing_ok=True)
            remove_folder(self.folder / "appendonlydir")
        self._launch()
        if wait:
            self.wait_ready(other_port=other_port)

    def heal(self) -> None:
        """As new, whatever a test did to it: running, empty, with its first settings."""
        self.continue_process()
        try:
            if self.running and self.settings() == self.built and self.redis.flushall():
                return
        except redis.RedisError:
            pass
        self.restart(empty=True, other_port=True)

    def close(self) -> None:
        self.kill()
        remove_folder(self.folder)


def start_servers(
    count: int,
    binary: Path | None = None,
    *,
    kind: type[Server] = Server,
    places: Sequence[Place] = (),
    **options: Any,
) -> list[Server]:
    """Several servers, all at once; each in a place of its own when there are `places`."""
    servers = [
        kind(binary, ready=False, place=place, **options)
        for place in [*places, *[Place()] * (count - len(places))][:count]
    ]
    try:
        for server in servers:
            server.wait_ready()
    except BaseException:
        for server in servers:
            server.close()
        raise
    return servers


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

    def add_master(self, place: Place = Place()) -> Server:
        """A further master, without slots."""
        node = self.kind(self.binary, place=place, **self.options)
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


class Proxy(Closing):
    """A TCP relay in front of a server, with a thread of its own, that can lose or delay what goes through.

    What it lost is lost; a new mode holds for what arrives from then on, on connections that stand as well.
    """

    tls: ssl.SSLContext | None = None  # spoken with clients

    def __init__(self, server: Server, address: str = LOOPBACK, port: int = 0) -> None:
        self.server = server
        self.address = address
        self.port = port
        self.request_bytes = 0  # that arrived from clients, lost ones too
        self.reply_bytes = 0  # that arrived from the server, lost ones too
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        self._listener: asyncio.Server | None = None
        self._pipes: set[asyncio.StreamWriter] = set()
        self.pass_all()

    @property
    def url(self) -> str:
        return f"redis://{self.address}:{self.port}"

    @property
    def target(self) -> tuple[str, int]:
        """The address of the server."""
        return self.server.place.address, self.server.port

    def pass_all(self) -> None:
        self._mode()

    def drop_replies(self) -> None:
        """Requests arrive and are carried out, but nobody hears of it."""
        self._mode(lose_replies=True)

    def drop_requests(self, *operations: str) -> None:
        """Nothing arrives, or nothing that comes with such an operation of the script; connections stay."""
        self._mode(lose_requests=True, only=operations)

    def delay(self, ms: float, *, requests: bool = False) -> None:
        """Replies come so much later, or requests arrive so much later; several may be under way."""
        self._mode(delay_requests=ms / 1000 if requests else 0, delay_replies=0 if requests else ms / 1000)

    def cut(self) -> None:
        """Connections are reset, new ones refused."""
        self._mode(listen=False)
        self.disconnect()

    def disconnect(self) -> None:
        """Connections are reset, new ones welcome."""
        self._run(self._disconnect)

    def close(self) -> None:
        if self._thread.is_alive():
            self.cut()
            self._run(self._finish)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(5)
            self._loop.close()

    def _mode(
        self,
        *,
        lose_requests: bool = False,
        only: Iterable[str] = (),
        lose_replies: bool = False,
        delay_requests: float = 0,
        delay_replies: float = 0,
        listen: bool = True,
    ) -> None:
        self._only = [f"\r\n{operation}\r\n".encode() for operation in only]
        self._lose = {"request_bytes": lose_requests, "reply_bytes": lose_replies}
        self._delay = {"request_bytes": delay_requests, "reply_bytes": delay_replies}
        self._run(self._listen if listen else self._refuse)

    def _run(self, job: Callable[[], Any]) -> None:
        asyncio.run_coroutine_threadsafe(job(), self._loop).result(10)

    async def _listen(self) -> None:
        if self._listener is None:
            self.port = self.port or free_port()
            self._listener = await asyncio.start_server(self._relay, self.address, self.port, ssl=self.tls)

    async def _refuse(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    async def _disconnect(self) -> None:
        for writer in [pipe for pipe in self._pipes if not pipe.is_closing()]:
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    async def _finish(self) -> None:
        await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()}, return_exceptions=True)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._pipes.add(writer)
        try:
            far_reader, far_writer = await asyncio.open_connection(*self.target)
            self._pipes.add(far_writer)
            try:
                await asyncio.gather(
                    self._pump(reader, far_writer, "request_bytes"), self._pump(far_reader, writer, "reply_bytes")
                )
            finally:
                self._pipes.discard(far_writer)
                far_writer.transport.abort()
        except OSError:
            pass
        finally:
            self._pipes.discard(writer)
            writer.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: str) -> None:
        due = 0.0
        while chunk := await reader.read(65536):
            setattr(self, way, getattr(self, way) + len(chunk))
            if not self._lose[way] or (self._only and not any(word in chunk for word in self._only)):
                due = max(due, self._loop.time() + self._delay[way])  # what came first goes first
                self._loop.call_at(due, writer.write, chunk)
        self._loop.call_at(due, writer.close)


class Listener(socketserver.ThreadingTCPServer):
    """Lets a handler of the tests' own speak in place of a server, to each connection."""

    daemon_threads = True


@contextlib.contextmanager
def listening(talk: type[socketserver.StreamRequestHandler]) -> Iterator[str]:
    """The URL of it."""
    with Listener(("127.0.0.1", 0), talk) as listener:
        threading.Thread(target=listener.serve_forever, args=(0.05,), daemon=True).start()
        yield f"redis://127.0.0.1:{listener.server_address[1]}"
        listener.shutdown()
