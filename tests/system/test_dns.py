"""Host names behind a silent name server: the wait has a deadline, and signals end it."""

import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.commands import environment, heir, home, wait_until
from tests.support.processes import descendants

pytestmark = pytest.mark.debian

MOUNTS = """\
set -e
ip link set lo up 2>/dev/null || true
mount --make-rprivate /
echo nameserver 127.0.0.1 > resolv.conf
mount --bind resolv.conf /etc/resolv.conf
{python} -c 'import os, socket, time
os.closerange(3, 100)
silent = socket.socket(type=socket.SOCK_DGRAM); silent.bind(("127.0.0.1", 53)); time.sleep(60)' >/dev/null 2>&1 &
exec "$@"
"""


@pytest.fixture
def start():
    """cronlock in its own network namespace, whose name server never answers."""
    started = []

    def run(*words, argv=("true",), **how):
        script = MOUNTS.format(python=sys.executable)
        command = [sys.executable, "-m", "cronlock", "run", "--redis", "redis://far.example", "--key", "job", *words]
        process = subprocess.Popen(
            ["unshare", "--mount", "--net", "sh", "-c", script, "sh", *command, "--", *argv],
            cwd=home(),
            env=environment(),
            stderr=subprocess.PIPE,
            text=True,
            **how,
        )
        heir().tell(f"+pid {process.pid}")
        started.append(process)
        return process

    yield run
    for process in started:
        family = descendants(process.pid)
        process.kill()
        process.communicate()
        heir().tell(f"-pid {process.pid}")
        for pid in family:
            subprocess.run(["kill", "-9", str(pid)], check=False, capture_output=True)


def looks_up(process):
    """Return whether a child of cronlock, and no other process there, waits for the name server."""
    return len(descendants(process.pid)) >= 2


def test_a_silent_resolver_is_given_up_with_the_outage_window(start):
    """glibc would wait for 10 s; --outage-wait says 2."""
    process = start("--schedule", "none", "--outage-wait", "2s")
    wait_until(lambda: looks_up(process), message="the look-up")
    begun = time.monotonic()
    _, err = process.communicate(timeout=30)
    assert process.returncode == 122
    assert "far.example:6379" in err
    assert time.monotonic() - begun < 5


def test_a_signal_ends_a_look_up(start):
    """SIGTERM ends cronlock at once, and the child of the look-up too."""
    process = start("--schedule", "none")
    wait_until(lambda: looks_up(process), message="the look-up")
    time.sleep(0.3)
    begun = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 128 + signal.SIGTERM
    assert time.monotonic() - begun < 2


def test_a_look_up_that_goes_on_keeps_nothing_of_the_commands_open(start):
    """In a run without a lock, the reader of the command's output waits for neither the name server nor the guard."""
    reader, writer = os.pipe()
    script = f"exec {writer}>&-; touch closed; exec sleep 30"
    words = ("--schedule", "none", "--outage-wait", "500ms", "--on-outage", "run")
    process = start(*words, argv=("bash", "-c", script), pass_fds=[writer])
    os.close(writer)
    wait_until(Path(home(), "closed").exists, message="the command")
    assert select.select([reader], [], [], 3)[0] == [reader]
    assert looks_up(process)
    os.close(reader)
