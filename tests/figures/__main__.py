"""python -m tests.figures [fair|takeover|handover|leader|status]...: see the package."""

import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from statistics import median

from tests.figures import fair, handover, leader, status, takeover
from tests.support.clusters import Cluster
from tests.support.commands import ROOT, between
from tests.support.servers import Server, start_servers

README = ROOT / "tests/figures/README.md"
BEGIN, END = "<!-- figures: written by the run -->\n", "<!-- end of figures -->\n"
THREE = {f"n{number}": 100.0 * number for number in range(3)}
TEN = {f"n{number}": 50.0 * number for number in range(10)}

GONE = 2.5  # s between two ticks: nodes yield to a missing node for three ticks, and the next tick must not come first

KEYS = 10_000

Rows = Iterable[tuple[str, str]]


def redis_options(servers: list[Server]) -> list[str]:
    return [word for server in servers for word in ("--redis", server.url)]


def shares(servers: list[Server]) -> Rows:
    """Measure all settings at once, each with its own key."""
    urls = redis_options(servers)
    measurements: dict[str, Callable[[], fair.Turns]] = {
        "three nodes at 0, 100, 200 ms, 300 ticks": lambda: fair.measure(urls, THREE, 300, 1.0, "--prefix", "a"),
        "the same with --no-fair": lambda: fair.measure(urls, THREE, 300, 1.0, "--prefix", "b", "--no-fair"),
        "the same, n0 killed midway": lambda: fair.measure(urls, THREE, 300, GONE, "--prefix", "c", dies=("n0", 150)),
        "ten nodes at 0 to 450 ms, 500 ticks": lambda: fair.measure(urls, TEN, 500, 1.2, "--prefix", "d"),
    }
    with ThreadPoolExecutor(len(measurements)) as pool:
        running = {name: pool.submit(measure) for name, measure in measurements.items()}
        for name, future in running.items():
            turns = future.result()
            counts = ", ".join(f"{node} {turns.shares[node]}" for node in sorted(turns.shares))
            yield f"runs of {name}", f"{counts}; start after {turns.delay:.1f} ms (median)"


def takeovers(servers: list[Server]) -> Rows:
    times = takeover.measure(redis_options(servers), 30)
    text = f"{min(times):.1f} to {max(times):.2f} s, median {median(times):.1f} s; the lease is {takeover.LEASE:.0f} s"
    yield "from kill -9 of all of a node's processes to the next start, 30 trials", text


def handovers(servers: list[Server]) -> Rows:
    with Cluster() as cluster:
        places = (
            ("three servers", redis_options(servers), servers),
            ("a cluster", ["--redis", cluster.urls[0]], cluster.masters()),
        )
        for name, urls, asked in places:
            for waiters in (1, 3, 8):
                found = handover.measure(urls, asked, waiters, 150)
                text = f"{len(found.gaps)} times: median {found.percentile(0.5):.1f} ms, "
                text += f"99 % {found.percentile(0.99):.1f} ms; {found.rate:.1f} commands a second and waiter"
                yield f"from one command to the next, {name}, {waiters} waiting", text


def leaders(servers: list[Server]) -> Rows:
    found = leader.measure(redis_options(servers), pods=5, rounds=3, apart=2.0)
    text = f"{found.count} leaders, {found.overlaps} times two at once, at most {found.without:.0f} ms without one"
    yield "rolling restart of 5 pods, 2 s apart, three times around", text


def statuses(_servers: list[Server]) -> Rows:
    """Measure status; the keys are copies, since ten thousand runs would take an hour."""
    with Cluster(replicas=0) as cluster:
        status.fill(cluster, KEYS)
        for how in ("table", "json", "prometheus"):
            times = sorted(status.measure(cluster, how)[0] for _ in range(5))
            text = f"{times[0]:.1f} to {times[-1]:.1f} s, median {median(times):.1f} s"
            yield f"status of {KEYS:,} keys on three masters, {how}", text


ALL: dict[str, Callable[[list[Server]], Rows]] = {
    "handover": handovers,
    "leader": leaders,
    "takeover": takeovers,
    "fair": shares,
    "status": statuses,
}


def main(words: list[str]) -> None:
    before = README.read_text().partition(BEGIN)[2].partition(END)[0]
    rows = dict(line[2:-2].split(" | ") for line in before.splitlines()[2:])  # rows of other parts stay
    for name in words or list(ALL):
        servers = start_servers(3)
        for what, text in ALL[name](servers):
            sys.stdout.write(f"{what}: {text}\n")
            sys.stdout.flush()
            rows[what] = text
        for server in servers:
            server.close()
    table = [f"| {what} | {text} |" for what, text in rows.items()]
    between(README, BEGIN, END, "\n".join(["| what | figures |", "| --- | --- |", *table]))


main(sys.argv[1:])
