"""python -m tests.nemesis FAULT TOPOLOGY SEED: one round, printed line by line; the status is 1 after a violation."""

import sys

from tests.nemesis.faults import FAULTS
from tests.nemesis.matrix import play

if len(sys.argv) != 4:
    sys.exit(f"{__doc__}\nfaults: {', '.join(FAULTS)}\ntopologies: three, five, cluster, local")
report = play(sys.argv[1], sys.argv[2], int(sys.argv[3]))
sys.stdout.write("\n".join(report.lines()) + "\n")
sys.exit(bool(report.violations))
