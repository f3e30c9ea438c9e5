"""The cost of a run: whole processes, as cron starts them, beside flock, etcdctl lock and a plain script.

    python -m tests.bench                 everything, and the table in README.md
    python -m tests.bench start           from the start of the wrapper to its end, around a command that does nothing
    python -m tests.bench memory          while the command runs
    python -m tests.bench storm           a hundred lines at once
    python -m tests.bench stopped         while one of three servers hangs

    --rounds N        rounds of `start` and `stopped`; the slower or steadier parts make a tenth or a twentieth of them
    --python VENV     use a virtual environment that has cronlock, instead of a new one
    --lines N         lines of the storm
    --no-write        leave README.md alone

Each part runs its cases in turn, in another order each round, so that ratios hold on a busy machine; milliseconds
are those of this machine. Only root gets the rows with a crontab.
"""
