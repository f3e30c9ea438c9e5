"""Random replies of a server: nearly correct answers of the script, of a cluster, or of a sentinel, and odd ones."""

import random
from typing import NamedTuple

from cronlock.lock import protocol
from cronlock.lock.protocol import COPIES
from tests.fuzz.texts import changed_bytes

NUMBERS = [0, 1, -1, 1_795_500_000, 1_795_500_000_000, 2**53, 2**62, -(2**63)]
WORDS = [b"", b"ok", b"held", b"done", b"paused", b"voter_set", b"clock", b"late", b"yield", b"busy", b"run", b"9" * 30]
ERRORS = [
    *(
        b"MOVED 1 127.0.0.1:6379",
        b"ASK 1 127.0.0.1:6379",
        b"MOVED 1 127.0.0.1:99999",
        b"MOVED 1 :1",
        b"MOVED",
        b"ASK x y:\xb2",
    ),
    *(
        b"MOVED 1 ::1:1",
        b"NOSCRIPT no",
        b"NOAUTH no",
        b"WRONGPASS \x1b[2J",
        b"LOADING",
        b"ERR",
        b"",
        b"\xff\xfe",
        b"-BUSY",
    ),
    *(b"ERR This instance has cluster support disabled",) * 6,
]
PORT = 6379  # of the server in these inputs
NAMES = [name.encode() for name in sorted(protocol.ANSWERED | {"wait", "now"})]
BOMBS = [
    *(
        b"*1000000000\r\n",
        b"*4294967295\r\n",
        b"$999999999999\r\n",
        b"*1\r\n" * 10_000,
        b"%1\r\n*1\r\n:1\r\n:1\r\n",
        b"*-2\r\n",
    ),
    *(
        b"$-9\r\n",
        b":\r\n",
        b"(1\r\n",
        b"~1\r\n%1\r\n:1\r\n:1\r\n",
        b">3\r\n+message\r\n*0\r\n:1\r\n",
        b"%2\r\n" * 50,
        b"|1\r\n+a\r\n",
    ),
    *(
        b"*3\r\n+message\r\n+x\r\n:1\r\n",
        b"*1\r\n$7\r\nmessage\r\n",
        b"*0\r\n",
        b"*3\r\n$7\r\nmessage\r\n*0\r\n*0\r\n",
        b"\r\n",
    ),
]


class Talk(NamedTuple):
    """The server's replies, one for each request, cut into pieces; then the server closes."""

    replies: list[bytes]
    piece: int


def _resp(rng: random.Random, depth: int = 0) -> bytes:
    """Return a reply of any kind."""
    kind = rng.random()
    if kind < 0.2 and depth < 4:
        items = [_resp(rng, depth + 1) for _ in range(rng.randrange(5))]
        return b"%c%d\r\n" % (rng.choice(b"**>~"), len(items)) + b"".join(items)
    if kind < 0.3:
        return b":%d\r\n" % rng.choice(NUMBERS)
    if kind < 0.4:
        return b"-%b\r\n" % rng.choice(ERRORS)
    if kind < 0.45:
        return rng.choice(BOMBS)
    return _bulk(rng.choice((*WORDS, rng.randbytes(6))))


def _bulk(word: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(word), word)


def _answer(rng: random.Random) -> bytes:
    """Return a nearly correct answer of the script."""
    fields: dict[bytes, bytes] = {}
    for name in NAMES:
        number = name.decode() in protocol.NUMBERS
        usual = b"%d" % rng.choice(NUMBERS) if number else rng.choice(WORDS)
        fields[name] = (
            usual if rng.random() < 0.97 else rng.choice((b"x", b"\x1b[31m", b"9" * 5000, b"\xff", b"-0", b"1_0"))
        )
    if rng.random() < 0.2:
        del fields[rng.choice(NAMES)]
    if rng.random() < 0.5:
        fields[b"answer"] = rng.choice(WORDS[1:10])
    flat = [_bulk(word) for pair in fields.items() for word in pair]
    return b"*%d\r\n" % len(flat) + b"".join(flat)


def _slots(rng: random.Random) -> bytes:
    """Return a nearly correct answer to CLUSTER SLOTS."""
    node = b"*3\r\n%b:%d\r\n" % (
        rng.choice((_bulk(b"127.0.0.1"), _bulk(b""), _bulk(b"?"), b"$-1\r\n", b":1\r\n", b"*0\r\n")),
        rng.choice((PORT, PORT, PORT, PORT, 1, 0, 65_536, -1)),
    ) + rng.choice((_bulk(b"a" * 40), b"*0\r\n", b"$-1\r\n", b":1\r\n"))
    row = b"*%d\r\n" % rng.choice((3, 3, 3, 2)) + b":%d\r\n:%d\r\n" % (
        rng.choice((0, 0, 8_000)),
        rng.choice((16_383, 0)),
    )
    return b"*1\r\n" + row + node


def _master(rng: random.Random) -> bytes:
    """Return a nearly correct answer of a sentinel about a master, or of a server about its role."""
    port = rng.choice((PORT, PORT, PORT, 0, -1, 65_536, "x", "\u00b2", "9" * 5_000))
    return rng.choice((b"*2\r\n" + _bulk(b"127.0.0.1") + _bulk(str(port).encode()), b"*1\r\n" + _bulk(b"master")))


def _reply(rng: random.Random) -> bytes:
    reply = rng.choice((_resp, _answer, _answer, _slots, _master))(rng)
    return reply if rng.random() < 0.7 else changed_bytes(rng, reply)


def make(rng: random.Random) -> Talk:
    """Return replies for one connection, or for voters: of a server or a cluster, with or without a sentinel."""
    what_it_is = rng.choice((b"-" + ERRORS[-1] + b"\r\n", _slots(rng), _slots(rng), _reply(rng)))
    if rng.random() < 0.1:
        what_it_is = changed_bytes(rng, what_it_is)
    piece = rng.choice((1_000_000, 1_000_000, 50, 7))
    first = [_master(rng), b"*1\r\n" + _bulk(b"master")] if piece == 50 else []
    return Talk([*first, what_it_is, *(_reply(rng) for _ in range(COPIES + 2))], piece)
