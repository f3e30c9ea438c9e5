"""Ticks from a future that the clock denies: a machine ran once with a clock that was ahead, and no tick came since.

With servers a node whose clock is off is refused; the only node of a local file has nobody to tell it. Without this,
one run at a wrong date would make every tick done until that date, silently.
"""

from cronlock.lock.protocol import is_future_tick
from cronlock.messages import instant

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from cronlock.lock.copy import Copy, Fields

CLAIM = ("tick", "tick1", "tick2", "state", "attempt")  # of the record; missed_tick is kept apart
TOLD = ("seen", "last", "asked")  # of the nodes: epoch seconds
LARGEST = 2**53  # s: what no calendar has, but no number that a hand wrote makes a traceback
UNITS = ((365 * 86_400, "years"), (86_400, "days"), (3_600, "hours"), (60, "minutes"))


def distance(tick: int, time: int) -> str:
    """The tick, and how far it is ahead of a clock in ms, for people: at least two of the largest unit that fits."""
    tick = min(tick, LARGEST)
    seconds = tick - time // 1000
    length, unit = next(((length, unit) for length, unit in UNITS if seconds >= 2 * length), (1, "seconds"))
    return f"{instant(tick)}, {seconds // length} {unit} ahead"


class Denial:
    """What is taken out of a copy because a clock in ms denies its tick, to be put back if nothing better is written.

    The ticks before it count in its place, or none.
    """

    def __init__(self, copy: "Copy", time: int) -> None:
        self.warning = (
            f"the record is of {distance(copy.get('tick'), time)} of this clock: it does not count; "
            "set the clock, if that is wrong"
        )
        self._record: Fields = {name: copy.record[name] for name in (*CLAIM, "missed_tick") if name in copy.record}
        ticks = {name: value for name, value in copy.nodes.items() if name.partition(":")[0] in TOLD}
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
        """Put it back, after an operation that claimed no tick: it is this clock that may be wrong."""
        missed = copy.get("missed_tick")
        copy.record.update(self._record)
        if missed != self._missed:
            copy.record["missed_tick"] = missed
        copy.nodes = self._nodes | copy.nodes
