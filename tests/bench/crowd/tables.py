"""The tables: crowds of more nodes, on more servers, beside more keys, and the limit of a crowd."""

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from statistics import median

from cronlock.lock.protocol import PREPARE_LEASE
from tests.bench.crowd import keys
from tests.bench.crowd.crowd_run import Crowd, Tick, raise_limits
from tests.support.clusters import Cluster
from tests.support.servers import Server, start_servers

KEY = "crowd"
NODES = (100, 300, 1_000, 3_000, 10_000)
SERVERS = (1, 3, 5, 7)
ON_SERVERS = 300  # nodes
KEYS = (1, 100, 10_000, 100_000)
TICKS = 4
SLOWLY = 1_000  # ms
MAXCLIENTS = 10_000  # Redis's default
SLOW = 10
SLOWED = (30, 100, 300, 800)  # all of them are under way at once
HEAD = (
    "tick|answers|attempts|script calls|us a call|Redis ms|kB|command after|a node waits, median and most|all answered|"
    "arrived within|generator ms|lag"
).split("|")

Row = list[str]


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def crowd(servers: int, nodes: int, ticks: int, slow: int = 1) -> list[Tick]:
    """Run ticks in a row on new servers; 0 servers stand for a cluster of three masters."""
    clients = raise_limits()
    played = []
    with ExitStack() as stack:
        place: Cluster | Sequence[Server]
        if servers:
            place = [stack.enter_context(server) for server in start_servers(servers, maxclients=clients)]
        else:
            place = stack.enter_context(Cluster(replicas=0, maxclients=clients))
        crowd = stack.enter_context(Crowd(place, nodes))
        first = int(time.time()) - ticks
        for number in range(ticks):
            played.append(crowd.run(KEY, first + number, slow=slow))
            say(f"{nodes:,} nodes, tick {number + 1}: {played[-1].summary()}")
            for wrong in played[-1].wrong():
                say(f"  {wrong}")
    return played


def row(number: int, tick: Tick) -> Row:
    """Return the figures of a tick; costs are those of one node."""
    count, work, waits = len(tick.results), tick.work, tick.waits or [0]
    answers = ", ".join(f"{how_many:,} {outcome}" for outcome, how_many in tick.outcomes.most_common())
    return [
        str(number),
        answers,
        f"{tick.attempts:.2f}",
        f"{work.scripts / count:.1f}",
        f"{work.script_us / max(1, work.scripts):.0f}",
        f"{work.cpu / count:.2f}",
        f"{(work.received + work.sent) / count / 1000:.1f}",
        f"{tick.started / 1000:.2f} s" if tick.runners else "never",
        f"{median(waits) / 1000:.2f}, {waits[-1] / 1000:.2f} s",
        f"{tick.answered:.2f} s",
        f"{tick.arrived:.2f} s",
        f"{1000 * tick.cpu / count:.2f}",
        f"{tick.lag} ms",
    ]


def rows(label: str, ticks: list[Tick]) -> list[Row]:
    """Return the rows of the first tick and of the last."""
    return [[label, *row(number, ticks[number - 1])] for number in sorted({1, len(ticks)})]


def by_nodes() -> list[str]:
    found = [line for nodes in NODES for line in rows(f"{nodes:,}", crowd(0, nodes, TICKS))]
    return table(["nodes", *HEAD], found)


def by_servers() -> list[str]:
    found = [line for servers in SERVERS for line in rows(str(servers), crowd(servers, ON_SERVERS, TICKS))]
    return table(["servers", *HEAD], found)


def by_keys() -> list[str]:
    found = []
    with Cluster(replicas=0) as cluster:
        for filled in keys.measure(cluster, KEYS):
            runs = sum(len(tick.results) for tick in filled.ticks)
            ran = sum(tick.outcomes["ran"] for tick in filled.ticks)
            calls = sum(tick.work.scripts for tick in filled.ticks)
            spent = sum(tick.work.script_us for tick in filled.ticks)
            cpu = sum(tick.work.cpu for tick in filled.ticks)
            each = f"{filled.bytes:,.0f}" if filled.keys > 1 else ""
            line = [f"{filled.keys:,}", f"{ran:,} of {runs:,}", f"{calls / runs:.1f}", f"{spent / max(1, calls):.0f}"]
            found.append([*line, f"{cpu / runs:.2f}", each])
            say(" | ".join(found[-1]))
    return table(["keys", "runs", "script calls of a run", "us a call", "Redis ms of a run", "bytes of a key"], found)


def limits() -> list[str]:
    """Return the table of slowed servers, on which a tenth of the nodes acts as the crowd."""
    played = {nodes * SLOW: crowd(0, nodes, TICKS, SLOW) for nodes in SLOWED}
    found = [line for nodes, ticks in played.items() for line in rows(f"{nodes:,}", ticks)]
    signs: dict[str, Callable[[Tick], bool]] = {
        "half of the nodes wait longer than a second": lambda tick: median(tick.waits or [0]) > SLOWLY,
        "the command starts later than a prepare's lease lasts": lambda tick: tick.started > PREPARE_LEASE,
        "nodes end unreachable": lambda tick: bool(tick.outcomes["unreachable"]),
        "no node runs": lambda tick: not tick.runners,
    }
    lines = []
    for what, sign in signs.items():
        sizes = [nodes for nodes, ticks in played.items() if any(map(sign, ticks))]
        lines.append(f"- {what}: " + (f"from {min(sizes):,} nodes on, in one tick at least" if sizes else "never"))
    lines.append(
        f"- each node has a connection to every master: {MAXCLIENTS:,} is the default, {raise_limits():,} here"
    )
    for line in lines:
        say(line)
    return [*table([f"nodes, slowed {SLOW} times", *HEAD], found), "", *lines]


def table(head: Sequence[str], lines: list[Row]) -> list[str]:
    return ["| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *lines)]


ALL: dict[str, Callable[[], list[str]]] = {
    "More and more nodes, on a cluster of three masters:": by_nodes,
    f"{ON_SERVERS} nodes, on more and more servers:": by_servers,
    "More and more keys on a cluster of three masters, some of which are run by one node each:": by_keys,
    f"The limit: the cluster runs for a {SLOW}th of the time, and as many fewer nodes ask:": limits,
}
