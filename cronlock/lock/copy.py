"""One voter's copy of what is stored of a key: the record, the nodes seen, the history."""

from cronlock.lock.protocol import LEASE_MAX, NUMBERS

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from typing import Any

    Fields = dict[str, Any]


def read_protocol_1(record: "Fields") -> None:
    """Show the voter set of a record that protocol 1 wrote, so that nodes of protocol 2 refuse it by its number."""
    for old, new in (("settings", "voter_set"), ("settings_by", "voter_set_by")):
        if old in record:
            record.setdefault(new, record[old])


class Copy:
    """One voter's copy: the record, the nodes seen, the history; `expires` in wall-clock ms, 0 for never.

    `main` is the key's main record, where this one is of one node alone (--each).
    """

    __slots__ = ("expires", "history", "main", "nodes", "record")

    def __init__(self, main: "Fields | None" = None) -> None:
        self.main = main
        self.record: Fields = {}
        self.nodes: Fields = {}
        self.history: list[str] = []
        self.expires = 0

    def get(self, field: str) -> "Any":
        """A field of the record; 0 or the empty text when it was never written."""
        return self.record.get(field, 0 if field in NUMBERS else "")

    def has_other_voters(self, request: "Fields") -> bool:
        """Whether the record was made with a voter set that is not the asking node's."""
        return bool(self.get("voter_set")) and self.get("voter_set") != request["voter_set"]

    def pause(self, field: str) -> "Any":
        """A field of PAUSE, of the whole key."""
        record = self.record if self.main is None else self.main
        return record.get(field, 0 if field in NUMBERS else "")

    def live(self, now: int) -> bool:
        """Whether somebody's lease runs."""
        return bool(self.get("holder")) and 0 < self.get("lease_end") - now <= LEASE_MAX

    def is_current_holder(self, request: "Fields") -> bool:
        """Whether the run that asks is the one that stands here."""
        same = self.get("holder") == request["holder"] and self.get("token") == request["token"]
        return bool(same and self.get("kind") == "run")

    def owns_tick_state(self) -> bool:
        """Whether the last run is what the tick's state speaks of: not so for --again, nor without a tick."""
        return bool(self.get("run_tick") == self.get("tick") != 0 and self.get("state") == "running")

    def clear_holder(self) -> None:
        self.record.update(holder="", kind="", lease_end=0)
