"""What the voters have of the keys: their copies, read from all servers side by side, and not changed.

No script is called: thousands of keys are read by some hundred pipelines. Names that a cluster moves meanwhile are left
out; the other copies of their key tell enough.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any

import redis

from cronlock.config import Settings
from cronlock.errors import Refused, Unreachable
from cronlock.lock.local import file_name, load, state_directory
from cronlock.lock.quorum import quorum
from cronlock.lock.record import NUMBERS, TEXTS, Copy
from cronlock.lock.slots import COPIES, MAIN, copies
from cronlock.people import servers
from cronlock.people.keys import FINAL, local_names, pattern, record_of
from cronlock.people.servers import Server
from cronlock.schedule import TICK_MAX
from cronlock.system import monotonic

AT_ONCE = 1_000  # names in one call of SCAN, and commands in one pipeline
HEAD = tuple(  # of a record: whose copy is the newest, what is left of its lease, and a pause
    b"token outcome kind holder lease_end run_id paused_until pause_reason pause_by".split()
)
TICKS = frozenset("tick tick1 tick2 run_tick missed_tick next seen last asked".split())  # epoch seconds
TIMES = frozenset("start end lease_end paused_until".split())  # ms

Record = tuple[str, str]  # a key, and with --each its node, else ""
Pairs = dict[bytes, bytes]
Progress = Callable[[int, int], None]  # so many names of so many were looked at, by one server


class Seen:
    """One voter's copy of a record. `now` is its clock for leases, `time` its wall clock, both ms."""

    def __init__(self, voter: str, server: str, name: bytes, raw: Pairs, clock: tuple[int, int, str]) -> None:
        self.voter, self.server, self.name = voter, server, name
        self.now, self.time, self.run_id = clock
        self._raw = raw
        self.newness = (
            _number("token", raw.get(b"token", b"")),
            bool(raw.get(b"outcome")),
        )  # which of two copies knows more

    def read(self, raw: Pairs, now: int) -> None:
        """The whole record, later than the rest."""
        if raw:
            self._raw, self.now, self.time = raw, now, now
            self.__dict__.pop("copy", None)

    @classmethod
    def of_file(cls, path: str, copy: Copy) -> Seen:
        """The local voter's."""
        seen = cls(path, "", b"", {}, (monotonic(), int(time.time() * 1000), ""))
        for part in (copy.record, copy.nodes):
            part.update({name: _sane(name, value) for name, value in part.items() if isinstance(value, int)})
        seen.copy = copy
        seen.newness = copy.get("token"), bool(copy.get("outcome"))
        return seen

    @cached_property
    def copy(self) -> Copy:
        copy = Copy()
        copy.record = _typed(self._raw, lambda name: name in NUMBERS)
        return copy

    def get(self, field: str) -> Any:
        """A field of the record, without reading all of it; 0 or the empty text when it was never written."""
        if not self._raw:
            return self.copy.get(field)
        value = self._raw.get(field.encode(), b"")
        return _number(field, value) if field in NUMBERS else _text(value)

    @property
    def left(self) -> int:
        """ms of a run's lease."""
        if self.get("kind") != "run" or not self.copy.live(self.now):
            return 0
        return int(self.get("lease_end")) - self.now

    @property
    def reborn(self) -> bool:
        """Whether its server may have gone back to older data since the last run."""
        stamp = self.get("run_id")
        return bool(stamp and self.run_id and stamp != self.run_id)


class Survey:
    """The copies by record. `voters` are as many as a record has, `missing` says why some servers did not tell."""

    def __init__(
        self,
        settings: Settings,
        keys: Sequence[str] = (),
        progress: Progress = lambda _done, _of: None,
        heads: bool = False,
    ) -> None:
        """Of these keys, or of all. Raises Unreachable when no quorum of the servers tells.

        `heads`: of most copies it is enough to know how new they are, and `read_more` reads the rest of some.
        """
        self.records: dict[Record, list[Seen]] = {}
        self.missing: dict[str, str] = {}
        self.voters = 1
        self._prefix, self._heads = settings.prefix, heads and not keys
        if settings.local:
            self._read_files(keys)
        else:
            self._read_servers(settings, keys, progress)

    def _read_files(self, keys: Sequence[str]) -> None:
        for name in local_names():
            found = record_of(name, self._prefix)
            if found and (not keys or found[0] in keys):
                path = os.path.join(state_directory(), file_name(name, found[0]))
                copy = load(path)
                if copy is None:
                    self.missing[path] = "it is damaged: remove it to begin anew"
                else:
                    self.records[found] = [Seen.of_file(path, copy)]

    def _read_servers(self, settings: Settings, keys: Sequence[str], progress: Progress) -> None:
        self._servers = servers.find(settings)
        self.voters = COPIES if self._servers.cluster else len(settings.redis)
        if keys:
            answers = self._servers.ask(lambda server: self._read_some(server, keys))
        else:
            answers = self._servers.ask(lambda server: self._read_all(server, progress))
        failures = dict(self._servers.failures)
        for label, answer in answers.items():
            if isinstance(answer, Exception):
                failures[label] = answer
            else:
                for seen in answer:
                    record = record_of(os.fsdecode(seen.name), self._prefix)
                    if record:
                        self.records.setdefault(record, []).append(seen)
        self._note(failures, sum(not isinstance(answer, Exception) for answer in answers.values()))

    def _read_all(self, server: Server, progress: Progress) -> list[Seen]:
        info = _info(server)
        size = sum(part["keys"] for name, part in info.items() if re.fullmatch(r"db\d+", name))
        found: list[Seen] = []
        cursor, done = -1, 0
        while cursor:
            cursor, names = server.client.scan(max(cursor, 0), pattern(self._prefix), AT_ONCE)
            done = min(done + AT_ONCE, size)
            found += _records(server, list(dict.fromkeys(map(os.fsencode, names))), info, self._heads)
            progress(done if cursor else size, size)
        return found

    def _read_some(self, server: Server, keys: Sequence[str]) -> list[Seen]:
        """Of each key the main record, and those of all nodes that it is known to run on."""
        names: list[bytes] = []
        for key in keys:
            lists = [nodes for _, nodes in self._names(server, key, "-")]
            told = {
                os.fsdecode(name).partition(":")[2] for nodes in lists for name in server.client.hgetall(_text(nodes))
            }
            for node in ("", *sorted(told)):
                names += (record for record, _ in self._names(server, key, node))
        return _records(server, names, _info(server), heads=False)

    def _names(self, server: Server, key: str, node: str) -> Iterator[tuple[bytes, bytes]]:
        """The Redis keys of those copies that this server has: record and nodes."""
        for names in copies(self._prefix, key, node, COPIES if self._servers.cluster else 1):
            if not self._servers.cluster or any(names.slot in part for part in server.slots):
                yield names.keys[0], names.keys[1]

    def read_more(self, chosen: Iterable[Seen], history: bool = False) -> None:
        """Fill in what these copies know of the nodes, and their history."""
        by_server: dict[str, list[Seen]] = {}
        for seen in chosen:
            if seen.server:
                by_server.setdefault(seen.server, []).append(seen)
        if not by_server:
            return
        chosen_of = by_server.get
        answers = self._servers.ask(
            lambda server: _complete(server, chosen_of(server.label, ()), self._prefix, self._heads, history)
        )
        failures = {label: answer for label, answer in answers.items() if isinstance(answer, Exception)}
        self._note(failures, len(answers) - len(failures))

    def _note(self, failures: dict[str, Exception], told: int) -> None:
        """Keep why some did not tell; raises when too few did. Of a cluster each master has copies of every key."""
        self.missing |= {label: f"{label}: {failure}" for label, failure in failures.items()}
        if told < (1 if self._servers.cluster else quorum(self.voters)):
            final = [self.missing[label] for label, failure in failures.items() if isinstance(failure, FINAL)]
            raise Refused(final[0]) if final else Unreachable("; ".join(self.missing.values()))


def _info(server: Server) -> dict[str, Any]:
    try:
        return dict(server.client.info())
    except redis.exceptions.NoPermissionError:
        return {}


def _records(server: Server, names: list[bytes], info: dict[str, Any], heads: bool) -> list[Seen]:
    """Their copies. The clock is read behind them: before, a lease could seem further away than any is."""
    found: list[Seen] = []
    label, run_id = server.label, str(info.get("run_id", ""))
    for start in range(0, len(names), AT_ONCE - 1):
        part = names[start : start + AT_ONCE - 1]
        reads = (("HMGET", name, *HEAD) if heads else ("HGETALL", name) for name in part)
        *answers, clock = _pipelined(server, [*reads, ("TIME",)])
        now = _in_ms(clock)
        for name, answer in zip(part, answers, strict=True):
            raw = _as_pairs(answer)
            if raw:
                found.append(Seen(label, label, name, raw, (now, now, run_id)))
    return found


def _in_ms(clock: tuple[int, int]) -> int:
    return clock[0] * 1000 + clock[1] // 1000


def _as_pairs(answer: Any) -> Pairs:
    """The fields that are there; none of what is no record."""
    if isinstance(answer, list):
        answer = {name: value for name, value in zip(HEAD, answer, strict=True) if value is not None}
    return answer if isinstance(answer, dict) else {}


def _pipelined(server: Server, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
    """The answers; one that is an error, as of a key that is gone elsewhere, is an exception."""
    answers: list[Any] = []
    for start in range(0, len(commands), AT_ONCE):
        pipeline = server.client.pipeline(transaction=False)
        for command in commands[start : start + AT_ONCE]:
            pipeline.execute_command(*command)  # type: ignore[no-untyped-call]
        answers += pipeline.execute(raise_on_error=False)
    return answers


def _complete(server: Server, chosen: Sequence[Seen], prefix: str, heads: bool, history: bool) -> None:
    beside = [_beside(seen.name, prefix) for seen in chosen]
    if heads:
        *records, clock = _pipelined(server, [*(("HGETALL", seen.name) for seen in chosen), ("TIME",)])
        for seen, record in zip(chosen, records, strict=True):
            seen.read(_as_pairs(record), _in_ms(clock))
    for seen, nodes in zip(chosen, _pipelined(server, [("HGETALL", nodes) for nodes, _ in beside]), strict=True):
        if isinstance(nodes, dict):
            seen.copy.nodes = _typed(nodes, lambda name: not name.startswith(TEXTS))
    if history:
        lines = _pipelined(server, [("LRANGE", name, 0, -1) for _, name in beside])
        for seen, found in zip(chosen, lines, strict=True):
            if isinstance(found, Exception):
                raise found
            seen.copy.history = [_text(line) for line in found]


def _beside(name: bytes, prefix: str) -> tuple[bytes, bytes]:
    """The names of the nodes and of the history that belong to a record."""
    front = len(os.fsencode(prefix)) + len(":{....}:")
    kind, _, rest = name[front:].partition(b":")
    if kind == os.fsencode(MAIN):
        return name[:front] + b"nodes:" + rest, name[:front] + b"history:" + rest
    node, _, key = rest.partition(b":")
    return name[:front] + b"each-nodes:" + key, name[:front] + b"each-history:" + node + b":" + key


def _typed(raw: Pairs, is_number: Callable[[str], bool]) -> dict[str, Any]:
    named = ((_text(name), value) for name, value in raw.items())
    return {name: _number(name, value) if is_number(name) else _text(value) for name, value in named}


def _number(name: str, value: bytes) -> int:
    """0 for what somebody else's hand has made of it: no number, or a time that no calendar has."""
    try:
        return _sane(name, int(value or 0))
    except ValueError:
        return 0


def _sane(name: str, number: int) -> int:
    kind = name.partition(":")[0]
    most = TICK_MAX if kind in TICKS else 1000 * TICK_MAX if kind in TIMES else 2**63
    return number if -1 <= number < most else 0


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")
