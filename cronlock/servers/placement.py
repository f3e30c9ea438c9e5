"""Where a key's copies lie: hash slots, hash tags and the names of Redis keys. Part of the protocol between nodes.

On a Redis Cluster copy i lies at slot (h(key) + OFFSETS[i]) mod 16384, so that no growth of a rebalanced cluster from
3 up to 8 masters puts a quorum of the copies on one master. Names never depend on the topology: two nodes with
different views still meet.
"""

from cronlock.lock.protocol import COPIES, MAIN

SLOTS = 16384
# Uneven: steps of a seventh are the ranges of 7 equal masters, and `redis-cli --cluster rebalance` gives the lowest
# slots of each to an eighth master: all copies of every eighth key would lie on it.
OFFSETS = (0, 1934, 4973, 7359, 8847, 11234, 14060)
LETTERS = b"@ABCDEFGHIJKLMNO"  # four of them reach every slot
CRC = range(0, 16 * 0x1021, 0x1021)  # of half a byte; binascii has the same, and costs an import


class Names:
    """The Redis keys of one copy, sharing a hash tag, and their slot.

    Record, nodes, history, line; with --each the key's main record as well.
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
    return crc16(name) % SLOTS


def crc16(data: bytes) -> int:
    """CRC16/XMODEM, the one that the Redis Cluster specification names."""
    crc = 0
    for byte in data:
        crc = crc << 4 & 0xFFFF ^ CRC[crc >> 12 ^ byte >> 4]
        crc = crc << 4 & 0xFFFF ^ CRC[crc >> 12 ^ byte & 15]
    return crc


class Tags:
    """Finds the hash tag of a slot by meeting in the middle: crc(abcd) = crc(ab00) ^ crc(cd), and crc(a0) ^ crc(0b)."""

    def __init__(self) -> None:
        pairs = [bytes((a, b)) for a in LETTERS for b in LETTERS]
        first, second, third, fourth = (
            [crc16(bytes((letter,)) + bytes(behind)) % SLOTS for letter in LETTERS] for behind in (3, 2, 1, 0)
        )
        self.heads = list(zip(pairs, [a ^ b for a in first for b in second], strict=True))
        self.tails: dict[int, bytes] = {}
        for pair, crc in zip(pairs, [a ^ b for a in third for b in fourth], strict=True):
            self.tails.setdefault(crc, pair)

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
    once = (MAIN, "nodes", "history", "line")
    each = (f"each:{node}", "each-nodes", f"each-history:{node}", "line", MAIN)
    names = []
    for i in range(count):
        slot = (first + OFFSETS[i]) % SLOTS
        front = prefix.encode("utf-8", "surrogateescape") + b":{" + tags.of(slot) + b"}:"
        keys = tuple(front + kind.encode("utf-8", "surrogateescape") + b":" + text for kind in (each if node else once))
        names.append(Names(keys, slot))
    return names
