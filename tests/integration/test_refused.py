"""Bad input: one clear line on stderr, status 125, nothing started."""

from pathlib import Path

import pytest

from tests.support.commands import cronlock, home, wait_until

OK = ("--redis", "redis://127.0.0.1:1", "--key", "job", "--schedule", "none")

BAD = {
    "no key": (("--local",), "no key"),
    "an empty key": (("--local", "--key", ""), "empty"),
    "a key with a brace": (("--local", "--key", "a{b"), "brace"),
    "a key with a newline": (("--local", "--key", "a\nb"), "control character"),
    "a key of 201 characters": (("--local", "--key", "k" * 201), "200"),
    "a minute of 61": (("--local", "--key", "k", "--schedule", "61 * * * *"), "minute"),
    "an hour of 25": (("--local", "--key", "k", "--schedule", "0 25 * * *"), "hour"),
    "a month of 13": (("--local", "--key", "k", "--schedule", "0 0 1 13 *"), "month"),
    "six fields": (("--local", "--key", "k", "--schedule", "0 0 * * * *"), "6 fields"),
    "a random minute": (("--local", "--key", "k", "--schedule", "6~15 * * * *"), "pass --schedule"),
    "a day that never comes": (("--local", "--key", "k", "--schedule", "0 0 30 2 *"), "never"),
    "reboot": (("--local", "--key", "k", "--schedule", "@reboot"), "@reboot"),
    "an unknown zone": (("--local", "--key", "k", "--schedule", "@daily", "--tz", "Mars/Base"), "Mars/Base"),
    "a bad duration": (("--local", "--key", "k", "--ttl", "5 minutes"), "5 minutes"),
    "a lease of nothing": (("--local", "--key", "k", "--ttl", "0"), "0"),
    "a lease over an hour": (("--local", "--key", "k", "--schedule", "none", "--ttl", "2h"), "at most"),
    "a lease too short to stop in": (("--local", "--key", "k", "--schedule", "none", "--ttl", "5s"), "too short"),
    "a bad status": (("--local", "--key", "k", "-E", "256"), "256"),
    "a bad tick": (("--local", "--key", "k", "--tick", "yesterday"), "yesterday"),
    "a tick ahead of time": (("--local", "--key", "k", "--tick", "2099-01-01T00:00Z"), "future"),
    "a Job made by hand": (("--local", "--key", "k", "--tick", "nightly-manual-x7k"), "--again"),
    "a tick off its schedule": (
        ("--local", "--key", "k", "--schedule", "@daily", "--tick", "2026-11-20T02:00Z", "--tz", "UTC"),
        "not an instant",
    ),
    "an unknown option": (("--local", "--kee", "k"), "--kee"),
    "once and each": (("--local", "--key", "k", "--once", "--each"), "once and each"),
    "redis and local": (("--local", "--redis", "redis://h", "--key", "k"), "redis and local"),
    "an unknown scheme": (("--redis", "http://h", "--key", "k", "--schedule", "none"), "http"),
    "no Redis": (("--key", "k", "--schedule", "none"), "no Redis server is configured"),
    "the same server twice": ((*OK, "--redis", "redis://127.0.0.1:1"), "twice"),
    "a file that is not there": (("--config", "nowhere.toml", *OK), "nowhere.toml"),
}


@pytest.mark.parametrize(("words", "said"), BAD.values(), ids=BAD.keys())
def test_bad_input_gets_one_line_and_125(words, said):
    """The line names what is wrong; nothing was started."""
    refused(cronlock("run", *words, "--", "touch", "ran"), said)


def refused(done, said):
    assert done.returncode == 125
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stderr.startswith("cronlock: ")
    assert said in done.stderr
    assert not Path(home(), "ran").exists()


def test_no_command_is_refused():
    """There is nothing to run."""
    refused(cronlock("run", *OK), "COMMAND")


def test_an_unknown_variable_is_refused_with_the_nearest(server):
    """A misspelt variable must not be silently without effect."""
    done = cronlock("run", *OK, "--", "touch", "ran", env={"CRONLOCK_TLL": "30s"})
    refused(done, "CRONLOCK_TLL: did you mean CRONLOCK_TTL?")


def test_an_unknown_name_in_the_file_is_refused_with_the_nearest():
    """The same for the file, which is named."""
    Path(home(), "c.toml").write_text('outage_wait = "5s"\n')
    done = cronlock("run", "--config", "c.toml", *OK, "--", "touch", "ran")
    refused(done, "c.toml: unknown name 'outage_wait': did you mean outage-wait?")


def test_a_bad_value_is_refused_with_its_source():
    """Wherever it stands."""
    refused(cronlock("run", *OK, "--", "true", env={"CRONLOCK_TTL": "soon"}), "CRONLOCK_TTL: 'soon'")
    env = {"CRONLOCK_SCHEDULE": "61 * * * *"}
    refused(cronlock("run", "--local", "--key", "k", "--", "true", env=env), "CRONLOCK_SCHEDULE: ")
    Path(home(), "c.toml").write_text('[keys.job]\nttl = "soon"\n')
    refused(cronlock("run", "--config", "c.toml", *OK, "--", "true"), "c.toml [keys.job]: ttl: 'soon'")


def test_a_wrong_password_is_refused_at_once_and_not_shown(fresh_servers):
    """It will not pass by waiting."""
    [server] = fresh_servers(1, requirepass="right-one")
    url = f"redis://:wrong-one@127.0.0.1:{server.port}"
    done = cronlock("run", "--redis", url, "--key", "job", "--schedule", "none", "--", "touch", "ran", timeout=10)
    refused(done, "WRONGPASS")
    assert "wrong-one" not in done.stderr
    done = cronlock("run", "--redis", f"redis://127.0.0.1:{server.port}", "--key", "job", "--", "touch", "ran")
    refused(done, "NOAUTH")


def test_a_script_refused_by_an_acl_is_refused_at_once(fresh_servers):
    """A missing right will not come by waiting; the line says which command."""
    [server] = fresh_servers(1)
    server.client().execute_command("ACL", "SETUSER", "cron", "on", ">pw", "~cronlock:*", "+cluster|slots", "+ping")
    url = f"redis://cron:pw@127.0.0.1:{server.port}"
    done = cronlock("run", "--redis", url, "--key", "job", "--schedule", "none", "--", "touch", "ran")
    refused(done, "NOPERM")


def test_one_server_under_two_names_is_refused(server):
    """Its run_id tells: two votes of one server are no quorum."""
    urls = ("--redis", server.url, "--redis", server.unix_url, "--redis", f"redis://localhost:{server.port}")
    refused(cronlock("run", *urls, "--key", "job", "--schedule", "none", "--", "touch", "ran"), "same server")


@pytest.mark.parametrize("late", [0, 100])
def test_a_cluster_beside_a_server_of_its_own_is_refused(cluster, server, proxy_to, late):
    """They can't be one set of voters: whichever answers first, or so many ms later."""
    other = proxy_to(server)
    other.delay(late)
    urls = ("--redis", cluster.urls[0], "--redis", other.url)
    done = cronlock("run", *urls, "--key", "job", "--schedule", "none", "--", "touch", "ran")
    refused(done, "cluster")


@pytest.mark.parametrize("files", [5, 6, 7, 8])
def test_too_few_files_are_told_in_a_line(server, files):
    """However far it comes; with fewer Python does not start."""
    before = ("sh", "-c", f'ulimit -n {files} && exec "$@"', "sh")
    words = ("run", "--redis", server.url, "--key", "job", "--schedule", "none", "--outage-wait", "0")
    done = cronlock(*words, "--", "true", before=before)
    assert (done.returncode in (122, 125), done.stderr.count("\n")) == (True, 1)


def test_nodes_with_other_voters_are_refused_and_told_whose(server, servers):
    """Two nodes that count different voters must not share a key."""
    three = [word for each in servers for word in ("--redis", each.url)]
    words = ("run", *three, "--key", "job", "--schedule", "none", "--node", "web-1", "--", "true")
    settled = "*:record:*"  # a quorum is enough for the first run; here the very first voter has to have heard of it
    wait_until(lambda: cronlock(*words).returncode == 0 and server.client().keys(settled))
    done = cronlock("run", *three[:2], "--key", "job", "--schedule", "none", "--", "touch", "ran")
    refused(done, "web-1 ran this key with other voters")


def test_each_without_a_name_in_kubernetes_is_refused(server):
    """Host names of pods change: the line to add is in the message."""
    env = {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}
    words = ("run", "--each", "--redis", server.url, "--key", "job", "--schedule", "none")
    refused(cronlock(*words, "--", "touch", "ran", env=env), "spec.nodeName")
    assert cronlock(*words, "--node", "n1", "--", "true", env=env).returncode == 0


def test_a_command_in_the_place_of_run_is_told_where_it_goes():
    """The bash tool of the same name took it there."""
    done = cronlock("touch", "ran")
    refused(done, "No such command 'touch'. To run a command: cronlock run --key NAME -- touch")
