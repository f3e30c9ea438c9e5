"""Real Redis and Valkey servers for the tests: one, several, a cluster, and a proxy that loses things on the way."""

import os
import re
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.support.binaries import default_binary
from tests.support.commands import heir, new_folder, remove_folder, wait_until
from tests.support.ports import BUS, PortTakenError, free_port

START_TIMEOUT = 20.0  # s
LOOPBACK = "127.0.0.1"
QUIET = {
    "protected-mode": "no",
    "daemonize": "no",
    "save": "",
    "appendonly": "no",
    "logfile": "server.log",
    "unixsocket": "server.sock",
    "databases": "16",
    "repl-diskless-sync-delay": "0",  # 5 s by default, before a replica gets its master's data
}


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
