"""From the start of the wrapper to its end, around a command that does nothing, and where another one has the key."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial

from tests.bench.install_fixture import House, running
from tests.bench.peers import FLOCK, Peers, found
from tests.bench.table import Entry, Scale, rows
from tests.bench.timing import Taken, medians, shuffled
from tests.support.commands import wait_until
from tests.support.servers import Cluster

PYTHON, TRUE, PLAIN = "python -I -c pass", "true, without a wrapper", "plain script, won"
WON, CLUSTER = "cronlock run --schedule none, won", "the same on a cluster of three masters"
SCALE = Scale("start", "ms", PYTHON, PLAIN, TRUE)
WRAPPED = (PYTHON, TRUE)  # whoever is written in Python and starts a command takes at least so much
SHOWN = {PYTHON: "bare Python", PLAIN: "plain script", WON: "three servers"}
SENT_HOME = 9  # cronlock's status where the command was not started, for the proof that a candidate does what it says

CRONTAB = """\
CRONLOCK_REDIS={urls}
*/5 * * * *  root  cronlock run --once --key cron -- true
*/5 * * * *  root  cronlock run --once --key done -- true
*/5 * * * *  root  cronlock run --once --key zone -- true
0 2 L * *    root  cronlock run --once --key last -- true
"""


@dataclass(frozen=True)
class Candidate:
    """A row and its command line. `proof` is the status with SENT_HOME in the environment, `status` that without."""

    entry: Entry
    words: tuple[str, ...]
    env: Mapping[str, str]
    status: int = 0
    proof: int = 0
    extra: Mapping[str, str] = field(default_factory=lambda: {"CRONLOCK_CONFLICT_EXIT_CODE": str(SENT_HOME)})


def play(house: House, peers: Peers, rounds: int) -> list[str]:
    with ExitStack() as stack:
        cluster = stack.enter_context(Cluster())
        candidates = [*_bare(house), *_cronlock(house, cluster), *_crontab(house), *_plain(house), *_peers(peers)]
        _hold(house, peers)
        for candidate in candidates:
            _prove(house, candidate)
        taken: dict[str, list[Taken]] = {candidate.entry.name: [] for candidate in candidates}
        for candidate in shuffled(candidates, rounds):
            one = house.starter.run(candidate.words, candidate.env)
            if one.status != candidate.status:
                raise RuntimeError(f"{candidate.entry.name}: status {one.status}: {house.starter.said.read_text()}")
            taken[candidate.entry.name].append(one)
    figures = {name: medians(those) for name, those in taken.items()}
    return rows(SCALE, figures, [candidate.entry for candidate in candidates])


def _prove(house: House, candidate: Candidate) -> None:
    """Wins or goes home as its row says. The first time may differ: a tick that is not done yet is won."""
    for _ in range(3):
        got = house.starter.run(candidate.words, {**candidate.env, **candidate.extra}).status
        if got == candidate.proof:
            return
    raise RuntimeError(f"{candidate.entry.name}: status {got}: {house.starter.said.read_text()}")


def _bare(house: House) -> list[Candidate]:
    return [
        Candidate(Entry(TRUE), (found("true"),), house.env),
        Candidate(Entry(PYTHON), house.python(), house.env),
    ]


def _cronlock(house: House, cluster: Cluster) -> list[Candidate]:
    env = house.cronlock_env()
    filed = house.folder / "filed"
    (filed / ".config").mkdir()
    (filed / ".config" / "cronlock.toml").write_text(f"redis = {house.urls}\n")
    held = Entry("cronlock run --schedule none, held by another one", (PYTHON,), {PYTHON: 1.7}, SHOWN)
    none = ("--schedule", "none")
    won = house.cronlock("won", *none)
    return [
        Candidate(Entry(WON, WRAPPED, {PYTHON: 2.0, PLAIN: 0.16}, SHOWN), (*won, "true"), env),
        Candidate(held, (*house.cronlock("held", *none), "true"), env, proof=SENT_HOME),
        Candidate(
            Entry("the same as won, servers in ~/.config/cronlock.toml", WRAPPED),
            (*won, "true"),
            house.env | {"HOME": str(filed)},
        ),
        Candidate(Entry(CLUSTER, WRAPPED, {WON: 1.2}, SHOWN), (*won, "true"), house.cronlock_env(*cluster.urls[:1])),
    ]


def _crontab(house: House) -> list[Candidate]:
    """--again contends and runs as the first one at a tick does, as often as wanted."""
    if house.crontabs:
        return []
    (house.folder / "cron.d" / "jobs").write_text(CRONTAB.format(urls=" ".join(house.urls)))
    env = house.cronlock_env()
    again = ("--once", "--again")
    won = Entry("the line in /etc/cron.d, */5 * * * *, won", WRAPPED, {PYTHON: 2.2}, SHOWN)
    zoned = house.cronlock("zone", *again, "--tz", "Europe/Berlin")
    done = Entry("the same line, the tick is done", (PYTHON,))
    return [
        Candidate(won, (*house.cronlock("cron", *again), "true"), env),
        Candidate(Entry("the same line, --tz Europe/Berlin, won", WRAPPED), (*zoned, "true"), env),
        Candidate(
            Entry("the same, 0 2 L * *, won", WRAPPED),
            (*house.cronlock("last", *again), "true"),
            env,
        ),
        Candidate(done, (*house.cronlock("done", "--once"), "true"), env, proof=SENT_HOME),
    ]


def _plain(house: House) -> list[Candidate]:
    return [
        Candidate(Entry(PLAIN, WRAPPED), (*house.plain("plain"), "true"), house.env),
        Candidate(Entry("plain script, held", (PYTHON,)), (*house.plain("held-by-hand"), "true"), house.env),
    ]


def _peers(peers: Peers) -> list[Candidate]:
    those = [
        Candidate(Entry(f"{name}, won", (TRUE,)), (*peers.before(name, "won"), "true"), peers.env)
        for name in peers.names
    ]
    if peers.flock:
        words = (*peers.before(FLOCK, "held"), "true")
        those.append(Candidate(Entry(f"{FLOCK}, held", (TRUE,)), words, peers.env, status=1, proof=1))
    return those


def _hold(house: House, peers: Peers) -> None:
    """Another one has what is to be held, until the end."""
    sleep = ("sleep", "100000")
    holders = [house.start((*house.cronlock("held", "--schedule", "none"), *sleep), house.cronlock_env())]
    if peers.flock:
        holders.append(house.start((*peers.before(FLOCK, "held"), *sleep), peers.env))
    for server in house.servers:
        server.redis.set("held-by-hand", "another one")
    for holder in holders:
        wait_until(partial(running, holder.pid, sleep[0]), message="a holder to hold")
