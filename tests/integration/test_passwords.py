"""Passwords stay where the operator put them: every way in, every command, every failure, every output."""

import base64
import itertools
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import pytest

from cronlock.config.redis_url import SCHEMES
from cronlock.config.settings import Settings, load
from cronlock.errors import Refused
from cronlock.messages import masked, printable
from tests.support.commands import (
    changed_cronlock,
    cronlock,
    environment,
    home,
    new_folder,
    remove_folder,
    start_cronlock,
    wait_until,
)
from tests.support.fork_server import Call, call_all
from tests.support.processes import descendants
from tests.support.servers import Server
from tests.support.terminals import Terminal
from tests.support.terminals import process as on_it

LEFT, RIGHT = "GeheimX", "TresorZ"  # the ends of every password
PLAIN = f"{LEFT}7{RIGHT}"
ODD = f"{LEFT}/?#&=@:%[]+ \u00e9'\"\\{RIGHT}"
MARKS = {LEFT, RIGHT} | {
    base64.b64encode(b"x" * shift + mark.encode())[4:-4].decode() for mark in (LEFT, RIGHT) for shift in range(3)
}
NOBODY = "127.0.0.1:1"


def lines_of(text: str) -> list[tuple[str, ...]]:
    """Return command lines, one per line."""
    return [tuple(line.split()) for line in text.strip().split("\n")]


class Way(NamedTuple):
    """A way to give a URL: words after the command's name, variables, and a file, by its path in HOME."""

    words: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    file: str = ""
    text: str = ""


def ways(url: str) -> list[Way]:
    quoted = '"' + url.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return [
        Way(("--redis", url)),
        Way((f"--redis={url}",)),
        Way(env=(("CRONLOCK_REDIS", url),)),
        Way(env=(("REDIS_URL", url),)),
        Way(file=".config/cronlock.toml", text=f"redis = {quoted}\n"),
        Way(("--config", "cronlock.toml"), file="cronlock.toml", text=f"[keys.job]\nredis = [{quoted}]\n"),
    ]


def urls(place: str) -> list[str]:
    """Return URLs of one server, each with a password in another form and position."""
    quoted = quote(ODD, safe="")
    found = [
        f"redis://:{PLAIN}@{place}",
        f"redis://me:{quoted}@{place}",
        f"redis://{place}?username=me&password={quoted}",
        f"redis://:{LEFT}/@:{RIGHT}@{place}",
    ]
    if "rediss" in SCHEMES:
        found += [f"rediss://:{quoted}@{place}?ssl_keyfile=/k&ssl_certfile=/c&ssl_password={quoted}"]
    if "redis+sentinel" in SCHEMES:
        found += [f"redis+sentinel://me:{quoted}@{place}/mymaster?sentinel_username=me&sentinel_password={quoted}"]
    return found


BROKEN = [  # what an operator mistypes
    *(f"redis://:{PLAIN}@{NOBODY}x", f"redis://:{PLAIN}@127.0.0.1:0", f"redis://:{PLAIN}@a b", f"http://:{PLAIN}@h"),
    *(
        f":{PLAIN}@h",
        f"redis:/:{PLAIN}@h",
        f"redis://:{LEFT}?{RIGHT}@h",
        f"redis://h?pasword={PLAIN}",
        f"redis://h:{PLAIN}",
    ),
    *(f"redis://h?password={PLAIN}&tls=yes", f"redis://:{PLAIN}@h,redis://:{PLAIN}@g", f"redis://:{PLAIN}@h/{PLAIN}"),
    *(f"unix://:{PLAIN}@run/redis.sock", f"rediss://:{PLAIN}@h?ssl_cert_reqs=perhaps", f"redis+sentinel://:{PLAIN}@h"),
    *(
        f"redis+sentinel://h/x?sentinel_password={PLAIN}&x=1",
        f"redis://:{PLAIN}@@@h:{PLAIN}",
        f"redis://:{LEFT} {RIGHT}@h:x",
    ),
]
RUNS = "run --key job --schedule none --outage-wait 0"
RUN = tuple(RUNS.split())
COMMANDS = lines_of(f"""
    {RUNS} -v -- true
    {RUNS} --dry-run -- true
    status
    status job
    status --format json
    status --format prometheus
    history job
    check
    check --format json
    pause job
    resume --all
    unlock --yes job
    forget --yes job
    adopt --yes job
""")
U = f"redis://:{PLAIN}@h"
MISUSED = lines_of(f"""
    status --redis={U} --nope
    status --redis {U} --nope={U}
    --redis {U} status
    {U}
    status --format {U}
    run --redis {U}
    run --redis
    {RUNS} --redis redis://:{PLAIN}@{NOBODY} {U} --redis {U}
    run --key k --local --schedule {U} true
    {RUNS} --ttl {U} true
    {RUNS} --config {U} true
    {RUNS} --local --node {U} true
    {RUNS} --local --tz {U} true
    {RUNS} --local --tick {U} true
    {RUNS} --local -v -- {U}
    {RUNS} --local --dry-run -- x {U}
    pause --local --until {U} k
    pause --redis redis://:{PLAIN}@{NOBODY} {U}
    history --local --limit {U} k
    check {U}
    wrap --once {U}
""")  # a URL where none belongs
VARIABLES: list[dict[str, str]] = [  # that status gets
    {"REDIS_HOST": U},
    {"REDIS_HOST": "h", "REDIS_PORT": PLAIN},
    {"REDIS_HOST": "127.0.0.1", "REDIS_PORT": "1", "REDIS_USERNAME": "me", "REDIS_PASSWORD": ODD},
    {"REDIS_URL": U, "REDIS_HOST": "g", "REDIS_PASSWORD": PLAIN},
    {"CRONLOCK_REDIS": f"{U} {PLAIN}"},
    {"CRONLOCK_TTL": U},
    {"CRONLOCK_NODE": U},
    {"CRONLOCK_PASSWORD": PLAIN},
    {f"CRONLOCK_{U}": ""},
    {"_CRONLOCK_COMPLETE": "bash_complete", "COMP_LINE": f"cronlock status --redis redis://:{PLAIN}@{NOBODY} "},
    {"_CRONLOCK_COMPLETE": "zsh_complete", "COMP_LINE": f"cronlock pause --redis=redis://:{PLAIN}@{NOBODY} '"},
]
FILES = rf"""
redis = "{U}" x
redis = {U}
redis = ["{U}", 1]
"{U}" = 1
[keys."{U}"]; ttl = "x"
ttl = "{U}"
redis-password = "{PLAIN}"
redis.password = "{PLAIN}"
[redis]; password = "{PLAIN}"
password = {PLAIN}
redis = {{{PLAIN}=1, {PLAIN}=2}}
[{PLAIN}]; [{PLAIN}]
redis = "{U}\q"
redis = "{U}
""".strip().split("\n")  # with a password somewhere, and wrong; a semicolon is a new line


class Given(NamedTuple):
    """Return a command line with its way to give a URL."""

    words: tuple[str, ...]
    way: Way


def said(all_given: list[Given]) -> list[str]:
    """All that each of them wrote, to standard output and standard error; nothing has a password, nor has HOME.

    But for the records of --local, which keep the command as it was given: to be read by its user alone.
    """
    calls = []
    for words, way in all_given:
        folder = new_folder()
        put(way, folder)
        calls.append(Call((*words[:1], *way.words, *words[1:]), dict(way.env), folder))
    texts = [done.stdout + done.stderr for done in call_all(calls)]
    for given, call, text in zip(all_given, calls, texts, strict=True):
        assert "Traceback" not in text, (given, text)
        clean(text, given)
        assert call.folder
        state = call.folder / ".local/state/cronlock"
        assert not state.exists() or state.stat().st_mode & 0o077 == 0
        written = (path for path in call.folder.rglob("*") if path.is_file() and state not in path.parents)
        files = [path for path in written if path.suffix != ".toml"]
        clean("".join(path.read_text(errors="replace") for path in files), given)
        remove_folder(call.folder)
    return texts


def clean(text: str, *where: object) -> None:
    """Assert that the text has no part of a password, in any form."""
    assert not [mark for mark in MARKS if mark in text], (*where, text)


def put(way: Way, folder: Path) -> None:
    """Write the file of a way, readable by its user alone."""
    if way.file:
        file = folder / way.file
        file.parent.mkdir(exist_ok=True)
        file.write_text(way.text)
        file.chmod(0o600)


# -- what is said ------------------------------------------------------------------------------------------------------


def test_no_command_prints_a_password_whatever_the_server_answers(fresh_servers: Callable[..., list[Server]]) -> None:
    """Every command is tried by every way: without a server, with a wrong password, and with the right one."""
    [right, wrong] = *fresh_servers(1, requirepass=PLAIN), *fresh_servers(1, requirepass="another")
    there, elsewhere = (server.url.removeprefix("redis://") for server in (right, wrong))
    in_turn = itertools.cycle([*urls(NOBODY), *urls(elsewhere)])
    all_given = []
    for command in COMMANDS:
        for number in range(len(ways(""))):
            all_given.append(Given(command, ways(next(in_turn))[number]))
        all_given.append(Given(command, ways(f"redis://:{PLAIN}@{there}")[len(all_given) % len(ways(""))]))
    texts = "".join(said(all_given))
    assert "connection refused" in texts
    assert "WRONGPASS" in texts
    assert "cronlock: job: ran: status 0" in texts


def test_a_mistyped_url_is_refused_without_its_password(prefix: str) -> None:
    """Every way is tried, including a file."""
    of_all = itertools.cycle(COMMANDS)
    texts = said([Given(next(of_all), way) for url in BROKEN for way in ways(url)])
    assert sum("refused: " in text for text in texts) > len(texts) // 2
    files = [Way(("--config", "cronlock.toml"), file="cronlock.toml", text=text.replace("; ", "\n")) for text in FILES]
    assert all("refused: " in text for text in said([Given(("status",), way) for way in files]))
    local = ("--local", "--prefix", prefix)
    misused = [tuple(more for word in words for more in (local if word == "--local" else (word,))) for words in MISUSED]
    said([Given(words, Way()) for words in misused])
    said([Given(("status",), Way(env=tuple(env.items()))) for env in VARIABLES])


LOOK = """
import sys
from cronlock.config.settings import load
from cronlock.cron.crontab import Sources
from cronlock.commands.check import command, findings
found = command.find_all_faults(load({"local": True}, {}), Sources(sys.argv[1], 1, lambda: open(sys.argv[2]).read()))
findings.print_table(found)
findings.print_json(found)
"""


def test_crontab_lines_are_reported_without_their_passwords() -> None:
    """check reports them without passwords, and so do wrap's notes on standard error."""
    lines = [
        *(
            f"0 2 * * * CRONLOCK_REDIS={U} cronlock run --key a true",
            f"0 2 * * * root cronlock run --redis {U} --key b true",
        ),
        *(f"CRONLOCK_REDIS = {U}", f"{U} * * * * cronlock run -k c true", f"SHELL={U}", f"PATH={U}:/bin"),
        *(f"* * * * * {U} cronlock run --key d true", f"0 2 * * * root cronlock run --redis '{U} --key e true"),
        *(f"0 2 * * * root {U}/cronlock run --redis={U}x --key f --tz {U} true", f"0 2 * * * cronlock run {U}"),
    ]
    folder = Path(home(), "etc", "cron.d")
    folder.mkdir(parents=True)
    Path(folder, "job").write_text("\n".join(lines))
    words = [sys.executable, "-c", LOOK, str(home()), str(folder / "job")]
    done = subprocess.run(words, env=environment(), cwd=home(), capture_output=True, text=True, check=True)
    assert "etc/cron.d/job:" in done.stdout
    assert "crontab -l:" in done.stdout
    clean(done.stdout + done.stderr)
    wrapped = cronlock("wrap", "--once", "--crontab", "system", str(folder / "job"))
    assert "left alone" in wrapped.stderr
    clean(wrapped.stderr)


def test_a_password_in_a_commands_arguments_is_masked_in_tables_and_json(server: Server) -> None:
    """The record has the command line unchanged; tables and JSON show *** for a URL's password."""
    place = ("--redis", server.url)
    assert cronlock(*RUN, *place, "--", "true", U).returncode == 0
    [record] = server.redis.keys("*:record:job")
    assert server.redis.hget(record, "command") == f"true {U}"
    for words in (("status", "job"), ("status", "--format", "json")):
        told = cronlock(words[0], *place, *words[1:]).stdout
        assert "true redis://:***@h" in told
        clean(told)


def test_a_terminal_shows_none(fresh_servers: Callable[..., list[Server]]) -> None:
    """On a terminal, cronlock prints more than in a crontab."""
    [server] = fresh_servers(1, requirepass="another")
    url = f"redis://:{PLAIN}@{server.url.removeprefix('redis://')}"
    for words in ((*RUN, "true"), ("status",), ("check",)):
        terminal = Terminal(sys.executable, "-m", "cronlock", *words, env={"CRONLOCK_REDIS": url})
        try:
            clean(terminal.expect("WRONGPASS|invalid username-password").string, words)
        finally:
            terminal.close()


def test_a_fault_of_cronlocks_own_shows_none(tmp_path: Path) -> None:
    """A traceback shows lines of code, and the printed form of settings and addresses."""
    broken = "    raise RuntimeError(f'{settings!r} {settings.redis!r} {vars(settings)!r}')\n"
    changed = changed_cronlock(tmp_path, "run/plan.py", "    plan.again = settings.again\n", broken)
    for url in urls("h"):
        done = cronlock(*RUN, "true", env={**changed, "CRONLOCK_REDIS": url.replace(" ", "%20")})
        assert "RuntimeError" in done.stderr
        clean(done.stderr)


# -- what is shown by the machine --------------------------------------------------------------------------------------


def test_ps_shows_only_passwords_from_argv(fresh_servers: Callable[..., list[Server]]) -> None:
    """Of the wrapper, the guard and the command. One in --redis is shown by wrapper and guard, which is its copy, and
    not by the command; nor is it stored.
    """
    [server] = fresh_servers(1, requirepass=PLAIN)
    for number, way in enumerate(ways(f"redis://:{PLAIN}@{server.url.removeprefix('redis://')}")):
        put(way, home())
        words = (RUN[0], *way.words, *RUN[1:], "--", "sh", "-c", f"touch up{number}; sleep 60; true")
        process = start_cronlock(*words, env=dict(way.env))
        wait_until(Path(home(), f"up{number}").exists)
        shown = [found.argv for pid in (process.pid, *descendants(process.pid)) if (found := on_it(pid))]
        assert len(shown) >= 3
        in_argv = bool(way.words) and not way.file
        for argv in shown:
            if not (in_argv and "cronlock" in argv):
                clean(" ".join(argv), way)
        process.terminate()
        process.wait(10)
    texts = [
        str(server.redis.hgetall(name)) for name in server.redis.keys("*:record:*") + server.redis.keys("*:nodes:*")
    ]
    assert texts
    clean("".join(texts))


def test_a_password_in_argv_works_silently_and_v_says_where_it_belongs(
    fresh_servers: Callable[..., list[Server]],
) -> None:
    """Otherwise cron would mail a line at each run."""
    [server] = fresh_servers(1, requirepass=PLAIN)
    url = f"redis://:{PLAIN}@{server.url.removeprefix('redis://')}"
    assert cronlock(*RUN, "--redis", url, "true").stderr == ""
    told = cronlock(*RUN, "-v", "--redis", url, "true").stderr.splitlines()
    assert told[0].startswith(
        "cronlock: job: every user of this machine can read the password in --redis with ps: put it "
    )
    assert told[1:] == ["cronlock: job: ran: status 0"]
    assert cronlock(*RUN, "-v", "true", env={"CRONLOCK_REDIS": url}).stderr == "cronlock: job: ran: status 0\n"
    assert cronlock("check", "--redis", url).stdout.splitlines()[1].split()[:2] == ["yellow", "--redis"]
    assert "--redis" not in cronlock("check", env={"CRONLOCK_REDIS": url}).stdout


# -- a file that others can read ---------------------------------------------------------------------------------------

TEXTS = [f'redis = "{U}"\n', f'redis = ["redis://a", "{U}"] # x\n', f'redis = "redis://a"\n[keys.b]\nredis = "{U}"\n']


def settings_of(tmp_path: Path, text: str, mode: int, user: int | None = None) -> Settings:
    path = tmp_path / "cronlock.toml"
    path.write_text(text)
    path.chmod(mode)
    return load({"key": "job"}, {}, [str(path)], user)


@pytest.mark.parametrize("text", [*TEXTS, 'redis = "redis://h?password=x"\n', 'redis = "redis://me:x@h"\n'])
@pytest.mark.parametrize("mode", [0o644, 0o604])
def test_a_world_readable_file_with_a_password_is_refused(tmp_path: Path, text: str, mode: int) -> None:
    """The refusal says what to do with the file, also for another key, and where another source wins."""
    path = tmp_path / "cronlock.toml"
    with pytest.raises(Refused) as caught:
        settings_of(tmp_path, text, mode)
    assert str(caught.value) == f"{path} contains a password and is world-readable: chmod o-r {path}"
    with pytest.raises(Refused):
        load({"redis": ["redis://other"]}, {}, [str(path)])


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o660, 0o400])
def test_a_group_of_its_own_may_read_it(tmp_path: Path, text: str, mode: int) -> None:
    """An example is the group of root and cron."""
    assert settings_of(tmp_path, text, mode).redis


def test_a_file_without_a_password_may_be_world_readable(tmp_path: Path) -> None:
    """A user's name is not a secret."""
    assert settings_of(tmp_path, 'redis = ["redis://me@h", "unix:///run/redis.sock"]\n', 0o644).redis


def test_a_password_may_have_a_blank(tmp_path: Path) -> None:
    """The password works unchanged."""
    with pytest.raises(Refused, match="contains a password"):
        settings_of(tmp_path, 'redis = "redis://:two words@h"\n', 0o644)


def test_dev_null_may_be_the_settings_file() -> None:
    """/dev/null means no settings."""
    assert load({"config": "/dev/null", "redis": ["redis://h"]}, {}).redis


def test_a_world_writable_file_is_refused(tmp_path: Path) -> None:
    """A user who can write to the file decides where the lock is."""
    path = tmp_path / "cronlock.toml"
    with pytest.raises(Refused, match=f"{path} is world-writable, so anyone could redirect the lock: chmod o-w {path}"):
        settings_of(tmp_path, "", 0o602)


def test_a_file_of_another_user_is_refused(tmp_path: Path) -> None:
    """A file given by --config is accepted. check may ask on behalf of another user, the reader of the file."""
    path, owner = tmp_path / "cronlock.toml", os.geteuid()
    path.write_text('prefix = "mine"\n')
    path.chmod(0o644)
    assert load({}, {}, [str(path)], owner).prefix == "mine"
    assert load({"config": str(path)}, {}, user=owner + 1).prefix == "mine"
    if owner:
        with pytest.raises(Refused, match=f"{path} is owned by uid {owner}, who could redirect the lock: chown it"):
            load({}, {}, [str(path)], owner + 1)


# -- what is masked ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("redis://:pw@h:1/2", "redis://:***@h:1/2"),
        ("see redis://me:a/b?c@d@h, and more", "see redis://me:***@h, and more"),
        ("--redis=rediss://u:p@h x", "--redis=rediss://u:***@h x"),
        (
            "redis+sentinel://u:p@h1:1,h2/s?sentinel_password=q&x=1",
            "redis+sentinel://u:***@h1:1,h2/s?sentinel_password=***",
        ),
        ("unix://u:p@/run/s?db=1", "unix://u:***@/run/s?db=1"),
        ("https://u:p@h/a?m=b@c", "https://u:***@h/a?m=b@c"),
        ("REDIS_PASSWORD=a&b c", "REDIS_PASSWORD=*** c"),
        ('{"hook":"http://x/y","db":"redis://:pw@h/0"}', '{"hook":"http://x/y","db":"redis://:***@h/0"}'),
        (
            "http://u:p@h1,http://u:q@h2/ redis://:p@h,redis://:q@h",
            "http://u:***@h1,http://u:***@h2/ redis://:***@h,redis://:***@h",
        ),
        ("REDIS://:a/b@h", "REDIS://:***@h"),
        ("redis://:a?://b://c@h:1", "redis://:***@h:1"),
        ("İİİpassword=secret", "İİİpassword=***"),
        ("mysqldump --Password=x shop", "mysqldump --Password=*** shop"),
        *(
            (text, text)
            for text in ("", "://", "redis://h:1", "redis://me@h", "a:b@c", "https://h:80/p?m=a@b", "redis://:@h")
        ),
    ],
)
def test_a_password_is_masked_where_it_can_be_recognized(text: str, expected: str) -> None:
    """The rest of the text stays, so that the operator can find the place."""
    assert masked(text) == expected
    assert printable(f"{text}\x1b") == expected.partition("\x1b")[0] + "\\x1b" or "***" in expected
