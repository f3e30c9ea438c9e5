"""One voter of three that lies: it makes no node wait for ever, freezes no tokens, and prints no page.

The others are real servers. What the protocol allows of each number and text is listed in cronlock/lock/protocol.py.
"""

import contextlib
import socketserver
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from cronlock.cron.schedule import TICK_MAX as MILLISECONDS
from cronlock.lock.protocol import ANSWERED, LARGEST, LEASE_MAX, RANGES, TEXTS, TICK_MAX, TIME_MAX, YIELD_MAX
from cronlock.lock.quorum import TOKEN_AHEAD
from cronlock.servers.redis_voters import decoded
from tests.support.commands import cronlock
from tests.support.operator import NEXT, TICK, at, run
from tests.support.proxies import listening
from tests.support.servers import Server

PLAIN = ("--key", "job", "--schedule", "none", "--outage-wait", "1s")
Servers = Callable[..., list[Server]]


def bulk(value: object) -> bytes:
    data = str(value).encode()
    return b"$%d\r\n%b\r\n" % (len(data), data)


def honest() -> dict[str, Any]:
    """Return the answer of a voter without a record."""
    now = int(time.time() * 1000)
    return dict.fromkeys(TEXTS, "") | dict.fromkeys(RANGES, 0) | {"answer": "ok", "now": now, "time": now}


@contextlib.contextmanager
def lying(error: str = "", **lies: Any) -> Iterator[str]:
    """Return the URL of a voter that answers every request with these fields or this error."""
    fields = [bulk(word) for pair in (honest() | lies).items() for word in pair]
    reply = b"*%d\r\n%b" % (len(fields), b"".join(fields)) if not error else f"-{error}\r\n".encode()

    class Talk(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(OSError, ValueError):
                while line := self.rfile.readline():
                    words = [self._word() for _ in range(int(line[1:]))]
                    cluster = words[0].upper() == b"CLUSTER"
                    self.wfile.write(b"-ERR This instance has cluster support disabled\r\n" if cluster else reply)

        def _word(self) -> bytes:
            return self.rfile.read(int(self.rfile.readline()[1:]) + 2)[:-2]

    with listening(Talk) as url:
        yield url


@pytest.mark.parametrize("words", [PLAIN, ("--key", "job", "--outage-wait", "1s", *TICK)], ids=["none", "tick"])
def test_a_voter_that_asks_to_yield_for_ever_is_obeyed_once(server: Server, words: tuple[str, ...]) -> None:
    """For at most the time that a voter may ask for; then --outage-wait counts."""
    with lying(answer="yield", wait=LARGEST) as url, lying(answer="yield", wait=LARGEST) as another:
        begun = time.monotonic()
        done = cronlock("run", *at(server), "--redis", url, "--redis", another, *words, "--", "true")
        took = time.monotonic() - begun
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (122, "", 1)
    assert took < YIELD_MAX / 1000 + 15


def test_an_error_of_megabytes_is_one_readable_line(servers: list[Server]) -> None:
    """In run and in check."""
    with lying(error="ERR " + "x" * 10_000_000) as url:
        done = cronlock("run", *at(servers[0]), "--redis", url, *PLAIN, "--", "true")
        checked = cronlock("check", *at(servers[0]), "--redis", url)
    assert done.returncode in (122, 125)
    for line in (*done.stderr.splitlines(), *checked.stdout.splitlines()):
        assert len(line) < 4_000


def test_texts_of_megabytes_are_one_readable_line() -> None:
    """Node names, reasons, lists of voters."""
    huge = "x" * 1_000_000
    for lies in (
        {"answer": "held", "token": 5, "node": huge},
        {"answer": "voter_set", "voter_set": f"1 3 {huge}", "voter_set_by": huge},
        {"answer": "paused", "paused_until": -1, "pause_reason": huge},
        {"answer": huge},
        {"run_id": huge, "state": huge, "kind": huge, "outcome": huge},
    ):
        with lying(**lies) as url:
            done = cronlock("run", "--redis", url, *PLAIN, "-v", "--", "true")
        assert all(len(line) < 4_000 for line in done.stderr.splitlines()), lies.keys()
        assert "Traceback" not in done.stderr


def test_every_number_and_text_of_an_answer_is_bounded() -> None:
    """Above and below; fields outside the protocol are dropped."""
    assert (RANGES.keys() | TEXTS.keys()) - {"wait"} == ANSWERED
    assert TICK_MAX == MILLISECONDS - 1
    for number in (b"9" * 30, b"-" + b"9" * 30):
        words = [word for name in [*RANGES, "nothing"] for word in (name.encode(), number)]
        fields = decoded([*words, *(word for name in TEXTS for word in (name.encode(), b"x" * 100_000))])
        assert "nothing" not in fields
        assert all(fields[name] in RANGES[name] for name in RANGES), fields
        assert all(len(fields[name]) == TEXTS[name] for name in TEXTS)
    assert RANGES["left"][1] == LEASE_MAX
    assert RANGES["wait"][1] == YIELD_MAX


# -- fencing tokens ----------------------------------------------------------------------------------------------------


def record_of(server: Server) -> str:
    (name,) = [name for name in server.redis.scan_iter() if ":record:" in name]
    return str(name)


def tokens(servers: list[Server]) -> list[int]:
    return [int(server.redis.hget(record_of(server), "token")) for server in servers]


@pytest.mark.parametrize("ahead", [LARGEST, 2 * TOKEN_AHEAD], ids=["the last one", "in two days"])
def test_one_voter_with_an_impossible_token_does_not_count_until_it_is_adopted(
    servers: list[Server], ahead: int
) -> None:
    """The tokens of runs stay close to the clock; check names the voter and the cure, which works."""
    token = min(LARGEST, int(time.time() * 1000) + ahead)
    run(at(*servers), *TICK, "--", "true")
    servers[0].redis.hset(record_of(servers[0]), "token", token)
    done = run(at(*servers), *NEXT, "--", "sh", "-c", "echo $CRONLOCK_RUN_TOKEN")
    assert (done.returncode, done.stderr) == (0, "")
    assert 0 <= time.time() * 1000 - int(done.stdout) < 60_000
    assert tokens(servers)[0] == token
    assert len(set(tokens(servers)[1:])) == 1

    checked = cronlock("check", *at(*servers))
    (line,) = [line for line in checked.stdout.splitlines() if str(token) in line]
    assert checked.returncode == 1
    assert line.split()[:2] == ["red", "job"]
    assert f"127.0.0.1:{servers[0].port}" in line
    assert line.endswith(f": cronlock adopt {' '.join(at(*servers))} job")
    assert f"{token} at 127.0.0.1:{servers[0].port}" in cronlock("status", *at(*servers)).stdout

    adopted = cronlock("adopt", *at(*servers), "--yes", "job")
    assert (adopted.returncode, adopted.stderr) == (0, "")
    assert str(token) in adopted.stdout
    assert len(set(tokens(servers))) == 1
    assert cronlock("check", *at(*servers)).stdout.count(str(token)) == 0
    third = run(at(*servers), "--again", *NEXT, "--", "sh", "-c", "echo $CRONLOCK_RUN_TOKEN")
    assert int(done.stdout) < int(third.stdout) < int(done.stdout) + 60_000


def test_a_voter_with_an_impossible_token_counts_as_missing(servers: list[Server]) -> None:
    """With another voter down no quorum is left; the line names the voter and what to do."""
    run(at(*servers), *TICK, "--", "true")
    servers[0].redis.hset(record_of(servers[0]), "token", LARGEST)
    servers[1].stop_process()
    done = run(at(*servers), *NEXT, "--", "echo", "run")
    servers[1].continue_process()
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (122, "", 1)
    adopt = f"run cronlock adopt {' '.join(at(*servers))} job"
    assert f"127.0.0.1:{servers[0].port}: its fencing token {LARGEST} is far beyond every clock: {adopt}" in done.stderr


def test_check_counts_a_voter_with_an_impossible_token_as_missing(servers: list[Server]) -> None:
    """With another voter down no run can start: red, with the reason."""
    run(at(*servers), *TICK, "--", "true")
    servers[0].redis.hset(record_of(servers[0]), "token", LARGEST)
    servers[1].kill()
    checked = cronlock("check", *at(*servers))
    assert checked.returncode == 1
    (line,) = [line for line in checked.stdout.splitlines() if "no run of it can start" in line]
    assert "1 of 3 voters counts" in line
    assert f"127.0.0.1:{servers[0].port} has an impossible fencing token" in line


def test_tokens_continue_after_all_clocks_were_ahead(servers: list[Server]) -> None:
    """A quorum's tokens are valid: a resource that saw one refuses all lower ones."""
    run(at(*servers), *TICK, "--", "true")
    ahead = int(time.time() * 1000) + 365 * 86_400_000
    for server in servers[:2]:
        server.redis.hset(record_of(server), "token", ahead)
    done = run(at(*servers), *NEXT, "--", "sh", "-c", "echo $CRONLOCK_RUN_TOKEN")
    assert done.stdout == f"{ahead + 1}\n"


def test_tokens_of_two_voters_are_judged_when_both_have_answered(servers: list[Server]) -> None:
    """The first answer alone looks like that of a voter with an impossible token."""
    two = servers[:2]
    run(at(*two), *TICK, "--", "true")
    ahead = int(time.time() * 1000) + 365 * 86_400_000
    for server in two:
        server.redis.hset(record_of(server), "token", ahead)
    two[1].ask("CLIENT", "PAUSE", "300", "ALL")
    done = run(at(*two), *NEXT, "--", "sh", "-c", "echo $CRONLOCK_RUN_TOKEN")
    assert (done.stdout, done.stderr) == (f"{ahead + 1}\n", "")


@pytest.mark.parametrize("token", [TIME_MAX + 1, LARGEST])
def test_a_single_servers_impossible_token_is_refused_and_adopt_repairs_it(server: Server, token: int) -> None:
    """Without another voter, an operator has to decide."""
    run(at(server), *TICK, "--", "true")
    server.redis.hset(record_of(server), "token", token)
    done = run(at(server), *NEXT, "--", "echo", "run")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (125, "", 1)
    adopt = f"run cronlock adopt --redis {server.url} job"
    assert f"its fencing token {token} is far beyond every clock: {adopt}" in done.stderr
    assert cronlock("adopt", *at(server), "--yes", "job").returncode == 0
    assert run(at(server), *TICK, "--", "echo", "again").stdout == "", "its ticks are remembered"
    assert run(at(server), *NEXT, "--", "echo", "run").stdout == "run\n"
