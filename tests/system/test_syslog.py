"""--syslog: the lines go to the system's log, and standard error stays empty."""

import subprocess
import sys

import pytest

from tests.support.commands import environment

pytestmark = pytest.mark.debian

LOG_HOST = """
import os, socket, subprocess, sys
log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
log.bind("/dev/log")
done = subprocess.run(sys.argv[1:], capture_output=True, text=True)
log.settimeout(5)
print(done.returncode, repr(done.stderr), log.recv(4096).decode())
"""
MOUNTS = """\
set -e
mount --make-rprivate /
mount -t tmpfs none /dev
mknod -m 666 /dev/null c 1 3
mknod -m 666 /dev/urandom c 1 9
exec "$@"
"""


def test_a_line_goes_to_the_system_log_under_the_name_cronlock(server):
    """Facility cron, level notice (9 * 8 + 5), with the pid; nothing on stderr."""
    run = [sys.executable, "-m", "cronlock", "run", "--syslog", "--redis", server.url, "--key", "job", "--once"]
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", MOUNTS, "sh", sys.executable, "-c", LOG_HOST, *run, "--", "true"],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    status, errors, line = done.stdout.split(" ", 2)
    assert (status, errors) == ("0", "''"), done.stderr
    assert line.startswith("<77>")
    assert "cronlock[" in line
    assert "job: no crontab line with this key was found" in line
