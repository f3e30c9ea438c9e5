"""Screens: status, history and check fit 80, 100 and 200 columns, on three servers of fakeredis and a terminal."""

import re
import time
from collections.abc import Callable, Iterator

import pytest
import redis

from cronlock.output.columns import Column, cells, fit, wrap, wrap_words
from cronlock.output.times import clock, tick_clock
from tests.support.commands import cronlock
from tests.support.fake_servers import FakeServer
from tests.support.operator import running
from tests.support.terminals import Terminal

SIZES = (80, 100, 200)
NODES = ("web-frontend-1.eu-central.example.org", "db-2", "web-frontend-3.eu-central.example.org")
KEYS = (
    "nightly-backup-of-the-customer-database",
    "report.monthly.invoices.of-all-customers",
    "import_prices_from_the_supplier_in_oslo",
    "rotate logs of the web front ends",
    "certificates/renew/with-lets-encrypt",
    "mail-queue-flush-and-bounce-processing",
    "search-index-rebuild-of-the-whole-shop",
    "sync",
    "thumbnails-for-all-uploads-of-the-day",
    "warm-up-of-the-cache-before-the-morning",
)  # and two nodes' records of one key of --each
EACH = "tidy-temporary-files-of-the-application"

Screen = Callable[..., str]


@pytest.fixture
def where(fakes: list[FakeServer]) -> tuple[str, ...]:
    return tuple(word for server in fakes for word in ("--redis", server.url))


@pytest.fixture
def fleet(where: tuple[str, ...], fakes: list[FakeServer]) -> Iterator[tuple[str, ...]]:
    """Twelve rows with long names: ended, failed, active, dead and paused ones, all but three copies of the first."""
    tick = time.strftime("%Y-%m-%dT00:00Z", time.gmtime())
    daily = ("--schedule", "0 0 * * *", "--tz", "UTC", "--tick", tick, "--start-within", "2d", "--outage-wait", "5s")
    command = ("sh", "-c", "exit 0", "of a long command line with words")
    cronlock("run", *where, "--key", KEYS[0], *daily, "--node", NODES[0], "--", *command)
    cronlock("run", *where, "--key", EACH, "--each", *daily, "--node", NODES[0], "--", "true")
    for fake in fakes:
        with redis.Redis(port=fake.port, decode_responses=True) as client:
            copy_records(client)
    cronlock("pause", *where, "--reason", "the warehouse moves to the new data centre until friday", KEYS[0])
    with running(where, *daily, "--node", NODES[2], key=KEYS[-1]):
        yield where


def copy_records(client: "redis.Redis") -> None:
    """Add the other keys' records on one server; one run failed, and one never ended."""
    for old in list(client.scan_iter("*")):
        value, each = client.type(old), f":{NODES[0]}:" in old
        if value != "hash" or (EACH in old and not each):
            continue
        fields = client.hgetall(old)
        if each:
            client.hset(old.replace(NODES[0], NODES[1]), mapping={**fields, "node": NODES[1]})
        for number, key in enumerate(KEYS[1:-1] if KEYS[0] in old and ":record:" in old else ()):
            new = {**fields, "node": NODES[number % 3], **({"status": "3"} if not number else {})}
            dead = {"outcome": "", "end": 0, "kind": "run", "lease_end": 1, "missed": 2} if key == "sync" else {}
            client.hset(old.replace(KEYS[0], key), mapping={**new, **dead})


@pytest.fixture
def screen(open_terminal: Callable[..., Terminal], where: tuple[str, ...]) -> Screen:
    """screen(80, "status"): what a terminal of that many columns shows."""

    def show(columns: int, *words: str) -> str:
        script = f'stty cols {columns}; "$@" 2>/dev/null; echo " is the status of: $?"'
        line = ("env", "-u", "CRONLOCK_LOCAL", "-u", "CRONLOCK_KEY", "-u", "CRONLOCK_SCHEDULE", "TERM=dumb")
        seen = open_terminal("sh", "-c", script, "sh", *line, "cronlock", words[0], *where, *words[1:])
        return seen.expect("(.*) is the status of: ")[1]

    return show


@pytest.mark.parametrize("columns", SIZES)
def test_screens_fit_the_terminal(columns: int, fleet: tuple[str, ...], screen: Screen) -> None:
    """And names stay whole, though they may be wrapped."""
    for words in (["status"], ["history", KEYS[0]], ["check"], ["check", "-v"], ["status", KEYS[0]], ["status", EACH]):
        shown = screen(columns, *words)
        assert shown.strip(), words
        assert [line for line in shown.splitlines() if cells(line) > columns] == [], words
    table = screen(columns, "status").partition("\n\n")[0]
    column = "".join(re.split("  +", line.ljust(22), maxsplit=1)[0] + " " for line in table.splitlines())
    for key in (*KEYS, EACH):
        assert re.sub(r"\s", "", key) in re.sub(r"\s", "", column), table


def test_more_room_shows_more(fleet: tuple[str, ...], screen: Screen) -> None:
    """In the order in which columns give way; what is hidden is named, and --wide shows all."""
    titles = [screen(columns, "status").splitlines()[0].split() for columns in SIZES]
    assert len(titles[0]) < len(titles[1]) < len(titles[2])
    assert {"KEY", "STATE", "NODE", "ENDED"} <= set(titles[0])
    assert "REASON; --wide shows all)" in " ".join(screen(80, "status").split()) or "REASON" in screen(80, "status")
    wide = screen(80, "status", "--wide")
    assert "the warehouse moves to the new data centre until friday" in wide
    assert "not shown" not in wide


def test_a_program_reads_whole_rows(fleet: tuple[str, ...]) -> None:
    """In a pipe each key has one line, as long as it is; COLUMNS limits it."""
    lines = cronlock("status", *fleet).stdout.partition("\n\n")[0].splitlines()
    assert len(lines) == 13
    assert all(any(key in line for line in lines) for key in KEYS)
    narrow = cronlock("status", *fleet, env={"COLUMNS": "80"}).stdout
    assert max(map(cells, narrow.splitlines())) <= 80


# One by one


def test_columns_give_way_in_their_order_empty_ones_first() -> None:
    columns = [Column("A"), Column("B", gives_way=2), Column("C", gives_way=1), Column("D", gives_way=3)]
    widths, none = [10, 10, 10, 10], [False] * 4
    assert fit(columns, widths, none, None).kept == [0, 1, 2, 3]
    assert fit(columns, widths, none, 46).kept == [0, 1, 2, 3]
    assert (fit(columns, widths, none, 45).kept, fit(columns, widths, none, 45).hidden) == ([0, 1, 3], ["C"])
    emptied = fit(columns, widths, [False, False, False, True], 45)
    assert (emptied.kept, emptied.hidden) == ([0, 1, 2], [])
    assert fit(columns, widths, none, 5).kept == [0]


def test_a_long_name_is_wrapped_before_a_column_gives_way() -> None:
    found = fit([Column("KEY", narrowest=10), Column("B", gives_way=1)], [30, 10], [False, False], 25)
    assert (found.kept, found.widths) == ([0, 1], [13, 10])
    assert fit([Column("KEY", narrowest=10)], [30], [False], 9).widths == [9]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("short", ["short"]),
        ("nightly-backup-of-all", ["nightly-", "backup-of-", "all"]),
        ("two words here", ["two words", "here"]),
        ("abcdefghijklmnop", ["abcdefghij", "klmnop"]),
        ("日本語の長い名前", ["日本語の長", "い名前"]),
    ],
)
def test_names_are_broken_where_they_can_be_read(text: str, lines: list[str]) -> None:
    assert wrap(text, 10) == lines


def test_sentences_are_broken_at_blanks() -> None:
    assert wrap_words("a sentence of words", 10, "  ") == "a sentence\n  of words"
    assert wrap_words("  red   x  averylongwordofmany", 10, "  ").split() == ["red", "x", "averylongwordofmany"]


def test_a_time_has_its_day_unless_it_is_today(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        monkeypatch.setattr(time, "time", lambda: 1_795_507_483.0)
        real = time.localtime
        monkeypatch.setattr(time, "localtime", lambda at=1_795_507_483: real(at))
        now = 1_795_507_483_000  # 2026-11-24 09:04:43
        assert clock(now) == "09:04:43"
        assert tick_clock(1_795_507_440) == "09:04"
        assert clock(now - 86_400_000) == "Nov 23 09:04"
        assert clock(now - 400 * 86_400_000) == "2025-10-20 10:04"
        assert clock(0) == tick_clock(0) == "-"
    finally:
        monkeypatch.undo()
        time.tzset()


# Only what is wrong, one line, and a screen that stays


def test_only_problems_are_shown_and_the_status_says_so(fleet: tuple[str, ...]) -> None:
    wrong = cronlock("status", *fleet, "--problems")
    assert wrong.returncode == 1
    assert [line.split()[0] for line in wrong.stdout.partition("\n\n")[0].splitlines()] == ["KEY", KEYS[1], "sync"]
    assert f"{KEYS[1]}: failed with status 3 on {NODES[0]}: read what the command printed there\n" in wrong.stdout
    well = cronlock("status", *fleet, "--problems", KEYS[0])
    assert (well.returncode, well.stdout) == (0, "no problems found\n")
    line = cronlock("status", *fleet, "--summary")
    assert (line.returncode, line.stdout.count("\n")) == (0, 1)
    assert line.stdout == (
        f"8 ok, 1 running, 1 paused, 1 failed: {KEYS[1]} (3) on {NODES[0]}; 1 never ended: sync on {NODES[0]}\n"
    )
    for option in ("--summary", "--watch", "--raw", "--wide"):
        refused = cronlock("status", *fleet, option, "--format", "json")
        assert (refused.returncode, refused.stdout) == (125, "")
        assert refused.stderr == f"cronlock: refused: {option} goes with tables only: leave out --format json\n"


def test_the_watched_screen_follows_the_keys(where: tuple[str, ...], open_terminal: Callable[..., Terminal]) -> None:
    """Until q is typed; without a terminal it is refused."""
    line = ("env", "-u", "CRONLOCK_LOCAL", "TERM=xterm", "cronlock", "status", *where, "--watch")
    terminal = open_terminal("sh", "-c", '"$@"; echo "status of it: $?"', "sh", *line)
    terminal.expect("no keys found.*q leaves")
    cronlock("run", *where, "--key", "nightly", "--schedule", "none", "--", "true")
    terminal.expect("nightly.*q leaves")
    terminal.type("q")
    terminal.expect("status of it: 0")
    refused = cronlock("status", *where, "--watch")
    assert (refused.returncode, "--watch needs a terminal" in refused.stderr) == (125, True)
