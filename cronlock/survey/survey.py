"""What the voters have of the keys: their copies, read from all servers side by side, and not changed.

No script is called: thousands of keys are read by some hundred pipelines.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Container, Iterable, Iterator, Sequence

from cronlock.config.settings import Settings
from cronlock.errors import Refused, Unreachable
from cronlock.lock.local import file_name, state_directory
from cronlock.lock.local_copy import load
from cronlock.lock.protocol import COPIES
from cronlock.lock.quorum import quorum
from cronlock.servers.placement import OFFSETS, SLOTS, copies, slot_of
from cronlock.servers.redis_voters import agreed
from cronlock.survey import clients, reader
from cronlock.survey.clients import Server
from cronlock.survey.key_scan import FINAL, local_names, record_of
from cronlock.survey.reader import Progress
from cronlock.survey.snapshot import Snapshot, text

Record = tuple[str, str]  # a key, and with --each its node, else ""


class Survey:
    """The copies by record. `voters` are as many as a record has, `missing` says why some servers did not tell.

    `clock_offsets`: by how many seconds the servers' clocks are ahead of this machine's.
    """

    def __init__(
        self,
        settings: Settings,
        keys: Sequence[str] = (),
        progress: Progress = lambda _done, _of: None,
        heads: bool = False,
        found: clients.Servers | None = None,
    ) -> None:
        """Of these keys, or of all. Raises Unreachable when no quorum of the servers tells.

        `heads`: of most copies it is enough to know how new they are; `read_newest` reads the rest of one for each.
        `found`: the servers, where they are known already; those of its failures are not asked.
        """
        self.records: dict[Record, list[Snapshot]] = {}
        self.missing: dict[str, str] = {}
        self.clock_offsets: dict[str, float] = {}
        self.voters = 1
        self.voter_set = ""  # as a node here has them; empty for local files, which are nobody else's
        self._prefix, self._heads = settings.prefix, heads and not keys
        self._servers: clients.Servers | None = None  # all that were named or found
        self._telling = clients.Servers(False, [], {})  # those that answered so far
        if settings.local:
            self._read_files(keys)
        else:
            self._read_servers(settings, keys, progress, found)

    def _read_files(self, keys: Sequence[str]) -> None:
        for name in local_names():
            found = record_of(name, self._prefix)
            if found and (not keys or found[0] in keys):
                path = os.path.join(state_directory(), file_name(name, found[0]))
                copy = load(path)
                if copy is None:
                    self.missing[path] = f"{path}: it is damaged: remove it to begin anew"
                elif copy.record:  # else it has expired
                    self.records[found] = [Snapshot.of_file(path, copy)]

    def _read_servers(
        self, settings: Settings, keys: Sequence[str], progress: Progress, found: clients.Servers | None
    ) -> None:
        self._servers = found or clients.find(settings)
        self.voters = COPIES if self._servers.cluster else len(settings.redis)
        self.voter_set = agreed([address.label for address in settings.redis], self._servers.cluster)

        def read(server: Server) -> list[Snapshot]:
            if keys:
                told = self._read_some(server, keys)
            else:
                told = reader.scanned(server, self._prefix, self._heads, progress)
            clock = told[-1].time / 1000 if told else reader.clock_of(server)
            self.clock_offsets[server.label] = clock - time.time()
            return told

        answers = self._asking(self._servers.failures).ask(read)
        for answer in answers.values():
            for seen in () if isinstance(answer, Exception) else answer:
                record = record_of(text(seen.name), self._prefix)
                if record:
                    self.records.setdefault(record, []).append(seen)
        failures = {label: answer for label, answer in answers.items() if isinstance(answer, Exception)}
        self._telling = self._asking(self._servers.failures | failures)
        self._note(self._servers.failures | failures, len(answers) - len(failures))

    def _asking(self, failures: Container[str]) -> clients.Servers:
        """All servers but these."""
        there = self._servers or self._telling
        return clients.Servers(there.cluster, [server for server in there.all if server.label not in failures], {})

    def copy_locations(self, record: Record) -> Iterator[tuple[str, int]]:
        """Where copies of a record belong: a server's label, and the slot that tells them apart there."""
        there = self._servers or self._telling
        first = slot_of(record[0].encode("utf-8", "surrogateescape"))
        if not there.cluster:
            for label in dict.fromkeys([*(server.label for server in there.all), *there.failures]):
                yield label, first
            return
        for slot in [(first + offset) % SLOTS for offset in OFFSETS]:
            yield from ((server.label, slot) for server in there.all if any(slot in part for part in server.slots))

    def _read_some(self, server: Server, keys: Sequence[str]) -> list[Snapshot]:
        """Of each key the main record, and those of all nodes that it is known to run on."""
        names: list[bytes] = []
        for key in keys:
            lists = [nodes for _, nodes in self._names(server, key, "-")]
            found = reader.pipelined(server, [("HGETALL", nodes) for nodes in lists])
            told = {text(name).partition(":")[2] for nodes in found for name in nodes or ()}
            for node in ("", *sorted(told)):
                names += (record for record, _ in self._names(server, key, node))
        return reader.records(server, names, reader.info(server))

    def _names(self, server: Server, key: str, node: str) -> Iterator[tuple[bytes, bytes]]:
        """The Redis keys of those copies that this server has: record and nodes."""
        cluster = self._servers is not None and self._servers.cluster
        for names in copies(self._prefix, key, node, COPIES if cluster else 1):
            if not cluster or any(names.slot in part for part in server.slots):
                yield names.keys[0], names.keys[1]

    def read_all(self, history: bool = False) -> None:
        """Fill in what all copies know of the nodes, and their history."""
        self._read_more((seen for found in self.records.values() for seen in found), history)

    def read_newest(self, newest: Callable[[Iterable[Snapshot]], Snapshot]) -> None:
        """Read the newest copy of each record as a whole; of a server that fails meanwhile nothing counts any more."""
        chosen = {record: newest(found) for record, found in self.records.items()}
        while failed := self._read_more(chosen.values()):
            for record, found in list(self.records.items()):
                left = [seen for seen in found if seen.server not in failed]
                self.records[record] = left
                if not left:
                    del self.records[record]
            chosen = {
                record: newest(self.records[record])
                for record, seen in chosen.items()
                if seen.server in failed and record in self.records
            }

    def _read_more(self, chosen: Iterable[Snapshot], history: bool = False) -> set[str]:
        """The labels of the servers that failed."""
        by_server: dict[str, list[Snapshot]] = {}
        for seen in chosen:
            if seen.server:
                by_server.setdefault(seen.server, []).append(seen)
        if not by_server:
            return set()
        prefix, heads = self._prefix, self._heads
        answers = self._telling.ask(
            lambda server: reader.complete(server, by_server.get(server.label, ()), prefix, heads, history)
        )
        failures = {label: answer for label, answer in answers.items() if isinstance(answer, Exception)}
        self._note(failures, len(answers) - len(failures))
        return set(failures)

    def _note(self, failures: dict[str, Exception], told: int) -> None:
        """Keep why some did not tell; raises when too few did. Of a cluster each master has copies of every key."""
        self.missing |= {label: f"{label}: {clients.why(failure)}" for label, failure in failures.items()}
        if told < (1 if self._servers and self._servers.cluster else quorum(self.voters)):
            final = [self.missing[label] for label, failure in failures.items() if isinstance(failure, FINAL)]
            raise Refused(final[0]) if final else Unreachable("; ".join(self.missing.values()))
