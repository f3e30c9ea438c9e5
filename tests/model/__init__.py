"""An exhaustive search through every order of events that can break the lock's rules, within bounds.

The voters' copies are changed by the functions of cronlock/lock/state_machine.py, and the answers are evaluated by
those of cronlock/lock/quorum.py. This package adds the world around them: nodes that ask, commit, run, end or die at
any point; requests and answers that are lost; requests that are executed late; leases that end; voters that forget or
go back to older data. The search is breadth first, so the first counter-example is also a shortest one. README.md
explains how to run it and how to add a row.

The models leave out the following, and lose nothing by it:

- Time. A lease is live until a step ends it, and that step may come at any moment, with two exceptions: the lease of
  a prepare outlasts the counting of its ok, and the lease of a run outlasts its holder's belief in it. Both are counted
  from before the request was sent, less the drift (quorum.py). A request is either in time or past its `not_after`.
- The voters' clocks. A voter's time is 0, so each token is one more than the highest token seen. The clock's floor
  allows nothing worse.
- The moment of a death. A node that dies takes no more steps; since the search tries every order, a node may die at
  any point. Its lease still runs, and the guard ends the command when the wrapper is dead.
- Slow answers. A request is executed at once, never, or late; an answer comes at once or never. A later answer is the
  same as a slow node, except where lateness itself matters (`World.late_oks`).
- Different voter sets. All nodes have the same one, except after a node that adopts another. Fair turns are modelled
  as a voter that may answer yield to any node that asks for the first time, which is more than the real turn order
  allows (`World.yields`).
- Waiting times. A node that waits (--failover, --wait) is one that asks again after held (`World.waits`). It may do
  so at any moment, so neither the moment nor the cause matters. The same holds for how long it waits for the last
  voter's answer before it takes a tick over: that answer either came or did not.
- Endless retries. A node retries under another holder id, and anything left under the old id belongs to no node
  (`ABANDONED`). Tokens would grow without end if commits were rejected again and again; `World.recommits` bounds that.
- The records of --each. Each node then has a record of its own, and its attempts behave like those of two nodes that
  share one record. A pause applies to the whole key and is stored in the main record, but a voter reads both records in
  the same call and loses or restores both together. The rows about a pause therefore cover --each as well.
- Broadcasts. An operator's unlock and forget reach voters one by one, and any of them may never arrive
  (`World.operator_unlocks`, `World.operator_forgets`). The unlocked run has ended: the operator vouches for the death
  of its node. A tick that ran before a forget may run again.
- Real months. A month (`World.months`) stands for any time longer than a voter keeps a record that is not renewed. It
  passes in one step, and only during a run (months.py): anything that voters forget while nothing runs has been late
  for long.
- The cause of older data. A voter goes back by a restart, or because its master was failed over from and failed back
  to (`World.goes_back_by`). The first changes the server's run_id, the second its replication id.
- States that cannot differ in any promise: reduce.py lists those that are treated as one.
"""
