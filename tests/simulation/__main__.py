"""python -m tests.simulation SEED | SCHEDULE      one seed, or a schedule of directed.py or halfway.py, with its story
python -m tests.simulation FIRST LAST           many seeds, until one breaks a promise
python -m tests.simulation changes ...          the same two, of voters that are changed
Ends with status 1 when a promise was broken.
"""

import sys

from tests.simulation import changes, directed, halfway, seeds

SCHEDULES = directed.SCHEDULES | halfway.SCHEDULES


def main(words: list[str]) -> int:
    """Play what was asked for."""
    play = changes.play if words[0] == "changes" else seeds.play
    if words[0] == "changes":
        words = words[1:]
    if len(words) == 1:
        report = SCHEDULES[words[0]]() if words[0] in SCHEDULES else play(int(words[0]))
        sys.stdout.write(f"{report}\n")
        return bool(report.violations)
    for seed in range(int(words[0]), int(words[1]) + 1):
        report = play(seed)
        if report.violations:
            sys.stdout.write(f"{report}\nseed {seed}\n")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
