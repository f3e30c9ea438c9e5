"""A service behind Sentinel: the majority names its master, and runs follow a failover."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator, Sequence

import pytest

from tests.support.commands import cronlock, home, start_cronlock, wait_until
from tests.support.operator import NEXT, PLAIN, TICK, run, running
from tests.support.ports import free_port
from tests.support.sentinel import SERVICE, Service
from tests.support.servers import Server

Told = Server | str | None


class Sentinels:
    """Sentinels with given answers: each names a server, knows none (None), or replies with an error."""

    def __init__(self, *told: Told, addresses: Sequence[str] = ()) -> None:
        """Listen each on its own port, or with `addresses` all on the same port."""
        self.reports = list(told)
        self.port = free_port() if addresses else 0
        places = addresses or ["127.0.0.1"] * len(told)
        self.listeners = [socket.create_server((address, self.port)) for address in places]
        for number in range(len(told)):
            threading.Thread(target=self._talk, args=(number,), daemon=True).start()

    def _talk(self, number: int) -> None:
        while True:
            try:
                connection, _ = self.listeners[number].accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                while connection.recv(65_536):
                    connection.sendall(self._answer(self.reports[number]))

    @staticmethod
    def _answer(server: Told) -> bytes:
        if server is None:
            return b"*-1\r\n"
        if isinstance(server, str):
            return f"-{server}\r\n".encode()
        port = str(server.port)
        return f"*2\r\n$9\r\n127.0.0.1\r\n${len(port)}\r\n{port}\r\n".encode()

    @property
    def url(self) -> str:
        return f"redis+sentinel://{','.join(self.hosts)}/{SERVICE}"

    @property
    def hosts(self) -> list[str]:
        return [f"127.0.0.1:{listener.getsockname()[1]}" for listener in self.listeners]

    def close(self) -> None:
        for listener in self.listeners:
            listener.close()


@pytest.fixture
def sentinels() -> Iterator[Callable[..., Sentinels]]:
    """sentinels(server, None, ...): one Sentinel for each answer."""
    with contextlib.ExitStack() as stack:

        def start(*told: Told) -> Sentinels:
            made = Sentinels(*told)
            stack.callback(made.close)
            return made

        yield start


def records(server: Server) -> Sequence[str]:
    return [name for name in server.redis.keys("*") if ":record:" in name]


def test_what_is_opened_for_sentinels_closes_on_exec(server: Server, sentinels: Callable[..., Sentinels]) -> None:
    """A file without close-on-exec would count as one of the command's and be closed."""
    where = ("--redis", sentinels(server, server, server).url)
    assert run(where, "--again", *TICK, "--", "ls", "/proc/self/fd").stdout.split() == ["0", "1", "2", "3"]


def test_the_majority_of_the_sentinels_decides(servers: list[Server], sentinels: Callable[..., Sentinels]) -> None:
    """A Sentinel that is cut off may name the old master for long, and answer first."""
    old, new = servers[:2]
    for told in ((old, new, new), (new, old, new), (new, new, old)):
        assert run(("--redis", sentinels(*told).url), "--again", *TICK, "--", "echo", "ran").stdout == "ran\n"
    assert (len(records(old)), len(records(new))) == (0, 1)


def test_a_sentinel_that_is_gone_or_silent_costs_nothing(server: Server, sentinels: Callable[..., Sentinels]) -> None:
    """The answers of the others decide; a single Sentinel decides if all others are down."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hosts = ["127.0.0.1:1", f"127.0.0.1:{silent.getsockname()[1]}", *sentinels(server, server, server).hosts]
        done = run(("--redis", f"redis+sentinel://{','.join(hosts)}/{SERVICE}"), *PLAIN, "--", "echo", "ran")
        assert (done.stdout, done.stderr) == ("ran\n", "")
    lone = f"redis+sentinel://127.0.0.1:1,127.0.0.1:2,{sentinels(server).hosts[0]}/{SERVICE}"
    assert run(("--redis", lone), *PLAIN, "--", "echo", "ran").stdout == "ran\n"


def test_one_sentinel_of_three_is_enough_at_once(server: Server, sentinels: Callable[..., Sentinels]) -> None:
    """Within the time of one attempt, although the others are silent."""
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        hosts = [*sentinels(server).hosts, *(f"127.0.0.1:{silent.getsockname()[1]}" for silent in (one, two))]
        done = run(("--redis", f"redis+sentinel://{','.join(hosts)}/{SERVICE}"), *PLAIN, "--", "echo", "ran")
    assert (done.stdout, done.stderr) == ("ran\n", "")


def test_a_sentinel_that_has_no_connection_to_spare_is_an_outage(sentinels: Callable[..., Sentinels]) -> None:
    """The settings are not at fault, so the run is not refused."""
    done = run(("--redis", sentinels("ERR max number of clients reached").url), *PLAIN, "--", "true")
    assert (done.returncode, "max number of clients" in done.stderr) == (122, True)


def test_a_service_that_no_sentinel_knows_is_refused(server: Server, sentinels: Callable[..., Sentinels]) -> None:
    """A program other than Sentinel is refused too; a Sentinel that is down is an outage."""
    unknown = sentinels(None, None)
    done = run(("--redis", unknown.url), *PLAIN, "--", "true")
    front = f"cronlock: job: refused: {SERVICE}@{min(unknown.hosts)}: no Sentinel reported the master"
    assert done.returncode == 125
    assert done.stderr in [
        f"{front}: {host}: unknown service {SERVICE}: correct its name in the URL\n" for host in unknown.hosts
    ]
    wrong = run(("--redis", f"redis+sentinel://127.0.0.1:{server.port}/{SERVICE}"), *PLAIN, "--", "true")
    assert (wrong.returncode, "this server is not a Sentinel" in wrong.stderr) == (125, True)
    away = run(("--redis", f"redis+sentinel://127.0.0.1:1/{SERVICE}"), *PLAIN, "--", "true")
    assert (away.returncode, "no Sentinel reported the master: 127.0.0.1:1: connection refused" in away.stderr) == (
        122,
        True,
    )


def test_a_replica_is_not_used_as_the_master(servers: list[Server], sentinels: Callable[..., Sentinels]) -> None:
    """No node gives up because of a replica's old record: the Sentinels are asked again."""
    old, new = servers[:2]
    place = ("--redis", sentinels(old).url)
    assert run(place, *TICK, "--", "echo", "ran").stdout == "ran\n"
    old.ask("REPLICAOF", "127.0.0.1", new.port)
    wait_until(lambda: old.redis.info("replication")["role"] == "slave", message="the role")
    done = run(place, *TICK, "--", "echo", "ran")
    assert (done.returncode, done.stderr.rpartition(": ")[2]) == (
        122,
        "Sentinel named a server that is not a master)\n",
    )


def test_a_run_follows_a_manual_failover(servers: list[Server], sentinels: Callable[..., Sentinels]) -> None:
    """The old master stays up and replies READONLY on open connections."""
    old, new = servers[:2]
    new.ask("REPLICAOF", "127.0.0.1", old.port)
    wait_until(lambda: new.redis.info("replication")["master_link_status"] == "up", message="the replica")
    told = sentinels(old)
    place = ("--redis", told.url)
    script = "touch started; while ! [ -e end ]; do sleep 0.05; done; echo ran"
    process = start_cronlock("run", *place, "--key", "job", *TICK, "--ttl", "7s", "--", "sh", "-c", script)
    wait_until((home() / "started").exists, message="the command")
    old.redis.wait(1, 2000)
    new.ask("REPLICAOF", "NO", "ONE")
    old.ask("REPLICAOF", "127.0.0.1", new.port)
    told.reports = [new]
    before = new.redis.hget(records(new)[0], "lease_end")
    wait_until(lambda: new.redis.hget(records(new)[0], "lease_end") != before, message="an extended lease")
    (home() / "end").touch()
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err or "") == (0, "ran\n", "")
    assert new.redis.hget(records(new)[0], "state") == "done"


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    """A real service, whose first Sentinel is down."""
    with Service(appendonly="yes") as service:
        yield service


def test_status_reads_the_master_of_a_service(service: Service) -> None:
    """Under the name of the service and its first Sentinel; a waiting node is notified there too."""
    place = ("--redis", service.urls[0])
    with running(place, *PLAIN):
        assert "running" in cronlock("status", *place).stdout
        waiting = start_cronlock("run", *place, "--key", "job", *PLAIN, "--wait", "30s", "--", "true")
        wait_until(lambda: service.master.ask("PUBSUB", "CHANNELS", "cronlock:*"), message="the subscription")
    assert waiting.wait(10) == 0
    assert f"{SERVICE}@127.0.0.1:1" in cronlock("status", *place, "job").stdout


def test_check_reports_the_sentinels_and_the_risk_of_a_failover(service: Service) -> None:
    """A Sentinel that is down, too few Sentinels, and a master that would continue alone."""
    place = ("--redis", service.urls[0])
    told = cronlock("check", "-v", *place).stdout
    master, first = service.master, f"{SERVICE}@127.0.0.1:1"
    assert "yellow  127.0.0.1:1" in told
    assert f"master 127.0.0.1:{master.port}, replicas: 1, sentinels: 1; a failover may lose the newest writes" in told
    assert "1 sentinel: the loss of one stops every failover: run three" in told
    assert "still grants leases: two nodes may run at once: add a second replica, then CONFIG SET min-replicas" in told
    assert first in told
    assert "one server: its loss stops every run" not in told
    master.ask("CONFIG", "SET", "min-replicas-to-write", "1")
    assert "still grants leases" not in cronlock("check", *place).stdout


def test_a_sentinel_has_its_own_password(service: Service) -> None:
    """The server's password is not sent to Sentinels."""
    assert service.sentinel
    service.sentinel.ask("ACL", "SETUSER", "guest", "on", ">s3cret", "+sentinel", "+info")
    host = f"127.0.0.1:{service.sentinel.port}"
    url = f"redis+sentinel://{host}/{SERVICE}?sentinel_username=guest&sentinel_password="
    assert run(("--redis", f"{url}s3cret"), *NEXT, "--", "echo", "ran").stdout == "ran\n"
    done = run(("--redis", f"{url}wrong"), *NEXT, "--", "true")
    assert (done.returncode, "WRONGPASS" in done.stderr, "wrong" in done.stderr) == (125, True, False)
