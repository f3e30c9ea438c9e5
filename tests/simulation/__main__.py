"""python -m tests.simulation SEED [LAST]: one seed with its story, or many until a violation; then ends with status 1."""

import sys
import time

from tests.simulation.seeds import play


def main(first: int, last: int | None) -> int:
    """Play these seeds; 1 when one of them broke a promise."""
    begin = time.monotonic()
    for seed in range(first, (last or first) + 1):
        report = play(seed)
        if report.violations or last is None:
            lines = [report.story, *(f"{violation.kind}: {violation.text}" for violation in report.violations)]
            sys.stdout.write("\n".join([*lines, f"seed {seed}: {report.runs} runs"]) + "\n")
        if report.violations:
            return 1
    sys.stdout.write(f"{time.monotonic() - begin:.1f} s\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else None))
