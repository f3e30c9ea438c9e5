"""Subscriptions to the ends of runs: a connection of their own to each server, told by the script's PUBLISH.

In RESP2 a subscribed connection can't call scripts, so these are others than those that ask.
"""

import hiredis

from cronlock.lock.protocol import ACTIVE, PENDING, Failure
from cronlock.servers.connection import Connection

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from cronlock.process.event_loop import Loop
    from cronlock.servers.url import Address

DIGITS = 20  # more than a token has
REFUSED = "refused"  # without the right to it: not asked for again


class Subscription:
    """One voter's channel: on which connection, and how often that one had failed when it was asked for."""

    __slots__ = ("connection", "failures", "state")

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.failures = connection.failures
        self.state = PENDING

    def answered(self, reply: "Any") -> None:
        if isinstance(reply, hiredis.ReplyError):
            self.state = REFUSED
        elif not isinstance(reply, Failure):
            self.state = ACTIVE

    def is_(self, state: str) -> bool:
        return self.state == state and self.connection.failures == self.failures


class Subscriptions:
    """`rung` gets the voter, and the token of the run that has ended there."""

    def __init__(self, loop: "Loop", on_run_ended: "Callable[[int, int], None]") -> None:
        self.connections: list[Connection] = []
        self._loop = loop
        self._rung = on_run_ended
        self._subscriptions: dict[int, Subscription] = {}
        self._voters: dict[tuple[str, bytes], int] = {}  # by server and channel, which alone may be the same everywhere

    def listen(self, voters: "Iterable[tuple[int, Address, bytes]]") -> None:
        """Subscribe to each voter's channel, and again to those that were lost."""
        for voter, address, channel in voters:
            ear = self._subscriptions.get(voter)
            if ear and (ear.state == REFUSED or ear.connection.failures == ear.failures):
                continue
            self._voters[address.label, channel] = voter
            ear = self._subscriptions[voter] = Subscription(self._connection(address))
            ear.connection.send([b"SUBSCRIBE", channel], ear.answered)

    def count(self, state: str) -> int:
        """How many voters' subscriptions are in this state."""
        return sum(ear.is_(state) for ear in self._subscriptions.values())

    def close(self) -> None:
        for connection in self.connections:
            connection.close()

    def _connection(self, address: "Address") -> Connection:
        for connection in self.connections:
            if connection.address is address:
                return connection
        self.connections.append(Connection(self._loop, address, lambda *message: self._heard(address.label, *message)))
        return self.connections[-1]

    def _heard(self, label: str, channel: "Any", payload: "Any") -> None:
        if not isinstance(channel, bytes) or not isinstance(payload, bytes):  # a server may say anything
            return
        if (label, channel) in self._voters and payload.isdigit() and len(payload) < DIGITS:
            self._rung(self._voters[label, channel], int(payload))
