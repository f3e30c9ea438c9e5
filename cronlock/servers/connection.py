"""RESP client: requests go out in order, replies come back to their callbacks, and no call waits."""

import hiredis

from cronlock.lock.protocol import Failure
from cronlock.process.event_loop import boottime
from cronlock.servers.transport import TIMEOUT, Transport, literal

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, Protocol

    from cronlock.config.redis_url import Address
    from cronlock.process.event_loop import Loop
    from cronlock.servers.transport import SocketAddress

    Callback = Callable[[Any], None]  # gets a reply, a hiredis.ReplyError, or the Failure of the connection
    OnMessage = Callable[[bytes, bytes], None]  # gets the channel and the payload of a message
    Located = Callable[[list[SocketAddress] | Failure, str], None]  # gets addresses, best first, and their host name

    class Search(Protocol):
        """A search for the socket addresses of a server; `connections` are those on which it asks."""

        @property
        def connections(self) -> "Sequence[Connection]": ...

        def start(self) -> None: ...

        def cancel(self) -> None: ...

    Locate = Callable[[Loop, Address, Located], Search]

REPLY_MAX = 16_777_216  # bytes of one reply: a thousand times the longest that any server has to send
STRAGGLER_WAIT = 300  # ms for the other servers once one has answered: a name may outlive its server
TLS_ALERT = b"\x15"  # the first byte with which a TLS server answers a request without TLS (RFC 8446, B.1)


def pack(words: "Sequence[bytes]") -> bytes:
    """Return a request as RESP's array of bulk strings."""
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        parts.append(b"$%d\r\n%b\r\n" % (len(word), word))
    return b"".join(parts)


def failure_of_reply(label: str, text: str, lone_user: bool = False) -> Failure:
    """Return the Failure for an error reply of the server `label`, with advice where the reply has a known cure.

    `lone_user`: the login has a user but not a password.
    """
    try:
        from cronlock.servers.error_replies import explained_failure  # rare: most runs get no such reply
    except Exception:  # an upgrade during the run took the module away
        return Failure(f"{label}: {text}")
    return explained_failure(label, text, lone_user)


class Connection:
    """A connection to one server, opened by the first request, and again by the first request after a failure.

    `locate` finds the socket addresses of a host name or a Sentinel service; `addresses` gives them where they are
    known. `on_message` gets the messages of subscriptions. A `buffered` connection sends its requests with `flush`:
    several copies may lie on one server.
    """

    def __init__(
        self,
        loop: "Loop",
        address: "Address",
        locate: "Locate | None" = None,
        addresses: "Sequence[SocketAddress]" = (),
        on_message: "OnMessage | None" = None,
        buffered: bool = False,
    ) -> None:
        self.address = address
        self.failures = 0  # how often the connection was lost
        self._loop = loop
        self._locate = locate
        self._search: Search | None = None
        self._addresses = addresses
        self._on_message = on_message
        self._buffered = buffered
        self._transport = Transport(loop, address, addresses, self._received, self.fail)
        self._opened = False
        self._pending: list[Callback] = []
        self._reader = hiredis.Reader()
        self._unread = 0  # bytes since the last reply

    @property
    def idle(self) -> bool:
        """Return whether every request has been answered."""
        return not self._pending

    @property
    def time_left(self) -> int:
        """The ms left for the replies under way; 0 or less when it is time to fail."""
        if self._search and not all(connection.idle for connection in self._search.connections):
            return TIMEOUT  # the connections of the search time out on their own
        return self._transport.progress_at + TIMEOUT - boottime()

    def shorten_timeout(self, ms: int) -> None:
        """Time out in at most `ms` from now."""
        self._transport.progress_at = min(self._transport.progress_at, boottime() - TIMEOUT + ms)

    @property
    def timeout_text(self) -> str:
        """The message for a server that has sent nothing in time."""
        return self._transport.timeout_text

    @property
    def with_search(self) -> "list[Connection]":
        """This connection, and those on which the search for its addresses asks."""
        asked = self._search.connections if self._search else ()
        return [self, *(part for connection in asked for part in connection.with_search)]

    def send(self, words: "Sequence[bytes]", on_reply: "Callback") -> None:
        """Queue a request; `on_reply` gets its reply, or the Failure that ended the connection."""
        opening = not self._opened
        transport = self._transport
        if not self._pending:
            transport.progress_at = boottime()
        if opening:
            self._opened = True
            self._log_in()
        transport.out += pack(words)
        self._pending.append(on_reply)
        if opening:
            self._open()
        elif transport.connected and not self._buffered:
            transport.write()

    def flush(self) -> None:
        """Send what is queued, if the connection is open by now."""
        if self._transport.out and self._transport.connected:
            self._transport.write()

    def close(self) -> None:
        """Close the connection and cancel a search."""
        if self._search:
            self._search.cancel()
            self._search = None
        self._transport.close()

    def fail(self, text: str, final: bool = False) -> None:
        """Close, and give all pending requests the same Failure. The next request tries the next address."""
        self._transport.reset()
        self._opened = False
        self.failures += 1
        self._reader, self._unread = hiredis.Reader(), 0
        pending, self._pending = self._pending, []
        failure = Failure(f"{self.address.label}: {text}", final)
        for on_reply in pending:
            on_reply(failure)

    def _log_in(self) -> None:
        address = self.address
        if address.password or address.username:
            login = [address.username, address.password] if address.username else [address.password]
            self._transport.out += pack([b"AUTH", *(word.encode("utf-8", "surrogateescape") for word in login)])
            self._pending.append(self._logged_in)
        if address.db:
            self._transport.out += pack([b"SELECT", b"%d" % address.db])
            self._pending.append(self._logged_in)
        if address.sentinels:
            self._transport.out += pack([b"ROLE"])
            self._pending.append(self._check_role)

    def _logged_in(self, reply: "Any") -> None:
        if isinstance(reply, hiredis.ReplyError):
            self._fail_with(reply)

    def _fail_with(self, reply: hiredis.ReplyError) -> None:
        lone_user = bool(self.address.username and not self.address.password)
        failure = failure_of_reply("", str(reply), lone_user)
        self.fail(failure.text.removeprefix(": "), failure.final)

    def _check_role(self, reply: "Any") -> None:
        """Fail if the server is a replica: its Sentinels may not know of a failover yet.

        Without the right to ROLE the first write shows the role.
        """
        if isinstance(reply, list) and reply[:1] != [b"master"]:
            self.fail("Sentinel named a server that is not a master")

    def _open(self) -> None:
        transport = self._transport
        if not transport.addresses:
            transport.addresses = list(self._addresses) or literal(self.address)
        if transport.addresses:
            transport.connect()
        elif not self._search:  # a search that outlasts a request's timeout continues for the next request
            self._start_search()

    def _start_search(self) -> None:
        try:
            if self._locate is None:
                raise OSError(0, "this host name can't be resolved here")
            self._search = search = self._locate(self._loop, self.address, self._located)
            search.start()
        except (OSError, ImportError) as error:  # no process, no file descriptor, or an upgrade during the run
            if self._search:
                self._search.cancel()
            self._search = None
            self.fail((getattr(error, "strerror", None) or str(error)).lower())

    def _located(self, found: "list[SocketAddress] | Failure", host: str) -> None:
        self._search = None
        if isinstance(found, Failure):
            self.fail(found.text, found.final)
            return
        transport = self._transport
        transport.addresses, transport.host = found, host
        transport.progress_at = boottime()
        if self._opened:
            transport.connect()

    def _received(self, data: bytes) -> None:
        self._unread += len(data)
        if self._unread > REPLY_MAX or (data and not self._pending and not self._on_message):
            self.fail("the server sent more than a reply: check host and port")
            return
        self._reader.feed(data)
        try:
            self._dispatch_replies()
        except hiredis.ProtocolError:
            alert = not self._transport.encrypted and data[:1] == TLS_ALERT
            text = "the server uses TLS: write rediss://" if alert else "not a Redis server: check host and port"
            self.fail(text, final=True)

    def _dispatch_replies(self) -> None:
        while self._pending or self._on_message:
            reply = self._next_reply()
            if reply is False:
                break
            transport = self._transport
            transport.progress_at, transport.proven, self._unread = boottime(), True, 0
            if self._on_message and isinstance(reply, list) and reply[:1] == [b"message"] and len(reply) == 3:
                self._on_message(*reply[1:])
                continue
            if isinstance(reply, hiredis.ReplyError) and str(reply).startswith("NOAUTH"):
                # the requests behind this one would be answered with less clear errors
                self._fail_with(reply)
                return
            if self._pending:
                self._pending.pop(0)(reply)

    def _next_reply(self) -> "Any":
        try:
            return self._reader.gets()
        except (MemoryError, TypeError) as error:  # a list of billions, a map with a list as a key
            raise hiredis.ProtocolError from error


def step(loop: "Loop", connections: "Sequence[Connection]", timeout: int) -> None:
    """Wait up to `timeout` ms for something to happen; fail the connections, and those of searches, that time out."""
    asking = [part for connection in connections for part in connection.with_search]
    busy = [connection for connection in asking if not connection.idle]
    loop.step(min([timeout, *(connection.time_left for connection in busy)]))
    for connection in busy:
        if not connection.idle and connection.time_left <= 0:
            connection.fail(connection.timeout_text)
