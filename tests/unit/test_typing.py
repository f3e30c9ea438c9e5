"""What people type wrong in a settings file, a variable, a URL or a schedule, and the line that each gets."""

import errno
from collections.abc import Mapping
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path

import pytest

from cronlock.cli.app import cli
from cronlock.config.redis_variables import TLS
from cronlock.config.settings import load
from cronlock.cron.schedule import Schedule
from cronlock.errors import Refused
from cronlock.messages import masked
from cronlock.process.command import CannotStartError
from cronlock.process.start_advice import NO_SHELL
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


PLACES = "repeat --redis, or put spaces into CRONLOCK_REDIS"
UNQUOTED = "is in quotes, which would be part of the value: remove them"
LINE_BREAK = "ends with a line break: remove it, as with printf in place of echo"
DIFFER = "differ: unset one of them, or pass --redis"
BESIDE = "or set CRONLOCK_REDIS to a URL for cronlock alone"
USE = "use db, username, password"
H = {"REDIS_HOST": "h"}
U = {"REDIS_URL": "redis://h"}

VARIABLES: list[tuple[dict[str, str], str]] = [
    # line breaks and quotes, as Kubernetes secrets and docker's --env-file have them
    ({"REDIS_URL": "redis://:s3cret@h\n"}, f"REDIS_URL {LINE_BREAK}"),
    ({"REDIS_URL": "redis://h/0\r\n"}, f"REDIS_URL {LINE_BREAK}"),
    ({"REDIS_HOST": "h\n"}, f"REDIS_HOST {LINE_BREAK}"),
    (H | {"REDIS_PORT": "6379\n"}, f"REDIS_PORT {LINE_BREAK}"),
    (H | {"REDIS_PASSWORD": "s3cret\n"}, f"REDIS_PASSWORD {LINE_BREAK}"),
    ({"REDIS_URL": '"redis://:s3cret@h"'}, f"REDIS_URL {UNQUOTED}"),
    ({"REDIS_HOST": "'h'"}, f"REDIS_HOST {UNQUOTED}"),
    (H | {"REDIS_PORT": '"6379"'}, f"REDIS_PORT {UNQUOTED}"),
    (H | {"REDIS_PASSWORD": '"s3cret"'}, f"REDIS_PASSWORD {UNQUOTED}"),
    ({"CRONLOCK_REDIS": '"redis://:s3cret@h"'}, f"CRONLOCK_REDIS {UNQUOTED}"),
    ({"CRONLOCK_KEY": '"nightly"'}, f"CRONLOCK_KEY {UNQUOTED}"),
    ({"CRONLOCK_SCHEDULE": "'0 2 * * *'"}, f"CRONLOCK_SCHEDULE {UNQUOTED}"),
    ({"REDIS_URL": " redis://h"}, "REDIS_URL: a blank or a line break before or after a Redis URL: remove it"),
    (
        {"CRONLOCK_REDIS": '"redis://h redis://g'},
        "CRONLOCK_REDIS: a Redis URL in quotes, which would be part of it: remove them",
    ),
    # several hosts
    ({"REDIS_URL": "redis://:s3cret@a,b"}, f"REDIS_URL: several hosts in one Redis URL: give each a URL: {PLACES}"),
    ({"REDIS_URL": "redis://a:1,b:2/0"}, f"REDIS_URL: several hosts in one Redis URL: give each a URL: {PLACES}"),
    ({"REDIS_URL": "redis://a,redis://b"}, f"REDIS_URL: several Redis URLs in one: {PLACES}"),
    (
        {"CRONLOCK_REDIS": "redis://a:1,b:2"},
        f"CRONLOCK_REDIS: several hosts in one Redis URL: give each a URL: {PLACES}",
    ),
    *(
        (
            {"REDIS_HOST": hosts},
            "REDIS_HOST names several hosts: put a URL for each into CRONLOCK_REDIS, with spaces between them",
        )
        for hosts in ("a,b", "a:1,b:2")
    ),
    # what is not a host
    ({"REDIS_HOST": "redis://:s3cret@h"}, "REDIS_HOST contains a URL: put the URL into REDIS_URL"),
    ({"REDIS_HOST": "tls://h"}, "REDIS_HOST contains a URL: put the URL into REDIS_URL"),
    ({"REDIS_HOST": "/run/redis.sock"}, "REDIS_HOST contains a path: write unix:///PATH into CRONLOCK_REDIS"),
    ({"REDIS_HOST": "h:6379"}, "REDIS_HOST contains a colon: put the port into REDIS_PORT"),
    *(
        (
            {"REDIS_URL": url},
            "REDIS_URL: a variable in a Redis URL, which is not replaced here: write the host and the port",
        )
        for url in ("redis://$REDIS_HOST", "redis://:s3cret@${HOST}:6379/0", "redis://h:$PORT")
    ),
    # parameters of other clients
    (
        {"REDIS_URL": "redis://h?socket_timeout=5"},
        f"REDIS_URL: unknown parameter socket_timeout in a Redis URL: {USE}, {BESIDE}",
    ),
    (
        {"REDIS_URL": "redis://h?db=1&protocol=3"},
        f"REDIS_URL: unknown parameter protocol in a Redis URL: {USE}, {BESIDE}",
    ),
    ({"CRONLOCK_REDIS": "redis://h?timeout=5"}, f"CRONLOCK_REDIS: unknown parameter timeout in a Redis URL: {USE}"),
    ({"REDIS_URL": "redis://h?password=a&s3cret=b"}, f"REDIS_URL: unknown parameter in a Redis URL: {USE}, {BESIDE}"),
    ({"REDIS_URL": "redis://h?s3cret"}, f"REDIS_URL: unknown parameter in a Redis URL: {USE}, {BESIDE}"),
    ({"REDIS_URL": "redis://h?ssl_cert_reqs=none"}, f"REDIS_URL: ssl_cert_reqs is for TLS: write rediss://, {BESIDE}"),
    (
        {"REDIS_URL": "rediss://h?ssl_cert_reqs=CERT_NONE"},
        f"REDIS_URL: invalid value of ssl_cert_reqs: write required or none, {BESIDE}",
    ),
    # words for nothing
    *(
        (where | {name: word}, f"{name} is {word}, which may mean none: unset it, or write a URL into CRONLOCK_REDIS")
        for where, name, word in (
            (H, "REDIS_PASSWORD", "null"),
            (H, "REDIS_USERNAME", "None"),
            (H, "REDIS_DB", "nil"),
            ({}, "REDIS_URL", "null"),
            ({}, "REDIS_HOST", "undefined"),
        )
    ),
    # database and TLS
    (U | {"REDIS_DB": "3"}, f"REDIS_URL (h:6379) and REDIS_DB (3) {DIFFER}"),
    (H | U | {"REDIS_DB": "3"}, f"REDIS_URL (h:6379) and REDIS_HOST (h:6379/3) {DIFFER}"),
    (H | {"REDIS_DB": "cache"}, "REDIS_DB: it is not a database: write a number from 0 to 65535"),
    (U | {"REDIS_TLS": "true"}, f"REDIS_URL (redis://) and REDIS_TLS (true) {DIFFER}"),
    ({"REDIS_URL": "rediss://h", "REDIS_SSL": "0"}, f"REDIS_URL (rediss://) and REDIS_SSL (0) {DIFFER}"),
    (U | {"REDIS_SCHEME": "tls"}, f"REDIS_URL (redis://) and REDIS_SCHEME (tls) {DIFFER}"),
    (H | {"REDIS_TLS": "1", "REDIS_USE_SSL": "no"}, f"REDIS_TLS and REDIS_USE_SSL {DIFFER}"),
    (H | {"REDIS_TLS": "/etc/s3cret.pem"}, "REDIS_TLS: it is neither 1 nor 0: write one of them"),
    (H | {"REDIS_SCHEME": "unix"}, "REDIS_SCHEME: it is neither tcp nor tls: write one of them"),
]


@pytest.mark.parametrize(("environ", "line"), VARIABLES, ids=repr)
def test_a_mistake_in_a_variable(environ: dict[str, str], line: str) -> None:
    """Other programs may read the variable too, so the line says what to set for cronlock."""
    assert refused({}, environ) == line


OBEYED: list[tuple[dict[str, str], str, bool]] = [
    (H | {"REDIS_DB": "3"}, "h:6379/3", False),
    (H | {"REDIS_DB": "0", "REDIS_TLS": "false"}, "h:6379", False),
    ({"REDIS_URL": "redis://h/3", "REDIS_DB": "3"}, "h:6379/3", False),
    (H | {"REDIS_URL": "redis://h/3", "REDIS_DB": "3"}, "h:6379/3", False),
    *((H | {name: "true"}, "h:6379", True) for name in TLS),
    (H | {"REDIS_SCHEME": "tls", "REDIS_TLS": "1"}, "h:6379", True),
    (H | {"REDIS_SCHEME": "tcp"}, "h:6379", False),
    ({"REDIS_URL": "rediss://h", "REDIS_TLS": "yes"}, "h:6379", True),
    ({"REDIS_URL": "unix:///s", "REDIS_TLS": "1"}, "/s", False),
    ({"REDIS_URL": "valkey://h/1"}, "h:6379/1", False),
    ({"REDIS_URL": "valkeys://h"}, "h:6379", True),
    ({"CRONLOCK_REDIS": "valkey://me:p'@h"}, "h:6379", False),
    ({"CRONLOCK_REDIS": "redis://h", "REDIS_DB": "x", "REDIS_TLS": "x", "REDIS_HOST": "null"}, "h:6379", False),
]


@pytest.mark.parametrize(("environ", "label", "tls"), OBEYED, ids=repr)
def test_a_database_and_tls_are_obeyed(environ: dict[str, str], label: str, tls: bool) -> None:
    """Of the generic variables; what is cronlock's own beats them all."""
    (address,) = load({}, environ, ()).redis
    assert (address.label, address.tls is not None) == (label, tls)


def test_a_password_in_a_url_of_valkey_is_masked() -> None:
    """As in one of Redis."""
    assert "s3cret" not in masked("valkeys://me:s3/cret:s3cret@h is down")


IN_QUOTES = "write five in one pair of quotes, as in --schedule '0 2 * * *'"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("*", f"schedule '*' has 1 field: {IN_QUOTES}"),
        ("README.md", f"schedule 'README.md' has 1 field: {IN_QUOTES}"),
        ("0 2", f"schedule '0 2' has 2 fields: {IN_QUOTES}"),
        ("every hour", f"schedule 'every hour' has 2 fields: {IN_QUOTES}"),
        ("0 0 2 * * *", "schedule '0 0 2 * * *' has 6 fields: write five"),
        ("hourly", "schedule 'hourly' has 1 field: write @hourly"),
        ("Daily", "schedule 'Daily' has 1 field: write @daily"),
        ("None", "schedule 'None' has 1 field: write none"),
    ],
)
def test_a_mistake_in_a_schedule(text: str, line: str) -> None:
    """The shell puts files in place of a star without quotes: the words behind it are then the command."""
    with pytest.raises(Refused) as caught:
        Schedule([text])
    assert str(caught.value) == line


TO_RUN = "To run a command: cronlock run --key NAME --"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("list", f"No such command 'list': type cronlock status. {TO_RUN} list"),
        ("ls -l", f"No such command 'ls': type cronlock status. {TO_RUN} ls"),
        ("log nightly", f"No such command 'log': type cronlock history. {TO_RUN} log"),
        ("disable nightly", f"No such command 'disable': type cronlock pause. {TO_RUN} disable"),
        ("enable nightly", f"No such command 'enable': type cronlock resume. {TO_RUN} enable"),
        ("rm nightly", f"No such command 'rm': type cronlock forget. {TO_RUN} rm"),
        ("doctor", f"No such command 'doctor': type cronlock check. {TO_RUN} doctor"),
        ("exec --key k -- true", "No such command 'exec': type cronlock run."),
        ("RUN --key k -- true", "No such command 'RUN': type cronlock run."),
        ("--once --key k -- echo hi", "--once belongs behind a command: type cronlock run --once ..."),
        ("-k k -- echo hi", "-k belongs behind a command: type cronlock run -k ..."),
        ("--key=k status", "--key belongs behind a command: type cronlock run --key ..."),
        ("-v -k k -- status", "-v belongs behind a command: type cronlock run -v ..."),
        ("--redis redis://:s3cret@h status", "--redis belongs behind a command: type cronlock status --redis ..."),
        ("--local", "--local belongs behind a command: type cronlock run --local ..."),
        ("--format json check", "--format belongs behind a command: type cronlock check --format ..."),
        ("--all", "--all belongs behind a command: type cronlock COMMAND --all ..."),
        ("--bogus", "No such option '--bogus'."),
    ],
)
def test_a_command_that_cronlock_does_not_have(words: str, line: str) -> None:
    """Names of other programs lead to a command; options of a command to a place behind it."""
    assert typed(*words.split()) == f"cronlock: refused: {line}"


@pytest.mark.parametrize(
    ("name", "shown", "advice"),
    [
        ("FOO=s3cret", "FOO=...", "to set a variable for the command, write env in front of it"),
        ("FOO=s3cret cmd", "FOO=...", "cronlock starts no shell: remove the quotes, or write sh -c '...'"),
        ("echo hi", "echo hi", "cronlock starts no shell: remove the quotes, or write sh -c '...'"),
        ("cd /srv && make", "cd /srv && make", "cronlock starts no shell: remove the quotes, or write sh -c '...'"),
        *((word, word, NO_SHELL) for word in "cd export ~/bin/x $HOME/x a;b".split()),
        ("", "''", "the command is empty: a variable in its place may not be set"),
        ("nigthly", "nigthly", ""),
        ("/usr/bin/a=b", "/usr/bin/a=b", ""),
    ],
)
def test_a_command_that_was_not_found(name: str, shown: str, advice: str) -> None:
    """The value of a variable may be a password."""
    assert str(CannotStartError(name, errno.ENOENT)) == f"{shown}: no such file or directory{advice and ': '}{advice}"
