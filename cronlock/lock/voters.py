"""The protocol (PEP 544) of the voters of a key: servers/redis_voters.py and local.py implement it.

For type checkers only: nothing imports this module at run time, so that no run pays for `typing` (9 ms).
"""

from collections.abc import Callable
from typing import Any, Protocol

from cronlock.lock.protocol import Failure
from cronlock.lock.requests import OnReply


class Call(Protocol):
    """A request on its way. `void`: a later one was sent to its voter, so it must not be sent again."""

    void: bool


class Voters(Protocol):
    """The voters that keep one key's record. Times are ms on `clock`, which leases are measured by."""

    warning: str  # what the operator must know about the record, whatever the outcome
    key: str
    node: str  # empty where all nodes share the record
    location_flags: Callable[[], str]  # that name these voters on another command line, for messages

    @property
    def conflict(self) -> str:
        """Return why these voters can't be used together, once an answer shows it."""

    @property
    def count(self) -> int:
        """Return the number of voters."""

    @property
    def voter_set(self) -> str:
        """Return what all nodes that share the key must agree on."""

    @property
    def distinct(self) -> bool:
        """Return whether every voter must be a server of its own."""

    @property
    def witness(self) -> int:
        """Return the file descriptor of the lock that shows that this run lives; -1 without one."""

    @property
    def clock(self) -> Callable[[], int]:
        """Return the clock."""

    def label(self, voter: int, /) -> str:
        """Return a voter's name for messages."""

    def find(self, until: int, /) -> Failure | None:
        """Learn where the voters are, by `until`; return the Failure when that is not possible."""

    def send(self, voter: int, operation: str, fields: dict[str, Any], answered: OnReply, /) -> Call | None:
        """Request an operation of one voter; `answered` gets the reply."""

    def flush(self) -> None:
        """Send what waits to be sent; `step` does so too."""

    def step(self, timeout: int, /) -> None:
        """Wait at most `timeout` ms for something to happen, and handle it."""

    def refresh(self) -> None:
        """Find out where the voters are now, without waiting; for after a failure."""

    def failures(self, voter: int, /) -> int:
        """Return how often the connection to a voter was lost."""

    def listen(self, on_run_ended: Callable[[int, int], None], /) -> None:
        """Subscribe to the ends of runs, which are reported by voter and token."""

    def listening(self, state: str, /) -> int:
        """Return the number of voters whose subscription is in this state."""

    def close(self) -> None:
        """Close all that is open."""
