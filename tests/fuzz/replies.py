"""Replies that a server may send, to one connection and to an attempt's voters, in pieces of any size."""

import contextlib
import os
import random
import resource
import socket
import tempfile
from collections.abc import Iterator
from typing import Any, NamedTuple
from unittest import mock

from cronlock.lock import protocol
from cronlock.lock.attempt import Attempt
from cronlock.lock.protocol import COPIES
from cronlock.lock.refusals import refusal
from cronlock.messages import Messages
from cronlock.process.event_loop import READ, Loop
from cronlock.run.outcome import outcome
from cronlock.servers.connection import Connection
from cronlock.servers.redis_voters import RedisVoters
from cronlock.servers.transport import literal
from cronlock.servers.url import Address, parse
from tests.fuzz.texts import changed_bytes

ASKED = 3  # requests to one connection
MEMORY = 3 << 30  # bytes of address space
WAIT = 5  # ms for each step of the second half: a wait takes a second at most
STEPS = 1_000  # of the loop for one input, far more than are needed
NUMBERS = [0, 1, -1, 1_795_500_000, 1_795_500_000_000, 2**53, 2**62, -(2**63)]
WORDS = [b"", b"ok", b"held", b"done", b"paused", b"voter_set", b"clock", b"late", b"yield", b"busy", b"run", b"9" * 30]
ERRORS = [
    *(
        b"MOVED 1 127.0.0.1:6379",
        b"ASK 1 127.0.0.1:6379",
        b"MOVED 1 127.0.0.1:99999",
        b"MOVED 1 :1",
        b"MOVED",
        b"ASK x y:\xb2",
    ),
    *(
        b"MOVED 1 ::1:1",
        b"NOSCRIPT no",
        b"NOAUTH no",
        b"WRONGPASS \x1b[2J",
        b"LOADING",
        b"ERR",
        b"",
        b"\xff\xfe",
        b"-BUSY",
    ),
    *(b"ERR This instance has cluster support disabled",) * 6,
]
PORT = 6379  # of the server in these inputs
HERE = parse(f"redis://127.0.0.1:{PORT}", "")
BY_SENTINEL = parse(f"redis+sentinel://127.0.0.1:{PORT}/service", "")
NAMES = [name.encode() for name in sorted(protocol.ANSWERED | {"wait", "now"})]
BOMBS = [
    *(
        b"*1000000000\r\n",
        b"*4294967295\r\n",
        b"$999999999999\r\n",
        b"*1\r\n" * 10_000,
        b"%1\r\n*1\r\n:1\r\n:1\r\n",
        b"*-2\r\n",
    ),
    *(
        b"$-9\r\n",
        b":\r\n",
        b"(1\r\n",
        b"~1\r\n%1\r\n:1\r\n:1\r\n",
        b">3\r\n+message\r\n*0\r\n:1\r\n",
        b"%2\r\n" * 50,
        b"|1\r\n+a\r\n",
    ),
    *(
        b"*3\r\n+message\r\n+x\r\n:1\r\n",
        b"*1\r\n$7\r\nmessage\r\n",
        b"*0\r\n",
        b"*3\r\n$7\r\nmessage\r\n*0\r\n*0\r\n",
        b"\r\n",
    ),
]


class Talk(NamedTuple):
    """The server's replies, one for each request, cut into pieces; then the server closes."""

    replies: list[bytes]
    piece: int


def _resp(rng: random.Random, depth: int = 0) -> bytes:
    """Return a reply of any kind."""
    kind = rng.random()
    if kind < 0.2 and depth < 4:
        items = [_resp(rng, depth + 1) for _ in range(rng.randrange(5))]
        return b"%c%d\r\n" % (rng.choice(b"**>~"), len(items)) + b"".join(items)
    if kind < 0.3:
        return b":%d\r\n" % rng.choice(NUMBERS)
    if kind < 0.4:
        return b"-%b\r\n" % rng.choice(ERRORS)
    if kind < 0.45:
        return rng.choice(BOMBS)
    return _bulk(rng.choice((*WORDS, rng.randbytes(6))))


def _bulk(word: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(word), word)


def _answer(rng: random.Random) -> bytes:
    """Return a nearly correct answer of the script."""
    fields: dict[bytes, bytes] = {}
    for name in NAMES:
        number = name.decode() in protocol.NUMBERS
        usual = b"%d" % rng.choice(NUMBERS) if number else rng.choice(WORDS)
        fields[name] = (
            usual if rng.random() < 0.97 else rng.choice((b"x", b"\x1b[31m", b"9" * 5000, b"\xff", b"-0", b"1_0"))
        )
    if rng.random() < 0.2:
        del fields[rng.choice(NAMES)]
    if rng.random() < 0.5:
        fields[b"answer"] = rng.choice(WORDS[1:10])
    flat = [_bulk(word) for pair in fields.items() for word in pair]
    return b"*%d\r\n" % len(flat) + b"".join(flat)


def _slots(rng: random.Random) -> bytes:
    """Return a nearly correct answer to CLUSTER SLOTS."""
    node = b"*3\r\n%b:%d\r\n" % (
        rng.choice((_bulk(b"127.0.0.1"), _bulk(b""), _bulk(b"?"), b"$-1\r\n", b":1\r\n", b"*0\r\n")),
        rng.choice((PORT, PORT, PORT, PORT, 1, 0, 65_536, -1)),
    ) + rng.choice((_bulk(b"a" * 40), b"*0\r\n", b"$-1\r\n", b":1\r\n"))
    row = b"*%d\r\n" % rng.choice((3, 3, 3, 2)) + b":%d\r\n:%d\r\n" % (
        rng.choice((0, 0, 8_000)),
        rng.choice((16_383, 0)),
    )
    return b"*1\r\n" + row + node


def _master(rng: random.Random) -> bytes:
    """Return a nearly correct answer of a sentinel about a master, or of a server about its role."""
    port = rng.choice((PORT, PORT, PORT, 0, -1, 65_536, "x", "\u00b2", "9" * 5_000))
    return rng.choice((b"*2\r\n" + _bulk(b"127.0.0.1") + _bulk(str(port).encode()), b"*1\r\n" + _bulk(b"master")))


def _reply(rng: random.Random) -> bytes:
    reply = rng.choice((_resp, _answer, _answer, _slots, _master))(rng)
    return reply if rng.random() < 0.7 else changed_bytes(rng, reply)


def make(rng: random.Random) -> Talk:
    """Return replies for one connection, or for voters: of a server or a cluster, with or without a sentinel."""
    what_it_is = rng.choice((b"-" + ERRORS[-1] + b"\r\n", _slots(rng), _slots(rng), _reply(rng)))
    if rng.random() < 0.1:
        what_it_is = changed_bytes(rng, what_it_is)
    piece = rng.choice((1_000_000, 1_000_000, 50, 7))
    first = [_master(rng), b"*1\r\n" + _bulk(b"master")] if piece == 50 else []
    return Talk([*first, what_it_is, *(_reply(rng) for _ in range(COPIES + 2))], piece)


class Peer:
    """A server in the same loop: each connection gets all replies in order, one for each time it sends."""

    listener: socket.socket
    path = ""

    def __init__(self, loop: Loop, talk: Talk) -> None:
        self._loop, self._talk = loop, talk
        self._replies = iter(talk.replies)
        self._open: list[socket.socket] = []
        loop.watch(self.listener.fileno(), READ, self._accept)

    def _accept(self, _events: int) -> None:
        peer, _ = self.listener.accept()
        peer.setblocking(False)
        self._open.append(peer)
        self._loop.watch(peer.fileno(), READ, lambda _events: self._talk_to(peer))

    def _talk_to(self, peer: socket.socket) -> None:
        with contextlib.suppress(OSError):
            reply = next(self._replies, b"") if peer.recv(1 << 16) else b""
            for at in range(0, min(len(reply), 40 * self._talk.piece), self._talk.piece):
                peer.send(reply[at : at + self._talk.piece])
            if reply:
                return
        self._close(peer)

    def _close(self, peer: socket.socket) -> None:
        self._loop.forget(peer.fileno())
        peer.close()
        self._open.remove(peer)

    def close_all(self) -> None:
        for peer in self._open[:]:
            self._close(peer)

    def close(self) -> None:
        self.close_all()
        self._loop.forget(self.listener.fileno())
        with contextlib.suppress(BlockingIOError):
            while True:
                self.listener.accept()[0].close()


def _address(address: Address) -> list[tuple[int, Any]]:
    """Return a socket file for HERE: a million connections need more ports than there are."""
    return [(socket.AF_UNIX, Peer.path)] if address.port == PORT and address.host == HERE.host else literal(address)


class NoLookup:
    """A replacement for look-ups: invented names must not reach a name server."""

    def __init__(self, _loop: Loop, _address: Address, _done: object) -> None:
        raise OSError(0, "no look-up here")


@contextlib.contextmanager
def _little_memory() -> Iterator[None]:
    """Limit the address space: a list of a billion items costs seconds where memory allows it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@contextlib.contextmanager
def around() -> Iterator[None]:
    with (
        tempfile.TemporaryDirectory() as folder,
        socket.socket(socket.AF_UNIX) as listener,
        mock.patch("cronlock.servers.locator.Resolution", NoLookup),
        mock.patch("cronlock.servers.connection.literal", _address),
        _little_memory(),
    ):
        Peer.path = os.path.join(folder, "s")
        listener.bind(Peer.path)
        listener.listen(100)
        listener.setblocking(False)
        Peer.listener = listener
        yield


def check_connection(talk: Talk) -> None:
    """Every request is answered by a reply or a Failure; so is each message of a subscription."""
    loop = Loop()
    peer = Peer(loop, talk)
    got: list[Any] = []
    connection = Connection(loop, HERE, on_message=_heard if talk.piece == 7 else None)
    try:
        for _ in range(ASKED):
            connection.send([b"X"], got.append)
        for _ in range(len(talk.replies) + ASKED):
            loop.step(0)
        peer.close_all()
        for _ in range(STEPS):
            if len(got) == ASKED:
                break
            loop.step(10)
        assert len(got) == ASKED, got
        assert connection.idle
    finally:
        connection.close()
        peer.close()


def _heard(channel: Any, payload: Any) -> None:
    assert (channel, payload) is not None


def check_voters(talk: Talk) -> None:
    """An attempt at the lock comes to a verdict that can be printed."""
    loop = Loop()
    peer = Peer(loop, talk)
    voters = RedisVoters(loop, [BY_SENTINEL if talk.piece == 50 else HERE], "cronlock", "job")
    step, left = voters.step, [STEPS]

    def hurried_step(_timeout: int) -> None:  # a silent peer is cut off: a second of waiting is too long here
        left[0] -= 1
        if left[0] == STEPS // 2:
            peer.close_all()
        assert left[0], "the attempt does not end"
        step(0 if left[0] > STEPS // 2 else WAIT)

    voters.step = hurried_step  # type: ignore[method-assign]
    ask = {
        "node": "n",
        "time": 1_795_500_000_000,
        "tick": 1_795_500_000,
        "start_deadline": 0,
        "takeover_deadline": 0,
        "attempts": 3,
    }
    try:
        attempt = Attempt(voters, 0)
        verdict = attempt.run(ask | {"again": 0, "fair": 1, "counts": 1, "job": ""}, voters.clock() + 100)
        if verdict.answer and verdict.kind in ("held", "done", "paused", "late"):
            said = outcome(verdict.kind, verdict.answer, ask["tick"])
        else:
            said = refusal(verdict, voters.voter_set, "job")
        Messages("job", quiet=True).notice(said)
        assert isinstance(said, str)
    finally:
        peer.close_all()
        voters.close()
        peer.close()
