"""Pauses between attempts: nodes with some votes retry first, and no node retries sooner than servers can answer."""

from hypothesis import given
from hypothesis import strategies as st

from cronlock.run.acquire import OUTAGE_STEP_MAX, OUTAGE_STEP_MIN, SPLIT_MAX, SPLIT_MIN, SPLIT_WINDOW, Backoff

TAKES = st.integers(0, 3_000)


@given(takes=st.lists(TAKES, min_size=1, max_size=8))
def test_a_node_with_some_votes_retries_before_a_node_with_none(takes: list[int]) -> None:
    """In a crowd only a few nodes win votes: the others would add contention."""
    some, none = Backoff(30_000, 0), Backoff(30_000, 0)
    for count, took in enumerate(takes):
        longest = max(min(SPLIT_MIN * 2**count, SPLIT_MAX), took)
        assert longest // 10 <= some.after_split_vote(True, took) <= longest
        assert longest <= none.after_split_vote(False, took) <= 4 * longest


@given(takes=st.lists(TAKES, min_size=1, max_size=8))
def test_the_pause_grows_with_the_length_of_the_attempt(takes: list[int]) -> None:
    """Overloaded servers could not recover otherwise."""
    backoff = Backoff(30_000, 0)
    for count, took in enumerate(takes):
        longest = max(min(OUTAGE_STEP_MIN * 2**count, OUTAGE_STEP_MAX), took)
        assert longest // 2 <= backoff.after_outage(took) <= longest


def test_a_split_vote_is_not_an_outage() -> None:
    """Other nodes ask at the same time, and one of them will get it: there is time for that, however short a wait for
    an outage was asked for.
    """
    backoff = Backoff(1_000, 500)
    assert backoff.until == 1_500
    backoff.after_split_vote(True, 1)
    assert backoff.until == 500 + SPLIT_WINDOW
    backoff.after_outage(1)
    assert backoff.until == 1_500
