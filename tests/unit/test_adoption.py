"""Which adoptions are safe whatever the nodes with the old list do: pure arithmetic of two quorums."""

import pytest

from cronlock.lock.voter_set import hindrance, spelled

ONE, THREE, FIVE = "1 1", "1 3 a,b,c", "1 5 a,b,c,d,e"


def has(label, settings, token=7, restarted=0):
    return label, {"voter_set": settings, "voter_set_by": "web-1", "token": token, "restarted": restarted}


def new(label):
    return has(label, "", token=0)


@pytest.mark.parametrize(
    ("answers", "mine", "safe"),
    [
        ([has("a", ONE), new("b"), new("c")], THREE, True),
        ([has("a", ONE, restarted=1), new("b"), new("c")], THREE, True),
        ([has("a", THREE), has("b", THREE), has("c", THREE), new("d"), new("e")], FIVE, True),
        ([has("a", THREE), new("b"), new("c"), new("d"), new("e")], FIVE, True),
        ([has("a", FIVE), has("b", FIVE), has("c", FIVE)], THREE, True),
        ([has("a", FIVE), has("b", FIVE), new("c")], THREE, False),
        ([has("a", THREE), has("b", THREE)], "1 2 a,b", True),
        ([has("a", THREE)], ONE, False),
        ([has("a", THREE), has("b", THREE), new("d")], "1 3 a,b,d", True),
        ([has("a", THREE), has("b", THREE, restarted=1), new("d")], "1 3 a,b,d", False),
        ([has("x", THREE), has("y", THREE), has("z", THREE)], "1 3 x,y,z", True),
        ([has("x", THREE), has("y", THREE, restarted=1), new("z")], "1 3 x,y,z", False),
        ([has("a", f"{THREE} ended"), has("b", THREE), new("d")], "1 3 a,b,d", True),
        ([has("a", "1 3 a,b,d"), has("d", "1 3 a,b,d"), has("b", THREE)], "1 3 a,b,d", True),
        ([has("a", "2 other")], ONE, False),
        ([has("a", "1 cluster"), new("b"), new("c")], THREE, False),
    ],
)
def test_the_old_voters_have_no_quorum_left(answers, mine, safe):
    """Those that answer and remember, or all of them; under another name a voter is known by what it remembers."""
    found = hindrance(answers, mine, len(answers))
    assert bool(found) is not safe
    assert safe or found.startswith("nodes such as web-1 could still form a quorum of ")


def test_settings_are_spelled_for_people():
    """Also those that this version does not know."""
    told = [spelled(settings) for settings in (ONE, "1 cluster", f"{THREE} ended", "2 other")]
    assert told == ["a single server", "a Redis Cluster", "a, b, c", "'2 other'"]
