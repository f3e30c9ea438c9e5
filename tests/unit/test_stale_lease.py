"""The lease of an earlier tick: a node waits for it if its owner is dead, and leaves it alone if the owner lives."""

from cronlock.run.waiting import STALE_LEASE_MAX, StaleLease

TICK = 1_800_000_000
NOW = 1_000_000


def held(left, token=7, tick=TICK - 60):
    return {"answer": "held", "token": token, "tick": tick, "left": left}


def test_the_wait_lasts_until_the_slowest_voter_is_free():
    """Each voter's lease ends when its own request came, not when the first answer says."""
    wait = StaleLease().left([held(3000), held(3040), held(2990)], TICK, NOW)
    assert 3040 < wait < 3200


def test_a_lease_that_still_stands_after_the_wait_is_waited_for_again():
    """The lease ended a little later than measured, without an extension."""
    lease = StaleLease()
    assert lease.left([held(3000)], TICK, NOW)
    assert lease.left([held(30)], TICK, NOW + 3050) > 30


def test_a_lease_that_was_extended_is_no_dead_nodes():
    """The run continues; this tick is held."""
    lease = StaleLease()
    assert lease.left([held(3000)], TICK, NOW)
    assert lease.left([held(4000)], TICK, NOW + 3050) == 0


def test_the_lease_of_another_run_is_not_waited_for():
    """Another node came first."""
    lease = StaleLease()
    assert lease.left([held(3000)], TICK, NOW)
    assert lease.left([held(10, token=8)], TICK, NOW + 3050) == 0


def test_a_lease_of_this_tick_or_without_a_tick_is_not_waited_for():
    """--failover and --wait cover these leases."""
    assert StaleLease().left([held(3000, tick=TICK)], TICK, NOW) == 0
    assert StaleLease().left([held(3000, tick=0)], TICK, NOW) == 0


def test_a_long_lease_is_not_waited_for():
    """With a schedule, a dead node's lease expires before the next tick; a longer lease is alive."""
    assert StaleLease().left([held(STALE_LEASE_MAX + 1)], TICK, NOW) == 0
