"""Crowds: very many nodes that ask for one key at one tick, and what they cost Redis.

    python -m tests.bench.crowd                                all tables, and those in tests/README.md
    python -m tests.bench.crowd --nodes 1000 --ticks 3         one crowd on a cluster, tick by tick
    python -m tests.bench.crowd --nodes 300 --servers 5        the same on five servers
    python -m tests.bench.crowd --nodes 300 --slow 10          on servers that get a tenth of their time

Each node is the real contender, holder and connections, in a greenlet; a hub per process does their waiting. A process
starts its nodes as fast as it can, but answers come first, and no more are under way than it can serve in time: so a
crowd arrives at the pace of the generator, which is told. What a faster crowd would do is seen on servers that are
slowed. Nodes go home at once, and the one that runs holds its run until all others have been answered.
"""
