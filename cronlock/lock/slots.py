"""Where a key's copies lie: hash slots, hash tags and the names of Redis keys. Part of the protocol between nodes.

On a Redis Cluster copy i lies at slot (h(key) + OFFSETS[i]) mod 16384, so that no growth of a rebalanced cluster from
3 up to 8 masters puts a quorum of the copies on one master. Names never depend on the topology: two nodes with
different views still meet.
"""

from binascii import crc_hqx  # CRC16/XMODEM, the one that the Redis Cluster specification names

SLOTS = 16384
COPIES = 7
# Uneven: steps of a seventh are the ranges of 7 equal masters, and `redis-cli --cluster rebalance` gives the lowest
# slots of each to an eighth master: all copies of every eighth key would lie on it.
OFFSETS = (0, 1934, 4973, 7359, 8847, 11234, 14060)
MAIN = "record"  # what stands before the key in the name of its main record
LETTERS = b"@ABCDEFGHIJKLMNO"  # four of them reach every slot


class Names:
    """The Redis keys of one copy, sharing a hash tag, and their slot.

    Record, nodes, history; with --each the key's main record as well.
    """

    __slots__ = ("keys", "slot")

    def __init__(self, keys: tuple[bytes, ...], slot: int) -> None:
        self.keys = keys
        self.slot = slot


def slot_of(name: bytes) -> int:
    """The hash slot of a Redis key, by the rule of the Redis Cluster specification."""
    start = name.find(b"{")
    if start >= 0:
        end = name.find(b"}", start + 1)
        if end > start + 1:
            name = name[start + 1 : end]
    return crc_hqx(name, 0) % SLOTS


class Tags:
    """Finds the hash tag of a slot by meeting in the middle: crc(abcd) = crc(ab00) ^ crc(cd)."""

    def __init__(self) -> None:
        pairs = [bytes((a, b)) for a in LETTERS for b in LETTERS]
        self.heads = [(pair, crc_hqx(pair + b"\0\0", 0) % SLOTS) for pair in pairs]
        self.tails: dict[int, bytes] = {}
        for pair in pairs:
            self.tails.setdefault(crc_hqx(pair, 0) % SLOTS, pair)

    def of(self, slot: int) -> bytes:
        """The first tag in the order of the letters whose slot this is."""
        for head, crc in self.heads:
            tail = self.tails.get(slot ^ crc)
            if tail:
                return head + tail
        raise AssertionError(f"no tag for slot {slot}")


def copies(prefix: str, key: str, node: str = "", count: int = COPIES) -> list[Names]:
    """The names of the first `count` copies of a key; of its each-record on `node` when a node is given."""
    text = key.encode("utf-8", "surrogateescape")
    tags, first = Tags(), slot_of(text)
    once, each = (MAIN, "nodes", "history"), (f"each:{node}", "each-nodes", f"each-history:{node}", MAIN)
    names = []
    for i in range(count):
        slot = (first + OFFSETS[i]) % SLOTS
        front = prefix.encode("utf-8", "surrogateescape") + b":{" + tags.of(slot) + b"}:"
        keys = tuple(front + kind.encode("utf-8", "surrogateescape") + b":" + text for kind in (each if node else once))
        names.append(Names(keys, slot))
    return names
