"""One voter's copy of a record, as it was read: fields are parsed on demand, and their values are not trusted."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cached_property
from typing import Any

from cronlock.cron.schedule import TICK_MAX
from cronlock.lock.copy import Copy, read_protocol_1
from cronlock.lock.protocol import NUMBERS
from cronlock.lock.quorum import TOKEN_AHEAD
from cronlock.process.event_loop import monotonic

Hash = dict[bytes, bytes]  # the fields of a Redis hash

HEAD = tuple(  # fields of a record that show how new a copy is, what is left of the lease, and a pause
    b"token outcome kind holder lease_end run_id paused_until pause_reason pause_by".split()
)
TEXT_MAX = 8_192  # characters: more than the names of all voters have
TICKS = frozenset("tick tick1 tick2 run_tick missed_tick next seen last asked".split())  # epoch seconds
TIMES = frozenset("start end lease_end".split())  # ms


class Snapshot:
    """One voter's copy of a record. `now` is the voter's clock for leases, `time` its wall clock, both in ms."""

    def __init__(self, voter: str, server: str, name: bytes, fields: Hash, clock: tuple[int, int, str]) -> None:
        self.voter, self.server, self.name = voter, server, name
        self.now, self.time, self.run_id = clock
        self._fields = fields
        self.newness = (  # the greater one of two copies knows more
            _number("token", fields.get(b"token", b"")),
            bool(fields.get(b"outcome")),
        )

    def update(self, fields: Hash, now: int) -> None:
        """Replace the fields by the whole record, if it still exists; `now` is the time of that reading."""
        if fields:
            self._fields, self.now, self.time = fields, now, now
            self.__dict__.pop("copy", None)

    @classmethod
    def of_file(cls, path: str, copy: Copy) -> Snapshot:
        """Return the snapshot of a local voter's file."""
        snapshot = cls(path, "", b"", {}, (monotonic(), int(time.time() * 1000), ""))
        for part in (copy.record, copy.nodes):
            part.update({name: _plausible(name, value) for name, value in part.items() if isinstance(value, int)})
        snapshot.copy = copy
        snapshot.newness = copy.get("token"), bool(copy.get("outcome"))
        return snapshot

    @cached_property
    def copy(self) -> Copy:
        copy = Copy()
        copy.record = typed_fields(self._fields, lambda name: name in NUMBERS)
        read_protocol_1(copy.record)
        return copy

    def get(self, field: str) -> Any:
        """Return one field of the record without parsing the others; 0 or an empty text for an absent field."""
        if not self._fields:
            return self.copy.get(field)
        value = self._fields.get(field.encode(), b"")
        return _number(field, value) if field in NUMBERS else decoded(value)[:TEXT_MAX]

    @property
    def left(self) -> int:
        """ms left of a run's lease."""
        if self.get("kind") != "run" or not self.copy.live(self.now):
            return 0
        return int(self.get("lease_end")) - self.now

    @property
    def token_is_ahead(self) -> bool:
        """Return whether the fencing token is further ahead of the voter's clock than any run's can be."""
        return self.newness[0] > self.time + TOKEN_AHEAD

    @property
    def restarted(self) -> bool:
        """Return whether the server may have gone back to older data since the last run."""
        stamp = self.get("run_id")
        return bool(stamp and self.run_id and stamp != self.run_id)


def typed_fields(fields: Hash, is_number: Callable[[str], bool]) -> dict[str, Any]:
    """Return the fields as numbers and texts."""
    named = ((decoded(name), value) for name, value in fields.items())
    return {name: _number(name, value) if is_number(name) else decoded(value)[:TEXT_MAX] for name, value in named}


def _number(name: str, value: bytes) -> int:
    """Return the number in a field; 0 for a value that cronlock can't have written."""
    try:
        return _plausible(name, int(value or 0))
    except ValueError:
        return 0


def _plausible(name: str, number: int) -> int:
    """Return the number, or 0 for a time outside every calendar."""
    kind = name.partition(":")[0]
    if kind == "paused_until":  # a pause beyond the calendar is still a pause
        return min(number, 1000 * TICK_MAX - 1)
    limit = TICK_MAX if kind in TICKS else 1000 * TICK_MAX if kind in TIMES else 2**63
    return number if -1 <= number < limit else 0


def decoded(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")
