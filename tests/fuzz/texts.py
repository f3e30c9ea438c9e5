"""Random texts and bytes: known pieces put together, and valid texts with changes."""

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
LONG = 20_000  # characters: enough that quadratic time shows


def pieces(rng: random.Random, known: Sequence[str]) -> str:
    """Return known and odd pieces in a row; now and then one of them many times."""
    some = [rng.choice(known if rng.random() < 0.85 else ODD) for _ in range(rng.choice((1, 3, 8, 20)))]
    if rng.random() < 0.002:
        one = rng.choice(some) or "x"
        some.insert(rng.randrange(len(some) + 1), one * (LONG // len(one)))
    return rng.choice(("", "", " ")).join(some)


def changed(rng: random.Random, text: str, known: Sequence[str]) -> str:
    """Return the text with a few pieces removed, inserted, doubled or replaced."""
    for _ in range(rng.choice((1, 1, 2, 5))):
        at = rng.randrange(len(text) + 1)
        end = min(len(text), at + rng.choice((0, 1, 1, 4, 30)))
        middle = rng.choice(("", text[at:end] * 2, rng.choice(known), rng.choice(ODD), chr(rng.randrange(256))))
        text = text[:at] + middle + text[end:]
    return text


def changed_bytes(rng: random.Random, data: bytes) -> bytes:
    """Return the bytes with a few pieces removed, inserted, doubled or replaced."""
    for _ in range(rng.choice((1, 1, 2, 5))):
        at = rng.randrange(len(data) + 1)
        end = min(len(data), at + rng.choice((0, 1, 1, 4, 30)))
        data = data[:at] + rng.choice((b"", data[at:end] * 2, rng.randbytes(rng.choice((1, 1, 8))))) + data[end:]
    return data
