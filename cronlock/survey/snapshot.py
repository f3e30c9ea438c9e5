"""One voter's copy of a record, as it was read: its fields typed when they are asked for, and never trusted."""

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

Pairs = dict[bytes, bytes]

HEAD = tuple(  # of a record: whose copy is the newest, what is left of its lease, and a pause
    b"token outcome kind holder lease_end run_id paused_until pause_reason pause_by".split()
)
TEXT_MAX = 8_192  # characters: more than the names of all voters have
TICKS = frozenset("tick tick1 tick2 run_tick missed_tick next seen last asked".split())  # epoch seconds
TIMES = frozenset("start end lease_end".split())  # ms


class Snapshot:
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
    def of_file(cls, path: str, copy: Copy) -> Snapshot:
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
        copy.record = typed(self._raw, lambda name: name in NUMBERS)
        read_protocol_1(copy.record)
        return copy

    def get(self, field: str) -> Any:
        """A field of the record, without reading all of it; 0 or the empty text when it was never written."""
        if not self._raw:
            return self.copy.get(field)
        value = self._raw.get(field.encode(), b"")
        return _number(field, value) if field in NUMBERS else text(value)[:TEXT_MAX]

    @property
    def left(self) -> int:
        """ms of a run's lease."""
        if self.get("kind") != "run" or not self.copy.live(self.now):
            return 0
        return int(self.get("lease_end")) - self.now

    @property
    def token_is_ahead(self) -> bool:
        """Whether its fencing token is further ahead of its own clock than any run's can be."""
        return self.newness[0] > self.time + TOKEN_AHEAD

    @property
    def restarted(self) -> bool:
        """Whether its server may have gone back to older data since the last run."""
        stamp = self.get("run_id")
        return bool(stamp and self.run_id and stamp != self.run_id)


def typed(raw: Pairs, is_number: Callable[[str], bool]) -> dict[str, Any]:
    named = ((text(name), value) for name, value in raw.items())
    return {name: _number(name, value) if is_number(name) else text(value)[:TEXT_MAX] for name, value in named}


def _number(name: str, value: bytes) -> int:
    """0 for what somebody else's hand has made of it: no number, or a time that no calendar has."""
    try:
        return _sane(name, int(value or 0))
    except ValueError:
        return 0


def _sane(name: str, number: int) -> int:
    kind = name.partition(":")[0]
    if kind == "paused_until":  # far away is as good as paused
        return min(number, 1000 * TICK_MAX - 1)
    most = TICK_MAX if kind in TICKS else 1000 * TICK_MAX if kind in TIMES else 2**63
    return number if -1 <= number < most else 0


def text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")
