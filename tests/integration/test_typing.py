"""What people type wrong on a command line, and the line that each gets: with real servers and a terminal."""

import pytest

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
