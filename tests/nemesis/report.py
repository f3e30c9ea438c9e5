"""The outcome of one round, as a value that travels as JSON."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from tests.nemesis.journal import Attempt, Hit, Run
from tests.nemesis.oracle import Violation


@dataclass
class Report:
    """The outcome of one round; hits during a run count as `live`.

    `stale`: writes that a resource that checks the token would have refused.
    """

    fault: str
    topology: str
    seed: int
    ticks: int = 0
    ran: int = 0
    attempts: int = 0
    lost: int = 0
    hits: int = 0
    live: int = 0
    stale: int = 0
    violations: list[Violation] = field(default_factory=list)
    trace: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """Return the trace, the sums, and the violations."""
        sums = f"{self.ran} of {self.ticks} ticks ran, {self.attempts} attempts, {self.lost} lost; "
        sums += f"{self.hits} hits, {self.live} during a run"
        return [*self.trace, sums, *(f"VIOLATION {one.kind}: {one.text}" for one in self.violations)]

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Report":
        fields = json.loads(text)
        fields["violations"] = [Violation(**one) for one in fields["violations"]]
        return cls(**fields)


def trace(runs: Sequence[Run], attempts: Sequence[Attempt], hits: Sequence[Hit]) -> list[str]:
    """Return everything that happened, line by line, in seconds since the first start."""
    numbers = {attempt.tick: attempt.number for attempt in attempts}
    lines = [(hit.start, f"HIT {hit.what}, for {hit.end - hit.start:.2f} s") for hit in hits]
    for run in runs:
        lines.append((run.start, f"RUN tick {numbers[run.tick]} on {run.node}, token {run.token}"))
        if run.end is not None:
            lines.append((run.end, f"END tick {numbers[run.tick]} on {run.node}, signal {run.signal}"))
    for attempt in attempts:
        who = f"{attempt.node}, tick {attempt.number}"
        lines.append((attempt.start, f"cron {who}"))
        lines.append((attempt.end, f"exit {who}: {attempt.status} {'(disturbed) ' * attempt.disturbed}{attempt.said}"))
    first = min(at for at, _ in lines)
    return [f"{at - first:8.3f} {text}" for at, text in sorted(lines)]
