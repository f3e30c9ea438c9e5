"""What a run costs in counts: commands at each voter, and system calls. Times are in `python -m tests.bench`."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.clusters import Cluster
from tests.support.commands import cronlock, home, start_cronlock, wait_until
from tests.support.servers import Server

COPIES = 7
TICK = "--tick=2026-11-20T02:00Z"
Counts = Counter[str]


@contextmanager
def asked(servers: Sequence[Server]) -> Iterator[Counts]:
    """What all of them are asked to do meanwhile, by MONITOR: commands, a script call by its operation; those that a
    script runs are not counted.
    """
    counts: Counts = Counter()
    with_monitors = [server.client(socket_timeout=10).monitor() for server in servers]
    for monitor in with_monitors:
        monitor.__enter__()
    yield counts
    for server, monitor in zip(servers, with_monitors, strict=True):
        server.redis.echo("enough")
        for line in monitor.listen():
            if line["command"] == "ECHO enough":
                break
            if line["client_type"] != "lua":
                words = line["command"].split()
                counts[words[3 + int(words[2])] if words[0] == "EVALSHA" else words[0]] += 1
        monitor.__exit__(None, None, None)


def where(place: "list[Server] | Cluster") -> list[str]:
    urls = [server.url for server in place] if isinstance(place, list) else place.urls[:1]
    return [word for url in urls for word in ("--redis", url)]


@pytest.fixture(params=["server", "servers", "cluster"])
def place(request: pytest.FixtureRequest) -> "list[Server] | Cluster":
    found = request.getfixturevalue(request.param)
    return found if isinstance(found, Cluster | list) else [found]


def masters(place: "list[Server] | Cluster") -> tuple[list[Server], int, int]:
    """The servers that are asked, how many voters they are, and how many are asked what they are."""
    if isinstance(place, list):
        return place, len(place), len(place)
    return place.masters(), COPIES, 1


def test_a_run_calls_the_script_three_times_at_each_voter(place: "list[Server] | Cluster") -> None:
    """prepare, commit, finish; and it asks each address once what it is. Nothing else, and no second attempt."""
    words = ("run", *where(place), "--key", "job", "--node", "web-1")
    cronlock(*words, "--tick=2026-11-20T01:00Z", "true")  # which brings the script
    servers, voters, addresses = masters(place)
    with asked(servers) as counts:
        # a command that takes so long that no voter answers prepare when the run is over already
        assert cronlock(*words, TICK, "--", "sh", "-c", "sleep 0.3; echo ran").stdout == "ran\n"
    late = counts.pop("extend", 0)  # a voter that answers prepare behind the others gets the run written back
    assert counts == {"prepare": voters, "commit": voters - late, "finish": voters, "CLUSTER": addresses}


def test_who_goes_home_calls_it_once(place: "list[Server] | Cluster") -> None:
    """prepare; held by another node, or done."""
    words = ("run", *where(place), "--key", "job")
    servers, voters, addresses = masters(place)
    running = start_cronlock(*words, TICK, "--node=web-1", "--", "sh", "-c", "touch began; exec sleep 30")
    wait_until(Path(home(), "began").exists)
    with asked(servers) as counts:
        assert cronlock(*words, TICK, "--node=web-2", "-v", "true").stderr.startswith("cronlock: job: held by web-1")
    assert counts == {"prepare": voters, "CLUSTER": addresses}
    running.terminate()
    running.wait(10)
