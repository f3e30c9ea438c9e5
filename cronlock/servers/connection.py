"""RESP over non-blocking sockets: requests go out in order, answers come back to whoever asked, nobody waits here."""

import os

import hiredis

from cronlock.lock.protocol import Failure
from cronlock.process.event_loop import READ, WRITE, boottime, socket

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from cronlock.process.event_loop import Loop
    from cronlock.servers.locator import Locator
    from cronlock.servers.tls import Session
    from cronlock.servers.url import Address

    SocketAddress = tuple[int, Any]  # address family, and what connect(2) takes
    Callback = Callable[[Any], None]  # gets a reply, a hiredis.ReplyError, or a Failure of the connection
    OnMessage = Callable[[bytes, bytes], None]  # gets channel and payload of a message

CHUNK = 16_384  # bytes that are read at once: some answers of the script
LONGEST = 16_777_216  # bytes of one reply: a thousand times the longest that any server has to say
SILENCE = 1_000  # ms without progress, after which a connection counts as lost: it may have died without a word
TLS_ALERT = b"\x15"  # how a server that wants TLS begins its answer to what is none (RFC 8446, B.1)
SAID_MAX = 300  # characters of an error reply: the longest of Redis's own have 200
PASSING = (  # replies that waiting may cure: restarts, failovers, migrations, full memory
    "LOADING READONLY CLUSTERDOWN MASTERDOWN TRYAGAIN BUSY OOM MISCONF NOREPLICAS MOVED ASK".split()
)

ADVICE = {
    "READONLY": ": it is a replica: name its master",
    "WRONGPASS": ": put the right user and password into its URL",
    "NOAUTH": ": put a password into its URL",
    "unknown command 'CLUSTER'": ": of a sentinel the URL is redis+sentinel://HOST/SERVICE",
    "unknown command 'SENTINEL'": ": it is no sentinel",
}


def refused_by_server(label: str, text: str) -> Failure:
    """What an error reply means: passing, also when a script's error wraps it (Redis 6.2), or final."""
    words = text.replace("-", " ").split()
    passing = any(code in words for code in PASSING) or "max number of clients" in text
    if "script" in text:  # where in it is nobody's business: 7.0 tells it behind the error, 6.2 in front
        text = text.partition(" script: ")[0].rpartition(": -")[2]
    todo = next((ADVICE[code] for code in ADVICE if code in text), "")
    return Failure(f"{label}: {shortened(text.rstrip('. '))}{todo}", final=not passing)


def shortened(text: str) -> str:
    """What a server says, as far as a line should hold it."""
    return text if len(text) <= SAID_MAX else f"{text[:SAID_MAX]}..."


def pack(words: "Sequence[bytes]") -> bytes:
    """A request as RESP's array of bulk strings."""
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        parts.append(b"$%d\r\n%b\r\n" % (len(word), word))
    return b"".join(parts)


class TlsError(Exception):
    """Raised when a connection is not the safe one that was asked for; waiting will not help."""

    def __init__(self, what: str, todo: str = "") -> None:
        super().__init__(f"{what}: {todo}" if todo else what)
        self.what, self.todo = what, todo


class Connection:
    """One connection to one server, opened by the first request and again by the next one after a failure.

    One that subscribes to something is told of messages by `heard`. One that is `corked` sends what has been queued
    together, with `flush`: several copies may lie on one server. `places`: where to connect to, when that is known.
    """

    def __init__(
        self,
        loop: "Loop",
        address: "Address",
        heard: "OnMessage | None" = None,
        buffered: bool = False,
        places: "Sequence[SocketAddress]" = (),
    ) -> None:
        self.address = address
        self._corked = buffered
        self._heard = heard
        self._loop = loop
        self._socket: socket.socket | None = None
        self._search: Locator | None = None
        self._places: list[SocketAddress] = list(places)
        self._host = address.host  # as its certificate has it
        self._tls: Session | None = None
        self._opened = False
        self._connected = False
        self._out = bytearray()
        self._waiting: list[Callback] = []
        self._heard_at = 0  # ms, of boottime(): the last progress, or the first request after all were answered
        self._reader = hiredis.Reader()
        self._unread = 0  # bytes since the last reply
        self._answered = False  # ever
        self.failures = 0  # how often it was lost

    @property
    def idle(self) -> bool:
        """Whether nothing is under way."""
        return not self._waiting

    @property
    def time_left(self) -> int:
        """How many ms more to wait for the answers under way; 0 or less when it is time to fail."""
        if self._search and not all(connection.idle for connection in self._search.connections):
            return SILENCE  # it is they who lose patience
        return self._heard_at + SILENCE - boottime()

    def shorten_timeout(self, ms: int) -> None:
        """Lose patience in so many ms."""
        self._heard_at = min(self._heard_at, boottime() - SILENCE + ms)

    @property
    def silence(self) -> str:
        """How to say that nothing came."""
        waits_for_tls = self._connected and self._tls and not self._tls.shaken
        return "no answer to TLS: a server without it wants redis://" if waits_for_tls else "no answer"

    @property
    def parts(self) -> "list[Connection]":
        """It, and those that it asks for its place."""
        asked = self._search.connections if self._search else ()
        return [self, *(part for connection in asked for part in connection.parts)]

    def send(self, words: "Sequence[bytes]", done: "Callback") -> None:
        """Queue a request; `done` gets its reply, or the Failure that ended the connection."""
        opening = not self._opened
        if not self._waiting:
            self._heard_at = boottime()
        if opening:
            self._opened = True
            self._log_in()
        self._out += pack(words)
        self._waiting.append(done)
        if opening:
            self._open()
        elif self._connected and not self._corked:
            self._write()

    def flush(self) -> None:
        """Send what is queued, if it can be sent by now."""
        if self._out and self._connected:
            self._write()

    def close(self) -> None:
        """Let go of everything, a look-up too."""
        if self._search:
            self._search.cancel()
            self._search = None
        self._drop_socket()

    def fail(self, text: str, final: bool = False) -> None:
        """Close, and give all that wait the same Failure. The next request tries the next place."""
        if self._socket is not None:  # a place that was found but not tried yet keeps its turn
            self._places = self._places[1:]
        self._drop_socket()
        self._opened = False
        self.failures += 1
        self._out.clear()
        self._reader, self._unread = hiredis.Reader(), 0
        waiting, self._waiting = self._waiting, []
        failure = Failure(f"{self.address.label}: {text}", final)
        for done in waiting:
            done(failure)

    def _give_up(self, error: "TlsError") -> None:
        """Waiting will not help, unless it was safe before: certificates are replaced while a run goes on."""
        self.fail(str(error), final=not self._answered)

    def _log_in(self) -> None:
        address = self.address
        if address.password or address.username:
            login = [address.username, address.password] if address.username else [address.password]
            self._out += pack([b"AUTH", *(word.encode("utf-8", "surrogateescape") for word in login)])
            self._waiting.append(self._logged_in)
        if address.db:
            self._out += pack([b"SELECT", b"%d" % address.db])
            self._waiting.append(self._logged_in)
        if address.sentinels:
            self._out += pack([b"ROLE"])
            self._waiting.append(self._told_its_role)

    def _logged_in(self, reply: "Any") -> None:
        if isinstance(reply, hiredis.ReplyError):
            failure = refused_by_server("", str(reply))
            self.fail(failure.text.removeprefix(": "), failure.final)

    def _told_its_role(self, reply: "Any") -> None:
        """A sentinel may not have heard yet of a failover. Without the right to ask, the first write will tell."""
        if isinstance(reply, list) and reply[:1] != [b"master"]:
            self.fail("its sentinels name a server that is no master")

    def _open(self) -> None:
        if not self._places:
            self._places = numeric(self.address)
        if self._places:
            self._connect()
        elif not self._search:  # one that takes longer than a request may last goes on for the next request
            try:
                from cronlock.servers.locator import Locator

                self._search = search = Locator(self._loop, self.address, self._found)
                search.start()
            except (OSError, ImportError) as error:  # no process or no file descriptor to be had, an upgrade meanwhile
                if self._search:
                    self._search.cancel()
                self._search = None
                self.fail((getattr(error, "strerror", None) or str(error)).lower())

    def _found(self, places: "list[SocketAddress] | Failure", host: str) -> None:
        self._search = None
        if isinstance(places, Failure):
            self.fail(places.text, places.final)
            return
        self._places, self._host = places, host
        self._heard_at = boottime()
        if self._opened:
            self._connect()

    def _connect(self) -> None:
        family, target = self._places[0]
        try:
            self._socket = sock = socket.socket(family, socket.SOCK_STREAM | FLAGS)
            if not FLAGS:
                sock.setblocking(False)
            if family != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.connect(target)
        except BlockingIOError:
            pass
        except OSError as error:
            self._try_next(error.errno or 0)
            return
        self._loop.watch(sock.fileno(), WRITE, self._ready)
        if self.address.tls is not None:
            self._secure()

    def _secure(self) -> None:
        try:
            from cronlock.servers.tls import Session

            self._tls = Session(self.address, self._host)
        except TlsError as error:
            self._give_up(error)
        except (OSError, ImportError) as error:  # a Python without OpenSSL, an upgrade meanwhile
            self.fail(f"no TLS: {error}", final=isinstance(error, ImportError) and not self._answered)

    def _try_next(self, number: int) -> None:
        if len(self._places) > 1:
            self._drop_socket()
            self._places = self._places[1:]
            self._connect()
        else:
            self.fail(os.strerror(number).lower())

    def _ready(self, events: int) -> None:
        if self._socket and not self._connected:
            number = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if number:
                self._try_next(number)
                return
            self._connected = True
            self._heard_at = boottime()
        if events & ~WRITE:
            self._read()
        if self._connected:
            self._write()

    def _write(self) -> None:
        if self._socket is None:
            return
        out = self._out
        try:
            if self._tls:
                out = self._tls.seal(out)
            while out:
                del out[: self._socket.send(out)]
        except BlockingIOError:
            pass
        except TlsError as error:
            self._give_up(error)
            return
        except OSError as error:
            if not isinstance(error, BrokenPipeError | ConnectionResetError):  # then reading tells why
                self.fail(os.strerror(error.errno or 0).lower())
                return
        self._loop.watch(self._socket.fileno(), READ | WRITE if out else READ, self._ready)

    def _read(self) -> None:
        if self._socket is None:
            return
        try:
            data = self._socket.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError as error:
            self.fail(os.strerror(error.errno or 0).lower() + self._perhaps_tls)
            return
        if not data:
            self.fail("it closed the connection" + self._perhaps_tls)
            return
        if self._tls:
            try:
                data = self._tls.open(data)
            except TlsError as error:
                self._give_up(error)
                return
            self._heard_at = boottime()
        self._unread += len(data)
        if self._unread > LONGEST or (data and self.idle and not self._heard):
            self.fail("it says more than was asked for")
            return
        self._reader.feed(data)
        try:
            while self._waiting or self._heard:
                reply = self._next_reply()
                if reply is False:
                    break
                self._heard_at, self._unread, self._answered = boottime(), 0, True
                if self._heard and isinstance(reply, list) and reply[:1] == [b"message"] and len(reply) == 3:
                    self._heard(*reply[1:])
                    continue
                if isinstance(reply, hiredis.ReplyError) and str(reply).startswith("NOAUTH"):
                    # what follows would be answered with worse words
                    self.fail(f"{shortened(str(reply))}{ADVICE['NOAUTH']}", final=True)
                    return
                if self._waiting:
                    self._waiting.pop(0)(reply)
        except hiredis.ProtocolError:
            alert = not self._tls and data[:1] == TLS_ALERT
            self.fail("it speaks TLS: write rediss://" if alert else "it does not speak Redis's protocol", final=True)

    @property
    def _perhaps_tls(self) -> str:
        """Servers with TLS close at once what is none."""
        plain = self._tls is None and not self._answered and not self.address.path
        return "; with TLS it would be rediss://" if plain else ""

    def _next_reply(self) -> "Any":
        try:
            return self._reader.gets()
        except (MemoryError, TypeError) as error:  # a list of billions, a map with a list as a name
            raise hiredis.ProtocolError from error

    def _drop_socket(self) -> None:
        if self._socket is not None:
            self._loop.forget(self._socket.fileno())
            self._socket.close()
            self._socket = None
        self._tls = None
        self._connected = False


FLAGS = getattr(socket, "SOCK_CLOEXEC", 0) | getattr(socket, "SOCK_NONBLOCK", 0)  # where they can be set at once


def numeric(address: "Address") -> "list[SocketAddress]":
    """The place of an address that needs no look-up; none for a host name."""
    if address.path:
        return [(socket.AF_UNIX, address.path)]
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, address.host)
        except (OSError, ValueError):
            continue
        return [(family, (address.host, address.port))]
    return []
