"""The commands that messages suggest: with the flags of this call, and without a password."""

from typing import Any

import pytest

from cronlock.config.redis_url import parse
from cronlock.config.settings import load
from cronlock.config.suggested_command import location_flags, public_url, suggested_command

URLS = [
    "redis://redis-1:6379",
    "redis://[::1]:7000/2",
    "unix:///run/redis/redis.sock?db=3",
    "rediss://redis-1:6379?ssl_ca_certs=/etc/ca.pem&ssl_check_hostname=false",
    "redis+sentinel://a:26379,b:26380/jobs",
    "rediss+sentinel://a:26379/jobs/1",
]


def flags(environ: dict[str, str] | None = None, **given: Any) -> str:
    return location_flags(load(given, environ or {}, usual=()))


@pytest.mark.parametrize("url", URLS)
def test_a_url_is_written_as_it_was_given(url: str) -> None:
    assert public_url(parse(url, "test")) == url


def test_a_login_is_left_out() -> None:
    assert public_url(parse("redis://user:secret@redis-1:7000/2", "test")) == "redis://redis-1:7000/2"


def test_a_suggested_command_names_the_servers_of_this_call() -> None:
    """Also where the environment named them: a crontab's variables are not an operator's."""
    assert flags(local=True) == "--local "
    assert flags(redis=["redis://a:1", "redis://b:2"], prefix="two words") == (
        "--redis redis://a:1 --redis redis://b:2 --prefix 'two words' "
    )
    assert flags({"CRONLOCK_REDIS": "redis://a:1"}) == "--redis redis://a:1 "
    assert flags({"REDIS_HOST": "a"}) == "--redis redis://a:6379 "
    assert flags({"CRONLOCK_LOCAL": "true"}) == "--local "


def test_a_password_is_never_suggested() -> None:
    for url in ("redis://:secret@a", "redis+sentinel://a/jobs?sentinel_password=secret"):
        assert flags(redis=[url]) == ""


def test_a_settings_file_names_the_servers_by_itself(tmp_path: Any) -> None:
    file = tmp_path / "cronlock.toml"
    file.write_text('redis = ["redis://a:1"]\nprefix = "jobs"\n')
    file.chmod(0o600)
    assert location_flags(load({}, {}, usual=(str(file),))) == ""
    assert flags(config=str(file)) == f"--config {file} "


def test_a_nodes_own_record_is_named_with_its_node() -> None:
    assert suggested_command("adopt", "--local ", "a job") == "cronlock adopt --local 'a job'"
    assert suggested_command("forget", "", "job", "web-1") == "cronlock forget --each --node web-1 job"
