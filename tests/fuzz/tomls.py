"""Settings files: settings, or a refusal in one line without the password; toml_subset agrees with tomllib."""

import contextlib
import os
import random
import tempfile
import tomllib
from collections.abc import Iterator

from cronlock.config.options import OPTIONS
from cronlock.config.settings import load
from cronlock.config.toml_subset import parse_plain
from cronlock.errors import Refused
from cronlock.messages import printable
from tests.fuzz.texts import changed, changed_bytes, pieces
from tests.fuzz.urls import MARK

FILE = """\
# where Redis is
redis = ["redis://me:{mark}%40{mark}@redis-1", "redis://:{mark}@redis-2/1",
  "unix:///run/redis.sock?password={mark}",
]
prefix = "größe"
wait = 90
verbose = true
tz = 'Europe/Berlin'

[keys.nightly]
start-within = "2h"
each = false
[keys."a b"]
redis = "redis://:{mark}@redis-9"
"""
KNOWN = [
    *(f"{option.name} = " for option in OPTIONS),
    *(
        "[keys.",
        "]\n",
        "[keys]\n",
        "[[keys]]",
        "true",
        "1",
        "1.5",
        '"5m"',
        "'5m'",
        '"""',
        "'''",
        "\n",
        "# why\n",
        "{a=1}",
    ),
    *("[", "]", ",", "=", '"', "'", "\\", "\\u0041", "\\x1b", "2026-11-20T02:00Z", "inf", "0x1F", "a.b = 1\n", '"a b"'),
]
place: list[str] = []  # the file that holds the input


@contextlib.contextmanager
def around() -> Iterator[None]:
    with tempfile.TemporaryDirectory() as folder:
        place[:] = [os.path.join(folder, "cronlock.toml")]
        descriptor = os.open(place[0], os.O_CREAT | os.O_WRONLY, 0o600)
        os.close(descriptor)
        yield


def make(rng: random.Random) -> bytes:
    how = rng.random()
    whole = FILE.format(mark=MARK)
    if how < 0.3:
        return pieces(rng, KNOWN).encode("utf-8", "surrogateescape")
    if how < 0.7:
        return changed(rng, whole, KNOWN).encode("utf-8", "surrogateescape")
    return changed_bytes(rng, whole.encode())


def check(data: bytes) -> None:
    with open(place[0], "wb") as file:
        file.write(data)
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = ""
    found = parse_plain(text)
    if found is not None:
        assert found == tomllib.loads(text)
    try:
        settings = load({"key": "nightly"}, {}, [place[0]])
    except Refused as refused:
        said = printable(str(refused))  # as it is printed
        assert place[0] in said, said
    else:
        said = printable(repr(settings) + repr(settings.redis) + "".join(settings.sources.values()))
    assert MARK not in said or not _hidden(text), said


def _hidden(text: str) -> bool:
    """Return whether all marks are still in passwords: a change may have moved one into a name or a host."""
    urls = ("redis://me:", "%40", "redis://:", "password=")
    return all(part.endswith(urls) for part in text.split(MARK)[:-1]) and text.count("://") == FILE.count("://")
