"""The time of status with many keys on a cluster: whole processes, from start to end."""

import time

from tests.support.clusters import Cluster
from tests.support.commands import cronlock
from tests.support.many_keys import fill as fill_keys
from tests.support.many_keys import model_of

MODEL = "model"  # the key whose copies are copied


def fill(cluster: Cluster, count: int) -> None:
    """Create this many keys, as copies of one key that two nodes have run."""
    masters = cluster.masters()
    for node in ("web-1", "web-2"):
        cronlock("run", "--redis", masters[0].url, "--key", MODEL, "--node", node, "--schedule", "*/5 * * * *", "true")
    fill_keys(cluster, model_of(cluster, MODEL, ("record", "nodes")), (f"key-{number}" for number in range(count)))


def measure(cluster: Cluster, how: str) -> tuple[float, int]:
    """Return the seconds of one `cronlock status`, and its number of lines."""
    begun = time.monotonic()
    done = cronlock("status", "--redis", cluster.urls[0], "--format", how)
    assert done.returncode == 0
    return time.monotonic() - begun, len(done.stdout.splitlines())
