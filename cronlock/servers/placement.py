"""The placement of a key's copies: hash slots, hash tags and names in Redis. Part of the protocol between nodes.

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
CRC = range(0, 16 * 0x1021, 0x1021)  # of half a byte; binascii has the same but costs an import


class Names:
    """The Redis keys of one copy, sharing a hash tag, and their slot.

    Record, nodes, history, line; with --each the key's main record as well.
    """

    __slots__ = ("keys", "slot")

    def __init__(self, keys: tuple[bytes, ...], slot: int) -> None:
        self.keys = keys
        self.slot = slot


def slot_of(name: bytes) -> int:
    """Return the hash slot of a Redis key, as the Redis Cluster specification defines it."""
    start = name.find(b"{")
    if start >= 0:
        end = name.find(b"}", start + 1)
        if end > start + 1:
            name = name[start + 1 : end]
    return crc16(name) % SLOTS


def crc16(data: bytes) -> int:
    """Return the CRC16/XMODEM, which the Redis Cluster specification requires."""
    crc = 0
    for byte in data:
        crc = crc << 4 & 0xFFFF ^ CRC[crc >> 12 ^ byte >> 4]
        crc = crc << 4 & 0xFFFF ^ CRC[crc >> 12 ^ byte & 15]
    return crc


class Tags:
    """Finds the hash tag of a slot by meeting in the middle: crc(abcd) = crc(ab00) ^ crc(cd), and crc(a0) ^ crc(0b).

    A pair of letters is the index in the order of all pairs.
    """

    def __init__(self) -> None:
        fourth = [crc16(bytes((letter,))) for letter in LETTERS]
        third = [_with_zero_byte(crc) for crc in fourth]
        second = [_with_zero_byte(crc) for crc in third]
        first = [_with_zero_byte(crc) for crc in second]
        self.heads = [(a ^ b) % SLOTS for a in first for b in second]
        tails = [(a ^ b) % SLOTS for a in third for b in fourth]
        self.tails = dict(zip(reversed(tails), range(255, -1, -1), strict=True))  # the first pair of a crc comes last

    def of(self, slot: int) -> bytes:
        """Return the first tag of this slot, in the order of the letters."""
        for head, crc in enumerate(self.heads):
            tail = self.tails.get(slot ^ crc)
            if tail is not None:
                return bytes((LETTERS[head >> 4], LETTERS[head & 15], LETTERS[tail >> 4], LETTERS[tail & 15]))
        raise AssertionError(f"no tag for slot {slot}")


def _with_zero_byte(crc: int) -> int:
    """Return the crc16 of the same bytes and a zero byte behind them."""
    crc = crc << 4 & 0xFFFF ^ CRC[crc >> 12]
    return crc << 4 & 0xFFFF ^ CRC[crc >> 12]


def copies(prefix: str, key: str, node: str = "", count: int = COPIES) -> list[Names]:
    """Return the names of the first `count` copies of a key, or of its each-record on `node` if a node is given."""
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
