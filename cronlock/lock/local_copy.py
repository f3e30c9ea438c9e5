"""The copy in a local file, read by the clock of this process: a lease counts as live until its end is proven."""

import json
import time

from cronlock.lock import node_stats, protocol, witness
from cronlock.lock.copy import Copy, read_protocol_1
from cronlock.process.event_loop import monotonic

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from cronlock.lock.copy import Fields
    from cronlock.lock.witness import Clock

LEASE = ("holder", "kind", "lease_end")  # the fields of the record that describe its lease


class View:
    """A copy with its lease converted to this process's clock, for the length of one operation.

    A lease that was stored by another clock counts as live until its end is proven. It is stored again as it was,
    unless the operation changed it.
    """

    def __init__(self, own: "Clock") -> None:
        self.copy = Copy()
        self._clock = self._own = own
        self._stored_lease: Fields = {}  # the fields of LEASE, when they were converted
        self._holder = ""  # the holder after the conversion

    def read(self, stored: "Fields") -> None:
        """Read the content of a file. Raises ValueError, KeyError or TypeError when it is not a record."""
        copy = self.copy
        copy.record = dict(stored["record"])
        read_protocol_1(copy.record)
        copy.nodes = dict(stored["nodes"])
        copy.history = list(stored["history"])
        copy.expires = stored["expires"]
        namespace = stored.get("time", witness.UNKNOWN)  # absent in old records
        self._clock = str(stored["boot"]), str(namespace)
        if not _has_valid_types(copy):
            raise ValueError

    def convert_lease(self, path: str) -> None:
        """Convert a lease that was stored by another clock, or clear one that is proven to be over."""
        copy, same = self.copy, witness.compare(self._clock, self._own)
        if same == witness.SAME or not copy.get("holder"):
            return
        self._stored_lease = {name: copy.get(name) for name in LEASE}
        now, lease = monotonic(), copy.get("lease")
        if copy.get("kind") == "run" and witness.is_alive(path):
            copy.record["lease_end"] = now + max(1, min(lease, protocol.LEASE_MAX))
        elif same == witness.OTHER or (copy.get("kind") != "run" and copy.get("lease_end") > now + lease):
            copy.clear_holder()  # the machine has restarted since; or a prepared lease, whose commit fails then
        self._holder = copy.get("holder")

    def restore_lease(self, new_lease: bool) -> "Clock":
        """Prepare the copy for storage, and return the clock of its lease.

        Without this, the next process with the holder's clock would not find its live lease.
        """
        if new_lease or not self._stored_lease or self.copy.record.get("holder") != self._holder:
            return self._own
        self.copy.record.update(self._stored_lease)
        return self._clock


def read_view(path: str, own: "Clock", wall: int) -> "View | None":
    """Return the copy in a file; a blank one when the file does not exist, None when it is damaged.

    `own` is this process's clock for leases, `wall` its wall clock in ms.
    """
    view = View(own)
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            view.read(json.load(file))
    except FileNotFoundError:
        return view
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    view.convert_lease(path)
    over = 0 < view.copy.expires <= wall
    return View(own) if over and not view.copy.live(monotonic()) else view  # setting the clock ends no lease


def load(path: str) -> Copy | None:
    """Return the copy in a file for a reader; a blank one when there is no file, None when it is damaged."""
    view = read_view(path, witness.this_clock(), int(time.time() * 1000))
    return view.copy if view else None


def _has_valid_types(copy: Copy) -> bool:
    """Return whether all fields have their types: a file that was edited or damaged may still be JSON."""
    return (
        all(isinstance(value, int if name in protocol.NUMBERS else str) for name, value in copy.record.items())
        and isinstance(copy.expires, int)
        and all(
            isinstance(value, str if name.startswith(node_stats.TEXTS) else int) for name, value in copy.nodes.items()
        )
        and all(isinstance(line, str) for line in copy.history)
    )
