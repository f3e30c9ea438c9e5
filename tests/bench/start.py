"""The time of the wrapper, around a command that does nothing, and while another run holds the key."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial

from tests.bench.install_fixture import InstallFixture, running
from tests.bench.peers import FLOCK, Peers, found
from tests.bench.table import Entry, Scale, rows
from tests.bench.timing import Taken, medians, shuffled
from tests.support.clusters import Cluster
from tests.support.commands import wait_until

PYTHON, TRUE, PLAIN = "python -I -c pass", "true, without a wrapper", "plain script, won"
WON, CLUSTER = "cronlock run --schedule none, won", "the same on a cluster of three masters"
SCALE = Scale("start", "ms", PYTHON, PLAIN, TRUE)
WRAPPED = (PYTHON, TRUE)  # the least that a wrapper in Python can take
LAUNCHER = "the same as won, by the launcher of cronlock install"
SHOWN = {PYTHON: "bare Python", PLAIN: "plain script", WON: "the script"}
CONFLICT_STATUS = 9  # cronlock's status if the command did not start, to prove that a case does what it says

CRONTAB = """\
CRONLOCK_REDIS={urls}
*/5 * * * *  root  cronlock run --once --key cron -- true
*/5 * * * *  root  cronlock run --once --key done -- true
*/5 * * * *  root  cronlock run --once --key zone -- true
0 2 L * *    root  cronlock run --once --key last -- true
"""


@dataclass(frozen=True)
class Case:
    """A row and its command line. `proof` is the status with CONFLICT_STATUS in the environment, `status` without."""

    entry: Entry
    words: tuple[str, ...]
    env: Mapping[str, str]
    status: int = 0
    proof: int = 0
    extra: Mapping[str, str] = field(default_factory=lambda: {"CRONLOCK_CONFLICT_EXIT_CODE": str(CONFLICT_STATUS)})


def measure(install: InstallFixture, peers: Peers, rounds: int) -> list[str]:
    with ExitStack() as stack:
        cluster = stack.enter_context(Cluster())
        cases = [
            *_bare(install),
            *_cronlock(install, cluster),
            *_crontab(install),
            *_plain(install),
            *_peers(peers),
        ]
        _hold(install, peers)
        for case in cases:
            _prove(install, case)
        taken: dict[str, list[Taken]] = {case.entry.name: [] for case in cases}
        for case in shuffled(cases, rounds):
            one = install.starter.run(case.words, case.env)
            if one.status != case.status:
                raise RuntimeError(f"{case.entry.name}: status {one.status}: {install.starter.output.read_text()}")
            taken[case.entry.name].append(one)
    figures = {name: medians(those) for name, those in taken.items()}
    return rows(SCALE, figures, [case.entry for case in cases])


def _prove(install: InstallFixture, case: Case) -> None:
    """Check that a case wins or exits as its row says; its first run may differ, since it still runs the tick."""
    for _ in range(3):
        got = install.starter.run(case.words, {**case.env, **case.extra}).status
        if got == case.proof:
            return
    raise RuntimeError(f"{case.entry.name}: status {got}: {install.starter.output.read_text()}")


def _bare(install: InstallFixture) -> list[Case]:
    return [
        Case(Entry(TRUE), (found("true"),), install.env),
        Case(Entry(PYTHON), install.python(), install.env),
    ]


def _cronlock(install: InstallFixture, cluster: Cluster) -> list[Case]:
    env = install.cronlock_env()
    filed = install.folder / "filed"
    (filed / ".config").mkdir()
    (filed / ".config" / "cronlock.toml").write_text(f"redis = {install.urls}\n")
    held = Entry("cronlock run --schedule none, held by another one", (PYTHON,), {PYTHON: 1.7}, SHOWN)
    none = ("--schedule", "none")
    won = install.cronlock("won", *none)
    return [
        Case(Entry(WON, WRAPPED, {PYTHON: 2.0, PLAIN: 0.16}, SHOWN), (*won, "true"), env),
        Case(Entry(LAUNCHER, WRAPPED, {WON: 1.0}, SHOWN), (*install.launcher("won", *none), "true"), env),
        Case(held, (*install.cronlock("held", *none), "true"), env, proof=CONFLICT_STATUS),
        Case(
            Entry("the same as won, servers in ~/.config/cronlock.toml", WRAPPED),
            (*won, "true"),
            install.env | {"HOME": str(filed)},
        ),
        Case(
            Entry(CLUSTER, WRAPPED, {WON: 1.2}, {WON: "three servers"}),
            (*won, "true"),
            install.cronlock_env(*cluster.urls[:1]),
        ),
    ]


def _crontab(install: InstallFixture) -> list[Case]:
    """Return the rows with a crontab; with --again a run acquires the lock as often as needed."""
    if install.no_crontabs:
        return []
    (install.folder / "cron.d" / "jobs").write_text(CRONTAB.format(urls=" ".join(install.urls)))
    env = install.cronlock_env()
    again = ("--once", "--again")
    won = Entry("the line in /etc/cron.d, */5 * * * *, won", WRAPPED, {PYTHON: 2.2}, SHOWN)
    zoned = install.cronlock("zone", *again, "--tz", "Europe/Berlin")
    done = Entry("the same line, the tick is done", (PYTHON,))
    return [
        Case(won, (*install.cronlock("cron", *again), "true"), env),
        Case(Entry("the same line, --tz Europe/Berlin, won", WRAPPED), (*zoned, "true"), env),
        Case(
            Entry("the same, 0 2 L * *, won", WRAPPED),
            (*install.cronlock("last", *again), "true"),
            env,
        ),
        Case(done, (*install.cronlock("done", "--once"), "true"), env, proof=CONFLICT_STATUS),
    ]


def _plain(install: InstallFixture) -> list[Case]:
    return [
        Case(Entry(PLAIN, WRAPPED), (*install.plain("plain"), "true"), install.env),
        Case(Entry("plain script, held", (PYTHON,)), (*install.plain("held-by-hand"), "true"), install.env),
    ]


def _peers(peers: Peers) -> list[Case]:
    those = [
        Case(Entry(f"{name}, won", (TRUE,)), (*peers.before(name, "won"), "true"), peers.env) for name in peers.names
    ]
    if peers.flock:
        words = (*peers.before(FLOCK, "held"), "true")
        those.append(Case(Entry(f"{FLOCK}, held", (TRUE,)), words, peers.env, status=1, proof=1))
    return those


def _hold(install: InstallFixture, peers: Peers) -> None:
    """Start the runs that hold the keys of the rows "held", until the end."""
    sleep = ("sleep", "100000")
    holders = [install.start((*install.cronlock("held", "--schedule", "none"), *sleep), install.cronlock_env())]
    if peers.flock:
        holders.append(install.start((*peers.before(FLOCK, "held"), *sleep), peers.env))
    for server in install.servers:
        server.redis.set("held-by-hand", "another one")
    for holder in holders:
        wait_until(partial(running, holder.pid, sleep[0]), message="a holder to hold")
