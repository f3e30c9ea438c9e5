"""The words after `cronlock run`: values and a command, or None, which leaves them to click."""

import random

from cronlock.config.options import BY_FLAG, BY_NAME, OPTIONS, scan
from tests.fuzz.texts import pieces

FLAGS = [flag for option in OPTIONS for flag in option.flags]
VALUES = [
    "1",
    "5m",
    "forever",
    "none",
    "* * * * *",
    "job",
    "a{b",
    "",
    "redis://h",
    "run",
    "255",
    "1e9",
    "--",
    "-",
    "-v",
]


def make(rng: random.Random) -> list[str]:
    words = []
    for _ in range(rng.choice((0, 2, 5, 12))):
        flag = rng.choice(FLAGS)
        value = rng.choice(VALUES) if rng.random() < 0.8 else pieces(rng, VALUES)
        words += rng.choice(([flag], [flag, value], [f"{flag}={value}"], [flag + value], [value]))
    return words


def check(words: list[str]) -> None:
    before = list(words)
    found = scan(words)
    assert words == before
    if found is None:
        return
    values, command = found
    assert command, "no command"
    assert words[len(words) - len(command) :] == command or command[0][:1] == "-"
    for name, value in values.items():
        option = BY_NAME[name]
        assert option is BY_FLAG[option.flags[0]]
        assert value is True if not option.parse else value not in (None, "")
