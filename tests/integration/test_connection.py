"""Servers that send nonsense, close the connection, or reply in small pieces, on real sockets."""

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time

import pytest

from cronlock.config.redis_url import Address
from cronlock.lock.protocol import Failure
from cronlock.process.event_loop import Loop
from cronlock.servers.connection import Connection, failure_of_reply, pack
from cronlock.servers.dns import Resolution
from cronlock.servers.redis_voters import RedisVoters, locate
from tests.support.commands import cronlock, environment
from tests.support.processes import descendants

PIECE = 7  # bytes: smaller than any reply


@pytest.fixture
def serve():
    """A server on a real socket with given replies: bytes for each request; None closes the connection."""
    listeners = []

    def start(*replies):
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def talk():
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection, contextlib.suppress(OSError):
                    for reply in replies:
                        if not connection.recv(65536) or reply is None:
                            break
                        for at in range(0, len(reply), PIECE):
                            connection.sendall(reply[at : at + PIECE])
                            time.sleep(0.001)

        threading.Thread(target=talk, daemon=True).start()
        return Address("127.0.0.1", listener.getsockname()[1])

    yield start
    for listener in listeners:
        listener.close()


def ask(address, *requests, time_left=5.0):
    """Return the connection, and the reply to each request."""
    loop = Loop()
    connection = Connection(loop, address, locate)
    got = []
    for request in requests:
        connection.send(request, got.append)
    until = time.monotonic() + time_left
    while len(got) < len(requests) and time.monotonic() < until:
        loop.step(100)
    return connection, got


def test_a_request_is_an_array_of_bulk_strings():
    """As RESP requires, with any bytes in the words."""
    assert pack([b"GET", b"a\r\n\0b"]) == b"*2\r\n$3\r\nGET\r\n$5\r\na\r\n\0b\r\n"


def test_requests_on_a_buffered_connection_are_sent_together():
    """Copies of a key on one server are requested with one write, so that no other client comes in between."""
    loop, got = Loop(), []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        connection = Connection(loop, Address("127.0.0.1", listener.getsockname()[1]), buffered=True)
        connection.send([b"FIRST"], got.append)
        server, _ = listener.accept()
        loop.step(1000)
        assert server.recv(1000) == pack([b"FIRST"])
        connection.send([b"A"], got.append)
        connection.send([b"B"], got.append)
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.recv(1000)
        connection.flush()
        server.setblocking(True)
        assert server.recv(1000) == pack([b"A"]) + pack([b"B"])
        server.sendall(b"+1\r\n+2\r\n+3\r\n")
        loop.step(1000)
        assert got == [b"1", b"2", b"3"]
        connection.close()
        server.close()


def test_a_reply_in_pieces_is_put_together(serve):
    """TCP does not keep the boundaries of replies."""
    _, got = ask(serve(b"*2\r\n$5\r\nhello\r\n:42\r\n"), [b"X"])
    assert got == [[b"hello", 42]]


@pytest.mark.parametrize("nonsense", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x00\xff\x13", b"SSH-2.0-x\r\n"])
def test_a_server_other_than_redis_is_a_final_failure(serve, nonsense):
    """Waiting does not turn a wrong port into Redis."""
    _, [failure] = ask(serve(nonsense), [b"X"])
    assert isinstance(failure, Failure)
    assert failure.final
    assert "not a Redis server: check host and port" in failure.text


def test_a_closed_connection_fails_all_pending_requests(serve):
    """Each request gets a failure that waiting may cure."""
    _, got = ask(serve(None), [b"X"], [b"Y"])
    assert [failure.final for failure in got] == [False, False]


def test_the_next_request_opens_a_new_connection(serve):
    """After a failure the server may be back."""
    connection, [failure] = ask(serve(b"+PONG\r\n"), [b"X"])
    assert failure == b"PONG"
    connection.fail("no answer")
    again = []
    connection.send([b"Y"], again.append)
    until = time.monotonic() + 5
    while not again and time.monotonic() < until:
        connection._loop.step(100)
    assert again == [b"PONG"]


def test_a_refused_connection_fails_at_once():
    """Port 1 is closed."""
    _, [failure] = ask(Address("127.0.0.1", 1), [b"X"])
    assert (failure.text, failure.final) == ("127.0.0.1:1: connection refused", False)


def test_a_large_request_goes_out_whole(serve):
    """A request may be longer than the buffer of the socket."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        loop = Loop()
        connection = Connection(loop, Address("127.0.0.1", listener.getsockname()[1]))
        connection.send([b"x" * 5_000_000], lambda _reply: None)
        peer, _ = listener.accept()
        peer.setblocking(False)
        size = 0
        until = time.monotonic() + 10
        while size < 5_000_000 and time.monotonic() < until:
            loop.step(10)
            try:
                size += len(peer.recv(1 << 20))
            except BlockingIOError:
                pass
        peer.close()
    assert size == len(pack([b"x" * 5_000_000]))


def test_a_name_is_looked_up_in_a_child_that_is_reaped():
    """The look-up ends in the event loop and leaves no process behind."""
    loop, got, before = Loop(), [], set(descendants(os.getpid()))
    Resolution(loop, Address("localhost", 6379), got.append)
    until = time.monotonic() + 10
    while not got and time.monotonic() < until:
        loop.step(100)
    assert any(place[1] == ("127.0.0.1", 6379) for place in got[0])
    assert set(descendants(os.getpid())) == before


def test_an_unknown_host_name_is_a_failure():
    """The message has the resolver's text."""
    _, [failure] = ask(Address("nowhere.invalid", 1), [b"X"], time_left=30)
    assert failure.text.startswith("nowhere.invalid:1: ")
    assert not failure.final


def test_without_a_file_descriptor_a_look_up_fails_as_a_request():
    """No traceback while a command runs: the voter counts as unreachable."""
    script = """
import resource, os
from cronlock.config.redis_url import Address
from cronlock.servers.redis_voters import locate
from cronlock.servers.connection import Connection
from cronlock.process.event_loop import Loop
connection, got = Connection(Loop(), Address("localhost", 1), locate), []
resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) - 1, 4096))
connection.send([b"X"], got.append)
print(got[0].text, got[0].final)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment(), capture_output=True, text=True, check=False
    )
    assert done.stdout == "localhost:1: too many open files False\n", done.stderr


def test_a_connection_that_has_gone_silent_is_opened_again():
    """After a second without a reply the connection fails; the next request opens another one."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        voters = RedisVoters(Loop(), [Address("127.0.0.1", listener.getsockname()[1])], "cronlock", "job")
        for _ in range(2):
            begun = time.monotonic()
            failure = voters.find(voters.clock() + 5_000)
            assert failure is not None
            assert failure.text.endswith(": no answer")
            assert 0.9 < time.monotonic() - begun < 3
        accepted = [listener.accept()[0] for _ in range(2)]
        assert len({peer.fileno() for peer in accepted}) == 2
        for peer in accepted:
            peer.close()
    voters.close()


def test_a_look_up_can_be_cancelled():
    """No process is left."""
    loop, before = Loop(), set(descendants(os.getpid()))
    look_up = Resolution(loop, Address("localhost", 6379), lambda _addresses: None)
    assert set(descendants(os.getpid())) != before
    look_up.cancel()
    assert set(descendants(os.getpid())) == before


@pytest.mark.parametrize("reply", [b"*0\r\n", b"*2\r\n$1\r\na\r\n$1\r\nb\r\n", b"*1\r\n:1\r\n", b"+OK\r\n"])
def test_an_unexpected_reply_is_a_failure(serve, reply):
    """A server that does not reply as the script does is unreachable, and the message names it."""
    address = serve(b"-ERR This instance has cluster support disabled\r\n", *[reply] * 20)
    words = ("run", "--redis", f"redis://127.0.0.1:{address.port}", "--key", "job", "--schedule", "none")
    done = cronlock(*words, "--outage-wait", "0", "--", "echo", "ran")
    assert (done.returncode, done.stdout) == (122, "")
    assert f"127.0.0.1:{address.port}: its replies are not those of cronlock's script" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "expected", "final"),
    [
        ("WRONGPASS invalid username-password pair", "invalid username-password pair: put the right user", True),
        ("ERR unknown command 'CLUSTER', with args", "for a Sentinel write redis+sentinel://", True),
        (
            "READONLY You can't write against a read only replica. script: f04a6e, on @user_script:77.",
            "READONLY You can't write against a read only replica: name the address of its master",
            False,
        ),
        (
            "ERR Error running script (call to f_0): @user_script:77: @user_script: 77: -READONLY You can't write.",
            "h: READONLY You can't write: name the address of its master",
            False,
        ),
    ],
)
def test_an_error_reply_is_reported_with_its_cure(text, expected, final):
    """Without the position in the script, which does not help an operator."""
    failure = failure_of_reply("h", text)
    assert (expected in failure.text, failure.final) == (True, final)
