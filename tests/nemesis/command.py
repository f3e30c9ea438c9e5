"""The nodes' command: it writes one line to the journal at its start and one at its end.

argv: the journal, the seconds to run, the exit status, and the name of a run without a tick.

Each line is one O_APPEND write. Its time is CLOCK_MONOTONIC, which all processes of a machine share, less
NEMESIS_AHEAD, the offset of this process's time namespace. Each live run also holds a flock(2) on the journal's lock
file, which the kernel releases when the process dies and not before. A run that finds the lock taken overlaps another
run, and records that, however short both are.
"""

import fcntl
import os
import signal
import sys
import time


def main() -> None:
    journal, seconds, status, name = sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    signals: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _frame: signals.append(number))
    ahead = float(os.environ["NEMESIS_AHEAD"])
    lock = os.open(journal + ".lock", os.O_RDWR | os.O_CREAT)
    beside = 0
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        beside = 1
    log = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def write(what: str, *more: object) -> None:
        env = os.environ
        who = (env[f"CRONLOCK_RUN_{word}"] for word in ("TOKEN", "ATTEMPT", "NODE"))
        tick = name or env["CRONLOCK_RUN_TICK"]
        words = (what, f"{time.clock_gettime(time.CLOCK_MONOTONIC) - ahead:.4f}", tick, *who, os.getpid(), *more)
        os.write(log, (" ".join(map(str, words)) + "\n").encode())

    write("start", beside)
    end = time.clock_gettime(time.CLOCK_MONOTONIC) + seconds
    while not signals and (left := end - time.clock_gettime(time.CLOCK_MONOTONIC)) > 0:
        time.sleep(min(left, 0.05))
    if signals:
        status = 128 + signals[0]
    write("end", signals[0] if signals else 0, status)
    sys.exit(status)


main()
