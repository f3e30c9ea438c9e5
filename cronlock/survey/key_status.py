"""The status of a key and of a node, as the voters' copies show it: the values that every output format prints."""

from __future__ import annotations

from dataclasses import dataclass, field

from cronlock.messages import since

RUNNING, DIED, IDLE, NEW = "running", "died", "idle", "new"
UNCERTAIN = "unknown"  # fewer copies than a quorum were read, and a voter is missing


@dataclass
class NodeStatus:
    """The status of one node. Ticks are epoch seconds, other times ms; 0 is never."""

    node: str
    newest_tick: int = 0  # that the node asked for
    asked: int = 0  # s
    last_tick_run: int = 0
    schedule: str = ""
    zone: str = ""
    command: str = ""
    start: int = 0
    end: int = 0
    outcome: str = ""
    status: int = 0
    success: int = 0
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def job(self) -> tuple[str, str, str]:
        return self.schedule, self.zone, self.command


@dataclass
class KeyStatus:
    """The status of a key; with --each, of one node's record. Ticks are epoch seconds, other times ms; 0 is never.

    `outcome` is empty while the run is active, and when the run never ended. `voters_answered` counts the voters that
    have the record.
    """

    key: str
    each: str  # the node that owns the record; empty without --each
    state: str
    node: str
    pid: int
    start: int
    end: int
    left: int
    token: int
    tick: int
    attempt: int
    outcome: str
    status: int
    missed: int
    missed_pending: bool  # the last missed tick may still run
    next: int
    paused: bool
    paused_until: int  # -1: until resumed
    pause_reason: str
    pause_by: str
    command: str
    schedule: str
    zone: str
    voter_set: str
    voter_set_by: str
    voters_answered: int
    voters: int
    time: int
    nodes: list[NodeStatus] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)  # includes the texts of the four fields below
    differences: list[str] = field(default_factory=list)  # of schedules and commands between nodes
    failure: str = ""  # of the last run, if it failed
    foreign_voters: str = ""  # the record's voter set, when it is not this node's
    impossible_token: str = ""  # the voters whose fencing token no run can have

    @property
    def name(self) -> str:
        """The key; with --each, also the node that owns the record."""
        return f"{self.key} on {self.each}" if self.each else self.key

    @property
    def pause_text(self) -> str:
        """The end of the pause and its reason."""
        until = "until resumed" if self.paused_until == -1 else f"until {since(self.paused_until)}"
        return until + (f": {self.pause_reason}" if self.pause_reason else "")

    @property
    def duration_ms(self) -> int | None:
        """ms from the start of the last run to its end, or to now while it is active; None when that is unknown."""
        if self.state == RUNNING:
            return max(0, self.time - self.start)
        return max(0, self.end - self.start) if self.outcome and self.start else None
