"""Servers without a server program: fakeredis behind its TCP server, for people's commands and real connections.

It runs cronlock's scripts with a Lua of its own. What it lacks of a server that is alone is added here: INFO, and the
answer to CLUSTER. What is about clusters, replicas, WAIT, memory or a restart needs a real server.
"""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import redis
from fakeredis import TcpFakeServer
from fakeredis._commands import command
from fakeredis._helpers import SimpleError
from fakeredis._socket import FakeSocket

LOOPBACK = "127.0.0.1"


VERSION = "8.0.0"


class _Commands:
    """Commands as fakeredis' own ones are written."""

    _server: Any

    @command(fixed=(bytes,), repeat=(bytes,))
    def cluster(self, *_words: bytes) -> None:
        raise SimpleError("ERR This instance has cluster support disabled")

    @command(fixed=(), repeat=(bytes,))
    def info(self, *_sections: bytes) -> bytes:
        run_id = run_id_of(self._server)
        fields = (
            f"redis_version:{VERSION} redis_mode:standalone run_id:{run_id} role:master master_replid:{run_id[::-1]}"
        )
        return fields.replace(" ", "\r\n").encode() + b"\r\n"


for _name in ("cluster", "info"):
    setattr(FakeSocket, _name, getattr(_Commands, _name))


def run_id_of(server: Any) -> str:
    """Return 40 hexadecimal digits of its own."""
    return hashlib.sha1(str(id(server)).encode(), usedforsecurity=False).hexdigest()


class FakeServer:
    """One server, in threads of this process, empty."""

    def __init__(self) -> None:
        self._tcp = TcpFakeServer((LOOPBACK, 0))
        self._tcp.daemon_threads = True
        self.port: int = self._tcp.server_address[1]
        threading.Thread(target=self._tcp.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def stamp(self) -> str:
        """Return the stamp that the script writes into a run, as at a real server."""
        run_id = run_id_of(self._tcp.fake_server)
        return f"{run_id}/{run_id[::-1]}"

    @property
    def url(self) -> str:
        return f"redis://{LOOPBACK}:{self.port}"

    def client(self, **kw: Any) -> "redis.Redis":
        """A redis-py client, as that of a real server; `kw` go to redis.Redis."""
        return redis.Redis(**{"host": LOOPBACK, "port": self.port, "decode_responses": True, "protocol": 2} | kw)

    def close(self) -> None:
        """Nothing listens there any more."""
        self._tcp.shutdown()
        self._tcp.server_close()


@contextmanager
def fake_servers(count: int) -> Iterator[list[FakeServer]]:
    """So many of them until the end of the block."""
    with ExitStack() as stack:
        servers = [FakeServer() for _ in range(count)]
        for server in servers:
            stack.callback(server.close)
        yield servers
