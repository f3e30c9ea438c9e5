"""Checks of replies to one connection and to an attempt's voters, sent by a server in pieces of any size."""

import contextlib
import os
import resource
import socket
import tempfile
from collections.abc import Iterator
from typing import Any
from unittest import mock

from cronlock.config.redis_url import Address, parse
from cronlock.lock.attempt import Attempt
from cronlock.lock.refusals import refusal
from cronlock.messages import Messages
from cronlock.process.event_loop import READ, Loop
from cronlock.run.outcome import outcome
from cronlock.servers.connection import Connection
from cronlock.servers.redis_voters import RedisVoters
from cronlock.servers.transport import literal
from tests.fuzz.resp import PORT, Talk

ASKED = 3  # requests to one connection
MEMORY = 3 << 30  # bytes of address space
WAIT = 5  # ms for each step of the second half: a wait takes a second at most
STEPS = 1_000  # of the loop for one input, far more than are needed
HERE = parse(f"redis://127.0.0.1:{PORT}", "")
BY_SENTINEL = parse(f"redis+sentinel://127.0.0.1:{PORT}/service", "")


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
            said = refusal(verdict, voters)
        Messages("job", quiet=True).notice(said)
        assert isinstance(said, str)
    finally:
        peer.close_all()
        voters.close()
        peer.close()
