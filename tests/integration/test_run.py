"""One call of `cronlock run`: what the command gets and what cronlock reports, with real processes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.commands import cronlock, end, environment, home, start_cronlock, wait_until

TICK = ("--tick", "2026-11-20T02:00Z")


@pytest.fixture
def run(server):
    """Call `cronlock run` on one server with one key; `words` add options."""

    def call(*words, **kw):
        return cronlock("run", "--redis", server.url, "--key", "job", *words, **kw)

    return call


@pytest.fixture
def start(server):
    def call(*words, **kw):
        return start_cronlock("run", "--redis", server.url, "--key", "job", *words, **kw)

    return call


def marked(name="ready"):
    """Wait until the command has created its file."""
    wait_until(lambda: Path(home(), name).exists(), message=f"the file {name}")


@pytest.mark.parametrize("status", [0, 1, 2, 75, 121, 125, 126, 127, 128, 143, 255])
def test_the_commands_exit_status_is_passed_on(run, status):
    """cronlock exits with the command's status, whatever it is."""
    assert run("--schedule", "none", "--", "sh", "-c", f"exit {status}").returncode == status


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV, signal.SIGUSR1])
def test_a_command_ended_by_a_signal_gives_128_and_its_number(run, number):
    """As the shell does."""
    done = run("--schedule", "none", "--", "sh", "-c", f"kill -{int(number)} $$")
    assert done.returncode == 128 + number


def test_a_command_that_is_not_there_gives_127_and_a_line(run):
    """The status is 127, and the line names the command."""
    done = run("--schedule", "none", "--", "no-such-program")
    assert (done.returncode, done.stdout) == (127, "")
    assert done.stderr == "cronlock: job: can't start: no-such-program: no such file or directory\n"
    assert run("--schedule", "none", "--", "echo hi | wc").stderr.endswith(
        "directory: cronlock starts no shell: remove the quotes, or write sh -c '...'\n"
    )


def test_a_command_that_is_not_executable_gives_126(run):
    """A file without the right to execute it is 126."""
    Path(home(), "plain").write_text("")
    assert run("--schedule", "none", "--", "./plain").returncode == 126


def test_a_script_without_interpreter_line_runs_under_the_shell(run):
    """As sh, env and flock do."""
    script = Path(home(), "script")
    script.write_text('echo "$1 by script"\n')
    script.chmod(0o755)
    assert run("--schedule", "none", "--", "./script", "one").stdout == "one by script\n"
    folder = home() / "bin"
    folder.mkdir()
    script.rename(folder / "found-on-path")
    path = f"{folder}:{os.environ['PATH']}"
    assert run("--schedule", "none", "--", "found-on-path", "two", env={"PATH": path}).stdout == "two by script\n"


def test_the_command_gets_its_stdin_and_writes_its_own_streams(run):
    """cronlock neither reads stdin nor writes stdout."""
    done = run("--schedule", "none", "--", "sh", "-c", "cat; echo oops >&2", input="line one\nline two")
    assert (done.stdout, done.stderr) == ("line one\nline two", "oops\n")


def test_the_commands_own_options_are_the_commands(run):
    """Options end at the first other word, and a second -- belongs to the command."""
    assert run("--schedule", "none", "printf", "%s.", "--key", "other", "--", "-v").stdout == "--key.other.--.-v."
    assert run("--schedule", "none", "--", "printf", "%s.", "--", "x").stdout == "--.x."


def test_the_command_learns_key_tick_token_node_and_attempt(run):
    """Five variables describe the run to the command."""
    done = run(*TICK, "--node", "web-1", "--", "sh", "-c", "env | grep ^CRONLOCK_ | sort")
    said = dict(line.split("=") for line in done.stdout.splitlines())
    token = int(said.pop("CRONLOCK_RUN_TOKEN"))
    assert abs(token / 1000 - time.time()) < 60
    assert said == {
        "CRONLOCK_RUN_ATTEMPT": "1",
        "CRONLOCK_RUN_KEY": "job",
        "CRONLOCK_RUN_NODE": "web-1",
        "CRONLOCK_RUN_TICK": "2026-11-20T02:00:00Z",
    }


def test_options_of_this_run_do_not_reach_the_command_but_where_redis_is_does(server):
    """A cronlock inside the command asks the same Redis, with options of its own."""
    env = {"CRONLOCK_REDIS": server.url, "CRONLOCK_KEY": "job", "CRONLOCK_SCHEDULE": "none", "CRONLOCK_TTL": "30s"}
    done = cronlock("run", "--", "sh", "-c", "env | grep ^CRONLOCK_ | grep -v _RUN_", env=env)
    assert done.stdout == f"CRONLOCK_REDIS={server.url}\n"


def test_the_rest_of_the_environment_is_untouched(run):
    """Not even LC_CTYPE is added, which Python sets for itself."""
    for extra in ({"LANG": "C"}, {"LC_CTYPE": "C.UTF-8"}, {"ODD": "a\udcffb"}):
        done = run("--schedule", "none", "--", "env", env=extra, errors="surrogateescape")
        theirs = {line for line in done.stdout.splitlines() if not line.startswith("CRONLOCK_RUN_")}
        plain = subprocess.run(["env"], env=environment(extra), capture_output=True, check=True)
        assert theirs == set(plain.stdout.decode(errors="surrogateescape").splitlines())


def test_held_says_nothing_and_exits_0(run, start):
    """A held lock is normal, and needs no message."""
    holder = start("--schedule", "none", "--node", "web-2", "--", "sh", "-c", "touch ready; sleep 60")
    marked()
    done = run("--schedule", "none", "--", "echo", "never")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    told = run("--schedule", "none", "-v", "-E", "75", "--", "echo", "never")
    assert told.returncode == 75
    assert told.stdout == ""
    assert told.stderr.startswith("cronlock: job: held by web-2 since ")
    assert told.stderr.endswith(f", pid {holder.pid}\n")


def test_a_tick_that_ran_is_done_and_quiet(run):
    """A tick does not run again, however short the command was."""
    assert run(*TICK, "--", "echo", "one").stdout == "one\n"
    again = run(*TICK, "--", "echo", "two")
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
    told = run(*TICK, "-v", "-E", "9", "--node", "x", "--", "echo", "three")
    assert told.returncode == 9
    assert told.stderr.startswith("cronlock: job: done: the tick of 2026-11-20T02:00Z ran on ")


def test_an_older_tick_than_the_last_one_is_done(run):
    """Ticks go forward only."""
    run(*TICK, "--", "true")
    assert run("--tick", "2026-11-20T01:00Z", "--", "echo", "old").stdout == ""


def test_a_failed_command_used_its_tick_up(run):
    """A tick whose command failed has run."""
    assert run(*TICK, "--", "false").returncode == 1
    assert run(*TICK, "--", "echo", "again").stdout == ""


def test_again_runs_a_done_tick_and_lowers_nothing(run):
    """--again runs once more, and afterwards older and equal ticks are still done."""
    run(*TICK, "--", "true")
    assert run("--again", *TICK, "--", "sh", "-c", "echo $CRONLOCK_RUN_ATTEMPT").stdout == "1\n"
    assert run("--again", "--tick", "2026-11-20T01:00Z", "--", "echo", "older").stdout == "older\n"
    assert run(*TICK, "--", "echo", "no").stdout == ""
    assert run("--tick", "2026-11-20T03:00Z", "--", "echo", "next").stdout == "next\n"


def test_again_may_be_late_as_any_run(run):
    """--start-within limits it too; the command line can give a longer one than the file."""
    tick = ("-v", "--again", "--schedule", "0 0 1 1 *", "--start-within")
    assert "late: it is too late for the tick of" in run(*tick, "1ms", "--", "echo", "ran").stderr
    assert run(*tick, "366d", "--", "echo", "ran").stdout == "ran\n"


def test_again_never_runs_beside_a_live_run(run, start):
    """--again is about ticks, not about the lock."""
    start(*TICK, "--", "sh", "-c", "touch ready; sleep 60")
    marked()
    assert run("--again", *TICK, "--", "echo", "beside").stdout == ""


def test_each_runs_once_on_every_node_and_never_meets_once(run):
    """Every node has a record of its own."""
    for node in ("a", "b"):
        assert run("--each", *TICK, "--node", node, "--", "echo", node).stdout == f"{node}\n"
        assert run("--each", *TICK, "--node", node, "--", "echo", node).stdout == ""
    assert run("--once", *TICK, "--", "echo", "once").stdout == "once\n"


def test_late_is_said_and_not_started(run):
    """A tick is late once the next tick has come, or --start-within is over."""
    hour = time.time() // 3600 * 3600
    done = run("--schedule", "0 * * * *", "--tick", int(hour) - 7200, "--", "echo", "late")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith("cronlock: job: late: ")
    bounded = run("--tick", int(hour) - 7200, "--start-within", "1h", "-E", "3", "--", "echo", "late")
    assert (bounded.returncode, bounded.stdout) == (3, "")
    assert run("--tick", int(hour) - 7200, "--start-within", "3h", "--", "echo", "yes").stdout == "yes\n"


def test_quiet_says_nothing_at_all(run):
    """-q hides even a refusal."""
    done = run("-q", "--schedule", "none", "--", "no-such-program")
    assert (done.returncode, done.stderr) == (127, "")
    assert run("-q", "--schedule", "x", "--", "true").stderr == ""


def test_a_run_that_never_ended_is_reported_by_the_next_one(run, start, server):
    """The next run reports once that a node died."""
    died = start(*TICK, "--node", "web-2", "--ttl", "7s", "--", "sh", "-c", "touch ready; exec sleep 60")
    marked()
    died.kill()
    died.wait()
    server.client().hset(record_name(server), "lease_end", 1)
    line = "cronlock: job: the run of 2026-11-20T02:00Z on web-2 never ended\n"
    assert run("--tick", "2026-11-20T03:00Z", "--", "true").stderr == line
    assert run("--tick", "2026-11-20T04:00Z", "--", "true").stderr == ""


def record_name(server):
    [name] = [name for name in server.client().keys("*") if ":record:" in name]
    return name


def test_a_dead_nodes_lease_of_the_tick_before_does_not_cost_this_tick(run, start):
    """The run waits quietly for a lease of an earlier tick that expires soon."""
    died = start(*TICK, "--ttl", "7s", "--", "sh", "-c", "touch ready; exec sleep 60")
    marked()
    died.kill()
    done = run("--tick", "2026-11-20T03:00Z", "--", "echo", "next")
    assert (done.returncode, done.stdout) == (0, "next\n")


def test_a_live_run_of_the_tick_before_is_not_disturbed(run, start, server):
    """The other node waits once, then finds the lock held; the tick counts as missed."""
    start(*TICK, "--ttl", "7s", "--", "sh", "-c", "touch ready; exec sleep 60")
    marked()
    done = run("--tick", "2026-11-20T03:00Z", "--", "echo", "next")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert server.client().hget(record_name(server), "missed") == "1"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_a_signal_while_the_command_runs_is_forwarded_and_the_run_given_back(run, start, number):
    """The command's status counts, and another node may run the tick."""
    holder = start(*TICK, "--", sys.executable, "-c", CATCHES, int(number))
    marked()
    holder.send_signal(number)
    out, err = holder.communicate(timeout=20)
    assert (holder.returncode, out, err) == (5, "got\n", "")
    assert run(*TICK, "--", "sh", "-c", "echo $CRONLOCK_RUN_ATTEMPT").stdout == "1\n"


def test_a_signal_before_the_command_releases_everything(fresh_servers):
    """While no quorum answers, SIGTERM ends the wait: 128 + 15, and nothing is left behind."""
    servers = fresh_servers(3)
    for server in servers[1:]:
        server.stop_process()
    urls = [word for server in servers for word in ("--redis", server.url)]
    waiting = start_cronlock("run", *urls, "--key", "job", *TICK, "--", "touch", "ran")
    client = servers[0].client()
    wait_until(lambda: client.keys("*"), message="a prepare at the voter that is up")
    waiting.send_signal(signal.SIGTERM)
    assert waiting.wait(5) == 143
    assert not Path(home(), "ran").exists()
    assert client.hget(client.keys("*:record:*")[0], "holder") == ""


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1])
def test_a_signal_that_does_not_end_the_command_gives_nothing_back(run, start, number):
    """Daemons reload their files on SIGHUP: a run that continues to its end has run."""
    holder = start(*TICK, "--", sys.executable, "-c", CATCHES, int(number))
    marked()
    holder.send_signal(number)
    assert holder.communicate(timeout=20) == ("got\n", "")
    assert run(*TICK, "--", "echo", "again").stdout == ""


def test_a_hangup_that_ends_the_command_gives_the_run_back(run, start):
    """The terminal has gone, and the work is not done."""
    holder = start(*TICK, "--", "sh", "-c", "touch ready; exec sleep 60")
    marked()
    holder.send_signal(signal.SIGHUP)
    assert holder.wait(20) == 128 + signal.SIGHUP
    assert run(*TICK, "--", "echo", "again").stdout == "again\n"


CATCHES = """
import pathlib, signal, sys
def got(number, frame):
    print("got")
    sys.exit(5)
signal.signal(int(sys.argv[1]), got)
pathlib.Path("ready").touch()
signal.pause()
"""


def test_signals_that_were_ignored_stay_ignored(start):
    """nohup's SIGHUP reaches neither cronlock nor the command."""
    process = start(
        "--schedule", "none", "--", "sh", "-c", "touch ready; sleep 1; grep SigIgn /proc/self/status",
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )  # fmt: skip
    marked()
    process.send_signal(signal.SIGHUP)
    out, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    assert int(out.split()[1], 16) & 1 << signal.SIGHUP - 1


def test_a_run_inside_a_run_of_the_same_key_is_refused(run, server):
    """The inner run would wait for itself; another key is accepted."""
    inner = f"{sys.executable} -m cronlock run --redis {server.url} --schedule none --key"
    done = run("--schedule", "none", "--", "sh", "-c", f"{inner} job -- echo inner")
    assert done.returncode == 125
    assert "a run inside a run of the same key" in done.stderr
    assert run("--schedule", "none", "--", "sh", "-c", f"{inner} other -- echo inner").stdout == "inner\n"


def test_once_or_each_without_a_schedule_says_that_only_overlap_is_prevented(run):
    """An operator who writes --once expects ticks; without --once the run is a plain mutex, without a message."""
    done = run("--once", "--", "echo", "ran")
    assert (done.returncode, done.stdout) == (0, "ran\n")
    assert "only overlap is prevented" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert run("--", "echo", "ran").stderr == ""
    assert run("--once", "--schedule", "none", "--", "echo", "ran").stderr == ""


def test_local_needs_no_server(local_key):
    """A mutex for this machine alone, in a file."""
    first = start_cronlock("run", "--local", "--key", local_key, "--", "sh", "-c", "touch ready; sleep 60")
    marked()
    held = cronlock("run", "--local", "--key", local_key, "-v", "--", "echo", "beside")
    assert (held.returncode, held.stdout) == (0, "")
    assert "held by" in held.stderr
    end(first)
    assert cronlock("run", "--local", "--key", local_key, *TICK, "--", "echo", "one").stdout == "one\n"
    assert cronlock("run", "--local", "--key", local_key, *TICK, "--", "echo", "two").stdout == ""


def test_dry_run_connects_to_nothing_and_starts_nothing():
    """It shows tick, lease, voters and sources, of servers that do not exist."""
    done = cronlock(
        "run", "--dry-run", "--redis", "redis://user:secret@nowhere.invalid:1", "--key", "job",
        "--schedule", "0 2 * * *", "--tz", "Europe/Berlin", "--", "touch", "ran",
    )  # fmt: skip
    assert done.returncode == 0
    assert "0 2 * * *  (Europe/Berlin; from command line)" in done.stdout
    assert "in words     At 02:00 every day" in done.stdout
    assert "nowhere.invalid:1" in done.stdout
    assert "secret" not in done.stdout + done.stderr
    assert not Path(home(), "ran").exists()


def test_version_and_help_are_on_stdout():
    """Requested output is not an error."""
    assert cronlock("--version").stdout.startswith("cronlock, version ")
    assert "Where is Redis" in cronlock("run", "--help").stdout
