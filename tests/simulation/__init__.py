"""A simulation of a few nodes and voters in virtual time: thousands of schedules a minute, each from one seed.

The code of cronlock between the pure rules (state machine, quorum) and the sockets is the real one: Acquirer, Attempt,
Lease and Supervisor, with their timers, retries, late answers and write-backs. Voters, network, command, guard and
clock belong to this package. README.md explains how to run a seed and how to read its trace.
"""
