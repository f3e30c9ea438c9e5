"""`cronlock adopt`: an operator decides that what the voters answer now is the truth."""

import json
import re
import time

from tests.support.commands import cronlock, home, start_cronlock, wait_until
from tests.support.processes import kill_all

TICK = ("--tick", "2026-11-20T02:00Z")
NEXT = ("--tick", "2026-11-20T03:00Z")
LEFT_ALONE = "node pid start end tick attempt outcome exit_status command schedule zone nodes problems".split()
OF_RUNS = re.compile(r"^cronlock_(?:last_run|last_dur|last_exit|last_tick|next_tick|problems).*", re.MULTILINE)


def where(servers):
    return [word for server in servers for word in ("--redis", server.url)]


def run(servers, *words):
    return cronlock("run", *where(servers), "--key", "job", "--outage-wait", "0", *words, forked=True)


def test_from_one_server_to_three_without_running_a_tick_twice(servers):
    """Other settings are refused until adopted; what the old server knew of ticks goes along."""
    assert run(servers[:1], *TICK, "--", "echo", "ran").stdout == "ran\n"
    refused = run(servers, *NEXT, "--", "echo", "ran")
    assert refused.returncode == 125
    assert f"cronlock adopt {' '.join(where(servers))} job" in refused.stderr
    adopted = cronlock("adopt", *where(servers), "--yes", "job")
    assert (adopted.returncode, adopted.stderr) == (0, "")
    assert adopted.stdout.splitlines()[-1] == "job: adopted"
    assert run(servers, *TICK, "--", "echo", "again").stdout == ""
    assert run(servers, *NEXT, "--", "echo", "next").stdout == "next\n"
    assert run(servers[:1], *NEXT, "--", "echo", "old").returncode == 125


def test_a_new_key_without_all_voters_can_be_adopted(fresh_servers):
    """Two of three answer: their word is taken, and the first tick runs."""
    servers = fresh_servers(3)
    servers[0].kill()
    assert run(servers, *TICK, "--", "echo", "ran").returncode == 122
    refused = cronlock("adopt", *where(servers), "--yes", "job")
    assert refused.returncode == 122
    assert "all 3 voters have to answer: bring them back, or pass --leave-out" in refused.stderr
    adopted = cronlock("adopt", *where(servers), "--yes", "--leave-out", "job")
    assert adopted.returncode == 0
    assert "left out: " in adopted.stdout
    assert (
        adopted.stdout.splitlines()[-1]
        == "job: adopted without 1 of 3 voters: run the command again when they are back"
    )
    assert adopted.stdout.count("no record") == 2
    assert run(servers, *TICK, "--", "echo", "ran").stdout == "ran\n"


def test_nothing_is_adopted_under_a_live_lease(servers):
    """The run goes on, and nobody is told that it may start beside it."""
    start_cronlock("run", *where(servers), "--key", "job", *TICK, "--", "sh", "-c", "touch ready; sleep 60")
    wait_until((home() / "ready").exists, message="the command")
    servers[2].redis.flushall()
    done = cronlock("adopt", *where(servers), "--yes", "job")
    assert done.returncode == 125
    assert "held by" in done.stderr


def test_nothing_is_adopted_while_a_node_asks(servers):
    """Its commit may be on its way: one voter that is busy is enough."""
    run(servers, *TICK, "--", "true")
    end = int(time.time() * 1000) + 60_000
    (record,) = [name for name in servers[2].redis.scan_iter() if ":record:" in name]
    servers[1].redis.flushall()
    servers[2].redis.hset(record, mapping={"holder": "h1", "kind": "prepare", "lease_end": end})
    done = cronlock("adopt", *where(servers), "--yes", "job")
    assert done.returncode == 125
    assert done.stderr.startswith("cronlock: job: refused: another node is acquiring the lock: ")
    assert servers[0].redis.hget(record, "node") == servers[2].redis.hget(record, "node")
    servers[2].redis.hset(record, "lease_end", 0)
    assert cronlock("adopt", *where(servers), "--yes", "job").returncode == 0


def test_a_no_changes_nothing(servers):
    """The question comes after what the voters have was shown; nothing is left behind by asking."""
    run(servers[:1], *TICK, "--", "true")
    done = cronlock("adopt", *where(servers), "job", input="n\n")
    assert done.returncode == 1
    assert "with a single server" in done.stdout
    assert run(servers, *NEXT, "--", "true").returncode == 125
    assert run(servers[:1], *NEXT, "--", "echo", "ran").stdout == "ran\n"


def test_without_a_quorum_nothing_is_adopted(fresh_servers):
    """One of three is no majority to speak for all."""
    servers = fresh_servers(3)
    for server in servers[1:]:
        server.kill()
    done = cronlock("adopt", *where(servers), "--yes", "job")
    assert done.returncode == 122
    assert "connection refused" in done.stderr


def test_wrong_words_get_one_line_and_125():
    """As everywhere."""
    for words in (("adopt",), ("adopt", "a{b"), ("adopt", "--kee", "x"), ("adopt", "job")):
        done = cronlock(*words)
        assert done.returncode == 125, words
        assert len(done.stderr.splitlines()) == 1


def run_by_schedule(servers, *words):
    return run(servers, "--schedule", "* * * * *", "--node", "web-1", *words)


def status_of(servers):
    told = json.loads(cronlock("status", *where(servers), "job", "--format", "json").stdout)["keys"][0]
    for node in told["nodes"]:
        del node["outcomes"]  # a new voter knows of no older ones
    return {name: told[name] for name in LEFT_ALONE}, told


def test_the_last_run_is_shown_after_an_adoption_as_before_it(servers):
    """Whoever adopts: a key that stops running later is still found, and no node's memory has changed."""
    assert run_by_schedule(servers[:1], "--", "sh", "-c", "exit 3").returncode == 3
    before, _ = status_of(servers[:1])
    history = cronlock("history", *where(servers[:1]), "job").stdout
    series = OF_RUNS.findall(cronlock("status", *where(servers[:1]), "--format", "prometheus").stdout)
    assert len(series) == 6
    for node in ("web-1", "web-2"):
        adopted = cronlock("adopt", *where(servers), "--node", node, "--yes", "job")
        assert adopted.stdout.splitlines()[-1] == "job: adopted"
        assert status_of(servers)[0] == before
        assert status_of(servers)[1]["differing_fields"] == []
        assert cronlock("history", *where(servers), "job").stdout == history
        assert OF_RUNS.findall(cronlock("status", *where(servers), "--format", "prometheus").stdout) == series
        servers[2].redis.flushall()
    for server in servers[:2]:
        (name,) = [name for name in server.redis.scan_iter() if ":record:" in name]
        server.redis.hincrby(name, "run_tick", -600)
        server.redis.hincrby(name, "end", -600_000)
    assert "no run after 3 more ticks" in cronlock("status", *where(servers)).stdout


def test_a_run_that_died_stays_one_and_its_attempt_used(servers):
    """Its state is as it was: a retry may come, and no other run."""
    process = start_cronlock("run", *where(servers[:1]), "--key", "job", *TICK, "--", "sh", "-c", "touch up; sleep 60")
    wait_until((home() / "up").exists, message="the command")
    kill_all(process)
    (name,) = [name for name in servers[0].redis.scan_iter() if ":record:" in name]
    servers[0].redis.hset(name, "lease_end", 1)
    assert cronlock("adopt", *where(servers), "--yes", "job").returncode == 0
    told = status_of(servers)[1]
    assert (told["state"], told["tick"], told["attempt"]) == ("died", "2026-11-20T02:00:00Z", 1)
    assert [server.redis.hmget(name, "state", "attempt") for server in servers] == [["running", "1"]] * 3
    runs = json.loads(cronlock("history", *where(servers), "job", "--format", "json").stdout)["keys"][0]["runs"]
    assert [one["outcome"] for one in runs] == ["died"]
    assert run(servers, *TICK, "--", "echo", "again").stdout == ""
    assert run(servers, *TICK, "--failover", "--", "echo", "again").stdout == "again\n"


def test_who_only_looks_whether_there_is_something_to_adopt_is_no_node_of_the_key(servers):
    """It asked for no tick."""
    run_by_schedule(servers, "--", "true")
    assert "nothing to adopt" in cronlock("adopt", *where(servers), "--node", "desk", "job").stdout
    assert [node["node"] for node in status_of(servers)[1]["nodes"]] == ["web-1"]


def test_a_voter_that_may_be_old_is_told_as_one(servers):
    """Else its line is like the others'."""
    run(servers, *TICK, "--", "true")
    (name,) = [name for name in servers[1].redis.scan_iter() if ":record:" in name]
    servers[1].redis.hset(name, "run_id", "0" * 40)
    lines = cronlock("adopt", *where(servers), "job", input="n\n").stdout.splitlines()
    assert [", may be old: restarted or promoted since" in line for line in lines[:3]] == [False, True, False]
