"""Settings from flags, environment and files: the nearer source wins, and a fault is named with its source."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from cronlock.config.options import OPTIONS
from cronlock.config.settings import Settings, load
from cronlock.config.unknown_names import REPLACEMENTS
from cronlock.errors import Refused
from tests.support.commands import environment

REDIS = {"CRONLOCK_REDIS": "redis://r"}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty HOME."""
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def write(path: Path, text: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return str(path)


def loaded(given: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None, *files: str) -> Settings:
    """The settings, without the files that this machine may have."""
    return load({"redis": ["redis://r"], **(given or {})}, environ or {}, files)


def refused(given: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None, *files: str) -> str:
    with pytest.raises(Refused) as caught:
        loaded(given, environ, *files)
    assert str(caught.value).isprintable()
    return str(caught.value)


def labels(settings: Settings) -> list[str]:
    return [address.label for address in settings.redis]


def generic(environ: Mapping[str, str]) -> Settings:
    return load({}, environ, ())


# -- precedence -------------------------------------------------------------------------------------------------------


def test_the_nearer_source_wins(tmp_path: Path) -> None:
    """Flag, variable, the key's table in the file, the file's top; each value knows where it came from."""
    user = write(tmp_path / "user.toml", 'ttl = "5s"\nnode = "u"\ntz = "U"\n[keys.a]\nttl = "4s"\n')
    system = write(tmp_path / "system.toml", 'ttl = "7s"\ntz = "S"\nprefix = "s"\n[keys.a]\nttl = "6s"\ntick = "1"\n')
    sources: list[tuple[str, Any, Mapping[str, str], list[str]]] = [
        ("command line", {"ttl": 1_000, "key": "a"}, {"CRONLOCK_TTL": "2s"}, [user, system]),
        ("CRONLOCK_TTL", {"key": "a"}, {"CRONLOCK_TTL": "2s"}, [user, system]),
        (f"{user} [keys.a]", {"key": "a"}, {}, [user, system]),
        (user, {"key": "b"}, {}, [user, system]),
        (f"{system} [keys.a]", {"key": "a"}, {}, [system]),
        (system, {"key": "b"}, {}, [system]),
    ]
    found = [loaded(given, environ, *files) for _, given, environ, files in sources]
    assert [settings.ttl for settings in found] == [1_000, 2_000, 4_000, 5_000, 6_000, 7_000]
    assert [settings.source("ttl") for settings in found] == [source for source, *_ in sources]


def test_name_by_name_the_users_file_wins(tmp_path: Path) -> None:
    """A name that it lacks comes from the system's file; a table for the key beats the top level of either file."""
    user = write(tmp_path / "user.toml", 'ttl = "5s"\ntz = "U"\n')
    system = write(tmp_path / "system.toml", 'ttl = "7s"\nprefix = "s"\n[keys.a]\ntz = "S"\n')
    settings = loaded({"key": "a"}, {}, user, system)
    assert (settings.ttl, settings.tz, settings.prefix) == (5_000, "S", "s")


def test_the_users_file_lies_in_the_home(home: Path) -> None:
    """~/.config/cronlock.toml, when nothing names another one."""
    path = write(home / ".config" / "cronlock.toml", 'prefix = "mine"\n')
    settings = load({}, REDIS)
    assert (settings.prefix, settings.source("prefix")) == ("mine", path)


def test_config_replaces_both_files(home: Path) -> None:
    """Also from its variable; the flag is nearer."""
    write(home / ".config" / "cronlock.toml", "this is no TOML")
    one, other = write(home / "one", 'prefix = "one"'), write(home / "other", 'prefix = "other"')
    assert load({"config": one}, REDIS).prefix == "one"
    assert load({}, REDIS | {"CRONLOCK_CONFIG": one}).prefix == "one"
    settings = load({"config": other}, REDIS | {"CRONLOCK_CONFIG": one})
    assert (settings.prefix, settings.config) == ("other", other)


def test_nothing_said_is_nothing_set() -> None:
    """Defaults that others decide are None; the node is the host's name."""
    settings = loaded()
    assert (settings.mode, settings.key, settings.ttl, settings.outage_wait, settings.kill_after) == (
        *("once", None, None, None),
        None,
    )
    assert (settings.prefix, settings.on_outage, settings.conflict_exit_code) == ("cronlock", "fail", 0)
    assert (settings.node, settings.source("node")) == (os.uname().nodename, "host name")
    assert settings.source("ttl") == "default"
    assert not any((settings.once, settings.each, settings.local, settings.verbose, settings.quiet, settings.again))


def test_zero_is_a_value_and_not_nothing(tmp_path: Path) -> None:
    """An explicit value holds in each source, and beats the sources behind it."""
    path = write(tmp_path / "c", 'outage-wait = "5s"\nconflict-exit-code = 75')
    for flags, environ in [
        ({"outage-wait": 0, "conflict-exit-code": 0}, {}),
        ({}, {"CRONLOCK_OUTAGE_WAIT": "0", "CRONLOCK_CONFLICT_EXIT_CODE": "0"}),
    ]:
        settings = loaded(flags, environ, path)
        assert (settings.outage_wait, settings.conflict_exit_code) == (0, 0)
    zero = write(tmp_path / "z", "outage-wait = 0\nconflict-exit-code = 0")
    assert loaded({}, {}, zero, path).outage_wait == 0


def test_what_kubernetes_sets_for_a_service_of_that_name_is_no_setting() -> None:
    """enableServiceLinks: CRONLOCK_PORT and others, in every pod of the namespace."""
    links = {"CRONLOCK_PORT": "tcp://10.0.0.1:6379", "CRONLOCK_REDIS_SERVICE_HOST": "10.0.0.1"}
    links |= {"CRONLOCK_PORT_6379_TCP_ADDR": "10.0.0.1", "CRONLOCK_SERVICE_PORT_MAIN": "1"}
    assert load({}, {**links, "KUBERNETES_SERVICE_HOST": "10.0.0.2"}, []).key is None
    with pytest.raises(Refused, match="CRONLOCK_PORT"):
        load({}, links, [])


def test_every_option_has_a_variable_and_a_name_in_the_file(tmp_path: Path) -> None:
    """With the same words and the same meaning."""
    texts = {
        "ttl": "90",
        "start-within": "15m",
        "outage-wait": "2h",
        "max-runtime": "1d",
        "kill-after": "500ms",
        "wait": "forever",
        "splay": "2s",
        "on-outage": "skip",
    }
    texts |= {"conflict-exit-code": "75", "redis": "redis://h:1"}
    rivals = {"each", "local", "quiet"}
    chosen = [option for option in OPTIONS if option.name not in rivals]
    texts = {option.name: texts.get(option.name, "x" if option.parse else "true") for option in chosen}
    path = write(tmp_path / "config", "")
    variables = {option.variable: texts[option.name] for option in chosen} | {"CRONLOCK_CONFIG": path}
    lines = [
        f"{option.name} = {texts[option.name] if not option.parse else repr(texts[option.name])}\n"
        for option in chosen
        if option.name != "config"
    ]
    by_file = load({}, {}, [write(tmp_path / "file", "".join(lines))])
    by_variable = load({}, variables)
    for option in chosen:
        name = option.name.replace("-", "_")
        if name in ("config", "redis"):
            continue
        assert getattr(by_file, name) == getattr(by_variable, name), option.name
        assert getattr(by_file, name) not in (None, False, "", []), option.name
        assert by_variable.source(option.name) == option.variable
    assert labels(by_file) == labels(by_variable) == ["h:1"]
    for name in rivals:
        where = {} if name == "local" else REDIS
        assert getattr(load({}, where | {f"CRONLOCK_{name.upper()}": "1"}, ()), name) is True


def test_a_number_needs_no_quotes_in_the_file(tmp_path: Path) -> None:
    """A bare duration is seconds there too."""
    settings = loaded({}, {}, write(tmp_path / "c", "ttl = 90\nconflict-exit-code = 75\ntick = 1700000000"))
    assert (settings.ttl, settings.conflict_exit_code, settings.tick) == (90_000, 75, "1700000000")


def test_the_key_whose_table_counts_may_come_from_anywhere(tmp_path: Path) -> None:
    """Flag, variable, or the file's own top."""
    path = write(
        tmp_path / "c", 'key = "c"\n[keys.a]\nttl = 1\n[keys.b]\nttl = 2\n[keys.c]\nttl = 3\n[keys."d e"]\nttl = 4'
    )
    for flags, environ, ttl in [
        ({"key": "a"}, {"CRONLOCK_KEY": "b"}, 1_000),
        ({}, {"CRONLOCK_KEY": "b"}, 2_000),
        ({}, {}, 3_000),
        ({"key": "d e"}, {}, 4_000),
        ({"key": "z"}, {}, None),
    ]:
        assert loaded(flags, environ, path).ttl == ttl


# -- rivals ------------------------------------------------------------------------------------------------------------

PAIRS = [("once", "each"), ("redis", "local"), ("verbose", "quiet")]
GIVEN = {"redis": ["redis://h"]}
TEXT = {"redis": "redis://h"}


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_rivals_of_the_same_source_are_refused(tmp_path: Path, one: str, other: str) -> None:
    """Whichever it is; the message names it."""
    both = f"{one} and {other} exclude each other: give one of them"
    lines = "".join(f"{name} = {repr(TEXT[name]) if name in TEXT else 'true'}\n" for name in (one, other))
    assert refused({name: GIVEN.get(name, True) for name in (one, other)}) == f"command line: {both}"
    variables = {f"CRONLOCK_{name.upper()}": TEXT.get(name, "1") for name in (one, other)}
    assert refused({}, variables) == f"environment: {both}"
    path = write(tmp_path / "c", lines)
    assert refused({}, {}, path) == f"{path}: {both}"
    path = write(tmp_path / "k", f"[keys.a]\n{lines}")
    assert refused({"key": "a"}, {}, path) == f"{path} [keys.a]: {both}"


@pytest.mark.parametrize(("near", "far"), [*PAIRS, *(pair[::-1] for pair in PAIRS)])
def test_of_rivals_the_nearer_source_wins(tmp_path: Path, near: str, far: str) -> None:
    """The farther one is as if it had not been given."""

    def value(name: str) -> str:
        return repr(TEXT[name]) if name in TEXT else "true"

    top, table = write(tmp_path / "top", f"{far} = {value(far)}\n"), f"{far} = {value(far)}\n"
    both = write(tmp_path / "both", f"{table}[keys.a]\n{near} = {value(near)}\n")
    variable = {f"CRONLOCK_{far.upper()}": TEXT.get(far, "1")}
    flag = {near: GIVEN.get(near, True)}
    for found in (
        load(flag, variable, ()),
        load(flag, {}, [top]),
        load({}, {f"CRONLOCK_{near.upper()}": TEXT.get(near, "1")}, [top]),
        load({"key": "a"}, {}, [both]),
    ):
        assert getattr(found, near)
        assert not getattr(found, far)


@pytest.fixture(autouse=True)
def _redis_somewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of this machine's own reaches a test: all are passed in."""
    for name in [name for name in os.environ if name.startswith(("CRONLOCK_", "REDIS_"))]:
        monkeypatch.delenv(name)


def test_a_variable_can_take_an_option_back(tmp_path: Path) -> None:
    """CRONLOCK_EACH=0 beats the file's each = true."""
    path = write(tmp_path / "c", "each = true\nlocal = true\n")
    settings = loaded({}, {"CRONLOCK_EACH": "0"}, path)
    assert (settings.each, settings.mode, settings.source("each")) == (False, "once", "CRONLOCK_EACH")
    settings = load({}, {"CRONLOCK_LOCAL": "0", "REDIS_URL": "redis://h"}, [path])
    assert (settings.local, labels(settings)) == (False, ["h:6379"])


def test_local_beats_redis_that_other_programs_use() -> None:
    """And it needs no server."""
    settings = load({"local": True}, {"REDIS_URL": "redis://h", "REDIS_HOST": "other"}, ())
    assert (settings.local, settings.redis) == (True, [])


# -- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variable", "nearest"),
    [
        ("CRONLOCK_KYE", "did you mean CRONLOCK_KEY?"),
        ("CRONLOCK_START-WITHIN", "did you mean CRONLOCK_START_WITHIN?"),
        ("CRONLOCK_OUTAGEWAIT", "did you mean CRONLOCK_OUTAGE_WAIT?"),
        ("CRONLOCK_REDIS_URL", "did you mean CRONLOCK_REDIS?"),
        ("CRONLOCK_key", ""),
        ("CRONLOCK_", ""),
    ],
)
def test_an_unknown_variable_is_refused_with_the_nearest_known(variable: str, nearest: str) -> None:
    """A misspelt setting must not be a setting that is not there."""
    message = refused({}, {variable: "x"})
    assert message.startswith(f"unknown variable {variable}: ")
    assert nearest in message


@pytest.mark.parametrize("variable", REPLACEMENTS)
def test_a_variable_of_the_bash_tool_is_refused_with_what_to_write_instead(variable: str) -> None:
    """In its configuration file, too. The advice names existing variables; none of ours is in the table."""
    message = refused({}, {variable: "5"})
    assert (
        message
        == f"unknown variable {variable}: it belongs to the bash tool of the same name: {REPLACEMENTS[variable]}"
    )
    for written in re.findall(r"CRONLOCK_\w+", REPLACEMENTS[variable]):
        assert written in {option.variable for option in OPTIONS}
    assert variable not in {option.variable for option in OPTIONS}


def test_a_file_of_the_bash_tool_is_refused_likewise(tmp_path: Path) -> None:
    """Its text often happens to be TOML."""
    file = write(tmp_path / "cronlock.conf", 'CRONLOCK_HOST="redis.example"\nCRONLOCK_GRACE=50\n')
    message = refused({"config": file})
    assert message.startswith(f"{file}: unknown name 'CRONLOCK_HOST': it belongs to the bash tool of the same name: ")


@pytest.mark.parametrize(
    "variable", ["CRONLOCK_RUN_KEY", "CRONLOCK_RUN_TOKEN", "CRONLOCK_RUN_", "CRONLOCKX", "cronlock_key"]
)
def test_variables_of_the_run_outside_and_of_others_are_none_of_ours(variable: str) -> None:
    """A command that cronlock started may call cronlock."""
    assert loaded({}, {variable: "x"}).key is None


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("kye = 1", "unknown name 'kye': did you mean key?"),
        ("start_within = 1", "unknown name 'start_within': did you mean start-within?"),
        ("zzzzzz = 1", "unknown name 'zzzzzz': see cronlock run --help"),
        ('config = "x"', "config: a settings file can't name another one: remove it"),
        ("[key.a]\nttl = 1", "unknown table [key.a]: write [keys.a]"),
        ("[tables]\nttl = 1", "unknown table [tables]: write [keys.tables]"),
        ("keys = 1", "keys must hold tables: write [keys.NAME]"),
        ("keys.a = 1", "keys must hold tables: write [keys.NAME]"),
        ("[[keys]]\nttl = 1", "keys must hold tables: write [keys.NAME]"),
        ("once = 1", "once: write true or false"),
        ('once = "yes"', "once: write true or false"),
        ("ttl = true", "ttl: write the value in quotes"),
        ("ttl = 1.5", "ttl: write the value in quotes"),
        ("tick = 2026-11-20T02:00:00Z", "tick: write the value in quotes"),
        ("redis = 1", "redis: write a URL in quotes, or several in brackets"),
        ("redis = []", "redis: write a URL in quotes, or several in brackets"),
        ('redis = ["redis://a", 1]', "redis: write a URL in quotes, or several in brackets"),
        ("ttl = 0", "ttl: '0': 0 has no meaning here"),
        ("ttl = -5", "ttl: '-5' is not a duration"),
        ('key = ""', "key: it is empty: give it a value, or leave it out"),
    ],
)
def test_what_is_wrong_in_a_file_is_refused(tmp_path: Path, line: str, message: str) -> None:
    """With the file and the name; also in the table of a key that is not asked for."""
    path = write(tmp_path / "c", line)
    assert refused({}, {}, path).startswith(f"{path}: {message}")
    if "key" not in line and "tables" not in line and "config" not in line:
        path = write(tmp_path / "k", f"[keys.other]\n{line}")
        assert refused({}, {}, path).startswith(f"{path} [keys.other]: {message}")


@pytest.mark.parametrize(
    ("variable", "text", "message"),
    [
        ("CRONLOCK_TTL", "0", "0 has no meaning here"),
        ("CRONLOCK_TTL", "soon", "not a duration"),
        ("CRONLOCK_KEY", "", "it is empty"),
        ("CRONLOCK_KEY", "a{b", "brace"),
        ("CRONLOCK_NODE", "a:b", "colon"),
        ("CRONLOCK_ONCE", "maybe", "neither 1 nor 0"),
        ("CRONLOCK_CONFLICT_EXIT_CODE", "256", "not an exit status"),
        ("CRONLOCK_ON_OUTAGE", "explode", "not one of fail, skip, run"),
        ("CRONLOCK_REDIS", "  ", "it is empty"),
        ("CRONLOCK_REDIS", "localhost", "no scheme"),
    ],
)
def test_a_bad_value_of_a_variable_names_it(variable: str, text: str, message: str) -> None:
    """It may stand in a crontab, a shell's profile or a pod's manifest: all far from here."""
    with pytest.raises(Refused) as caught:
        load({}, REDIS | {variable: text}, ())
    assert str(caught.value).startswith(f"{variable}: ")
    assert message in str(caught.value)


@pytest.mark.parametrize("nearer", [{"ttl": 1_000}, {}])
def test_a_bad_value_is_refused_even_where_a_nearer_one_wins(nearer: dict[str, Any]) -> None:
    """Else it would show only when the nearer one goes."""
    assert "CRONLOCK_TTL" in refused(nearer, {"CRONLOCK_TTL": "soon"})


@pytest.mark.parametrize(
    "data",
    [b"ttl", b"ttl = ", b"= 1", b"[keys", b"\xff\xfe", b'a = "\xff"', b"a = 1\na = 2", b"x = " + b"[" * 100_000, b"\0"],
)
def test_a_damaged_file_is_refused(tmp_path: Path, data: bytes) -> None:
    """Not skipped: without its settings two nodes might use different servers."""
    path = tmp_path / "c"
    path.write_bytes(data)
    assert refused({}, {}, str(path)).startswith((f"{path} is not valid TOML: ", f"{path}: line 1: "))


def test_a_file_that_is_named_must_be_there(tmp_path: Path) -> None:
    """The usual ones need not; one that is there must be readable."""
    missing = str(tmp_path / "missing")
    with pytest.raises(
        Refused, match=f"can't read {missing}: no such file or directory: create it, or correct --config"
    ):
        load({"config": missing}, REDIS)
    with pytest.raises(Refused, match="can't read"):
        load({}, REDIS | {"CRONLOCK_CONFIG": missing})
    assert loaded({}, {}, missing, f"{write(tmp_path / 'file', '')}/below").prefix == "cronlock"
    assert (
        refused({}, {}, str(tmp_path)) == f"can't read {tmp_path}: is a directory: pass --config with a settings file"
    )


def test_a_host_name_that_is_no_nodes_name_asks_for_one() -> None:
    """cronlock guesses no name, because nodes must differ in it."""
    code = "import os; os.uname = lambda: type('U', (), {'nodename': 'a:b'})\n"
    code += "from cronlock.config.settings import load; load({}, {})"
    environ = environment()
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=False)
    assert "the host name can't be a node's name: 'a:b' has a colon: pass --node" in done.stderr


# -- where Redis is ----------------------------------------------------------------------------------------------------


def test_the_variable_holds_several_servers_with_spaces_between() -> None:
    """As many voters."""
    settings = load({}, {"CRONLOCK_REDIS": " redis://a  redis://b:1\tunix:///s "}, ())
    assert labels(settings) == ["a:6379", "b:1", "/s"]
    assert settings.source("redis") == "CRONLOCK_REDIS"


def test_the_file_holds_one_server_or_several(tmp_path: Path) -> None:
    """A text, or several in brackets."""
    assert labels(load({}, {}, [write(tmp_path / "one", 'redis = "redis://a"')])) == ["a:6379"]
    assert labels(load({}, {}, [write(tmp_path / "two", 'redis = ["redis://a", "redis://b"]')])) == ["a:6379", "b:6379"]


def test_cronlocks_own_word_beats_the_generic_ones(tmp_path: Path) -> None:
    """A shell that has an application's REDIS_URL must not lock somewhere else than cron does."""
    shell = {"REDIS_URL": "redis://app", "REDIS_HOST": "other", "REDIS_PORT": "x"}
    path = write(tmp_path / "c", 'redis = "redis://file"')
    assert labels(load({"redis": ["redis://flag"]}, shell | REDIS, [path])) == ["flag:6379"]
    assert labels(load({}, shell | REDIS, [path])) == ["r:6379"]
    assert labels(load({}, shell, [path])) == ["file:6379"]


@pytest.mark.parametrize(
    ("environ", "label", "source"),
    [
        ({"REDIS_URL": "redis://h:1/2"}, "h:1/2", "REDIS_URL"),
        ({"REDIS_HOST": "h"}, "h:6379", "REDIS_HOST"),
        ({"REDIS_HOST": "h", "REDIS_PORT": "7000"}, "h:7000", "REDIS_HOST"),
        ({"REDIS_HOST": "h", "REDIS_PORT": ""}, "h:6379", "REDIS_HOST"),
        ({"REDIS_HOST": "::1", "REDIS_PORT": "7000"}, "[::1]:7000", "REDIS_HOST"),
        ({"REDIS_HOST": "h", "REDIS_PORT": "tcp://10.0.0.11:7000"}, "h:7000", "REDIS_HOST"),
        ({"REDIS_URL": "redis://h:7000", "REDIS_HOST": "h", "REDIS_PORT": "7000"}, "h:7000", "REDIS_URL"),
        ({"REDIS_URL": "", "REDIS_HOST": "h"}, "h:6379", "REDIS_HOST"),
        ({"REDIS_URL": "redis://h", "REDIS_PORT": "tcp://10.0.0.11:6379"}, "h:6379", "REDIS_URL"),
    ],
)
def test_the_generic_variables_say_where_redis_is(environ: dict[str, str], label: str, source: str) -> None:
    """Kubernetes sets REDIS_PORT=tcp://... for a service that is called redis."""
    settings = generic(environ)
    assert (labels(settings), settings.source("redis")) == ([label], source)


def test_the_login_of_the_generic_variables_is_taken_as_it_is() -> None:
    """No percent-encoding there: it is no URL. One of REDIS_URL stands in it."""
    odd = "a%40:/?@ b"
    (address,) = generic({"REDIS_HOST": "h", "REDIS_USERNAME": "me", "REDIS_PASSWORD": odd}).redis
    assert (address.username, address.password, address.label) == ("me", odd, "h:6379")
    (address,) = generic({"REDIS_URL": "redis://you:x@h", "REDIS_PASSWORD": "y"}).redis
    assert (address.username, address.password) == ("you", "x")


@pytest.mark.parametrize(
    ("host", "port"), [("other", "6379"), ("h", "7000"), ("h", "tcp://10.0.0.11:7000"), ("10.0.0.1", "")]
)
def test_generic_variables_that_differ_are_refused(host: str, port: str) -> None:
    """Nobody can tell which is meant, and half of the nodes may mean the other."""
    with pytest.raises(Refused, match=r"REDIS_URL \(h:6379\) and REDIS_HOST \(.*\) differ: .*--redis"):
        generic({"REDIS_URL": "redis://:secret@h", "REDIS_HOST": host, "REDIS_PORT": port})


@pytest.mark.parametrize("port", ["x", "0", "65536", "tcp://10.0.0.11", "tcp://10.0.0.11:x"])
def test_a_bad_generic_port_is_refused(port: str) -> None:
    """By name."""
    with pytest.raises(Refused, match=r"REDIS_PORT: .*port"):
        generic({"REDIS_HOST": "h", "REDIS_PORT": port})


def test_nothing_said_of_redis_leaves_it_to_the_command() -> None:
    """run refuses it; REDIS_PORT alone, Kubernetes', says nothing."""
    assert generic({}).redis == []
    assert generic({"REDIS_PORT": "tcp://10.0.0.11:6379", "REDIS_PASSWORD": "x"}).redis == []


# -- passwords ---------------------------------------------------------------------------------------------------------

MARKS = ("Geheim", "Tresor")
secrets = st.text("s3cr?t/@:&=%[] #+ -.é'\"\\", min_size=1, max_size=20).map(lambda s: f"{MARKS[0]}{s}{MARKS[1]}")
urls = st.sampled_from(
    [
        *("redis://:{}@h", "redis://me:{}@h:1/0", "redis://:{}", "redis://h:{}", "redis://h:1?password={}", "{}"),
        *("redis:{}@h", "redis://:{}@h:x", "http://:{}@h", "unix://:{}@/s", "redis://:{}@h redis://:{}@h/x"),
    ]
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(secrets, urls, st.data())
@example("Geheim Tresor", "redis://:{}@h", None)
def test_no_refusal_shows_a_password(tmp_path: Path, secret: str, url: str, data: st.DataObject | None) -> None:
    """In every source and with every other fault: cron mails the messages of cronlock."""
    secret = secret if "@" in url else secret.replace("@", "")  # the text behind the last @ is a host
    text = url.format(*[secret] * 2)
    quoted = '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    path = tmp_path / "c"
    tries: list[tuple[dict[str, Any], dict[str, str], str]] = [
        ({"redis": [text]}, {}, ""),
        ({}, {"CRONLOCK_REDIS": text}, ""),
        ({}, {"CRONLOCK_REDIS": text, "CRONLOCK_LOCAL": "1"}, ""),
        ({}, {"CRONLOCK_REDIS_PASSWORD": secret}, ""),
        ({}, {"REDIS_URL": text}, ""),
        ({}, {"REDIS_URL": text, "REDIS_HOST": "other"}, ""),
        ({}, {"REDIS_URL": "redis://h", "REDIS_HOST": "other", "REDIS_PASSWORD": secret}, ""),
        ({}, {"REDIS_HOST": f"redis://:{secret}@h"}, ""),
        ({}, {}, f"redis = {quoted}"),
        ({}, {}, f"redis = [{quoted}, 1]"),
        ({}, {}, f"redis = {quoted} x"),
        ({}, {}, f"redis = {text}"),
        ({}, {}, f"password = {quoted}"),
    ]
    for given_, environ, content in tries if data is None else [data.draw(st.sampled_from(tries))]:
        path.write_text(content)
        try:
            load(given_, environ, [str(path)])
        except Refused as refusal:
            message = str(refusal)
        else:
            message = ""
        assert not any(mark in message for mark in MARKS)
        assert message.isprintable()


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(
        st.sampled_from([option.variable for option in OPTIONS if option.name != "config"])
        | st.sampled_from(["REDIS_URL", "REDIS_HOST", "REDIS_PORT", "REDIS_USERNAME", "CRONLOCK_X"]),
        st.sampled_from(["", "1", "x", "redis://h", "90s", "\udcff", "a\nb"]) | st.text(max_size=5),
        max_size=4,
    )
)
def test_any_environment_gives_settings_or_a_refusal_of_one_line(environ: dict[str, str]) -> None:
    """No traceback reaches cron's mail."""
    try:
        assert load({}, environ, ()).mode in ("once", "each")
    except Refused as refusal:
        message = str(refusal)
    else:
        message = "ok"
    assert message
    assert message.isprintable()
