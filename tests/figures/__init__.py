"""Figures of real nodes that take turns: shares of ticks, and the time until a lock or a dead node's work moves.

    python -m tests.figures               all of them, and the table in README.md
    python -m tests.figures fair          shares, and the cost of fair turns
    python -m tests.figures takeover      from kill -9 of all of a node's processes to the next start
    python -m tests.figures handover      from the end of one command to the start of the next
    python -m tests.figures leader        a rolling restart of a leader and of the nodes that wait
    python -m tests.figures status        cronlock status with ten thousand keys

Times are those of this machine; `tests/integration/test_turns.py` checks everything that does not depend on it.
"""
