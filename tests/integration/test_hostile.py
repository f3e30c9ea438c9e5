"""Texts from elsewhere are harmless wherever they are shown: servers', other nodes', crontabs', files', and argv's."""

import contextlib
import json
import re
import socketserver
import time
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.commands import cronlock, home
from tests.support.fork_server import Call, call_all
from tests.support.operator import NEXT, TICK, at, run
from tests.support.proxies import listening
from tests.support.servers import Server

FORGED = "cronlock: job: ran: status 0"
EVIL = f"x\x1b[31m\x1b]0;title\x07\x9b2J\u202etxt\u2066\x85\u2028\r\n{FORGED}\n\t'\"\\{{}}"
PEOPLE = [line.split() for line in """
    status
    status job
    status --format json
    status --format prometheus
    history job
    history --format json job
    check
    check --format json
    pause job
    resume --all
    adopt --yes job
    unlock --yes job
    forget --yes job
""".strip().split("\n")]  # fmt: skip


RUN = ("run", "--key", "job", "--outage-wait", "0")


def people(*place: str) -> list[Call]:
    """The commands of an operator, about the key job and about all keys."""
    return [Call((command, *place, *words)) for command, *words in PEOPLE]


def harmless(done: CompletedProcess[str], *where: object) -> None:
    """Assert printable text, no injected line, and no traceback."""
    for text in (done.stdout, done.stderr):
        odd = {character for character in text if not character.isprintable() and character != "\n"}
        assert not odd, (where, odd, text)
        assert FORGED not in text.split("\n"), (where, text)
    assert "Traceback" not in done.stderr, (where, done.stderr)


def spoiled(server: Server, more: dict[str, str | int]) -> None:
    """The record of a key as an attacker with the right to write leaves it, under its name and another one."""
    run(at(server), *TICK, "--node", "n", "--", "true")
    [record], [nodes], [history] = (server.redis.keys(f"*:{part}:job") for part in ("record", "nodes", "history"))
    texts = "node command schedule zone outcome state voter_set_by pause_reason pause_by".split()
    server.redis.hset(record, mapping={**dict.fromkeys(texts, EVIL), EVIL: EVIL, **more})
    server.redis.hset(nodes, mapping={f"job:{EVIL}": "\t".join([EVIL] * 3), f"result:{EVIL}": f"1\t2\t{EVIL}\t0\t2"})
    server.redis.hset(nodes, mapping={f"seen:{EVIL}": "1795500000", f"{EVIL}:{EVIL}": "3"})
    server.redis.lpush(history, "\t".join(["5", "1795500000", "1", EVIL.replace("\t", ""), "1", "2", "3", "\x1b", "0"]))
    for name in (record, nodes, history):
        server.redis.copy(name, name.removesuffix("job") + EVIL)


def test_hostile_text_in_a_record_is_escaped(server: Server) -> None:
    """By every command, in text and in JSON."""
    in_an_hour = int(time.time() * 1000) + 1_800_000
    lease = {"holder": EVIL, "kind": "run", "lease_end": in_an_hour, "token": 5}
    for more, words in (
        ({"voter_set": EVIL}, (*NEXT, "--", "true")),
        (lease, (*NEXT, "-v", "--", "true")),
        (lease, ("--schedule", "none", "--wait", "100ms", "--", "true")),
        ({"paused_until": -1}, (*NEXT, "-v", "--", "true")),
        ({"tick": int(time.time()), "state": "done"}, (*NEXT, "-v", "--", "true")),
    ):
        server.redis.flushall()
        spoiled(server, more)
        [done] = call_all([Call((*RUN, *at(server), *words))])
        assert "\\x1b[31m" in done.stderr
        harmless(done, words)
    server.redis.flushall()
    spoiled(server, {"tick": 1_795_500_000 * 2})
    for done in call_all(people(*at(server)), at_once=1):
        words = done.args
        harmless(done, words)
        if "json" in words:
            assert done.stdout.isascii()
            assert json.loads(done.stdout)
        if "prometheus" in words:
            samples = [sample for family in text_string_to_metric_families(done.stdout) for sample in family.samples]
            assert all(value.isprintable() for sample in samples for value in sample.labels.values())
            assert any("\\x1b[31m" in sample.labels["key"] for sample in samples)


@contextlib.contextmanager
def speaking(*kinds: str) -> Iterator[str]:
    """Return the URL of a server with hostile text in errors, in INFO, or in the names of a cluster's nodes."""

    class Talk(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(OSError, ValueError):
                while line := self.rfile.readline():
                    words = []
                    for _ in range(int(line[1:])):
                        words.append(self.rfile.read(int(self.rfile.readline()[1:]) + 2)[:-2])
                    self.wfile.write(answer(words))

    def bulk(text: str) -> bytes:
        data = text.encode("utf-8", "surrogateescape")
        return b"$%d\r\n%b\r\n" % (len(data), data)

    def answer(words: list[bytes]) -> bytes:
        name, evil = words[0].upper(), EVIL.replace("\r", "").replace("\n", " ")
        if name == b"CLUSTER" and "cluster" in kinds:
            node = b"*3\r\n" + bulk(EVIL) + b":1\r\n" + bulk("a" * 40)
            return b"*1\r\n*4\r\n:0\r\n:16383\r\n" + node * 2
        if name == b"CLUSTER" and "error" not in kinds:
            return b"-ERR This instance has cluster support disabled\r\n"
        if name == b"INFO" and "info" in kinds:
            lines = (
                f"redis_version:{evil}\r\nrole:slave\r\nmaster_host:{evil}\r\nmaxmemory_policy:{evil}\r\nrun_id:{evil}"
            )
            return bulk(f"{lines}\r\ndb0:keys=1,expires={evil}\r\n")
        if name == b"TIME":
            return b"*2\r\n" + bulk(str(int(time.time()))) + bulk("0")
        return f"-{'NOPERM' if 'right' in kinds else 'ERR'} {evil}\r\n".encode()

    with listening(Talk) as url:
        yield url


@pytest.mark.parametrize("kinds", [("error",), ("info",), ("cluster",), ("right", "error"), ("right", "info")])
def test_hostile_text_from_a_server_is_escaped(kinds: tuple[str, ...]) -> None:
    """In its errors, its version, and the nodes of its alleged cluster."""
    with speaking(*kinds) as url:
        all_done = call_all([Call((*RUN, "--schedule", "none", "--redis", url, "true")), *people("--redis", url)])
    for done in all_done:
        harmless(done, done.args)
    assert any("\\x1b[31m" in done.stdout + done.stderr for done in all_done)


def test_hostile_text_in_argv_the_environment_and_files_is_escaped() -> None:
    """Also in click's errors."""
    lines = [
        [EVIL],
        ["status", f"--nope{EVIL}"],
        ["status", "--format", EVIL],
        ["check", EVIL],
        ["wrap", "--once", EVIL],
    ]
    options = [f"--{name}" for name in "key schedule tz tick ttl config".split()]
    names = ["CRONLOCK_TTL", "CRONLOCK_REDIS", "REDIS_HOST", "CRONLOCK_NODE"]
    calls = [
        *(Call(words) for words in lines),
        *(Call((*RUN, "--local", option, EVIL, "x")) for option in options),
        *(Call((*RUN, "true"), {name: EVIL}) for name in names),
        Call((*RUN, "true"), {f"CRONLOCK_{EVIL.replace('=', '')}": "1"}),
    ]
    files = [f'"{EVIL}"', f"{EVIL} = 1", '"\\u001b" = 1', '[keys."\\u001b"]\nttl = "\\u001b"', 'prefix = "\\u001b"']
    for number, text in enumerate(files):
        Path(home(), f"{number}.toml").write_text(text)
        calls.append(Call(("status", "--config", f"{number}.toml")))
    for done in call_all(calls):
        harmless(done, done.args)
        assert (done.returncode, done.stderr.count("\n")) == (125, 1), done


def test_hostile_text_in_a_crontab_is_escaped() -> None:
    """wrap prints the line unchanged, and escapes it on standard error."""
    line = EVIL.replace("\n", "").replace("\r", "")
    rows = [f"{line} * * * * x", f"* * * * * {line}", f"SHELL={line}", "* * * * * y 'open", f"* * * * * {line} -c 'x"]
    Path(home(), "tab").write_text("".join(f"{row}\n" for row in rows))
    done = cronlock("wrap", "--once", "tab")
    assert re.search(r"line \d: left alone", done.stderr)
    done.stdout = ""
    harmless(done)


def test_text_outside_the_encoding_is_escaped(local_key: str) -> None:
    """A key with an umlaut causes no traceback and is not lost."""
    env, key = {"PYTHONIOENCODING": "ascii"}, f"{local_key}-\u00fc"
    run = ("run", "--local", "--key", key, "--schedule", "none")
    lines = (
        (*run, "--dry-run", "x"),
        ("pause", "--local", key),
        ("status", "--local", key),
        ("forget", "--local", "--yes", key),
        ("resume", "--local", key),
    )
    for words in lines:
        done = cronlock(*words, env=env)
        harmless(done, words)
        assert f"{local_key}-\\xfc" in done.stdout + done.stderr, done
