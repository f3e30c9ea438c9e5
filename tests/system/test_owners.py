"""Files of other owners, and the system log: what only root can set up."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cronlock.config.settings import load
from cronlock.errors import Refused
from tests.integration.test_local import Voter
from tests.integration.test_passwords import PLAIN, RUN, clean
from tests.support.commands import environment
from tests.support.servers import Server
from tests.system.test_syslog import LOG_HOST, MOUNTS

pytestmark = pytest.mark.debian


def test_a_directory_of_somebody_else_is_refused(tmp_path: Path) -> None:
    """By a link too."""
    (tmp_path / "theirs").mkdir(mode=0o700)
    os.chown(tmp_path / "theirs", 1, 1)
    (tmp_path / "state").symlink_to("theirs")
    with pytest.raises(Refused, match=f"{tmp_path}/state is owned by uid 1: chown it to uid 0, or remove it: --local"):
        Voter(tmp_path / "state")


def test_the_system_log_gets_none(fresh_servers: Callable[..., list[Server]]) -> None:
    """--syslog gets the messages of standard error."""
    [server] = fresh_servers(1, requirepass="another")
    url = f"redis://:{PLAIN}@{server.url.removeprefix('redis://')}"
    run = [sys.executable, "-m", "cronlock", *RUN, "--syslog", "-v", "--redis", url, "true"]
    words = ["unshare", "--mount", "sh", "-c", MOUNTS, "sh", sys.executable, "-c", LOG_HOST, *run]
    done = subprocess.run(words, env=environment(), capture_output=True, text=True, timeout=60, check=False)
    assert "cronlock[" in done.stdout
    clean(done.stdout + done.stderr)


def test_root_accepts_no_users_settings_file(tmp_path: Path) -> None:
    """A user does not accept another user's file either, but accepts root's and their own."""
    for owner, reader, good in ((1, 0, False), (2, 1, False), (0, 1, True), (1, 1, True)):
        path = tmp_path / "cronlock.toml"
        path.write_text("")
        path.chmod(0o644)
        os.chown(path, owner, owner)
        if good:
            assert load({}, {}, [str(path)], reader)
        else:
            with pytest.raises(Refused, match=f"{path} is owned by uid {owner}, who could redirect the lock: chown it"):
                load({}, {}, [str(path)], reader)
