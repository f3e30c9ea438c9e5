"""Subscriptions to the ends of runs, which the script publishes; on connections of their own.

In RESP2 a subscribed connection can't call scripts, so the connections for requests are others.
"""

import hiredis

from cronlock.lock.protocol import ACTIVE, PENDING, Failure
from cronlock.servers.connection import Connection

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from cronlock.config.redis_url import Address
    from cronlock.process.event_loop import Loop
    from cronlock.servers.connection import Locate

DIGITS_MAX = 20  # more than a token has
REFUSED = "refused"  # the user lacks the right to subscribe: not requested again


class Subscription:
    """The subscription to one voter's channel. `failures` is the connection's number of failures at the request."""

    __slots__ = ("connection", "failures", "state")

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.failures = connection.failures
        self.state = PENDING

    @property
    def is_lost(self) -> bool:
        """Return whether the connection has failed since the request."""
        return self.connection.failures != self.failures

    def on_reply(self, reply: "Any") -> None:
        """Record the reply to SUBSCRIBE."""
        if isinstance(reply, hiredis.ReplyError):
            self.state = REFUSED
        elif not isinstance(reply, Failure):
            self.state = ACTIVE


class Subscriptions:
    """The subscriptions of all voters. `on_run_ended` gets the voter, and the token of the run that ended there."""

    def __init__(
        self, loop: "Loop", on_run_ended: "Callable[[int, int], None]", locate: "Locate | None" = None
    ) -> None:
        self.connections: list[Connection] = []
        self._loop = loop
        self._on_run_ended = on_run_ended
        self._locate = locate
        self._subscriptions: dict[int, Subscription] = {}
        self._voters: dict[tuple[str, bytes], int] = {}  # by server and channel: servers may share a channel's name

    def listen(self, voters: "Iterable[tuple[int, Address, bytes]]") -> None:
        """Subscribe to each voter's channel; subscribe again where the subscription was lost."""
        for voter, address, channel in voters:
            present = self._subscriptions.get(voter)
            if present and (present.state == REFUSED or not present.is_lost):
                continue
            self._voters[address.label, channel] = voter
            new = self._subscriptions[voter] = Subscription(self._connection(address))
            new.connection.send([b"SUBSCRIBE", channel], new.on_reply)

    def count(self, state: str) -> int:
        """Return the number of subscriptions in this state."""
        return sum(each.state == state and not each.is_lost for each in self._subscriptions.values())

    def close(self) -> None:
        """Close all connections."""
        for connection in self.connections:
            connection.close()

    def _connection(self, address: "Address") -> Connection:
        for connection in self.connections:
            if connection.address is address:
                return connection

        def on_message(channel: "Any", payload: "Any") -> None:
            self._on_message(address.label, channel, payload)

        self.connections.append(Connection(self._loop, address, self._locate, on_message=on_message))
        return self.connections[-1]

    def _on_message(self, label: str, channel: "Any", payload: "Any") -> None:
        if not isinstance(channel, bytes) or not isinstance(payload, bytes):  # a hostile server may send anything
            return
        if (label, channel) in self._voters and payload.isdigit() and len(payload) < DIGITS_MAX:
            self._on_run_ended(self._voters[label, channel], int(payload))
