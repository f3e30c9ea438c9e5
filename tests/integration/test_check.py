"""`cronlock check` on voters: red for what stops runs or breaks the lock, green when all is well; its output."""

import json
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from cronlock.commands.check.acl import SCRIPT, WITHOUT, find_missing_rights, try_commands
from cronlock.commands.check.clocks import find_clock_faults
from cronlock.commands.check.findings import GREEN, RED, YELLOW
from cronlock.commands.check.placement import find_cluster_placement, find_server_placement, loss_cost
from cronlock.commands.check.servers import ServerFacts
from cronlock.commands.check.servers import find_server_faults as about_voter
from cronlock.config.redis_url import Address
from cronlock.servers.placement import SLOTS
from cronlock.survey.clients import Server as Master
from tests.integration.test_docs import rights
from tests.support.clusters import Cluster
from tests.support.commands import cronlock
from tests.support.operator import at
from tests.support.proxies import Proxy
from tests.support.servers import Server
from tests.support.terminals import Terminal

PEOPLE = ("+scan", "+lrange")  # rights that status and history need, and no run
NOT_CONFIGURED = "redis://127.0.0.1:1"

Findings = list[dict[str, str]]


def urls(*servers: Server, login: str = "") -> list[str]:
    return [word for server in servers for word in ("--redis", server.url.replace("://", f"://{login}"))]


def check(*words: str, **kw: Any) -> Findings:
    """Return the findings about voters and placement, without those about keys and this machine's crontabs."""
    done = cronlock("check", "--format", "json", *words, **kw)
    assert done.stderr == ""
    told = json.loads(done.stdout)
    assert done.returncode == (told["worst"] == RED)
    return [finding for finding in told["findings"] if finding["section"] in ("voters", "placement")]


def only(findings: Findings, level: str) -> dict[str, str]:
    [found] = [finding for finding in findings if finding["level"] == level]
    return found


def label(server: Server) -> str:
    return server.url.removeprefix("redis://")


def of(findings: Findings, server: Server, level: str) -> list[str]:
    return [f["text"] for f in findings if (f["about"], f["level"]) == (label(server), level)]


# All is well


def test_three_good_servers_with_the_users_rights_are_green(
    every_binary: Any, fresh_servers: Callable[..., list[Server]]
) -> None:
    """One line for each server, for the clocks and for the placement; check needs no further right itself."""
    servers = fresh_servers(3, binary=every_binary, appendonly="yes")
    for server in servers:
        server.ask("ACL", "SETUSER", "cronlock", "on", ">secret", *rights(), *PEOPLE)
    findings = check(env={"CRONLOCK_REDIS": " ".join(urls(*servers, login="cronlock:secret@")[1::2])})
    assert [finding["level"] for finding in findings] == [GREEN] * 5
    assert [finding["about"] for finding in findings] == [*map(label, servers), "the clocks", "servers"]
    well = r"(valkey|redis) [\d.]+, answers in [\d.]+ ms, clock \d+ ms off, append-only file, noeviction, all rights"
    assert all(re.fullmatch(well, finding["text"]) for finding in findings[:3])
    assert findings[4]["text"] == "any 1 of 3 may be lost"
    assert [server.redis.dbsize() for server in servers] == [0, 0, 0]


def test_a_local_file_is_one_line() -> None:
    """Whether its folder can be written to."""
    [finding] = check("--local")
    assert (finding["section"], finding["level"]) == ("voters", GREEN)
    assert finding["text"].startswith("one voter, for this machine alone")


# Red findings


def test_a_stopped_server_is_red_soon(servers: list[Server]) -> None:
    """The others are looked at; it costs one wait."""
    servers[1].stop_process()
    findings = check(*urls(*servers))
    assert servers[1].given_up() == 1
    assert of(findings, servers[1], RED) == ["no answer in 3 s"]
    assert all(len(of(findings, server, GREEN)) == 1 for server in (servers[0], servers[2]))


def test_a_server_that_refuses_by_closing_is_red_with_the_cure_for_protected_mode() -> None:
    """Redis in protected mode writes DENIED and closes: with unread bytes of the client that is a reset."""

    def refuse(listener: socket.socket) -> None:
        listener.settimeout(30)
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=refuse, args=(listener,))
        thread.start()
        red = [f for f in check("--redis", f"redis://127.0.0.1:{listener.getsockname()[1]}") if f["level"] == RED]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
    assert [finding["text"] for finding in red] == ["the server closed the connection"]
    assert "requirepass" in red[0]["todo"]


def test_a_stopped_master_of_a_cluster_is_red_soon(fresh_cluster: Callable[..., Cluster]) -> None:
    """Whether or not it is the one that is named: it is not asked twice."""
    nodes = fresh_cluster(masters=3, replicas=0, cluster_node_timeout=30_000).nodes
    nodes[0].stop_process()
    for count, named in enumerate(nodes[:2], 1):
        findings = check(*urls(named, nodes[2]))
        assert nodes[0].given_up() == count
        assert of(findings, nodes[0], RED) == ["no answer in 3 s"]
        assert of(findings, nodes[1], GREEN)


def test_a_node_that_is_named_and_no_master_is_yellow_when_it_is_down(cluster: Cluster) -> None:
    """The cluster is found through the others."""
    findings = check("--redis", NOT_CONFIGURED, "--redis", cluster.urls[0])
    [down] = [finding for finding in findings if finding["about"] == "127.0.0.1:1"]
    assert (down["level"], down["text"]) == (YELLOW, "named, but not a master: connection refused")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (NOT_CONFIGURED, "connection refused"),
        ("redis://no-such-host.invalid", "name or service not known"),
        ("unix:///nowhere/redis.sock", "no such file or directory"),
    ],
)
def test_a_server_that_is_not_there_is_red(server: Server, url: str, said: str) -> None:
    findings = check("--redis", url)
    assert only(findings, RED)["text"].startswith(said.partition("not known")[0].split(" or ")[0])
    assert only(findings, RED)["todo"] == "start it, or correct the URL or the network"


def test_a_wrong_password_is_red_and_not_shown(server: Server) -> None:
    server.ask("ACL", "SETUSER", "cronlock", "on", ">secret", *rights())
    finding = only(check(*urls(server, login="cronlock:wr0ng@")), RED)
    assert finding["todo"] == "put the right user and password into its URL"
    assert "wr0ng" not in str(finding)


@pytest.mark.parametrize(
    ("name", "value", "level", "said"),
    [
        ("maxmemory-policy", "allkeys-lru", RED, "maxmemory-policy is allkeys-lru: it may evict a lease"),
        ("maxmemory-policy", "volatile-ttl", RED, "maxmemory-policy is volatile-ttl: it may evict a lease"),
        ("maxmemory", "1mb", RED, "its memory is full: writes are answered OOM"),
        ("appendonly", "no", YELLOW, "no append-only file: after a restart it has no ticks and leases"),
    ],
)
def test_a_server_that_may_lose_writes_is_reported(
    server: Server, name: str, value: str, level: str, said: str
) -> None:
    server.ask("CONFIG", "SET", name, value)
    assert any(text.startswith(said) for text in of(check(*urls(server)), server, level))


def test_memory_that_is_nearly_full_is_yellow(server: Server) -> None:
    """Before it is red. A server uses more memory after its first question."""
    check(*urls(server))
    used = server.redis.info("memory")["used_memory"]
    server.ask("CONFIG", "SET", "maxmemory", int(used * 1.06))
    assert any("% of its memory is used" in text for text in of(check(*urls(server)), server, YELLOW))


def test_a_replica_is_red(servers: list[Server]) -> None:
    """It refuses every write; its master is named, and nothing more is said of the writes."""
    servers[0].ask("REPLICAOF", "127.0.0.1", servers[1].port)
    findings = check(*urls(servers[0]))
    assert of(findings, servers[0], RED) == ["it is a replica: every write is answered READONLY"]
    assert only(findings, RED)["todo"] == f"name its master, {label(servers[1])}, instead"


def test_one_server_under_two_names_is_red(server: Server) -> None:
    """Its run_id shows it; the same URL twice is refused, too."""
    other = server.url.replace("127.0.0.1", "localhost")
    assert any("it is the same server as" in f["text"] for f in check(*urls(server), "--redis", other))
    assert any(f["text"] == "the same server twice" for f in check(*urls(server, server)))


@pytest.mark.parametrize(
    ("ahead", "found"),
    [
        ({"a": 0.1, "b": -0.1, "c": 0}, [("the clocks", GREEN, "they differ by 200 ms at most")]),
        ({"a": 0.4, "b": -0.4}, [("the clocks", YELLOW, "they differ by 800 ms at most")]),
        ({"a": 0.7, "b": 0}, [("a", YELLOW, "its clock is 700 ms ahead of this machine's: turns are not fair then")]),
        ({"a": 0.7}, [("a", YELLOW, "its clock is 700 ms ahead of this machine's: turns are not fair then")]),
        ({"a": 2.0, "b": 2.1}, [("this machine", YELLOW, "its clock is 2.0 s behind all 2 servers'")]),
        ({"a": 0}, []),
        ({}, []),
    ],
)
def test_clocks_are_judged_against_this_machine_and_each_other(ahead: dict[str, float], found: list[Any]) -> None:
    seen = [(finding.about, finding.level, finding.text) for finding in find_clock_faults(ahead)]
    assert [(about, level) for about, level, _ in seen] == [(about, level) for about, level, _ in found]
    assert all(text.startswith(start) for (_, _, text), (_, _, start) in zip(seen, found, strict=True))


def test_a_server_far_away_is_yellow(server: Server, proxy_to: Callable[[Server], Proxy]) -> None:
    """By the median of its round trips, of which half is not taken for its clock's fault."""
    proxy = proxy_to(server)
    proxy.delay(150, requests=True)
    findings = check("--redis", proxy.url)
    assert any(re.match(r"it answers in 1[5-9]\d ms: each run", f["text"]) for f in findings if f["level"] == YELLOW)
    [off] = [int(ms) for finding in findings for ms in re.findall(r"clock (\d+) ms off", finding["text"])]
    assert 60 < off < 120


def test_a_server_too_far_away_is_red() -> None:
    """An answer that comes after a second is none."""
    findings = about_voter(ServerFacts(Master(Address("h")), trip=1.2, info={"redis_version": "7.0.1"}), alone=False)
    assert [finding.text for finding in findings if finding.level == RED] == [
        "it answers in 1.2 s: an answer after more than 1 s counts as none"
    ]


@pytest.mark.parametrize(
    ("info", "level", "said"),
    [
        ({"redis_version": "6.0.16"}, YELLOW, "redis 6.0.16 was not tested"),
        ({"redis_version": "7.2.4", "valkey_version": "9.1.2"}, GREEN, "valkey 9.1.2"),
        ({"loading": 1}, RED, "it is loading its data"),
        (
            {"aof_last_write_status": "err"},
            RED,
            "its append-only file could not be written: writes are answered MISCONF",
        ),
        ({"rdb_last_bgsave_status": "err"}, RED, "its last snapshot could not be written: writes are answered MISCONF"),
        ({}, YELLOW, "it refuses INFO: its persistence can't be checked"),
    ],
)
def test_each_fact_of_info_has_its_finding(info: dict[str, Any], level: str, said: str) -> None:
    """With values that no test brings a real server to."""
    findings = about_voter(ServerFacts(Master(Address("h")), info=info), alone=False)
    assert (level, said) in [(finding.level, finding.text.removesuffix(", all rights")) for finding in findings] + [
        (finding.level, finding.text.partition(",")[0]) for finding in findings
    ]


# Rights


def test_a_missing_right_is_red_with_its_cure(server: Server) -> None:
    """Those that no run can do without in one line, the others in another."""
    less = ("-hset", "-cluster", "-publish", "-info")
    server.ask("ACL", "SETUSER", "cronlock", "on", ">secret", *rights(), *PEOPLE, *less)
    findings = check(*urls(server, login="cronlock:secret@"))
    assert only(findings, RED)["text"] == "user cronlock lacks +cluster|slots +hset: no run starts"
    assert only(findings, RED)["todo"] == "ACL SETUSER cronlock +cluster|slots +hset"
    lacks = [text for text in of(findings, server, YELLOW) if "lacks" in text]
    assert lacks == [
        "user cronlock lacks +publish +info: waiting nodes poll every few seconds, "
        "a restart or a promotion of the server is not noticed"
    ]


def test_each_missing_right_is_named(every_binary: Any, fresh_servers: Callable[..., list[Server]]) -> None:
    """One by one on each kind of server, whose words differ; nothing is left there."""
    [server] = fresh_servers(1, binary=every_binary)
    every = [right for right in rights() if right[0] == "+"] + list(PEOPLE)
    address = Address("127.0.0.1", server.port, username="cronlock", password="secret")
    for right in {*every, "~cronlock:*", "&cronlock:*"}:
        less = {"~": "resetkeys", "&": "resetchannels"}.get(right[0], "-" + right[1:].partition("|")[0])
        server.ask("ACL", "SETUSER", "cronlock", "reset", "on", ">secret", *rights(), *PEOPLE, less)
        found = find_missing_rights("label", "cronlock", try_commands(Master(address), "cronlock"))
        level = YELLOW if right[1:] in WITHOUT or right[0] == "&" else RED
        assert [(finding.level, finding.todo) for finding in found] == [(level, f"ACL SETUSER cronlock {right}")]
        assert server.redis.dbsize() == 0, right


def test_without_the_right_to_remove_nothing_is_written(server: Server) -> None:
    """What it would leave stays undone; all that would remove it is named."""
    less = ("-del", "-pexpire", "-ltrim", "-hdel")
    server.ask("ACL", "SETUSER", "cronlock", "on", ">secret", *rights(), *less)
    finding = only(check(*urls(server, login="cronlock:secret@")), RED)
    assert finding["todo"] == "ACL SETUSER cronlock +del +pexpire +ltrim +hdel"
    assert server.redis.dbsize() == 0


def test_the_rights_that_are_tried_are_those_that_runs_use() -> None:
    """All commands of record.lua, and the one that reads a history."""
    folder = SCRIPT.parent
    called = set(re.findall(r"redis\.p?call\('(\w+)'", (folder / "record.lua").read_text()))
    tried = set(re.findall(r"may\('(\w+)'", SCRIPT.read_text()))
    assert tried == called | {"LRANGE"}


def test_a_running_lock_is_left_alone(server: Server) -> None:
    """Its record is what it was, byte for byte, and another prefix's user can be tried."""
    cronlock("run", *urls(server), "--key", "k", "--schedule", "none", "true")
    before = {name: server.redis.dump(name) for name in server.redis.scan_iter()}
    assert before
    check(*urls(server))
    check(*urls(server), "--prefix", "other")
    assert {name: server.redis.dump(name) for name in server.redis.scan_iter()} == before


# Placement


def master(port: int, *slots: range, replicas: tuple[str, ...] = ()) -> Master:
    return Master(Address("h", port), list(slots), list(replicas))


def test_a_cluster_of_three_loses_no_quorum_with_any_of_them(cluster: Cluster) -> None:
    """Each with its share and its replica; and nothing else is yellow but that the tests' servers keep nothing."""
    findings = check("--redis", cluster.urls[0])
    placed = [finding for finding in findings if finding["section"] == "placement"]
    assert sorted(finding["about"] for finding in placed) == sorted(map(label, cluster.masters()))
    for finding in placed:
        assert finding["level"] == GREEN
        pattern = r"33 % of the slots, replica 127\.0\.0\.1:\d+; its loss costs no key its quorum"
        assert re.fullmatch(pattern, finding["text"])
    assert {finding["level"] for finding in findings} == {GREEN, YELLOW}
    assert all("append-only" in finding["text"] for finding in findings if finding["level"] == YELLOW)


def test_the_cost_of_a_loss_is_shown_for_a_lopsided_cluster(fresh_cluster: Callable[..., Cluster]) -> None:
    """Two masters without replicas: each loss costs some keys, those that are known are named; and takes the other."""
    two = fresh_cluster(masters=2, replicas=0)
    for number in range(9):
        cronlock("run", "--redis", two.urls[0], "--key", f"key-{number}", "--schedule", "none", "true")
    findings = check("--redis", two.urls[1])
    costs = [finding for finding in findings if finding["section"] == "placement"]
    named: list[str] = []
    for finding in costs:
        assert finding["level"] == YELLOW
        pattern = r"50 % of the slots, no replica; its loss costs \d+ % of all possible keys their quorum, (.*)"
        [known] = re.findall(pattern, finding["text"])
        named += re.findall(r"(\d) of the 9 known ones", known)
    assert sum(map(int, named)) == 9, "seven copies on two masters: always a quorum on one of them"
    [coverage] = [finding for finding in findings if finding["about"] == "cluster"]
    assert "cluster-require-full-coverage is yes: the death of one such master stops all masters" in coverage["text"]
    two.nodes[0].ask("CLUSTER", "DELSLOTS", 5)
    uncovered = check("--redis", two.urls[0])
    assert any("CLUSTERDOWN" in finding["text"] for finding in uncovered if finding["level"] == RED)
    assert next(f["text"] for f in uncovered if f["about"] == "slots").startswith("1 of 16384 slots")


def test_full_coverage_that_cannot_be_read_is_yellow(fresh_cluster: Callable[..., Cluster]) -> None:
    """Only where it matters: a master without a replica; the right that would tell is named."""
    bare = fresh_cluster(masters=3, replicas=0)
    for node in bare.nodes:
        node.ask("ACL", "SETUSER", "cronlock", "on", ">secret", *rights(), *PEOPLE, "+asking")
    findings = check("--redis", bare.urls[0].replace("://", "://cronlock:secret@"))
    [coverage] = [finding for finding in findings if finding["about"] == "cluster"]
    assert coverage["todo"] == "ACL SETUSER cronlock +config|get, or give it a replica"
    assert not [finding for finding in findings if "lacks" in finding["text"]]
    for node in bare.nodes:
        node.ask("CONFIG", "SET", "cluster-require-full-coverage", "no")
    assert not [finding for finding in check("--redis", bare.urls[0]) if finding["about"] == "cluster"]


def test_the_cost_of_a_master_is_counted_over_all_slots() -> None:
    """None of a third, all of everything, and half of a half, give or take."""
    third = [range(SLOTS // 3)]
    assert loss_cost(third, ["a", "b"]).percent == 0
    whole = loss_cost([range(SLOTS)], ["a", "b"])
    assert (whole.share, whole.percent, whole.keys) == (100, 100, ["a", "b"])
    halves = loss_cost([range(SLOTS // 2)], []), loss_cost([range(SLOTS // 2, SLOTS)], [])
    assert sum(half.percent for half in halves) == 100


def test_placement_names_some_keys_and_counts_the_rest() -> None:
    [finding] = find_cluster_placement([master(1, range(SLOTS))], ["a", "b", "c", "d", "e"])
    assert finding.text == (
        "100 % of the slots, no replica; its loss costs 100 % of all possible keys their quorum, "
        "5 of the 5 known ones: a, b, c and 2 more"
    )
    [safe] = find_cluster_placement([master(1, range(SLOTS), replicas=("h:2",))], None)
    assert (safe.level, "until a replica takes over" in safe.text) == (YELLOW, True)


@pytest.mark.parametrize(
    ("count", "level", "text"),
    [
        (1, YELLOW, "one server: its loss stops every run"),
        (2, YELLOW, "2 servers: the loss of either stops every run"),
        (3, GREEN, "any 1 of 3 may be lost"),
        (5, GREEN, "any 2 of 5 may be lost"),
    ],
)
def test_so_many_servers_may_be_lost(count: int, level: str, text: str) -> None:
    assert [(finding.level, finding.text) for finding in find_server_placement(count)] == [(level, text)]


# Output


def test_it_prints_a_line_for_each_finding_and_counts_them(server: Server) -> None:
    """In sections; without colours in a pipe; the exit status is that of the worst."""
    server.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    done = cronlock("check", "-v", *urls(server))
    lines = done.stdout.splitlines()
    sections = [line for line in lines if line[:1] != " "][:-1]
    assert [*sections[:2], sections[-1]] == ["voters", "placement", "crontab lines"]
    fault = (
        "maxmemory-policy is allkeys-lru: it may evict a lease: CONFIG SET maxmemory-policy noeviction, and in its file"
    )
    assert f"  red     {label(server)}  {fault}" in lines
    counts = [int(number) for number in re.findall(r"\d+", lines[-1])]
    assert re.fullmatch(r"\d+ green, \d+ yellow, \d+ red", lines[-1])
    assert sum(counts) == sum(line[:1] == " " for line in lines)
    assert done.returncode == 1
    assert "\033" not in done.stdout
    short = cronlock("check", *urls(server)).stdout
    assert "  green" not in short
    assert f"  red     {label(server)}  {fault}" in short.splitlines()
    assert short.splitlines()[-1] == f"{lines[-1]} (-v shows the green ones)"


@pytest.mark.parametrize(
    ("env", "colored"), [({"TERM": "xterm"}, True), ({"TERM": "xterm", "NO_COLOR": "1"}, False), ({}, False)]
)
def test_colours_are_for_terminals(
    server: Server, env: dict[str, str], colored: bool, open_terminal: Callable[..., Terminal]
) -> None:
    """Not for a dumb one, and never against NO_COLOR; nothing is cut off where the terminal is narrow."""
    assignments = [f"{name}={value}" for name, value in env.items()]
    words = ["env", "-u", "CRONLOCK_LOCAL", *assignments, "cronlock", "check", *urls(server, server)]
    terminal = open_terminal("sh", "-c", 'stty cols 40; "$@"; echo the end', "sh", *words)
    seen = terminal.expect("(.*)the end")[1]
    assert ("\033[1;31mred" in seen) == colored
    assert ("\033" in seen) == colored
    assert "the same server twice: name each server once " in " ".join(seen.split()) + " "


def test_json_has_all_fields(server: Server) -> None:
    done = cronlock("check", *urls(server), "--format", "json")
    told = json.loads(done.stdout)
    assert (told["schema"], told["worst"]) == (
        1,
        max(told["findings"], key=lambda f: "gyr".index(f["level"][0]))["level"],
    )
    assert all(list(f) == ["section", "level", "about", "text", "todo"] for f in told["findings"])
    assert all(bool(finding["todo"]) for finding in told["findings"] if finding["section"] != "crontab lines") is False
    assert done.stdout.count("\n") == 1


# Servers with strange answers


@contextmanager
def stranger(answer: bytes) -> Iterator[str]:
    """The URL of a server that answers everything with this."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=talk, args=[connection], daemon=True).start()

        def talk(connection: socket.socket) -> None:
            with connection:
                try:
                    while connection.recv(4096):
                        connection.sendall(answer)
                except OSError:
                    pass

        threading.Thread(target=serve, daemon=True).start()
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"+OK\r\n",
        b":1\r\n",
        b"*0\r\n",
        b"*1\r\n*1\r\n:5\r\n",
        b"$-1\r\n",
        b"-ERR unknown command\r\n",
        b"-ERR This instance has cluster support disabled\r\n",
        b"-NOPERM you may not\r\n",
        b"-LOADING Redis is loading the dataset in memory\r\n",
        b"-ERR \033[31m evil \r\n",
        b"\xff\xfe\0",
    ],
)
def test_whatever_answers_is_no_traceback(server: Server, answer: bytes) -> None:
    """One that is no Redis, or that forbids all it is asked: findings, and the others are looked at."""
    with stranger(answer) as url:
        findings = check("--redis", url, *urls(server))
        about = url.removeprefix("redis://")
        assert any(f["level"] == RED for f in findings if f["about"] == about), findings
        assert of(findings, server, GREEN)
        plain = cronlock("check", "--redis", url, *urls(server))
        assert "Traceback" not in plain.stderr
        assert "\033" not in plain.stdout


def test_a_lone_server_has_to_write_at_once(fresh_servers: Callable[..., list[Server]]) -> None:
    """With three servers, another one still has the lost data."""
    servers = fresh_servers(3, appendonly="yes", appendfsync="everysec")
    said = "appendfsync is everysec: a power failure loses the newest runs"
    assert said in cronlock("check", "--redis", servers[0].url).stdout
    assert said not in cronlock("check", *at(*servers)).stdout
    servers[0].ask("CONFIG", "SET", "appendfsync", "always")
    assert said not in cronlock("check", "--redis", servers[0].url).stdout
