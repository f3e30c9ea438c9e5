"""The copies that the voters have of the keys, read from all servers in parallel, without any change.

The survey calls no script: it reads thousands of keys with some hundred pipelines.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Container, Iterable, Iterator, Sequence

from cronlock.config.settings import Settings
from cronlock.config.suggested_command import location_flags
from cronlock.errors import Refused, Unreachable
from cronlock.lock.local import file_name, state_directory
from cronlock.lock.local_copy import load
from cronlock.lock.protocol import COPIES
from cronlock.lock.quorum import quorum
from cronlock.servers.placement import OFFSETS, SLOTS, copies, slot_of
from cronlock.servers.redis_voters import voter_set_of
from cronlock.survey import clients, reader
from cronlock.survey.clients import Server
from cronlock.survey.key_scan import FINAL, local_names, record_of
from cronlock.survey.reader import Progress
from cronlock.survey.snapshot import Snapshot, decoded

Record = tuple[str, str]  # a key, and the node that owns the record; "" without --each


class Survey:
    """The copies by record.

    `voters` is the number of voters of a record, `missing` the reason for each server that did not answer, and
    `clock_offsets` the seconds that the servers' clocks are ahead of this machine's.
    """

    def __init__(
        self,
        settings: Settings,
        keys: Sequence[str] = (),
        progress: Progress = lambda _done, _total: None,
        heads: bool = False,
        found: clients.Servers | None = None,
    ) -> None:
        """Read the copies of `keys`, or of all keys. Raises Unreachable when no quorum of the servers answers.

        `heads`: read only what shows how new a copy is; `read_newest` then reads one whole copy of each record.
        `found`: the servers, if they are known already; the failed ones among them are not asked again.
        """
        self.records: dict[Record, list[Snapshot]] = {}
        self.missing: dict[str, str] = {}
        self.clock_offsets: dict[str, float] = {}
        self.voters = 1
        self.location_flags = location_flags(settings)  # that name these voters on another command line
        self.voter_set = ""  # of a node with these settings; empty for local files, which no other node shares
        self._prefix, self._heads = settings.prefix, heads and not keys
        self._servers: clients.Servers | None = None  # all servers that the settings name or the cluster has
        self._answering = clients.Servers(False, [], {})  # the servers that have answered so far
        if settings.local:
            self._read_files(keys)
        else:
            self._read_servers(settings, keys, progress, found)

    def _read_files(self, keys: Sequence[str]) -> None:
        for name in local_names():
            record = record_of(name, self._prefix)
            if record and (not keys or record[0] in keys):
                path = os.path.join(state_directory(), file_name(name, record[0]))
                copy = load(path)
                if copy is None:
                    self.missing[path] = f"{path}: the record is damaged: remove the file to start a new one"
                elif copy.record:  # else it has expired
                    self.records[record] = [Snapshot.of_file(path, copy)]

    def _read_servers(
        self, settings: Settings, keys: Sequence[str], progress: Progress, found: clients.Servers | None
    ) -> None:
        self._servers = found or clients.find_servers(settings)
        self.voters = COPIES if self._servers.cluster else len(settings.redis)
        self.voter_set = voter_set_of([address.label for address in settings.redis], self._servers.cluster)

        def read(server: Server) -> list[Snapshot]:
            if keys:
                snapshots = self._read_keys(server, keys)
            else:
                snapshots = reader.scan_copies(server, self._prefix, self._heads, progress)
            clock = snapshots[-1].time / 1000 if snapshots else reader.server_clock(server)
            self.clock_offsets[server.label] = clock - time.time()
            return snapshots

        answers = self._without(self._servers.failures).ask(read)
        for answer in answers.values():
            for snapshot in () if isinstance(answer, Exception) else answer:
                record = record_of(decoded(snapshot.name), self._prefix)
                if record:
                    self.records.setdefault(record, []).append(snapshot)
        failures = {label: answer for label, answer in answers.items() if isinstance(answer, Exception)}
        self._answering = self._without(self._servers.failures | failures)
        self._note_failures(self._servers.failures | failures, len(answers) - len(failures))

    def _without(self, failures: Container[str]) -> clients.Servers:
        """Return all servers but the failed ones."""
        known = self._servers or self._answering
        return clients.Servers(known.cluster, [server for server in known.all if server.label not in failures], {})

    def nodes_of(self, key: str) -> list[str]:
        """Return the nodes that have a record of their own of this key (--each)."""
        return sorted(node for known, node in self.records if known == key and node)

    def copy_locations(self, record: Record) -> Iterator[tuple[str, int]]:
        """Yield the locations of a record's copies: the server's label, and the slot, which is unique on it."""
        known = self._servers or self._answering
        first = slot_of(record[0].encode("utf-8", "surrogateescape"))
        if not known.cluster:
            for label in dict.fromkeys([*(server.label for server in known.all), *known.failures]):
                yield label, first
            return
        for slot in [(first + offset) % SLOTS for offset in OFFSETS]:
            yield from ((server.label, slot) for server in known.all if any(slot in part for part in server.slots))

    def _read_keys(self, server: Server, keys: Sequence[str]) -> list[Snapshot]:
        """Return the copies of each key's main record, and of the records of all its known nodes."""
        names: list[bytes] = []
        for key in keys:
            lists = [nodes for _, nodes in self._copy_names(server, key, "-")]
            found = reader.pipelined(server, [("HGETALL", nodes) for nodes in lists])
            known = {decoded(name).partition(":")[2] for nodes in found for name in nodes or ()}
            for node in ("", *sorted(known)):
                names += (record for record, _ in self._copy_names(server, key, node))
        return reader.read_copies(server, names, reader.server_info(server))

    def _copy_names(self, server: Server, key: str, node: str) -> Iterator[tuple[bytes, bytes]]:
        """Yield the Redis keys of the copies that belong on this server: of the record and of its nodes."""
        cluster = self._servers is not None and self._servers.cluster
        for names in copies(self._prefix, key, node, COPIES if cluster else 1):
            if not cluster or any(names.slot in part for part in server.slots):
                yield names.keys[0], names.keys[1]

    def read_all(self, history: bool = False) -> None:
        """Read the nodes, and the `history`, of all copies."""
        self._complete((snapshot for found in self.records.values() for snapshot in found), history)

    def read_newest(self, newest: Callable[[Iterable[Snapshot]], Snapshot]) -> None:
        """Read the newest copy of each record as a whole; drop the copies of a server that fails meanwhile."""
        chosen = {record: newest(found) for record, found in self.records.items()}
        while failed := self._complete(chosen.values()):
            for record, found in list(self.records.items()):
                left = [snapshot for snapshot in found if snapshot.server not in failed]
                self.records[record] = left
                if not left:
                    del self.records[record]
            chosen = {
                record: newest(self.records[record])
                for record, snapshot in chosen.items()
                if snapshot.server in failed and record in self.records
            }

    def _complete(self, chosen: Iterable[Snapshot], history: bool = False) -> set[str]:
        """Read the missing parts of the chosen copies; return the labels of the servers that failed."""
        by_server: dict[str, list[Snapshot]] = {}
        for snapshot in chosen:
            if snapshot.server:
                by_server.setdefault(snapshot.server, []).append(snapshot)
        if not by_server:
            return set()
        prefix, heads = self._prefix, self._heads
        answers = self._answering.ask(
            lambda server: reader.complete_copies(server, by_server.get(server.label, ()), prefix, heads, history)
        )
        failures = {label: answer for label, answer in answers.items() if isinstance(answer, Exception)}
        self._note_failures(failures, len(answers) - len(failures))
        return set(failures)

    def _note_failures(self, failures: dict[str, Exception], answered: int) -> None:
        """Keep the reasons of the failures. Raises CronlockError when too few servers answered.

        On a cluster one master is enough, since each has copies of every key.
        """
        self.missing |= {label: f"{label}: {clients.error_text(failure)}" for label, failure in failures.items()}
        if answered < (1 if self._servers and self._servers.cluster else quorum(self.voters)):
            final = [self.missing[label] for label, failure in failures.items() if isinstance(failure, FINAL)]
            raise Refused(final[0]) if final else Unreachable("; ".join(self.missing.values()))
