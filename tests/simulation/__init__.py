"""A simulation of some nodes and some voters in virtual time: thousands of schedules per minute, each from a seed.

The code of cronlock between the pure judgement (record, quorum) and the sockets is the real one: Contender, Candidate,
Holder, Hold, with their timers, retries, late answers and write-backs. Voters, network, command, guard and the clock
are of this package. `python -m tests.simulation SEED` plays one seed again and tells its story.
"""
