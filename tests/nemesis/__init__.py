"""Real nodes, real servers and one fault at a time: the lock's promises must hold all the same.

    python -m tests.nemesis FAULT TOPOLOGY SEED     one round, printed step by step; needs root and the package faketime
    pytest -m nemesis --seeds 20                    all faults, all topologies; writes the table in README.md

README.md explains how to read a round and how to add a fault. `network_namespaces` makes the networks and `voters` the
servers in them; the nodes run `command`, which writes the `journal`; `faults` is the table of faults, made of
`fault_injectors`; `round` runs one seed, `matrix` many; `oracle` reads afterwards what happened, and `table` prints it.
"""
