"""fakeredis stands in for a server in tests/unit: the same steps come to the same on it and on a real one."""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from tests.support.commands import cronlock
from tests.support.fake_servers import FakeServer
from tests.support.random_steps import TOUR, Fields
from tests.support.script_voter import KEYS, OnServer, Stored
from tests.support.servers import Server


class OneServer(Protocol):
    @property
    def url(self) -> str: ...

    @property
    def stamp(self) -> str: ...


class Recorded(OnServer):
    """Keeps all answers, and what the copy was after each."""

    def __init__(self, server: Any) -> None:
        super().__init__(Stored(server))
        self.answers: list[Any] = []

    def ask(self, operation: str, holder: str, fields: Fields) -> Fields:
        answer = super().ask(operation, holder, fields)
        self.answers.append((operation, answer, self.stored.state(), [left > 0 for left in self.stored.left]))
        return answer


def without_times(told: Any, stamp: str) -> str:
    """The same on both: a number of ms since 1970, or of them until then, is a time."""
    return re.sub(
        r"(?<!\d)([12]\d{12}|\d{2,7})(?!\d)", "TIME", json.dumps(told, sort_keys=True).replace(stamp, "STAMP")
    )


def test_every_answer_of_the_script_is_that_of_a_real_server(server: Server, fakes: list[FakeServer]) -> None:
    """prepare, commit, extend, release, finish, pause, unlock, forget and look, with each answer that there is."""
    real, fake = Recorded(server), Recorded(fakes[0])
    for both in (real, fake):
        both.go(TOUR)
    for one, other in zip(real.answers, fake.answers, strict=True):
        assert without_times(one, server.stamp) == without_times(other, fakes[0].stamp)
    for key in KEYS[:4]:
        types = [both.stored.plain.type(key) for both in (real, fake)]
        assert types[0] == types[1]


def life(servers: Sequence[OneServer]) -> Iterator[str]:
    """A key's life, as people and their scripts see it."""
    where = [word for server in servers for word in ("--redis", server.url)]
    run = ("run", *where, "--key", "job", "--outage-wait", "0", "--schedule", "none")
    lines = [
        ("status", *where),
        (*run, "--node", "web-1", "-v", "--", "echo", "ran"),
        (*run, "--node", "web-2", "-v", "--", "false"),
        ("status", *where),
        ("status", *where, "--format", "prometheus"),
        ("history", *where, "job"),
        ("pause", *where, "--reason", "migration", "job"),
        (*run, "-v", "--", "echo", "not while it is paused"),
        ("status", *where, "job"),
        ("resume", *where, "--all"),
        ("unlock", *where, "--yes", "job"),
        ("forget", *where, "--yes", "job"),
        ("status", *where),
        ("history", *where, "job"),
        ("unlock", *where, "--yes", "another"),
    ]
    for words in lines:
        done = cronlock(*words)
        yield f"{words[0]}: {done.returncode}\n{done.stdout}{done.stderr}"
    for words in (("status", *where, "--format", "json"), ("history", *where, "job", "--format", "json")):
        told = cronlock(*words).stdout
        assert json.loads(told)
        yield told


def same(text: str, servers: Sequence[OneServer]) -> str:
    """Without what differs from run to run: ports, times, durations, and the width of their columns."""
    for number, server in enumerate(servers):
        text = text.replace(server.url.removeprefix("redis://"), f"redis-{number}").replace(server.stamp, "stamp")
    text = re.sub(r"\b[0-9a-f]{12,40}\b", "0", text)
    text = re.sub(r"\d\d:\d\d:\d\d|\d+(\.\d+)?(e\+\d+)?", "0", text)
    return re.sub(r"[ \u2500-\u259f]+", " ", text)


def test_people_read_the_same_of_both(servers: list[Server], fakes: list[FakeServer]) -> None:
    """run, status, history, pause, resume, unlock and forget."""
    for real, fake in zip(life(servers), life(fakes), strict=True):
        assert same(real, servers) == same(fake, fakes)
