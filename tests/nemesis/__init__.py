"""Real nodes, real servers, and something that goes wrong: what the lock promises must hold all the same.

    python -m tests.nemesis FAULT TOPOLOGY SEED     one run, told step by step; needs root and the package faketime
    pytest -m nemesis --seeds 20                    all faults, all topologies; writes the table in tests/README.md

`house` makes the networks, `voters` the servers in them, `crew` the nodes, `command` is what they run and `journal` what
that wrote; `faults` is the table of what goes wrong, `round` one run of it, and `oracle` reads afterwards what happened.
"""
