"""Nodes whose clocks differ, with real faked clocks: one run per tick up to a minute, refused beyond."""

import os
import time
from pathlib import Path

import pytest

from tests.support.commands import faked_clock, home, start_cronlock

pytestmark = pytest.mark.debian

OFFSETS = {"exact": 0, "fast": 20, "slow": -20}  # s
TICKS = 2


def start(server, node, offset, *words):
    log = 'echo "$CRONLOCK_RUN_TICK $CRONLOCK_RUN_NODE" >> runs'
    where = ("--redis", server.url, "--key", "clocks", "--node", node)
    env = faked_clock(FAKETIME=f"{offset:+d}s")
    return start_cronlock("run", *where, "--schedule", "* * * * *", *words, "--", "sh", "-c", log, env=env)


@pytest.mark.timeout(60 * (TICKS + 2))
def test_clocks_20_seconds_apart_make_one_run_per_tick(server):
    """Each node starts at :01 of its own clock, and the command ends at once: still one run per tick."""
    first = (int(time.time()) // 60 + 1) * 60
    if first - max(OFFSETS.values()) < time.time():
        first += 60
    starts = sorted((first + 60 * i + 1 - offset, node) for i in range(TICKS) for node, offset in OFFSETS.items())
    for at, node in starts:
        time.sleep(max(0, at - time.time()))
        process = start(server, node, OFFSETS[node])
        out, err = process.communicate(timeout=30)
        assert (process.returncode, out, err) == (0, "", "")
    lines = [line.split() for line in Path(home(), "runs").read_text().splitlines()]
    ticks = [time.strftime("%Y-%m-%dT%H:%M:00Z", time.gmtime(first + 60 * i)) for i in range(TICKS)]
    assert [tick for tick, _ in lines] == ticks
    assert {node for _, node in lines} == {"fast"}, "the fast clock is first, and its ticks are everybody's"


@pytest.mark.parametrize(("offset", "said"), [(300, "300 s ahead of"), (-300, "300 s behind")])
def test_a_node_five_minutes_off_is_refused(server, offset, said):
    """It can't poison the key for the others: nothing is written, and one line says what to do."""
    process = start(server, "odd", offset)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (125, "")
    assert (
        err == f"cronlock: clocks: refused: this node's clock is {said} the server's: set the one that is wrong; "
        "at most 60 s are tolerated\n"
    )
    assert not Path(home(), "runs").exists()
    exact = start(server, "exact", 0)
    assert exact.communicate(timeout=30) == ("", "")
    assert "exact" in Path(home(), "runs").read_text()


def test_the_lease_does_not_follow_a_clock_that_is_faked(server):
    """The faked clock is the wall clock only: what the lease is believed by goes on as it does."""
    process = start(server, "fast", 20, "--ttl", "7s", "--kill-after", "1s")
    assert process.communicate(timeout=30) == ("", "")
    assert process.returncode == 0
    assert os.path.exists(home() / "runs")
