"""Figures of real nodes that take turns: who runs how often, and how soon a lock or a dead node's work moves; and
how long people wait.

    python -m tests.figures               all of them, and the table in tests/README.md
    python -m tests.figures fair          shares, and what politeness costs
    python -m tests.figures takeover      from kill -9 of all of a node's processes to the next start
    python -m tests.figures handover      from the end of one command to the start of the next
    python -m tests.figures leader        a rolling restart of those that lead and those that wait
    python -m tests.figures status        cronlock status over ten thousand keys

Times are those of this machine; `tests/integration/test_turns.py` holds what does not depend on it.
"""
