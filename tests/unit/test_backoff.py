"""How soon a node asks again: those who got something first, and nobody sooner than servers can answer."""

from hypothesis import given
from hypothesis import strategies as st

from cronlock.run.acquire import OUTAGE_STEP_MAX, OUTAGE_STEP_MIN, SPLIT_MAX, SPLIT_MIN, SPLIT_WINDOW, Pace

TAKES = st.integers(0, 3_000)


@given(takes=st.lists(TAKES, min_size=1, max_size=8))
def test_who_got_a_part_of_the_voters_asks_again_before_those_who_got_none(takes: list[int]) -> None:
    """Of a crowd only a few can have any: the others would be in their way."""
    some, none = Pace(30_000, 0), Pace(30_000, 0)
    for count, took in enumerate(takes):
        longest = max(min(SPLIT_MIN * 2**count, SPLIT_MAX), took)
        assert longest // 10 <= some.after_a_split(True, took) <= longest
        assert longest <= none.after_a_split(False, took) <= 4 * longest


@given(takes=st.lists(TAKES, min_size=1, max_size=8))
def test_what_took_long_is_not_repeated_soon(takes: list[int]) -> None:
    """Servers that are too slow for a crowd would be kept so."""
    pace = Pace(30_000, 0)
    for count, took in enumerate(takes):
        longest = max(min(OUTAGE_STEP_MIN * 2**count, OUTAGE_STEP_MAX), took)
        assert longest // 2 <= pace.after_an_outage(took) <= longest


def test_a_split_vote_is_no_outage() -> None:
    """Other nodes ask at the same time, and one of them will get it: there is time for that, however short a wait for
    an outage was asked for.
    """
    pace = Pace(1_000, 500)
    assert pace.until == 1_500
    pace.after_a_split(True, 1)
    assert pace.until == 500 + SPLIT_WINDOW
    pace.after_an_outage(1)
    assert pace.until == 1_500
