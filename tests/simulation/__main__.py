"""python -m tests.simulation SEED | SCHEDULE      one seed, or one hand-written schedule, with its trace
python -m tests.simulation FIRST LAST           many seeds, until one breaks a promise
python -m tests.simulation changes ...          the same two, for voters that are changed
The exit status is 1 if a promise was broken.
"""

import sys

from tests.simulation import change_schedules, schedules, seeds, voter_changes

SCHEDULES = schedules.SCHEDULES | change_schedules.SCHEDULES


def main(words: list[str]) -> int:
    """Run the seeds or the schedule that the words name."""
    run = voter_changes.simulate if words[0] == "changes" else seeds.simulate
    if words[0] == "changes":
        words = words[1:]
    if len(words) == 1:
        report = SCHEDULES[words[0]]() if words[0] in SCHEDULES else run(int(words[0]))
        sys.stdout.write(f"{report}\n")
        return bool(report.violations)
    for seed in range(int(words[0]), int(words[1]) + 1):
        report = run(seed)
        if report.violations:
            sys.stdout.write(f"{report}\nseed {seed}\n")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
