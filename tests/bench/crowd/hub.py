"""The waiting of all nodes in a process: one epoll and one heap of deadlines."""

import heapq
import select
from collections import deque
from collections.abc import Callable
from itertools import count

from greenlet import GreenletExit, getcurrent, greenlet

from cronlock.process.event_loop import POLL_MAX, Loop, monotonic

AT_ONCE = 400  # nodes under way: with more, answers would wait here longer than a node waits for them
STARTS = 4  # nodes that start together when no answer waits: more would delay answers

Event = tuple[int, int]


class NodeLoop(Loop):
    """The event loop of one node, whose waiting the hub does."""

    def __init__(self, hub: "Hub") -> None:
        super().__init__()
        self.happened: list[Event] = []
        self.sleep = 0  # number of the current sleep: an alarm of an earlier one wakes nothing
        self.body: greenlet | None = None
        self._hub = hub

    def watch(self, fd: int, events: int, handler: Callable[[int], None]) -> None:
        self._hub.watch(fd, events, self)
        self._handlers[fd] = handler

    def forget(self, fd: int) -> None:
        if self._handlers.pop(fd, None):
            self._hub.forget(fd)
            self.happened = [event for event in self.happened if event[0] != fd]

    def step(self, timeout: int) -> None:
        self._hub.wait(self, max(0, min(timeout, POLL_MAX)))
        while self.happened:  # a handler may remove later events
            fd, events = self.happened.pop(0)
            if handler := self._handlers.get(fd):
                handler(events)


class Hub:
    """The scheduler of the nodes; `ended` is set from outside when the nodes need not wait any more.

    `lag`: the longest time in ms that an answer may have waited here.
    """

    def __init__(self) -> None:
        self.ended = False
        self.lag = 0
        self._epoll = select.epoll()
        self._masks: dict[int, int] = {}
        self._loops: dict[int, NodeLoop] = {}
        self._alarms: list[tuple[int, int, int, NodeLoop]] = []
        self._number = count()
        self._ready: deque[NodeLoop] = deque()
        self._main = getcurrent()

    def watch(self, fd: int, events: int, loop: NodeLoop) -> None:
        if fd not in self._masks:
            self._epoll.register(fd, events)
        elif self._masks[fd] != events:
            self._epoll.modify(fd, events)
        self._masks[fd], self._loops[fd] = events, loop

    def forget(self, fd: int) -> None:
        del self._masks[fd], self._loops[fd]
        self._epoll.unregister(fd)

    def wait(self, loop: NodeLoop, timeout: int) -> None:
        """Wait, in the node's greenlet, until an event or the timeout."""
        loop.sleep += 1
        heapq.heappush(self._alarms, (monotonic() + timeout, next(self._number), loop.sleep, loop))
        self._main.switch()

    def run(
        self, bodies: list[tuple[NodeLoop, Callable[[], None]]], control: int, on_control: Callable[[], None]
    ) -> None:
        """Run all nodes to their ends, or until the hub ends; call `on_control` when `control` can be read."""
        self._epoll.register(control, select.EPOLLIN)
        bodies.reverse()
        living: set[greenlet] = set()
        while (bodies or living) and not self.ended:
            room = bodies and len(living) < AT_ONCE
            self._gather(0 if room else self._until_alarm(), control, on_control)
            if room and not self._ready:
                self._begin(bodies, living)
            begun = monotonic()
            while self._ready:
                body = self._ready.popleft().body
                if body is not None and not body.dead:  # a greenlet that has not started is false
                    body.switch()
                    if body.dead:
                        living.discard(body)
            self.lag = max(self.lag, monotonic() - begun)
        for body in living:
            body.throw(GreenletExit)

    def close(self) -> None:
        """Close the hub after all nodes have stopped watching."""
        self._epoll.close()

    def _begin(self, bodies: list[tuple[NodeLoop, Callable[[], None]]], living: set[greenlet]) -> None:
        for loop, body in [bodies.pop() for _ in range(min(STARTS, len(bodies)))]:
            loop.body = greenlet(body, self._main)
            living.add(loop.body)
            self._ready.append(loop)

    def _until_alarm(self) -> float:
        """Return the seconds until the first alarm that is still needed."""
        while self._alarms and self._alarms[0][3].sleep != self._alarms[0][2]:
            heapq.heappop(self._alarms)
        return max(0, self._alarms[0][0] - monotonic()) / 1000 if self._alarms else POLL_MAX / 1000

    def _gather(self, wait: float, control: int, on_control: Callable[[], None]) -> None:
        """Queue the nodes to run: first those with events, then those whose time is up."""
        for fd, events in self._epoll.poll(wait, len(self._masks) + 1):
            if fd == control:
                on_control()
                continue
            loop = self._loops[fd]
            if not loop.happened:
                self._wake(loop)
            loop.happened.append((fd, events))
        now = monotonic()
        while self._alarms and self._alarms[0][0] <= now:
            _, _, sleep, loop = heapq.heappop(self._alarms)
            if loop.sleep == sleep:
                self._wake(loop)

    def _wake(self, loop: NodeLoop) -> None:
        loop.sleep += 1
        self._ready.append(loop)
