"""README's way from nothing to a run that cron started: its block, from the first line to the last."""

import re
import time

import pytest

from tests.support.commands import heir
from tests.support.doc_pages import blocks
from tests.support.namespace_host import NamespaceHost

pytestmark = [pytest.mark.debian, pytest.mark.timeout(240)]

MINUTES = 3 * 60  # s: the block waits for cron's next minute
INSTALLS = 2  # lines that install cronlock, which tests/system/test_package.py tries; here it is installed


def set_up() -> list[str]:
    """Return the block's lines."""
    [block] = [block for block in blocks("sh", "/README.md") if "/etc/cron.d/" in block]
    return block.splitlines()


def test_the_block_that_sets_cronlock_up_shows_a_run_that_cron_started(namespace_host: NamespaceHost) -> None:
    """Only the first line changes: the page says to change it."""
    first, *rest = set_up()
    assert re.fullmatch(r"redis=redis://localhost:\d+", first)
    typed = [line for line in rest if "/opt/cronlock" not in line]
    assert len(rest) - len(typed) == INSTALLS
    cron = namespace_host.start("exec /usr/sbin/cron -f")
    time.sleep(2)  # cron compares the times of folders in whole seconds: a file of the second of its start is not seen
    heir().tell(f"+pid {cron.pid}")
    try:
        shell = namespace_host.start("\n".join(["set -x", "redis=redis://redis-1:6379", *typed]))
        out, err = shell.communicate(timeout=MINUTES)
    finally:
        cron.terminate()
        cron.communicate()
        heir().tell(f"-pid {cron.pid}")
    assert shell.returncode == 0, err
    assert re.search(r"^  green +/etc/cron\.d/hello:2 +hello \(once\): \* \* \* \* \*", out, re.MULTILINE), out
    assert re.search(r"^\d\d:\d\d +\S+ +\S+ +ok", out.partition("TICK")[2], re.MULTILINE), out + err
