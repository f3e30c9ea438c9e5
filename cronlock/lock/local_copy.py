"""The copy in a local file, as a process may see it by its own clock: what can't be proven over is not over."""

import json
import time

from cronlock.lock import node_stats, protocol, witness
from cronlock.lock.copy import Copy, read_protocol_1
from cronlock.process.event_loop import monotonic

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from cronlock.lock.copy import Fields
    from cronlock.lock.witness import Clock

LEASE = ("holder", "kind", "lease_end")  # of the record: whose lease it is, and until when


class View:
    """A copy as a process may see it: what can't be proven over is not over.

    `clock` is the one that the lease is stored by, `own` this process's. A lease by another clock counts as this
    process can tell, for the length of an operation; it is stored again as it was, unless the operation changed it.
    """

    def __init__(self, own: "Clock") -> None:
        self.copy = Copy()
        self._clock = self._own = own
        self._kept: Fields = {}  # of the record, as it is stored
        self._holder = ""  # as it is seen

    def read(self, stored: "Fields") -> None:
        """Take over what a file says. Raises ValueError, KeyError and TypeError for what is none of a record."""
        copy = self.copy
        copy.record = dict(stored["record"])
        read_protocol_1(copy.record)
        copy.nodes = dict(stored["nodes"])
        copy.history = list(stored["history"])
        copy.expires = stored["expires"]
        self._clock = str(stored["boot"]), str(stored.get("time", witness.UNKNOWN))  # it is of an older cronlock
        if not _whole(copy):
            raise ValueError

    def judge(self, path: str) -> None:
        """Tell whether the lease lives, where it is not by this process's clock."""
        copy, same = self.copy, witness.compare(self._clock, self._own)
        if same == witness.SAME or not copy.get("holder"):
            return
        self._kept = {name: copy.get(name) for name in LEASE}
        now, lease = monotonic(), copy.get("lease")
        if copy.get("kind") == "run" and witness.lives(path):
            copy.record["lease_end"] = now + max(1, min(lease, protocol.LEASE_MAX))
        elif same == witness.OTHER or (copy.get("kind") != "run" and copy.get("lease_end") > now + lease):
            copy.clear_holder()  # the machine has started since; or a candidate's, whose commit is strict about it
        self._holder = copy.get("holder")

    def settle(self, new_lease: bool) -> "Clock":
        """Prepare the copy for being stored, and return the clock that its lease is by.

        Without this, the next process with the holder's own clock would find its live lease gone.
        """
        if new_lease or not self._kept or self.copy.record.get("holder") != self._holder:
            return self._own
        self.copy.record.update(self._kept)
        return self._clock


def look(path: str, own: "Clock", wall: int) -> "View | None":
    """What a process with this clock may see of a file; blank when there is none, None for one that is damaged.

    `wall` is its wall clock in ms.
    """
    view = View(own)
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            view.read(json.load(file))
    except FileNotFoundError:
        return view
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    view.judge(path)
    over = 0 < view.copy.expires <= wall
    return View(own) if over and not view.copy.live(monotonic()) else view  # a clock that is set ends no lease


def load(path: str) -> Copy | None:
    """The copy in a file, for who only reads; blank when there is none, None for one that is damaged."""
    view = look(path, witness.this_clock(), int(time.time() * 1000))
    return view.copy if view else None


def _whole(copy: Copy) -> bool:
    """Whether everything is of its type: what a hand or a broken disk changed is JSON all the same."""
    return (
        all(isinstance(value, int if name in protocol.NUMBERS else str) for name, value in copy.record.items())
        and isinstance(copy.expires, int)
        and all(
            isinstance(value, str if name.startswith(node_stats.TEXTS) else int) for name, value in copy.nodes.items()
        )
        and all(isinstance(line, str) for line in copy.history)
    )
