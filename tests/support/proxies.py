"""A proxy that loses things on the way to a server, and servers that speak as a test wants."""

import asyncio
import contextlib
import socket
import socketserver
import ssl
import struct
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from tests.support.ports import free_port
from tests.support.servers import LOOPBACK, Closing, Server


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
