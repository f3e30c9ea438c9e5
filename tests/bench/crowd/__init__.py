"""Crowds: very many nodes that ask for one key at one tick, and what they cost Redis.

    python -m tests.bench.crowd                                all tables, and those in ../README.md
    python -m tests.bench.crowd --nodes 1000 --ticks 3         one crowd on a cluster, tick by tick
    python -m tests.bench.crowd --nodes 300 --servers 5        the same on five servers
    python -m tests.bench.crowd --nodes 300 --slow 10          on servers that get a tenth of their time

Each node is the real acquirer, lease and connections in a greenlet; a hub in each process does their waiting. A process
starts its nodes as fast as it can, but handles answers first, and limits the nodes under way to those that it can serve
in time. A crowd therefore arrives at the pace of the generator, which is printed. Slowed servers show the effect of a
faster crowd. Nodes exit at once, and the winner holds its run until all other nodes are answered.
"""
