"""The lock protocol; nothing in here opens a network connection.

A voter's record of a key, by its fields `holder`, `kind` and `lease_end`:

                    prepare: ok                     commit: ok
    +-------------+             +----------------+             +---------------+
    |    FREE     | ----------> |    PREPARED    | ----------> |    RUNNING    | --+ extend: ok
    | holder = "" |             | kind = prepare |             |  kind = run   |   | (a new lease)
    +-------------+ <---------- +----------------+             +---------------+ <-+
           ^         release: ok, or 2 s pass                          |
           +-----------------------------------------------------------+
             finish: ok, release: ok, an operator's unlock, or the lease expires

A record whose lease has expired counts as free, but keeps its token, tick and state: the next holder learns from them
what ran. An extend of a run also takes a free record to RUNNING: so the run is written back to a voter that missed it
or lost it. An amnesic record has no token, or its server may have gone back to older data since its last write.

The messages, all from a node to every voter:

    message   sent by        answers
    prepare   attempt.py     ok: the short lease is this node's; yield: not yet, other nodes go first;
                             busy: another node is prepared; held: another run is live;
                             done, paused, late: of this tick, or of the key;
                             clock, voter_set: the node is refused
    commit    lease.py       ok: the run is written; expired: executed too late; other: another node is prepared
    extend    lease.py       ok: the lease is longer; expired; newer: a newer run is written; busy: another live lease;
                             voter_set
    finish    lease.py       ok: the end is written, also when sent again; other: the record is another run's
    release   ballot.py      ok: what this attempt left is free; other: it had nothing here
    read, pause, unlock, forget      survey/broadcast.py, for operators

A run starts once a quorum has answered commit with ok, and it must stop before less than a quorum of the leases is
valid. In order of use: attempt.py, ballot.py (requests, retries), quorum.py (the verdict), lease.py. The voter's side
is state_machine.py, of which servers/scripts/record.lua is the copy inside Redis and local.py the one in a file.
"""
