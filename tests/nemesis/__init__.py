"""Real nodes, real servers, and something that goes wrong: what the lock promises must hold all the same.

    python -m tests.nemesis FAULT TOPOLOGY SEED     one run, told step by step; needs root and the package faketime
    pytest -m nemesis --seeds 20                    all faults, all topologies; writes the table in tests/README.md

`house` makes the networks and `voters` the servers in them; nodes run `command`, which writes the `journal`; `faults`
is the table of what goes wrong, made of `harms`; `round` plays one seed, `matrix` many, `oracle` reads afterwards what
happened, and `table` tells of it.
"""
