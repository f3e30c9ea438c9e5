"""Texts and bytes at random: pieces that a reader knows, put together, and whole ones with something changed."""

import random
from collections.abc import Sequence

ODD = [
    "",
    " ",
    "\n",
    "\0",
    "\x1b[2J",
    "\u202e",
    "é",
    "\udcff",
    "²",
    "\U0001f600",
    "%",
    "\\",
    "'",
    '"',
    "\t",
    "\r",
    "-1",
]
LONG = 20_000  # characters: what takes a time that grows with the square of the length is felt


def pieces(rng: random.Random, known: Sequence[str]) -> str:
    """Some of what is known and some of what is odd, one behind the other; now and then one of them many times."""
    some = [rng.choice(known if rng.random() < 0.85 else ODD) for _ in range(rng.choice((1, 3, 8, 20)))]
    if rng.random() < 0.002:
        one = rng.choice(some) or "x"
        some.insert(rng.randrange(len(some) + 1), one * (LONG // len(one)))
    return rng.choice(("", "", " ")).join(some)


def changed(rng: random.Random, text: str, known: Sequence[str]) -> str:
    """The text with a few things taken out, put in, doubled or replaced."""
    for _ in range(rng.choice((1, 1, 2, 5))):
        at = rng.randrange(len(text) + 1)
        end = min(len(text), at + rng.choice((0, 1, 1, 4, 30)))
        middle = rng.choice(("", text[at:end] * 2, rng.choice(known), rng.choice(ODD), chr(rng.randrange(256))))
        text = text[:at] + middle + text[end:]
    return text


def changed_bytes(rng: random.Random, data: bytes) -> bytes:
    """The same for bytes."""
    for _ in range(rng.choice((1, 1, 2, 5))):
        at = rng.randrange(len(data) + 1)
        end = min(len(data), at + rng.choice((0, 1, 1, 4, 30)))
        data = data[:at] + rng.choice((b"", data[at:end] * 2, rng.randbytes(rng.choice((1, 1, 8))))) + data[end:]
    return data
