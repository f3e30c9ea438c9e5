"""The placement of copies: their names, which are part of the protocol, and layouts of growing clusters."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronlock.lock.protocol import COPIES
from cronlock.lock.quorum import quorum
from cronlock.servers.placement import LETTERS, OFFSETS, SLOTS, Tags, copies, slot_of
from tests.support.clusters import Cluster

KEYS = ["nightly", "a job", "100%", "größe", "日本", "team:nightly", "x" * 200, "\udcff"]
NIGHTLY = {
    4416: "cronlock:{CFJN}:record:nightly",
    6350: "cronlock:{CDHB}:record:nightly",
    9389: "cronlock:{BKJF}:record:nightly",
    11775: "cronlock:{@MG@}:record:nightly",
    13263: "cronlock:{@@CE}:record:nightly",
    15650: "cronlock:{A@DK}:record:nightly",
    2092: "cronlock:{A@HH}:record:nightly",
}
GROESSE = {
    14619: "cronlock:{AC@F}:each:web-1:größe 100%",
    169: "cronlock:{@NKK}:each:web-1:größe 100%",
    3208: "cronlock:{CBJF}:each:web-1:größe 100%",
    5594: "cronlock:{CGDK}:each:web-1:größe 100%",
    7082: "cronlock:{@FEF}:each:web-1:größe 100%",
    9469: "cronlock:{ANED}:each:web-1:größe 100%",
    12295: "cronlock:{AJBI}:each:web-1:größe 100%",
}


def steps(count: int) -> list[int]:
    """Offsets at equal distances, the first design."""
    return [i * SLOTS // count for i in range(count)]


def shares(owner: list[int], first: int, offsets: Sequence[int] = OFFSETS) -> int:
    """Return the most copies that one master has when slot i belongs to owner[i]."""
    owners = [owner[(first + offset) % SLOTS] for offset in offsets]
    return max(map(owners.count, owners))


def even(masters: int) -> list[int]:
    """Return equal contiguous ranges, as redis-cli --cluster create makes them."""
    return [slot * masters // SLOTS for slot in range(SLOTS)]


def grown(owner: list[int]) -> list[int]:
    """Return the owners after redis-cli --cluster rebalance to an empty master: each master gives its lowest slots."""
    masters = max(owner) + 1
    surplus = {master: owner.count(master) - SLOTS // (masters + 1) for master in range(masters)}
    owner = owner[:]
    for slot, master in enumerate(owner):
        if surplus[master] > 0:
            surplus[master] -= 1
            owner[slot] = masters
    return owner


def test_every_slot_has_a_tag() -> None:
    """A tag of four letters, so that names stay short."""
    tags = Tags()
    found = [tags.of(slot) for slot in range(SLOTS)]
    assert [slot_of(b"x:{" + tag + b"}:y") for tag in found] == list(range(SLOTS))
    assert all(len(tag) == 4 and set(tag) <= set(LETTERS) for tag in found)


def test_the_tag_of_a_slot_is_the_first_one_in_the_order_of_the_letters() -> None:
    """The order of the search is part of the protocol: all nodes must find the same tag."""
    tags = Tags()
    words = [bytes((a, b, c, d)) for a in LETTERS for b in LETTERS for c in LETTERS for d in LETTERS]
    first: dict[int, bytes] = {}
    for word in words:
        first.setdefault(slot_of(word), word)
    assert {slot: tags.of(slot) for slot in range(SLOTS)} == first


@pytest.mark.parametrize(("key", "node", "names"), [("nightly", "", NIGHTLY), ("größe 100%", "web-1", GROESSE)])
def test_names_never_change(key: str, node: str, names: dict[int, str]) -> None:
    """Nodes of two versions with different names would both run."""
    assert {copy.slot: copy.keys[0].decode() for copy in copies("cronlock", key, node)} == names
    parts = ("each-nodes", f"each-history:{node}", "line", "record") if node else ("nodes", "history", "line")
    for copy, name in zip(copies("cronlock", key, node), names.values(), strict=True):
        front = name.partition("}:")[0] + "}:"
        assert [keys.decode() for keys in copy.keys[1:]] == [f"{front}{part}:{key}" for part in parts]


@pytest.mark.parametrize("node", ["", "web-1", "größe"])
@pytest.mark.parametrize("key", KEYS)
def test_redis_puts_each_copy_where_its_name_says(cluster: Cluster, key: str, node: str) -> None:
    """All keys of a copy are in one slot, as a script requires; CLUSTER KEYSLOT decides."""
    for copy in copies("a prefix", key, node):
        slots = {cluster.nodes[0].ask("CLUSTER", "KEYSLOT", name) for name in copy.keys}
        assert slots == {copy.slot} == {slot_of(name) for name in copy.keys}


@pytest.mark.parametrize(
    "name", ["", "a", "{a}b", "a{b}c", "{}a", "a{}{b}", "{{a}}b", "{a", "a}{b", "a{b}{c}", "foo{{bar}}zap"]
)
def test_slot_of_is_the_rule_of_the_specification(cluster: Cluster, name: str) -> None:
    """The first non-empty braces are the hash tag."""
    assert slot_of(name.encode()) == cluster.slot_of(name)


@given(st.text(min_size=1, max_size=200).filter(lambda text: not set(text) & set("{}")), st.integers(1, COPIES))
def test_copies_are_apart_and_the_first_is_at_the_keys_slot(key: str, count: int) -> None:
    """Each in another slot, at fixed distances; fewer copies are the first of the seven."""
    names = copies("cronlock", key, count=count)
    assert names[0].slot == slot_of(key.encode())
    slots = [copy.slot for copy in copies("cronlock", key)]
    assert len(set(slots)) == COPIES
    assert tuple((slot - slots[0]) % SLOTS for slot in slots) == OFFSETS
    assert [copy.keys for copy in names] == [copy.keys for copy in copies("cronlock", key)[:count]]


@given(st.text(min_size=1, max_size=20), st.text(min_size=1, max_size=20), st.sampled_from(["", "web-1", "b"]))
def test_no_two_records_share_a_name(one: str, other: str, node: str) -> None:
    """Neither two keys, nor --once and --each of one key, nor two nodes with --each."""
    every = [copies("cronlock", key, on, 1)[0].keys[0] for key in {one, other} for on in {"", "web-1", "b", node}]
    assert len(set(every)) == len(every)


@pytest.mark.parametrize("masters", range(3, 9))
def test_no_master_has_a_quorum_of_any_keys_copies(masters: int) -> None:
    """With 3 to 8 masters of equal ranges, the loss of a master leaves a quorum of every key."""
    owner = even(masters)
    assert max(shares(owner, first) for first in range(SLOTS)) < quorum(COPIES)


def worst(owners: list[list[int]], offsets: Sequence[int] = OFFSETS) -> int:
    """Return the most copies of any key that one master has in any of these layouts."""
    return max(shares(owner, first, offsets) for owner in owners for first in range(0, SLOTS, 7))


@pytest.mark.parametrize("masters", range(3, 8))
def test_growing_one_by_one_to_8_masters_gives_no_master_a_quorum(masters: int) -> None:
    """From equal ranges, by rebalancing towards each new master."""
    owners = [even(masters)]
    while max(owners[-1]) < 7:
        owners.append(grown(owners[-1]))
    counts = [owners[-1].count(master) for master in range(8)]
    assert max(counts) - min(counts) <= 8
    assert worst(owners) < quorum(COPIES)


@pytest.mark.parametrize(("count", "masters"), [(3, 3), (5, 5), (7, 7)])
def test_copies_at_equal_distances_are_not_enough(count: int, masters: int) -> None:
    """With as many equal ranges as copies and one more master, that master gets a quorum of some keys."""
    assert worst([grown(even(masters))], steps(count)) >= quorum(count)


def test_two_masters_need_each_other() -> None:
    """One of two masters has a quorum of some keys; check reports it."""
    owner = even(2)
    assert max(shares(owner, first) for first in range(SLOTS)) == quorum(COPIES)
