"""pause, resume, unlock and forget: their effect on the runs that follow."""

import time
from collections.abc import Callable

import pytest

from tests.support.commands import cronlock, home, start_cronlock, wait_until
from tests.support.operator import DAY, NEXT, PLAIN, TICK, Place, at, operate, run, running
from tests.support.processes import kill_all
from tests.support.servers import Server

# pause and resume


def test_a_paused_key_runs_nothing_until_it_is_resumed(place: Place) -> None:
    """The run exits silently with status 0; with -v it reports the reason."""
    run(place, *TICK, "--", "true")
    paused = operate(place, "pause", "job", "--reason", "moving house")
    assert (paused.returncode, paused.stderr) == (0, "")
    assert paused.stdout.startswith("job: paused until resumed")
    done = run(place, "-v", *NEXT, "--", "echo", "ran")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "cronlock: job: paused until resumed: moving house\n"
    quiet = run(place, "-E", "75", *NEXT, "--", "echo", "ran")
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (75, "", "")
    assert operate(place, "resume", "job").stdout.startswith("job: resumed")
    assert run(place, *NEXT, "--", "echo", "ran").stdout == "ran\n"


def test_a_pause_holds_for_the_whole_key_on_every_node(place: Place) -> None:
    """The pause holds for --each and --once, and on a node that never ran the key."""
    each = ("--each", "--node")
    assert run(place, *each, "n1", *TICK, "--", "echo", "ran").stdout == "ran\n"
    operate(place, "pause", "job")
    for node in ("n1", "n2"):
        assert run(place, *each, node, *NEXT, "--", "echo", "ran").stdout == ""
    assert run(place, *NEXT, "--", "echo", "ran").stdout == ""
    operate(place, "resume", "job")
    for node in ("n1", "n2"):
        assert run(place, *each, node, *NEXT, "--", "echo", "ran").stdout == "ran\n"


def test_a_pause_ends_by_itself(place: Place) -> None:
    """--for and --until set the end, which is shown."""
    operate(place, "pause", "job", "--for", "2s")
    assert run(place, *TICK, "--", "echo", "ran").stdout == ""
    wait_until(lambda: run(place, *TICK, "--", "echo", "ran").stdout == "ran\n", message="the end of the pause")
    until = operate(place, "pause", "job", "--until", str(int(time.time()) + 3600))
    assert until.returncode == 0
    assert run(place, "-v", *NEXT, "--", "true").stderr.startswith("cronlock: job: paused until ")


def test_an_active_run_continues_and_is_reported(servers: list[Server]) -> None:
    """The pause stops later runs, also with --again."""
    place = at(*servers)
    with running(place, *TICK, "--node", "web-1") as process:
        paused = operate(place, "pause", "job")
        assert "held by web-1 since " in paused.stdout
        assert paused.stdout.rstrip().endswith("that run continues")
        assert process.poll() is None
    assert run(place, *TICK, "--again", "--", "echo", "ran").stdout == ""


def test_several_keys_and_all_keys(place: Place) -> None:
    """--all covers the keys of --once and --each with any name, but not those of another prefix on the same servers."""
    others = (*place[:-1], place[-1] + "2")  # its prefix begins with this one
    names = ["job", "größe 100%", "a:b:c", "[x]*?"]
    for name in names:
        run(place, *TICK, "--", "true", key=name)
    run(place, "--each", "--node", "n1", *TICK, "--", "true", key="each")
    run(others, *TICK, "--", "true", key="other")
    told = operate(place, "pause", "job", "größe 100%").stdout.splitlines()
    assert [line.partition(": paused")[0] for line in told] == ["job", "größe 100%"]
    told = operate(place, "pause", "--all").stdout.splitlines()
    assert sorted(line.partition(": paused")[0] for line in told) == sorted([*names, "each"])
    assert run(place, *NEXT, "--", "echo", "ran", key="a:b:c").stdout == ""
    assert run(others, *NEXT, "--", "echo", "ran", key="other").stdout == "ran\n"
    assert operate(place, "resume", "--all").returncode == 0
    assert run(place, *NEXT, "--", "echo", "ran", key="a:b:c").stdout == "ran\n"


def test_a_pause_is_complete_only_when_all_voters_have_recorded_it(fresh_servers: Callable[..., list[Server]]) -> None:
    """The message names the missing voter; the operator runs the command again when the voter is back."""
    servers = fresh_servers(3)
    run(at(*servers), *TICK, "--", "true")
    servers[2].kill()
    paused = operate(at(*servers), "pause", "job")
    assert paused.returncode == 122
    missing = f"127.0.0.1:{servers[2].port}: connection refused"
    assert f"paused until resumed at only 2 of 3 voters: {missing}" in paused.stdout
    several = operate(at(*servers), "pause", "job", "other")
    assert several.returncode == 122
    assert [line.partition(":")[0] for line in several.stdout.splitlines()] == ["job", "other"], "each key has its turn"
    servers[2].restart()
    assert operate(at(*servers), "pause", "job").stdout == "job: paused until resumed at all 3 voters\n"
    servers[0].kill()
    servers[1].kill()
    lost = operate(at(*servers), "pause", "job")
    assert (lost.returncode, lost.stdout) == (122, "")
    assert "no quorum of 3 voters" in lost.stderr


def test_a_rare_schedule_is_remembered_through_a_pause(server: Server) -> None:
    """pause and resume do not know the schedule, yet the record is kept for three periods."""
    place = at(server)
    yearly = ("--schedule", "0 0 1 1 *", "--tz", "UTC")
    run(place, *yearly, "--tick", "2026-01-01T00:00Z", "--", "true")
    operate(place, "pause", "job")
    operate(place, "resume", "job")
    left = min(server.redis.pttl(name) for name in server.redis.scan_iter() if ":nodes:" not in name)
    assert left > 3 * 364 * 86_400_000


# unlock


def test_the_lease_of_a_dead_node_is_ended_and_its_attempt_stays_used(place: Place) -> None:
    """unlock shows the holder, and until when its command may still run."""
    with running(place, *TICK, "--node", "web-1") as process:
        kill_all(process)
    unlocked = operate(place, "unlock", "job", input="y\n")
    assert unlocked.returncode == 0
    assert "job: held by web-1 since " in unlocked.stdout
    assert "its command may still run until " in unlocked.stdout
    assert "stays used" in unlocked.stdout
    assert "job: unlocked" in unlocked.stdout
    done = run(place, "-v", *TICK, "--", "echo", "ran")
    assert done.stdout == ""
    assert "done: " in done.stderr
    assert run(place, *NEXT, "--", "echo", "ran").stdout == "ran\n"


def test_waiting_nodes_start_after_an_unlock_without_waiting_for_the_lease(servers: list[Server]) -> None:
    """The waiting nodes are notified; polling would take ten seconds."""
    place = at(*servers)
    with running(place, *PLAIN) as process:
        kill_all(process)
    waiting = start_cronlock("run", *place, "--key", "job", *PLAIN, "--wait", "50s", "--", "echo", "ran")
    wait_until(lambda: _subscribers(servers[0]) == 1, message="who waits to have subscribed")
    begun = time.monotonic()
    operate(place, "unlock", "--yes", "job")
    assert waiting.communicate(timeout=20)[0] == "ran\n"
    assert time.monotonic() - begun < 5


def test_a_living_holder_takes_its_lease_back(servers: list[Server]) -> None:
    """No other run has started, so the run continues."""
    place = at(*servers)
    with running(place, *TICK, "--ttl", "7s") as process:
        operate(place, "unlock", "--yes", "job")
        wait_until(lambda: "not held" not in operate(place, "unlock", "job", input="n\n").stdout)
        assert process.poll() is None


def test_the_answer_no_and_a_key_that_is_not_held_change_nothing(servers: list[Server]) -> None:
    """The answer no exits with 1."""
    place = at(*servers)
    with running(place, *TICK):
        declined = operate(place, "unlock", "job", input="n\n")
        assert declined.returncode == 1
        assert "job: unlocked" not in declined.stdout
        assert "held" in run(place, "-v", *TICK, "--", "true").stderr
    nobody = operate(place, "unlock", "job")
    assert (nobody.returncode, nobody.stdout) == (0, "job: not held\n")


# forget


def test_a_forgotten_key_starts_anew_with_a_token_that_grows(place: Place) -> None:
    """Ticks, counts, history and a pause are erased."""
    first = int(run(place, *TICK, "--", "sh", "-c", "echo $CRONLOCK_RUN_TOKEN").stdout)
    operate(place, "pause", "job")
    forgotten = operate(place, "forget", "job", input="y\n")
    assert forgotten.returncode == 0
    assert f"tick {DAY}T02:00Z, done" in forgotten.stdout
    assert "paused until resumed" in forgotten.stdout
    assert "job: forgotten" in forgotten.stdout
    again = run(place, "-v", *TICK, "--", "sh", "-c", "echo $CRONLOCK_RUN_TOKEN")
    assert int(again.stdout) > first
    assert "never ended" not in again.stderr


def test_each_nodes_record_is_forgotten_by_its_name(place: Place) -> None:
    """Other nodes' records stay."""
    for node in ("n1", "n2"):
        run(place, "--each", "--node", node, *TICK, "--", "true")
    assert operate(place, "forget", "--yes", "--each", "--node", "n1", "job").returncode == 0
    assert run(place, "--each", "--node", "n1", *TICK, "--", "echo", "ran").stdout == "ran\n"
    assert run(place, "--each", "--node", "n2", *TICK, "--", "echo", "ran").stdout == ""


def test_nothing_is_forgotten_under_a_live_lease(place: Place) -> None:
    """Otherwise the tick would run twice."""
    with running(place, *TICK, "--node", "web-1"):
        refused = operate(place, "forget", "--yes", "job")
        assert refused.returncode == 125
        assert refused.stderr.startswith("cronlock: job: refused: held by web-1 since ")
        assert run(place, *TICK, "--", "echo", "ran").stdout == ""


def test_a_voter_that_did_not_forget_is_named(fresh_servers: Callable[..., list[Server]]) -> None:
    """That voter would still answer that the tick is done."""
    servers = fresh_servers(3)
    run(at(*servers), *TICK, "--", "true")
    servers[2].kill()
    forgotten = operate(at(*servers), "forget", "--yes", "job")
    assert forgotten.returncode == 122
    assert "forgotten at only 2 of 3 voters: " in forgotten.stdout


# All of these commands


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("pause",), "no key"),
        (("pause", "--all", "job"), "keys and --all"),
        (("pause", "a{b"), "brace"),
        (("pause", "job", "--for", "1h", "--until", "2030-01-01"), "--for and --until"),
        (("pause", "job", "--for", "0"), "0 has no meaning"),
        (("pause", "job", "--until", "2020-01-01"), "is not in the future"),
        (("pause", "job", "--until", "tomorrow"), "is not a time"),
        (("pause", "job"), "no Redis server is configured"),
        (("pause", "--all"), "no Redis server is configured"),
        (("resume", "--for", "1h", "job"), "No such option"),
        (("unlock",), "no key"),
        (("unlock", "--all"), "No such option"),
        (("forget",), "no key"),
    ],
)
def test_wrong_words_get_one_line_and_125(words: tuple[str, ...], says: str) -> None:
    """As with every command."""
    done = cronlock(*words)
    assert (done.returncode, done.stdout) == (125, "")
    assert len(done.stderr.splitlines()) == 1
    assert says in done.stderr


def test_a_wrong_password_gets_one_line(server: Server) -> None:
    """Waiting would not help, so the command fails at once."""
    server.ask("CONFIG", "SET", "requirepass", "secret")
    try:
        for words in (("pause", "job"), ("pause", "--all"), ("unlock", "job"), ("forget", "--yes", "job")):
            done = cronlock(words[0], "--redis", server.url, *words[1:])
            assert done.returncode == 125, done
            assert len(done.stderr.splitlines()) == 1
            assert "NOAUTH" in done.stderr or "Authentication" in done.stderr
    finally:
        server.redis.execute_command("AUTH", "secret")
        server.redis.config_set("requirepass", "")


def test_names_from_other_nodes_do_not_harm_a_terminal(server: Server) -> None:
    """A reason with control characters is printed escaped."""
    place = at(server)
    operate(place, "pause", "job", "--reason", "a\x1b[2Jb")
    assert "a\\x1b[2Jb" in run(place, "-v", *TICK, "--", "true").stderr
    assert "\x1b" not in operate(place, "forget", "--yes", "job").stdout


def _subscribers(server: Server) -> int:
    return sum(count for _, count in server.redis.pubsub_numsub(*server.redis.pubsub_channels()))


def test_a_question_without_standard_input_is_refused(server: Server) -> None:
    """Without standard input, as in a script, one line says what to pass."""
    place = at(server)
    with running(place, *PLAIN):
        asked = [operate(place, "unlock", "job")]
    asked.append(operate(place, "forget", "job"))
    for done in asked:
        assert done.returncode == 125
        assert done.stderr.endswith("refused: standard input is not interactive: pass --yes\n")


def test_an_unlocked_run_reports_the_unlock_at_its_end(servers: list[Server]) -> None:
    """The key is free, so the message does not speak of a lease that will expire."""
    script = "touch ready; while ! [ -e end ]; do sleep 0.05; done"
    place = at(*servers)
    process = start_cronlock("run", *place, "--key", "job", *PLAIN, "--", "sh", "-c", script)
    wait_until((home() / "ready").exists, message="the command")
    assert operate(place, "unlock", "--yes", "job").returncode == 0
    (home() / "end").touch()
    err = process.communicate(timeout=20)[1]
    assert (process.returncode, err) == (
        0,
        "cronlock: job: ended with status 0, but its lease had been ended by cronlock unlock\n",
    )


def test_pausing_a_key_that_never_ran_is_pointed_out(servers: list[Server]) -> None:
    """The pause may be intended, but more often the key is mistyped."""
    place = at(*servers)
    run(place, *PLAIN, "--", "true", key="report")
    for command, what in (("pause", "paused until resumed"), ("resume", "resumed")):
        assert operate(place, command, "report").stdout == f"report: {what} at all 3 voters\n"
        mistyped = operate(place, command, "repotr").stdout
        assert mistyped == f"repotr: {what} at all 3 voters; no voter has a run of this key\n"
