"""Readers of foreign data bear random inputs, past findings stay fixed, and planted bugs are found."""

import random
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cronlock.config.redis_url import Address
from cronlock.cron.parser import every_line
from cronlock.lock.protocol import TIME_MAX
from cronlock.messages import instant, since
from cronlock.process.event_loop import Loop
from cronlock.run.outcome import outcome
from cronlock.servers import connection
from cronlock.servers.connection import Connection
from cronlock.servers.redis_voters import decoded
from cronlock.servers.subscriptions import Subscriptions
from tests.fuzz import harness, replies
from tests.fuzz.harness import HangError, Target, fuzz
from tests.fuzz.resp import PORT, Talk
from tests.fuzz.targets import TARGETS
from tests.support.commands import ROOT, changed_cronlock, environment, wait_until

INPUTS = {  # about the same time for each target
    "replies": 2_000,
    "voters": 800,
    "urls": 8_000,
    "crontabs": 1_500,
    "tomls": 1_500,
    "times": 2_000,
    "lines": 10_000,
}


@pytest.mark.parametrize("name", TARGETS)
def test_every_input_is_accepted_or_refused(name: str) -> None:
    """These are some thousand inputs of a new seed; a failure prints its seed."""
    found = fuzz(TARGETS[name], INPUTS[name], random.randrange(2**40))
    assert not found.failures, "\n".join(found.failures)
    assert found.inputs == INPUTS[name]


# -- past findings -----------------------------------------------------------------------------------------------------

PLAIN = b"-ERR This instance has cluster support disabled\r\n"


@pytest.mark.parametrize(
    "reply",
    [
        b"*4294967295\r\n",
        b"*1\r\n*1000000000\r\n",
        b"%1\r\n*1\r\n:1\r\n:1\r\n",
        b"*0\r\n",
        b"*1\r\n$7\r\nmessage\r\n",
        b"*5\r\n+message\r\n+a\r\n+b\r\n+c\r\n+d\r\n",
        b"-MOVED 1 h:\xc2\xb2\r\n",
    ],
)
def test_a_malformed_reply_is_a_failure(reply: bytes) -> None:
    """Lists that no memory holds, maps with lists as keys, malformed messages, and unsolicited replies fail."""
    with replies.around():
        for piece in (1_000_000, 7):
            replies.check_connection(Talk([reply] * replies.ASKED, piece))
        replies.check_voters(Talk([PLAIN, reply], 1_000_000))
        replies.check_voters(Talk([reply, reply], 1_000_000))


@pytest.mark.parametrize("said", ["more than a reply", "a reply without end"])
def test_a_server_that_sends_unsolicited_data_is_cut_off(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such replies would fill the memory of a wrapper that waits for its command for hours."""
    monkeypatch.setattr(connection, "REPLY_MAX", 100_000)
    loop, got = Loop(), []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        link = Connection(loop, Address("127.0.0.1", listener.getsockname()[1]))
        link.send([b"X"], got.append)
        server, _ = listener.accept()
        server.sendall(b"+OK\r\n" if said == "more than a reply" else b"$999999999\r\n" + b"x" * 150_000)
        wait_until(lambda: loop.step(10) or got)
        if said == "more than a reply":
            assert got == [b"OK"]
            server.sendall(b"+OK\r\n")
        wait_until(lambda: loop.step(10) or link.failures)
        server.close()
    link.close()


def slots(host: bytes, port: int, name: bytes = b"$1\r\na\r\n") -> bytes:
    return b"*1\r\n*3\r\n:0\r\n:16383\r\n*3\r\n%b:%d\r\n%b" % (host, port, name)


@pytest.mark.parametrize(
    "what_it_is",
    [
        *(slots(b":1\r\n", 1), slots(b"*0\r\n", 1), slots(b"$3\r\n::1\r\n", 65_536), slots(b"$3\r\n::1\r\n", -1)),
        *(slots(b"$1\r\nh\r\n", 1, b"*0\r\n"), b"*1\r\n%0\r\n", b"*1\r\n*3\r\n:0\r\n:1\r\n%1\r\n:0\r\n:0\r\n"),
    ],
)
def test_a_malformed_cluster_is_a_failure(what_it_is: bytes) -> None:
    """Its hosts are numbers, and its ports do not exist."""
    with replies.around():
        replies.check_voters(Talk([what_it_is], 1_000_000))


@pytest.mark.parametrize("where", [b"::1:99999", b"::1:\xc2\xb2", b"::1:-1", b"::1:0", b"::1:" + b"9" * 5_000])
def test_a_redirect_without_an_address_is_not_followed(where: bytes) -> None:
    """A bad redirect is an answer like any other useless one, without a traceback."""
    with replies.around():
        for code in (b"MOVED", b"ASK"):
            moved = b"-%b 1 %b\r\n" % (code, where)
            replies.check_voters(Talk([slots(b"$9\r\n127.0.0.1\r\n", PORT), *[moved] * 9], 1_000_000))


@pytest.mark.parametrize("port", [b"0", b"65536", b"-1", b"\xc2\xb2", b"9" * 5_000, b""])
def test_a_master_at_an_impossible_port_is_a_failure(port: bytes) -> None:
    """A sentinel may report such an address."""
    with replies.around():
        told = b"*2\r\n$3\r\n::1\r\n$%d\r\n%b\r\n" % (len(port), port)
        replies.check_voters(Talk([told] * 3, 50))


@pytest.mark.parametrize("number", [b"9" * 30, b"-" + b"9" * 30, b"99999999999999999999"])
def test_a_time_outside_the_calendar_can_be_shown(number: bytes) -> None:
    """Anyone with access to Redis can write such a number."""
    fields = decoded([b"start", number, b"tick", number, b"node", b"n", b"pid", number])
    assert fields["start"] in (0, TIME_MAX)
    answer = fields | {"attempt": 0, "state": "done", "paused_until": fields["start"], "pause_reason": ""}
    for kind in ("held", "paused", "done"):
        assert outcome(kind, answer, 0)
    assert since(fields["start"])
    assert instant(fields["tick"])


@pytest.mark.parametrize(
    "message", [(1, b"5"), ([], b"5"), (b"c", 5), (b"c", None), (b"c", b"9" * 5_000), (b"c", b"\xb2")]
)
def test_a_malformed_notification_is_ignored(message: tuple[object, object]) -> None:
    """The channel is a number, or the token is not one."""
    on_run_ended: list[int] = []
    ears = Subscriptions(Loop(), lambda _voter, token: on_run_ended.append(token))
    address = Address("127.0.0.1", 1)
    ears.listen([(0, address, b"c")])
    ears._on_message(address.label, *message)
    assert on_run_ended == []
    ears._on_message(address.label, b"c", b"7")
    assert on_run_ended == [7]
    ears.close()


@pytest.mark.parametrize(
    "command", ["cronlock run " * 6_000, "cronlock run -k a " + "x;" * 60_000, "cronlock run -k a " + "`" * 20_000]
)
def test_a_long_line_takes_linear_time(command: str) -> None:
    """A crontab may contain any line, and every run reads it."""
    begun = time.process_time()
    list(every_line(f"0 2 * * * {command}\n", "x", system=False))
    assert time.process_time() - begun < 2


# -- planted bugs ------------------------------------------------------------------------------------------------------


def planted(what: str) -> Target:
    """Return a reader with a bug in about one of some hundred inputs."""

    def check(number: int) -> None:
        if number != 77:
            return
        if what == "exception":
            raise IndexError
        while True:
            pass

    return Target(what, what, 1, lambda rng: rng.randrange(200), check)


@pytest.mark.parametrize("what", ["exception", "hang"])
def test_a_planted_bug_is_found_and_its_seed_printed(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The printed seed makes the same input again."""
    monkeypatch.setattr(harness, "LIMIT", 0.1)
    found = fuzz(planted(what), 1_000, 1)
    assert found.failures
    seed = re.match(r"--seed (\d+) --inputs 1 ", found.failures[0])
    assert seed
    assert (IndexError.__name__ if what == "exception" else HangError.__name__) in found.failures[0]
    again = fuzz(planted(what), 1, int(seed[1]))
    assert len(again.failures) == 1


SEED = "7"  # it finds each of these bugs
FUZZ = """
import runpy, sys
sys.path.append(sys.argv.pop(1))  # behind the changed cronlock
runpy.run_module("tests.fuzz", run_name="__main__")
"""


@pytest.mark.parametrize(
    ("target", "name", "old", "new"),
    [
        ("voters", "servers/redis_voters.py", "if not fields.keys() >= protocol.ANSWERED:", "if not fields:"),
        ("replies", "servers/connection.py", "except hiredis.ProtocolError:", "except KeyError:"),
        ("urls", "config/redis_url.py", " and part[1] in HEX", ""),
        ("crontabs", "cron/parser.py", "except ValueError:  # the shell refuses it too", "except KeyError:"),
        (
            "tomls",
            "config/settings.py",
            "except (ValueError, RecursionError) as error:",
            "except RecursionError as error:",
        ),
        ("times", "config/options.py", " or unit not in UNITS", ""),
        ("lines", "config/options.py", "        if not rest:\n            return None\n        value", "        value"),
    ],
)
def test_a_bug_in_a_reader_is_found(tmp_path: Path, target: str, name: str, old: str, new: str) -> None:
    """One line of cronlock that protects a reader is removed, for each target."""
    env = changed_cronlock(tmp_path, name, old, new)
    words = [sys.executable, "-P", "-c", FUZZ, str(ROOT), "--inputs", "6000", "--seed", SEED, target]
    done = subprocess.run(words, env=environment(env), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"--inputs 1 {target}: " in done.stdout
