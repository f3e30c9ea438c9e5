"""cronlock status: the table of keys, JSON, Prometheus metrics, and one key voter by voter."""

import json
import re
import subprocess
import time
from collections.abc import Callable
from datetime import datetime
from subprocess import CompletedProcess
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from cronlock.lock.copy import Copy
from cronlock.lock.local import OPERATIONS
from cronlock.output.times import tick_clock
from cronlock.survey.key_status import DIED, IDLE, NEW, RUNNING, UNCERTAIN, KeyStatus
from cronlock.survey.report import key_status
from cronlock.survey.snapshot import Snapshot
from tests.support.clusters import Cluster
from tests.support.commands import cronlock, cronlock_on_path, environment, wait_until
from tests.support.operator import DAY, NEXT, PLAIN, TICK, Place, at, operate, run, running
from tests.support.servers import Server
from tests.support.terminals import Terminal

HOUR = 3_600_000  # ms
ALWAYS = ("--start-within", "9999d")
AT_2 = tick_clock(int(datetime.fromisoformat(f"{DAY}T02:00Z").timestamp()))  # as tables show it


def keys_as_json(place: Place, *words: str) -> list[dict[str, Any]]:
    """Return the keys of status --format json."""
    done = operate(place, "status", *words, "--format", "json")
    assert done.stderr == ""
    return list(json.loads(done.stdout)["keys"])


def one(place: Place, *words: str) -> dict[str, Any]:
    [found] = keys_as_json(place, *words)
    return found


def samples(place: Place) -> dict[tuple[str, ...], float]:
    """Return the metrics, by name and label values."""
    done = operate(place, "status", "--format", "prometheus")
    assert (done.returncode, done.stderr) == (0, "")
    families = list(text_string_to_metric_families(done.stdout))
    return {(s.name, *s.labels.values()): s.value for family in families for s in family.samples}


# The table and JSON


def test_an_ended_run_is_shown_with_node_tick_status_and_duration(place: Place) -> None:
    run(place, *TICK, "--node", "web-1", "--", "sh", "-c", "sleep 0.1; exit 3")
    found = one(place)
    assert (found["key"], found["mode"], found["state"], found["node"]) == ("job", "once", "idle", "web-1")
    assert (found["tick"], found["outcome"], found["exit_status"]) == (f"{DAY}T02:00:00Z", "ran", 3)
    assert 0.1 <= found["duration"] < 5
    assert (found["attempt"], found["missed"], found["lease_left"], found["paused"]) == (1, 0, 0, False)
    assert found["command"] == "sh -c 'sleep 0.1; exit 3'"
    [node] = found["nodes"]
    assert (node["node"], node["exit_status"], node["last_success"]) == ("web-1", 3, None)
    assert node["outcomes"] == {"ran": 1}
    table = operate(place, "status").stdout
    assert re.search(rf"^job +idle +web-1 +\S+ +- +{AT_2} +failed 3 ", table, re.MULTILINE), table


def test_an_active_run_is_shown_with_the_time_left_of_its_lease(place: Place) -> None:
    with running(place, *PLAIN, "--node", "web-2", "--ttl", "20s") as process:
        found = one(place, "job")
        assert (found["state"], found["node"], found["pid"]) == ("running", "web-2", process.pid)
        assert 10 < found["lease_left"] <= 20
        assert (found["end"], found["outcome"], found["exit_status"]) == (None, None, None)
        assert re.search(r"^job +running +web-2 +\S+ +(20\.0|1\d\.\d)s ", operate(place, "status").stdout, re.MULTILINE)
    assert one(place)["outcome"] == "given back"


def test_each_node_of_each_has_a_row_and_the_pause_of_the_key(place: Place) -> None:
    for node in ("web-1", "web-2"):
        run(place, "--each", "--node", node, *TICK, "--", "true")
    operate(place, "pause", "job", "--reason", "moving \x1b[31mhouse")
    rows = {row["node"]: row for row in keys_as_json(place, "job") if row["mode"] == "each"}
    assert set(rows) == {"web-1", "web-2"}
    assert all(row["paused"] and row["pause_reason"] == "moving \x1b[31mhouse" for row in rows.values())
    assert [node["node"] for node in rows["web-1"]["nodes"]] == ["web-1"]
    table = operate(place, "status").stdout
    assert re.search(r"^job on web-1 .* until resumed +moving \\x1b\[31mhouse$", table, re.MULTILINE)
    assert "\x1b" not in table


def test_nodes_with_other_schedules_or_commands_are_named(place: Place) -> None:
    """The difference counts whether the nodes ran or only asked."""
    plain = ("--tz", "UTC", *ALWAYS)
    run(place, "--schedule", "0 0 * * *", "--node", "web-1", *plain, "--", "true")
    run(place, "--schedule", "0 0 * * *", "--node", "web-2", *plain, "--", "true")
    assert one(place)["problems"] == []
    run(place, "--schedule", "1 0 * * *", "--node", "web-3", *plain, "--", "false")
    [failed, schedules, commands] = one(place)["problems"]
    assert failed.startswith("failed with status 1 on web-3: ")
    assert schedules == "schedules differ: 0 0 * * * UTC on web-1, web-2; 1 0 * * * UTC on web-3"
    assert commands == "commands differ: false on web-3; true on web-1, web-2"
    assert f"job: {schedules}\njob: {commands}\n" in operate(place, "status").stdout


def test_nodes_of_each_are_compared_too(place: Place) -> None:
    """The difference is reported once, not for each node."""
    for node, command in (("web-1", "true"), ("web-2", "true"), ("web-3", "false")):
        run(place, "--each", "--node", node, *TICK, "--", command)
    wrong = [text for row in keys_as_json(place) for text in row["problems"] if "differ" in text]
    assert wrong == ["commands differ: false on web-3; true on web-1, web-2"]


def test_no_keys_are_not_an_error_and_an_unknown_key_is_named(place: Place) -> None:
    assert (operate(place, "status").stdout, operate(place, "status").returncode) == ("no keys found\n", 0)
    nothing = operate(place, "status", "job")
    assert (nothing.returncode, nothing.stderr) == (1, "cronlock: job: unknown key\n")
    assert operate(place, "status", "--format", "prometheus").returncode == 0


def test_names_from_other_nodes_are_escaped(place: Place) -> None:
    """Nodes, commands and keys with control characters must not reach a terminal unescaped."""
    run(place, *TICK, "--node", "größe 1", "--", "printf", "", "\x1b[2J\n", key='a"b\\c')
    table = operate(place, "status", 'a"b\\c').stdout
    assert "größe 1" in table
    assert r"\x1b[2J\n" in table
    assert not re.search(r"[^\n -~À-ÿ]", table)
    assert ("cronlock_last_exit_status", 'a"b\\c', "once", "größe 1") in samples(place)


def test_foreign_values_in_a_record_cause_no_traceback(server: Server) -> None:
    """Fields that are not numbers, times outside every calendar, and other types under the names of records."""
    place = at(server)
    run(place, *TICK, "--node", "n", "--", "true")
    [record], [nodes], [history] = (server.redis.keys(f"*:{part}:job") for part in ("record", "nodes", "history"))
    junk = ["x", "-5", "9" * 30, "1e300", "", "\udcff", "99999999999999999"]
    for number, field in enumerate(server.redis.hkeys(record)):
        server.redis.hset(record, field, junk[number % len(junk)].encode("utf-8", "surrogateescape"))
    server.redis.hset(
        record, mapping={"token": 5, "node": "n", "start": "9" * 18, "run_tick": "9" * 15, "next": "9" * 12}
    )
    server.redis.hset(
        nodes, mapping={"result:n": "1\t" + "9" * 5000, "seen:n": "9" * 15, "job:n": "x", "odd": "y", "ran:": 3}
    )
    server.redis.lpush(history, "\t".join(["9" * 5000] * 9), "5\t" + "9" * 15 + "\t1\tn\t1\t1\t1\tran\t0")
    front = record.partition("record:")[0]
    server.redis.set(f"{front}record:text", "no hash")
    server.redis.hset(f"{front}each:n:", "token", "1")
    for words in (["status"], ["status", "job"], ["status", "--format", "json"], ["history", "job"], ["check"]):
        done = operate(place, *words)
        assert "Traceback" not in done.stderr, words
        assert done.returncode in (0, 1), words
    assert samples(place)


# One key, voter by voter


def test_a_voter_that_missed_a_run_is_marked(servers: list[Server]) -> None:
    """Its copy is shown beside the others with the differing fields marked; the newest run is still reported."""
    place = at(*servers)
    run(place, *TICK, "--", "true")
    servers[2].stop_process()
    run(place, *NEXT, "--", "false")
    servers[2].continue_process()
    found = one(place, "job")
    assert (found["tick"], found["exit_status"]) == (f"{DAY}T03:00:00Z", 1)
    assert {"tick", "token", "status", "run_tick"} <= set(found["differing_fields"])
    assert [copy["record"]["status"] for copy in found["copies"]] == [1, 1, 0]
    shown = operate(place, "status", "job", "--raw").stdout
    assert re.search(r"^status +1 +1 +0 +differs$", shown, re.MULTILINE)
    assert re.search(r"^pid +\d+ +\d+ +\d+ +differs$", shown, re.MULTILINE)
    assert re.search(r"^voter_set_by +(\S+) +\1 +\1$", shown, re.MULTILINE)
    answer = operate(place, "status", "job").stdout
    assert re.search(r"they differ in .*, status, .*: the next run repairs that", answer)
    assert re.search(r"^status +1 +1 +0 +differs$", answer, re.MULTILINE)
    assert "voter_set_by" not in answer


def test_the_seven_copies_of_a_cluster_agree_after_a_run(cluster: Cluster) -> None:
    place = ("--redis", cluster.urls[1])
    run(place, *TICK, "--", "true")
    run(place, "--each", "--node", "n1", *TICK, "--", "true")
    once, each = keys_as_json(place, "job")
    for found in (once, each):
        assert (found["voters"], found["voters_answered"], len(found["copies"])) == (7, 7, 7)
        assert found["differing_fields"] == []


def test_a_dead_voter_is_named_and_the_others_are_read(servers: list[Server]) -> None:
    place = at(*servers)
    run(place, *TICK, "--", "true")
    servers[0].kill()
    for words in ((), ("job",)):
        done = operate(place, "status", *words)
        assert done.returncode == 0
        assert re.fullmatch(rf"cronlock: unreachable: 127.0.0.1:{servers[0].port}: .*refused.*\n", done.stderr)
        assert AT_2 in done.stdout
    servers[1].kill()
    gone = operate(place, "status")
    assert (gone.returncode, gone.stdout) == (122, "")
    assert gone.stderr.startswith("cronlock: unreachable: 127.0.0.1:")


def test_a_wrong_password_is_reported_as_such(server: Server) -> None:
    done = operate(("--redis", f"redis://cronlock:wrong-secret@127.0.0.1:{server.port}"), "status")
    assert done.returncode == 125
    assert done.stderr.startswith(f"cronlock: refused: 127.0.0.1:{server.port}: ")
    assert "wrong-secret" not in done.stderr


# When something is missing


def test_a_refused_read_is_not_taken_for_an_empty_answer(fresh_servers: Callable[..., list[Server]]) -> None:
    """Without the permission to read names, the clock or a record, status refuses and prints no empty table."""
    [server] = fresh_servers(1)
    run(at(server), *TICK, "--", "true")
    login = ("--redis", f"redis://cronlock:secret@127.0.0.1:{server.port}")
    for rights in (["+@all"], ["~*", "+@all", "-time"], ["~*", "+@all", "-hgetall"], ["~*", "+@all", "-hmget"]):
        server.ask("ACL", "SETUSER", "cronlock", "reset", "on", ">secret", *rights)
        done = operate(login, "status")
        assert (done.returncode, done.stdout) == (125, ""), rights
        assert re.fullmatch(r"cronlock: refused: 127.0.0.1:\d+: .*permissions.*\n", done.stderr)
        assert "Traceback" not in cronlock("check", *login).stderr


def test_a_cluster_that_is_down_is_unreachable(fresh_cluster: Callable[..., Cluster]) -> None:
    """status prints no empty list of metrics, which would replace good ones."""
    cluster = fresh_cluster(masters=3, replicas=0)
    place = ("--redis", cluster.urls[0])
    run(place, *TICK, "--", "true")
    cluster.nodes[2].kill()
    wait_until(lambda: operate(place, "status").returncode == 122, 20, "the cluster to be down")
    for words in (["--format", "prometheus"], ["job"]):
        done = operate(place, "status", *words)
        assert (done.returncode, done.stdout) == (122, ""), words


def test_the_next_voter_is_read_when_one_fails_meanwhile(fresh_servers: Callable[..., list[Server]]) -> None:
    """The heads are read from all voters, a whole record from one; if that voter fails, the next one is read."""
    servers = fresh_servers(3)
    place = at(*servers)
    run(place, *TICK, "--node", "web-1", "--", "true")
    servers[0].ask("ACL", "SETUSER", "default", "-hgetall")
    done = operate(place, "status")
    assert done.returncode == 0
    assert re.search(rf"^job +idle +web-1 .*{AT_2} +ok", done.stdout, re.MULTILINE)
    assert done.stderr.startswith(f"cronlock: unreachable: 127.0.0.1:{servers[0].port}: ")


def test_fewer_copies_than_a_quorum_are_not_judged_while_voters_are_missing() -> None:
    """The voters that know the end of the run may be among the missing."""
    recorded = RecordedRuns()
    recorded.run(5, TICK_0)
    seen = Snapshot.of_file("a", recorded.copy)
    seen.now = seen.time = recorded.now + 61_000
    assert key_status(("job", ""), [seen], 7).state == DIED
    unsure = key_status(("job", ""), [seen], 7, sure=False)
    assert (unsure.state, unsure.problems) == (UNCERTAIN, [])


def test_a_pause_and_counts_are_those_of_a_quorum(servers: list[Server]) -> None:
    """One voter that missed a resume does not pause the key; one that missed an end does not count a death."""
    place = at(*servers)
    run(place, *TICK, "--node", "web-1", "--", "true")
    operate(place, "pause", "job")
    servers[2].stop_process()
    operate(place, "resume", "job")
    servers[2].continue_process()
    assert one(place)["paused"] is False
    assert "until resumed" not in operate(place, "status").stdout
    nodes = servers[1].redis.keys("*:nodes:job")[0]
    servers[1].redis.hset(nodes, mapping={"died:web-1": 1, "ran:web-1": 0})
    assert one(place)["nodes"][0]["outcomes"] == {"ran": 1}


def test_a_pause_that_never_ends_is_shown(place: Place) -> None:
    operate(place, "pause", "job", "--for", "999999999d")
    assert one(place)["paused"] is True


def test_a_server_that_is_named_twice_is_refused(server: Server) -> None:
    done = operate((*at(server), *at(server)), "status")
    assert done.returncode == 125
    assert "the same server twice" in done.stderr


# For Prometheus


def test_metrics_show_runs_and_outcomes_by_key_and_node(place: Place) -> None:
    """Prometheus's own parser reads the metrics."""
    before = time.time()
    run(place, *TICK, "--node", "web-1", "--", "true")
    run(place, *TICK, "--node", "web-2", "--", "true")
    run(place, *NEXT, "--node", "web-1", "--", "sh", "-c", "sleep 0.1; exit 4")
    with running(place, "--each", "--node", "web-3", *PLAIN, "--ttl", "30s"):
        found = samples(place)
    operate(place, "pause", "job")
    run(place, *NEXT, "--again", "--node", "web-2", "--", "true")

    def value(name: str, *labels: str) -> float:
        return found[f"cronlock_{name}", "job", *labels]

    assert before <= value("last_success_timestamp_seconds", "once", "web-1") <= time.time()
    assert before <= value("last_run_timestamp_seconds", "once", "web-1") <= time.time()
    assert value("last_duration_seconds", "once", "web-1") >= 0.1
    assert value("last_exit_status", "once", "web-1") == 4
    assert value("attempts_total", "once", "web-1", "ran") == 2
    assert value("attempts_total", "once", "web-2", "done") == 1
    assert value("missed_ticks_total", "once") == 0
    assert value("lease_left_seconds", "once", "web-1") == 0
    assert 20 < value("lease_left_seconds", "each", "web-3") <= 30
    assert value("paused", "once") == 0
    found = samples(place)
    assert value("paused", "once") == value("paused", "each", "web-3") == 1
    assert value("attempts_total", "once", "web-2", "paused") == 1
    assert value("attempts_total", "each", "web-3", "given back") == 1


def test_each_metric_has_help_and_a_type(server: Server) -> None:
    text = operate(at(server), "status", "--format", "prometheus").stdout
    helped, typed = (
        re.findall(r"^# HELP (\S+) .+$", text, re.M),
        re.findall(r"^# TYPE (\S+) (?:gauge|counter)$", text, re.M),
    )
    assert helped == typed
    assert len(set(helped)) == len(helped) > 8


def test_a_tick_that_may_still_run_does_not_count_as_missed(server: Server) -> None:
    """A counter must not fall when the waiting run gets its tick after all."""
    place = at(server)
    run(place, *TICK, "--", "true")
    [name] = server.redis.keys("*:record:job")
    tick = int(server.redis.hget(name, "tick"))
    server.redis.hset(name, mapping={"missed": 3, "missed_tick": tick + 3600})
    assert samples(place)["cronlock_missed_ticks_total", "job", "once"] == 2
    assert one(place)["missed"] == 3


# Many keys


def test_many_keys_cost_a_few_round_trips(cluster: Cluster) -> None:
    """SCAN returns a thousand names at a time; status reads the head of each copy, and one whole copy of each key."""
    keys = 50
    for number in range(keys):
        record = cluster_copies(f"key-{number}")
        for name in record:
            cluster.master_of(cluster.slot_of(name)).redis.hset(
                name, mapping={"token": 1, "node": "n", "outcome": "ran"}
            )
    for master in cluster.masters():
        master.ask("CONFIG", "RESETSTAT")
    done = operate(("--redis", cluster.urls[0]), "status")
    assert len(done.stdout.splitlines()) == keys + 1
    calls: dict[str, int] = {}
    for master in cluster.masters():
        for name, stat in master.redis.info("commandstats").items():
            calls[name] = calls.get(name, 0) + stat["calls"]
    assert calls["cmdstat_scan"] == len(cluster.masters())
    assert calls["cmdstat_hmget"] == 7 * keys
    assert calls["cmdstat_hgetall"] == 2 * keys
    assert "cmdstat_evalsha" not in calls


def cluster_copies(key: str) -> list[str]:
    from cronlock.servers.placement import copies

    return [names.keys[0].decode() for names in copies("cronlock", key)]


def test_a_servers_clock_is_read_after_its_copies(server: Server) -> None:
    """A lease longer than possible counts as expired, and a lease may be extended while names are scanned."""
    run(at(server), *TICK, "--", "true")
    server.ask("CONFIG", "SET", "slowlog-log-slower-than", "0")
    server.ask("SLOWLOG", "RESET")
    one(at(server))
    slow = [entry["command"].decode("latin-1").split()[0] for entry in reversed(server.redis.slowlog_get(100))]
    assert [name for name in slow if name in ("SCAN", "HGETALL", "TIME")] == ["SCAN", "HGETALL", "TIME", "HGETALL"]


# The state of a key, in simulated time


class RecordedRuns:
    """One voter's record, built from operations; `now` is the voter's clock in ms."""

    def __init__(self, now: int = 1_800_000_000_000) -> None:
        self.copy, self.now = Copy(), now

    def run(self, token: int, tick: int, schedule: str = "0 * * * *", period: int = 3600, **end: Any) -> None:
        ask = {"holder": "h", "node": "web-1", "token": token, "tick": tick, "run_tick": tick, "state": "running"}
        ask |= {"attempt": 1, "run_attempt": 1, "voter_set": "1 1", "pid": 7, "start": self.now, "command": "true"}
        ask |= {"schedule": schedule, "zone": "UTC", "next": tick + period, "retention": HOUR, "lease": 60_000}
        self.copy.record.update(holder="h", kind="prepare", lease_end=self.now + 1)
        assert OPERATIONS["commit"](self.copy, ask | {"not_after": self.now}, self.now, self.now, "")["answer"] == "ok"
        if end:
            done = ask | {"state": "done", "outcome": "ran", "status": 0, "end": self.now} | end
            assert OPERATIONS["finish"](self.copy, done, self.now, self.now, "")["answer"] == "ok"

    def status(self, later: int = 0) -> KeyStatus:
        seen = Snapshot.of_file("file", self.copy)
        seen.now = seen.time = self.now + later
        return key_status(("job", ""), [seen], 1)


TICK_0 = 1_800_000_000 // 3600 * 3600


def test_a_run_whose_lease_expired_without_an_end_never_ended() -> None:
    recorded = RecordedRuns()
    recorded.run(5, TICK_0)
    assert (recorded.status().state, recorded.status().problems) == (RUNNING, [])
    died = recorded.status(later=61_000)
    assert died.state == DIED
    assert [text.partition(":")[0] for text in died.problems] == ["the run on web-1 never ended"]
    assert (recorded.status(later=61_000).duration_ms, recorded.status(later=5_000).duration_ms) == (None, 5_000)


@pytest.mark.parametrize(("hours", "wrong"), [(0, False), (1, False), (2, False), (3, True), (100, True)])
def test_three_ticks_without_a_run_are_a_problem(hours: int, wrong: bool) -> None:
    """Fewer ticks may be an outage; a schedule with long gaps has fewer ticks."""
    recorded = RecordedRuns(TICK_0 * 1000)
    recorded.run(5, TICK_0, end=TICK_0 * 1000)
    found = recorded.status(hours * HOUR + 1000)
    assert (found.state, bool(found.problems)) == (IDLE, wrong)
    assert found.next == TICK_0 + (hours + 1) * 3600
    rare = RecordedRuns(TICK_0 * 1000)
    rare.run(5, TICK_0, "0 0 1 1 *", end=TICK_0 * 1000)
    assert not rare.status(hours * HOUR).problems


@pytest.mark.parametrize(("seconds", "wrong"), [(0, False), (44, False), (179, False), (180, True), (999, True)])
def test_an_interval_may_be_shorter_than_a_minute(seconds: int, wrong: bool) -> None:
    """The next tick is the next one after now. A cron that starts cronlock each minute leaves some ticks out."""
    tick = 1_800_000_000 // 45 * 45
    recorded = RecordedRuns(tick * 1000)
    recorded.run(5, tick, "@every 45s", period=45, end=tick * 1000)
    found = recorded.status(seconds * 1000)
    assert (found.next, bool(found.problems)) == (tick + (seconds // 45 + 1) * 45, wrong)


def test_the_ticks_of_a_long_run_are_not_a_problem_once_it_has_ended() -> None:
    """They are counted as missed; three more ticks without a run are one again."""
    recorded = RecordedRuns(TICK_0 * 1000)
    recorded.run(5, TICK_0, end=TICK_0 * 1000 + 5 * HOUR + 60_000)
    assert recorded.status(5 * HOUR + 120_000).problems == []
    assert recorded.status(7 * HOUR + 120_000).problems == []
    assert recorded.status(8 * HOUR + 120_000).problems != []


def test_a_key_that_no_node_asks_for_may_have_left_the_crontab() -> None:
    """Then forget is named; if nodes ask, their logs are."""
    recorded = RecordedRuns(TICK_0 * 1000)
    recorded.run(5, TICK_0, end=TICK_0 * 1000)
    [text] = recorded.status(4 * HOUR).problems
    assert text == (
        "no run after 3 more ticks: check that cron runs there; if the line was taken out of the crontab: "
        "cronlock forget job"
    )
    recorded.copy.nodes["seen:web-1"] = TICK_0 + 4 * 3600
    [text] = recorded.status(4 * HOUR).problems
    assert text == "no run after 3 more ticks, but nodes asked for them: read what cronlock logged there"


def test_a_run_of_three_ticks_is_a_problem_but_not_while_paused() -> None:
    recorded = RecordedRuns(TICK_0 * 1000)
    recorded.run(5, TICK_0)
    recorded.copy.record["lease_end"] = recorded.now + 3 * HOUR + 20_000
    [text] = recorded.status(3 * HOUR + 10_000).problems
    assert text.startswith("still runs after 3 more ticks")
    recorded.copy.record["paused_until"] = -1
    assert recorded.status(3 * HOUR + 10_000).problems == []


def test_a_schedule_that_this_machine_does_not_understand_is_not_a_problem() -> None:
    recorded = RecordedRuns(TICK_0 * 1000)
    recorded.run(5, TICK_0, "0 * * * * of another cron", end=TICK_0 * 1000)
    found = recorded.status(100 * HOUR)
    assert (found.next, found.problems) == (0, [])


def test_a_copy_that_was_only_prepared_is_new() -> None:
    recorded = RecordedRuns()
    recorded.copy.record.update(holder="h", kind="prepare", lease_end=recorded.now + 2_000)
    assert recorded.status().state == NEW


def test_an_end_that_one_voter_has_recorded_counts() -> None:
    recorded, other = RecordedRuns(), RecordedRuns()
    recorded.run(5, TICK_0)
    other.run(5, TICK_0, end=other.now + 5, status=2)
    seen = [Snapshot.of_file("a", recorded.copy), Snapshot.of_file("b", other.copy)]
    for copy in seen:
        copy.now = copy.time = recorded.now
    found = key_status(("job", ""), seen, 2)
    assert (found.state, found.status, found.duration_ms) == (IDLE, 2, 5)


# Colours


def test_problems_are_red_on_a_terminal_only(servers: list[Server], open_terminal: Callable[..., Terminal]) -> None:
    """NO_COLOR turns the colour off; the words stay the same."""
    place = at(*servers)
    for node, command in (("web-1", "true"), ("web-2", "false")):
        run(place, *TICK, "--node", node, "--", command)
    plain = operate(place, "status").stdout
    assert "commands differ: " in plain
    assert "\x1b" not in plain
    line = f"cronlock status {' '.join(place)}"
    terminal = open_terminal(
        "sh", "-c", f"TERM=xterm {line}; echo THAT-WAS-IT; NO_COLOR=1 TERM=xterm {line} 2>&1; echo OVER; cat"
    )
    colored = terminal.expect(r"(.*?)THAT-WAS-IT")[1]
    assert "\x1b[31mjob: commands differ: " in colored, ascii(colored[-600:])
    assert re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", colored).replace("\r", "").strip().endswith(plain.strip())
    without = terminal.expect(r"(.*?)OVER")[1]
    assert not re.search(r"\x1b\[\d*(;\d+)*m", without)


# Standard output and standard error


def typed(server: Server, line: str) -> CompletedProcess[str]:
    """Run a line of a shell, with the voters in the environment."""
    env = environment({"PATH": cronlock_on_path(), "CRONLOCK_REDIS": server.url})
    return subprocess.run(["/bin/sh", "-c", line], env=env, capture_output=True, text=True, timeout=30, check=False)


@pytest.mark.parametrize(
    "command",
    [
        "status",
        "status job",
        "history job",
        "check",
        "status --format json",
        "run --dry-run --key job --schedule none -- größe",
    ],
)
def test_output_that_cannot_be_written_is_one_line(server: Server, command: str) -> None:
    """A closed output and a full disk are errors; a reader that stops reading is not."""
    run(at(server), *TICK, "--node", "größe", "--", "true")
    full = typed(server, f"cronlock {command} >/dev/full")
    assert full.returncode == 125
    assert (
        full.stderr.replace("cronlock: job:", "cronlock:")
        == "cronlock: refused: can't write to standard output: No space left on device\n"
    )
    assert "Traceback" not in typed(server, f"cronlock {command} >&-").stderr
    assert typed(server, f"(cronlock {command}; echo >&2) | true").stderr == "\n"
    assert "Traceback" not in typed(server, f"PYTHONIOENCODING=ascii cronlock {command}").stderr


def test_the_progress_bar_is_for_terminals_only(server: Server) -> None:
    done = typed(server, "FORCE_COLOR=1 TTY_COMPATIBLE=1 cronlock status --format json")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_fields_name_is_escaped_too(server: Server) -> None:
    run(at(server), *TICK, "--", "true")
    server.redis.hset(server.redis.keys("*:record:job")[0], "\x1b[31mred", "x")
    assert "\x1b" not in operate(at(server), "status", "job", "--raw").stdout
