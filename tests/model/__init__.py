"""The lock's own rules, tried in every order of events within bounds.

The functions of lock/state_machine.py run on the voters' copies, those of lock/quorum.py on the answers.
What this package adds is the world around them: nodes that ask, commit, run, end or die at any point, requests and
answers that are lost, requests that are executed late, leases that end, voters that forget or go back to older data.
The search goes breadth first, so that the first counter-example is a shortest one.

`python -m tests.model` prints every row of the tables: the rules as they are, which must hold, and known-bad ones, for
which a counter-example must be found. With words from a row's name it prints that row's trace.

What is left out, and why nothing is lost by it:

- Time stands still. A lease runs until a step of its own ends it; that step may come at any time, except that the lease
  of a prepare outlasts the counting of its ok, and that of a run outlasts its holder's belief in it: both count from
  before the request, less the drift (quorum.py). A request is in time or past its `not_after`.
- Tokens come from a voter time of 0: each is one more than the highest seen, the worst that the clock's floor allows.
- A node that dies is one that takes no more steps. Since every order is tried, it may die at any point. Its lease still
  runs: the guard ends the command when the wrapper is dead.
- A request is executed at once, never, or late; an answer comes at once or never. One that comes later is the same as a
  node that is slow, except where its lateness is a matter of its own (`World.late_oks`).
- All nodes have the same settings, except those of a node that adopts others. Politeness is a voter that may answer
  yield to whoever asks for the first time: more than the line that it stands in can do (`World.yields`).
- A node that waits (--failover, --wait) is one that is told held and asks again (`World.stays`). When it does so, and
  what wakes it, has no bearing: it may do so at any time. Nor has how long it waits for the last voter's word before it
  takes a tick over: what that voter would have said either came, or did not.
- A node that tries again does so under another id; what it left under the one before belongs to nobody (`DEAD`). Tokens
  would rise without end when commits are rejected again and again: `World.recommits` bounds that.
- With --each every node has a record of its own: its attempts are those of two nodes that share one. A pause is one of
  the whole key, and stands in the main record; but a voter reads it there in the same call, and what it loses or goes
  back to is both records at once. So the rows about a pause say of it all there is to say.
- A person's unlock and forget reach voters one by one, and any of them never (`World.unlocks`, `World.erases`). The
  run that is unlocked has ended: that its node is dead is what the person vouches for. What ran before a forget may run
  again.
- A month (`World.months`) is longer than a voter keeps a record that nobody renews. It goes by in one step, and only
  during a run (months.py): what voters forget while nothing runs has been late for long.
- A voter goes back to older data by a restart, or because its master was failed over from and failed back to
  (`World.goes_back_by`): the one changes the run_id of the server, the other the replication id.
- reduce.py says which states are taken for one.
"""
