"""What people type wrong on a command line, and the line that each gets: with real servers and a terminal."""

import shlex

import pytest

from cronlock.run.new_key import NEW_KEY
from tests.support.commands import cronlock

HOW = ("--schedule", "none", "--outage-wait", "500ms")


def line_of(*words: str, status: int, env: dict[str, str] | None = None) -> str:
    """Return the one line on standard error of a command that ends with this status."""
    done = cronlock(*words, env=env or {})
    (line,) = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (status, ""), line
    assert "s3cret" not in line
    return line


def test_a_password_in_the_place_of_the_user(fresh_servers):
    """redis-py and redis-cli take the part before @ for the user, too."""
    for [server] in (fresh_servers(1), fresh_servers(1, requirepass="right-one")):
        words = ("--redis", f"redis://s3cret@127.0.0.1:{server.port}", "--key", "job", *HOW)
        line = line_of("run", *words, "--", "true", status=125)
        advice = "its URL has a user but not a password: write a colon before the password"
        assert line.endswith(f": {advice}")


@pytest.mark.parametrize("where", ["REDIS_URL", "REDIS_HOST"])
def test_a_password_for_a_server_without_one(server, where):
    """Often a variable that belongs to another server."""
    env = {"REDIS_URL": f"redis://:s3cret@127.0.0.1:{server.port}"}
    if where == "REDIS_HOST":
        env = {where: "127.0.0.1", "REDIS_PORT": str(server.port), "REDIS_PASSWORD": "s3cret"}
    line = line_of("run", "--key", "job", *HOW, "--", "true", status=125, env=env)
    assert line.endswith(": remove the password from its URL, or unset REDIS_PASSWORD")


def test_wrap_says_that_it_reads_from_a_terminal(open_terminal):
    """Otherwise it seems to hang."""
    terminal = open_terminal("cronlock", "wrap", "--each")
    terminal.expect(
        "cronlock: wrap: reading a crontab from this terminal: end it with Ctrl-D, or press Ctrl-C and type"
    )
    terminal.expect(r"crontab -l \| cronlock wrap --each")


def test_wrap_says_nothing_about_a_pipe_or_a_file(tmp_path):
    """Its standard output may be on its way to crontab(1)."""
    file = tmp_path / "crontab"
    file.write_text("")
    assert cronlock("wrap", "--once").stderr == cronlock("wrap", "--once", str(file)).stderr == ""


def test_a_new_key_while_a_server_is_down(fresh_servers):
    """The line says which server is missing, and how the key can do without it: the command in it helps."""
    servers = fresh_servers(3)
    servers[2].kill()
    where = [word for server in servers for word in ("--redis", server.url)]
    line = line_of("run", *where, "--key", "job", *HOW, "--", "true", status=122)
    down, adopt = line.rpartition("every voter: ")[2].split("; start what is missing, or run ")
    assert down == f"127.0.0.1:{servers[2].port}: connection refused"
    words = shlex.split(adopt.removesuffix(")"))
    assert words == ["cronlock", "adopt", *where, "--leave-out", "job"]
    assert cronlock(*words[1:], "--yes").returncode == 0
    assert cronlock("run", *where, "--key", "job", *HOW, "--", "echo", "ran").stdout == "ran\n"


def test_resume_of_what_is_not_paused(fresh_servers):
    """A mistyped key gets no record, which status would show; a pause that has ended is over."""
    [server] = fresh_servers(1)
    place = ("--redis", server.url)
    resume = ("resume", *place, "job")
    assert cronlock(*resume).stdout == "job: not paused: nothing to resume; no voter has a run of this key\n"
    assert server.client().keys() == []
    cronlock("run", *place, "--key", "job", *HOW, "--", "true")
    assert cronlock(*resume).stdout == "job: not paused: nothing to resume\n"
    cronlock("pause", *place, "--for", "1ms", "job")
    assert cronlock(*resume).stdout == "job: not paused: nothing to resume\n"
    cronlock("pause", *place, "job")
    assert cronlock(*resume).stdout == "job: resumed\n"
    assert cronlock(*resume).stdout == "job: not paused: nothing to resume\n"


def test_a_pause_that_only_one_voter_has_is_ended(fresh_servers):
    """Or voters of which one does not answer, which may have it."""
    servers = fresh_servers(3)
    where = [word for server in servers for word in ("--redis", server.url)]
    cronlock("pause", *where[4:], "job")
    assert cronlock("resume", *where, "job").stdout.startswith("job: resumed at all 3 voters")
    servers[0].kill()
    assert cronlock("resume", *where, "job").stdout.startswith("job: resumed at only 2 of 3 voters")


@pytest.mark.parametrize("words", [[], ["--schedule", "@daily"]])
def test_a_new_key_at_a_terminal(open_terminal, words):
    """Once: the next run is that of a known key."""
    words = ("cronlock", "run", *words, "--", "echo", "it ran")
    assert NEW_KEY in open_terminal(*words).expect("(.*)it ran")[1]
    assert NEW_KEY not in open_terminal(*words, "--again").expect("(.*)it ran|(.*)done:")[0]


def test_a_new_key_elsewhere(server):
    """In a pipe, as under cron, nothing is said."""
    assert cronlock("run", "--redis", server.url, "--key", "job", *HOW, "--", "true").stderr == ""


def test_a_pause_that_reached_one_voter_is_named_and_ended(fresh_servers):
    """By the command that gave it, by status, and by the runs of a new key that it keeps from starting."""
    servers = fresh_servers(3)
    where = [word for server in servers for word in ("--redis", server.url)]
    run = ("run", *where, "--key", "job", *HOW, "--", "echo", "ran")
    for server in servers[1:]:
        server.kill()
    line = line_of("pause", *where, "job", status=122)
    todo = "when all are back, run the command again, or cronlock resume"
    assert line.endswith(f"; recorded at only 1 of 3 voters: {todo}")
    assert line_of("resume", *where, "job", status=122).endswith("run the command again")
    cronlock("pause", *where[:2], "job")
    for server in servers[1:]:
        server.restart()
    assert "until resumed" in cronlock("status", *where, "job").stdout
    line = line_of(*run, status=122)
    reason, resume = line.removesuffix(")").split(": run ")
    assert reason.endswith("a key's first run needs every voter: a pause is recorded at only 1 of 3 voters")
    assert shlex.split(resume) == ["cronlock", "resume", *where, "job"]
    assert cronlock(*shlex.split(resume)[1:]).returncode == 0
    assert cronlock(*run).stdout == "ran\n"
