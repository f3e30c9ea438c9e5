"""Ticks in the future of a clock: a machine ran once while its clock was ahead.

Servers refuse a node whose clock is off, but a local file has one node and one clock. Without this module, one run at a
wrong date would silently make every tick done until that date.
"""

from cronlock.lock.protocol import is_future_tick
from cronlock.messages import instant

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from cronlock.lock.copy import Copy, Fields

CLAIM = ("tick", "tick1", "tick2", "state", "attempt")  # fields of the record; missed_tick is handled by itself
NODE_TICKS = ("seen", "last", "asked")  # fields of the nodes: epoch seconds
LARGEST = 2**53  # s: beyond every calendar, so that a number in an edited file can't cause a traceback
UNITS = ((365 * 86_400, "years"), (86_400, "days"), (3_600, "hours"), (60, "minutes"))


def distance(tick: int, time: int) -> str:
    """Return the tick and how far it is ahead of a clock in ms, in the largest unit of which there are at least two."""
    tick = min(tick, LARGEST)
    seconds = tick - time // 1000
    length, unit = next(((length, unit) for length, unit in UNITS if seconds >= 2 * length), (1, "seconds"))
    return f"{instant(tick)}, {seconds // length} {unit} ahead"


class FutureTicks:
    """The future ticks that are removed from a copy for one operation; `time` is a clock in ms.

    The newest tick before them counts in their place. `undo` puts them back unless the operation claimed a tick.
    """

    def __init__(self, copy: "Copy", time: int) -> None:
        self.warning = (
            f"the record has the tick {distance(copy.get('tick'), time)} of this clock: that tick does not count; "
            "if the clock is wrong, set it"
        )
        self._record: Fields = {name: copy.record[name] for name in (*CLAIM, "missed_tick") if name in copy.record}
        ticks = {name: value for name, value in copy.nodes.items() if name.partition(":")[0] in NODE_TICKS}
        self._nodes = {name: value for name, value in ticks.items() if is_future_tick(value, time)}
        known = [copy.get(name) for name in ("tick1", "tick2")]
        past = [tick for tick in known if tick and not is_future_tick(tick, time)]
        first, second = (*past, 0, 0)[:2]
        copy.record.update(tick=first, tick1=second, tick2=0, attempt=int(first > 0), state="done" if first else "")
        if is_future_tick(copy.get("missed_tick"), time):
            copy.record["missed_tick"] = 0
        copy.nodes = {name: value for name, value in copy.nodes.items() if name not in self._nodes}
        self._missed = copy.get("missed_tick")

    def undo(self, copy: "Copy") -> None:
        """Put the ticks back, after an operation that claimed no tick: this clock may be the wrong one."""
        missed = copy.get("missed_tick")
        copy.record.update(self._record)
        if missed != self._missed:
            copy.record["missed_tick"] = missed
        copy.nodes = self._nodes | copy.nodes
