"""What a run costs: whole processes, as cron starts them, beside flock, etcdctl lock and a plain script.

    python -m tests.bench                 all of it, and the table in tests/README.md
    python -m tests.bench start           from the start of the wrapper to its end, with nothing to do in between
    python -m tests.bench memory          while the command runs
    python -m tests.bench storm           a hundred lines at once
    python -m tests.bench stopped         when one of three servers hangs

    --rounds N        of `start` and `stopped`; the others, which are slower or steadier, get a tenth or a twentieth
    --python VENV     a virtual environment that has cronlock, instead of a new one
    --lines N         of the storm
    --no-write        leave tests/README.md alone

Each part runs its candidates in turn, in an order that changes with each round, so that ratios hold on a machine that
has other things to do; milliseconds are those of this machine. Root only: the rows with a crontab.
"""
