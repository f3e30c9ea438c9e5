"""One voter's copy of what is stored of a key: the record, the nodes seen, the history."""

from cronlock.lock.protocol import LEASE_MAX, NUMBERS

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from typing import Any

    Fields = dict[str, Any]


def read_protocol_1(record: "Fields") -> None:
    """Give a record of protocol 1 the field `voter_set`, so that nodes of protocol 2 refuse it by its number."""
    for old, new in (("settings", "voter_set"), ("settings_by", "voter_set_by")):
        if old in record:
            record.setdefault(new, record[old])


class Copy:
    """One voter's copy: the record, the nodes seen, the history; `expires` in wall-clock ms, 0 for never.

    `main` is the key's main record, where this record belongs to one node (--each).
    """

    __slots__ = ("expires", "history", "main", "nodes", "record")

    def __init__(self, main: "Fields | None" = None) -> None:
        self.main = main
        self.record: Fields = {}
        self.nodes: Fields = {}
        self.history: list[str] = []
        self.expires = 0

    def get(self, field: str) -> "Any":
        """Return a field of the record; 0 or the empty text when it was never written."""
        return self.record.get(field, 0 if field in NUMBERS else "")

    def has_other_voters(self, request: "Fields") -> bool:
        """Return whether the record was made with another voter set than the requesting node's."""
        return bool(self.get("voter_set")) and self.get("voter_set") != request["voter_set"]

    def pause(self, field: str) -> "Any":
        """Return a field of PAUSE, which belongs to the key also with --each."""
        record = self.record if self.main is None else self.main
        return record.get(field, 0 if field in NUMBERS else "")

    def live(self, now: int) -> bool:
        """Return whether a lease has not expired."""
        return bool(self.get("holder")) and 0 < self.get("lease_end") - now <= LEASE_MAX

    def is_current_holder(self, request: "Fields") -> bool:
        """Return whether the requesting run is the one in the record."""
        same = self.get("holder") == request["holder"] and self.get("token") == request["token"]
        return bool(same and self.get("kind") == "run")

    def owns_tick_state(self) -> bool:
        """Return whether the tick's state is that of the last run: not with --again, nor without a tick."""
        return bool(self.get("run_tick") == self.get("tick") != 0 and self.get("state") == "running")

    def clear_holder(self) -> None:
        """End the lease."""
        self.record.update(holder="", kind="", lease_end=0)
