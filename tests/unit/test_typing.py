"""What people type wrong in a settings file, a variable, a URL or a schedule, and the line that each gets."""

from collections.abc import Mapping
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path

import pytest

from cronlock.cli.app import cli
from cronlock.config.settings import load
from cronlock.errors import Refused
from cronlock.servers import not_configured

URL = b'redis = "redis://h"\n'
ONE_KEY = "for one key; settings of all keys go to the top of the file, before any table"

FILES: list[tuple[bytes, str]] = [
    # text without quotes
    (b"redis = redis://h\n", "line 1: redis: write a URL in quotes, or several in brackets"),
    (b"redis = redis://:s3cret@h\n", "line 1: redis: write a URL in quotes, or several in brackets"),
    (b"redis = [redis://h, redis://s3cret@g]\n", "line 1: redis: write a URL in quotes, or several in brackets"),
    (URL + b"start-within = 2h\n", "line 2: start-within: write the value in quotes"),
    (b"# a\r\nttl = 30s\r\n", "line 2: ttl: write the value in quotes"),
    (b"[keys.a]\ntz = Europe/Berlin", "line 2: tz: write the value in quotes"),
    (b"ttl =\n", "line 1: ttl: write the value in quotes"),
    (b"once = yes\n", "line 1: once: write true or false"),
    (b"each = True\n", "line 1: each: write true or false"),
    # quotes that are not those of TOML
    (b'redis = "redis://h\n', "line 1: redis: close the quotes"),
    (b"key = 'a\n", "line 1: key: close the quotes"),
    ("redis = “redis://s3cret@h”\n".encode(), "line 1: redis: write straight quotes"),
    # other forms of settings
    (b'redis: "redis://h"\n', "line 1: redis: write an equals sign before the value"),
    (b"ttl 30s\n", "line 1: ttl: write an equals sign before the value"),
    (b"CRONLOCK_REDIS=redis://s3cret@h\n", "line 1: CRONLOCK_REDIS is a variable: write redis = ..."),
    (b'export CRONLOCK_TTL="2h"\n', "line 1: CRONLOCK_TTL is a variable: write ttl = ..."),
    (b'CRONLOCK_START_WITHIN="2h"\n', "CRONLOCK_START_WITHIN is a variable: write start-within = ..."),
    (b"; servers\n" + URL, "line 1: begin a comment with #"),
    (URL + b"  // s3cret\n", "line 2: begin a comment with #"),
    (URL + URL, "line 2: redis: it is given twice: remove one of the lines"),
    # tables
    (b"[nightly]\nttl = 30\n", f"unknown table [nightly]: write [keys.nightly] {ONE_KEY}"),
    (b"[cronlock]\n" + URL, f"unknown table [cronlock]: write [keys.cronlock] {ONE_KEY}"),
    (b"[key.nightly]\nttl = 30\n", f"unknown table [key.nightly]: write [keys.nightly] {ONE_KEY}"),
    (b"[key]\nnightly = 30\n", f"unknown table [key]: write [keys.NAME] {ONE_KEY}"),
    (b"[tool.cronlock]\n" + URL, f'unknown table [tool.cronlock]: write [keys."tool.cronlock"] {ONE_KEY}'),
    (b"[keys.db.daily]\nttl = 30\n", f'unknown table [keys.db.daily]: write [keys."db.daily"] {ONE_KEY}'),
    (b"[[nightly]]\nttl = 30\n", f"unknown table [nightly]: write [keys.nightly] {ONE_KEY}"),
    (b"[keys.my job]\nttl = 30\n", 'line 1: write [keys.NAME], or [keys."NAME"] for a name with blanks or dots'),
    (b"[keys.a]\nttl = 3\n[keys.a]\n", "line 3: this table is there twice: put its lines into one table"),
    (b'[keys]\nnightly = "30s"\n', "keys must hold tables: write [keys.NAME]"),
    # bytes
    (b"# caf\xe9\n" + URL, "line 1: not UTF-8: save the file as UTF-8"),
    (URL + b'prefix = "caf\xe9"\n', "line 2: not UTF-8: save the file as UTF-8"),
    (b"\xff\xfer\0e\0d\0", "line 1: not UTF-8: save the file as UTF-8"),
    (b"\xef\xbb\xbf" + URL, "byte order mark: save the file as UTF-8 without one"),
]


def refused(given: Mapping[str, object], environ: Mapping[str, str]) -> str:
    with pytest.raises(Refused) as caught:
        load(given, environ, ())
    line = str(caught.value)
    assert line.isprintable()
    assert "s3cret" not in line
    return line


def typed(*words: str) -> str:
    """Return the line that a command line gets which click does not accept."""
    with redirect_stderr(StringIO()) as stderr:
        assert cli(words, pytest.fail) == 125
    (line,) = stderr.getvalue().splitlines()
    return line


@pytest.mark.parametrize(("text", "line"), FILES, ids=repr)
def test_a_mistake_in_a_settings_file(tmp_path: Path, text: bytes, line: str) -> None:
    """The line names the place and what to write there, without the value, which may be a password."""
    path = tmp_path / "c.toml"
    path.write_bytes(text)
    path.chmod(0o600)
    assert refused({"config": str(path)}, {}) == f"{path}: {line}"


@pytest.mark.parametrize("option", ["key", "config", "redis", "schedule", "node"])
def test_an_empty_value(option: str) -> None:
    """Often a shell variable that is not set, as in --config "$CONF"."""
    for words in ([f"--{option}", ""], [f"--{option}="]):
        assert typed("run", *words, "--", "true").endswith(
            f"'--{option}': it is empty: give it a value, or leave it out"
        )
    if option != "redis":
        line = f"CRONLOCK_{option.upper()}: it is empty: give it a value, or leave it out"
        assert refused({}, {f"CRONLOCK_{option.upper()}": ""}) == line


@pytest.mark.parametrize("text", ["", "# nothing yet\n", 'prefix = "a"\n'])
def test_a_named_file_without_servers(tmp_path: Path, text: str) -> None:
    """The file to write them into is the named one: the usual files are not read."""
    path = tmp_path / "c.toml"
    path.write_text(text)
    settings = load({"config": str(path)}, {}, ())
    assert not_configured(settings).startswith(
        f'no Redis server is configured: put redis = "redis://HOST" into {path}, '
    )
