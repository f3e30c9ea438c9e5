"""TLS: which servers a node accepts, and the messages, which are the same in run, status and check."""

import contextlib
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
from cryptography.hazmat.primitives import serialization as keys

from tests.support.commands import cronlock, new_folder, start_cronlock, wait_until
from tests.support.operator import PLAIN, run, running
from tests.support.servers import Place, Server
from tests.support.tls import Authority, ShieldedServer, authority

UNKNOWN = (
    "certificate not accepted: self-signed certificate in certificate chain: name the file of its CA in ssl_ca_certs"
)
OTHER_HOST = (
    "certificate not accepted: IP address mismatch, certificate is not valid for '127.0.0.2': "
    "use the host name of its certificate, or add ssl_check_hostname=false"
)
NO_CERTIFICATE = "the server requires a client certificate: add ssl_certfile and ssl_keyfile to its URL"
APART = "ssl_certfile, ssl_keyfile and ssl_password do not match: "


@pytest.fixture(scope="module")
def shielded() -> Iterator[ShieldedServer]:
    """A server behind TLS that requires client certificates."""
    with ShieldedServer() as server:
        yield server


@pytest.fixture(scope="module")
def stranger() -> Authority:
    """An authority that neither side trusts."""
    return Authority(new_folder())


def url(port: int, host: str = "127.0.0.1", **changed: object) -> str:
    """Return a URL with the parameters of an accepted node and the given changes; None omits a parameter."""
    parameters = {name: value for name, value in {**authority().parameters, **changed}.items() if value is not None}
    return f"rediss://{host}:{port}?{urlencode(parameters)}"


def said(url: str) -> str:
    """Assert that a run, `status` and `check` give the same reason."""
    ran = run(("--redis", url), *PLAIN, "--", "echo", "ran")
    asked = cronlock("status", "--redis", url)
    assert (ran.returncode, asked.returncode, ran.stdout, asked.stdout) == (125, 125, "", "")
    line = ran.stderr.removeprefix("cronlock: job: refused: ")
    assert asked.stderr == f"cronlock: refused: {line}"
    label, _, text = line.rstrip("\n").partition(": ")
    checked = cronlock("check", "--redis", url)
    assert text in checked.stdout + checked.stderr
    assert label in checked.stdout + checked.stderr
    return text


def test_a_lease_is_acquired_extended_and_released_over_tls(shielded: ShieldedServer) -> None:
    """Requests and replies are longer than one TLS record."""
    place = ("--redis", url(shielded.port))
    long = "x" * 40_000
    done = run(place, "-v", *PLAIN, "--ttl", "7s", "--", "sh", "-c", "sleep 2.6; echo ran", long)
    assert (done.returncode, done.stdout, done.stderr) == (0, "ran\n", "cronlock: job: ran: status 0\n")
    assert cronlock("status", *place, "job").returncode == 0


def test_what_tls_opens_closes_on_exec(shielded: ShieldedServer) -> None:
    """A file without close-on-exec would count as one of the command's and be closed."""
    done = run(("--redis", url(shielded.port)), *PLAIN, "--", "ls", "/proc/self/fd")
    assert (done.stdout.split(), done.stderr) == (["0", "1", "2", "3"], "")


def test_a_waiting_node_is_notified_over_tls(shielded: ShieldedServer) -> None:
    """A subscription is a connection of its own."""
    place = ("--redis", url(shielded.port))
    with running(place, *PLAIN):
        waiting = start_cronlock("run", *place, "--key", "job", *PLAIN, "--wait", "30s", "--", "true")
        wait_until(lambda: shielded.ask("PUBSUB", "CHANNELS"), message="the subscription")
    assert waiting.wait(10) == 0


def test_a_server_of_an_unknown_authority_is_not_accepted(shielded: ShieldedServer, stranger: Authority) -> None:
    """Without ssl_ca_certs, and with the file of another authority."""
    assert said(url(shielded.port, ssl_ca_certs=None)) == UNKNOWN
    assert said(url(shielded.port, ssl_ca_certs=stranger.root)) == UNKNOWN


def test_a_certificate_has_to_name_the_host(shielded: ShieldedServer) -> None:
    """By address or by name, as in the URL, unless a parameter disables this; check reports the parameter."""
    for host in ("127.0.0.1", "localhost"):
        assert run(("--redis", url(shielded.port, host)), *PLAIN, "--", "echo", "ran").stdout == "ran\n"
    elsewhere = "127.0.0.2"
    with ShieldedServer(place=Place(elsewhere)) as server:
        assert said(url(server.port, elsewhere)) == OTHER_HOST
        careless = ("--redis", url(server.port, elsewhere, ssl_check_hostname="false"))
        assert run(careless, *PLAIN, "--", "echo", "ran").stdout == "ran\n"
        told = cronlock("check", *careless).stdout
    assert "ssl_check_hostname=false: a host in between can impersonate it" in told


def test_ssl_cert_reqs_none_accepts_any_certificate(shielded: ShieldedServer, stranger: Authority) -> None:
    """Only with this parameter, and check reports it in yellow."""
    careless = ("--redis", url(shielded.port, ssl_ca_certs=stranger.root, ssl_cert_reqs="none"))
    assert run(careless, *PLAIN, "--", "echo", "ran").stdout == "ran\n"
    assert "ssl_cert_reqs=none: a host in between can impersonate it" in cronlock("check", *careless).stdout
    assert "TLS" in cronlock("check", "-v", "--redis", url(shielded.port)).stdout


def test_a_node_without_a_certificate_learns_that_it_needs_one(stranger: Authority) -> None:
    """From the alerts of OpenSSL, which arrive only after the handshake."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_shake_hands, args=(listener,), daemon=True).start()
        port = listener.getsockname()[1]
        bare = ("--redis", url(port, ssl_certfile=None, ssl_keyfile=None))
        assert run(bare, *PLAIN, "--", "true").stderr.endswith(f": {NO_CERTIFICATE}\n")
        for command in ("status", "check"):  # which may find the connection closed before they read why
            done = cronlock(command, *bare)
            assert "requires a client certificate" in done.stdout + done.stderr
        strange = url(port, ssl_certfile=stranger.client, ssl_keyfile=stranger.client_key)
        assert run(("--redis", strange), *PLAIN, "--", "true").stderr.endswith("TLS failed: tlsv1 alert unknown ca\n")


def _shake_hands(listener: socket.socket) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection, contextlib.suppress(OSError):
            authority().context.wrap_socket(connection, server_side=True).recv(1)


def test_files_that_are_not_there_or_hold_something_else_are_named(shielded: ShieldedServer, tmp_path: Path) -> None:
    ours = authority()
    none = tmp_path / "none.pem"
    assert said(url(shielded.port, ssl_ca_certs=none)) == f"ssl_ca_certs: can't read {none}: no such file or directory"
    wrong: list[tuple[dict[str, object], str]] = [
        ({"ssl_ca_path": none}, f"ssl_ca_path: can't read {none}: no such file or directory"),
        ({"ssl_ca_certs": "/dev/null"}, "ssl_ca_certs: /dev/null is not a file"),
        ({"ssl_certfile": none}, f"ssl_certfile: can't read {none}: no such file or directory"),
        ({"ssl_keyfile": none}, f"ssl_keyfile: can't read {none}: no such file or directory"),
        ({"ssl_ca_certs": ours.client_key}, f"ssl_ca_certs: {ours.client_key} does not contain any certificates"),
        ({"ssl_keyfile": ours.server_key}, f"{APART}key values mismatch"),
        ({"ssl_keyfile": None}, APART),
    ]
    for changed, text in wrong:
        done = run(("--redis", url(shielded.port, **changed)), *PLAIN, "--", "true")
        assert (done.returncode, text in done.stderr) == (125, True)


def test_the_key_of_a_node_may_have_a_password(shielded: ShieldedServer, tmp_path: Path) -> None:
    """OpenSSL does not ask for it at a terminal: without it the run is refused."""
    key = keys.load_pem_private_key(authority().client_key.read_bytes(), None)
    locked = tmp_path / "locked.key"
    how = keys.BestAvailableEncryption(b"s&crt")
    locked.write_bytes(key.private_bytes(keys.Encoding.PEM, keys.PrivateFormat.PKCS8, how))
    place = ("--redis", url(shielded.port, ssl_keyfile=locked, ssl_password="s&crt"))
    assert run(place, *PLAIN, "--", "echo", "ran").stdout == "ran\n"
    assert cronlock("status", *place, "job").returncode == 0
    for password in (None, "wrong"):
        done = run(("--redis", url(shielded.port, ssl_keyfile=locked, ssl_password=password)), *PLAIN, "--", "true")
        assert (done.returncode, APART in done.stderr) == (125, True)


def test_a_server_without_tls_differs_from_a_silent_one(server: Server) -> None:
    """Redis takes the handshake for the start of a command and waits for the rest."""
    done = cronlock("run", "--redis", url(server.port), "--key", "job", *PLAIN, "--outage-wait", "2s", "--", "true")
    assert done.returncode == 122
    assert done.stderr.endswith("no answer to the TLS handshake: without TLS write redis://)\n")


def test_a_run_without_tls_learns_that_the_server_uses_it(shielded: ShieldedServer) -> None:
    """From the alert of the server's TLS library."""
    done = run(("--redis", f"redis://127.0.0.1:{shielded.port}"), *PLAIN, "--", "true")
    assert done.returncode in (122, 125)  # a proxy may close without an answer
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_alert, args=(listener,), daemon=True).start()
        done = run(("--redis", f"redis://127.0.0.1:{listener.getsockname()[1]}"), *PLAIN, "--", "true")
    assert (done.returncode, done.stderr.rpartition(": the ")[2]) == (125, "server uses TLS: write rediss://\n")


def _alert(listener: socket.socket) -> None:
    """OpenSSL's answer to bytes that are not TLS: alert, TLS 1.2, two bytes, fatal, record overflow."""
    connection, _ = listener.accept()
    connection.recv(65_536)
    connection.sendall(b"\x15\x03\x03\x00\x02\x02\x16")
    connection.recv(1)


def test_a_connection_that_breaks_during_the_handshake_is_tried_again(shielded: ShieldedServer) -> None:
    """A restart of the server is not a fault of the settings."""
    words = ("run", "--redis", url(shielded.port), "--key", "job", *PLAIN, "--outage-wait", "20s")
    shielded.proxy.cut()
    with socket.create_server(("127.0.0.1", shielded.port)) as listener:
        process = start_cronlock(*words, "--", "echo", "ran")
        connection, _ = listener.accept()
        connection.recv(1)
        connection.close()
    shielded.proxy.pass_all()
    assert process.communicate(timeout=20)[0] == "ran\n"


def test_certificates_are_replaced_while_a_run_goes_on(stranger: Authority, tmp_path: Path) -> None:
    """Those of servers, of nodes and of the authority, in any order, while the lease lasts."""
    files = {name: tmp_path / Path(path).name for name, path in authority().parameters.items()}
    for name, path in authority().parameters.items():
        shutil.copy(path, files[name])
    asked: list[object] = []
    renewed = stranger.context
    renewed.sni_callback = lambda *_: asked.append(1)
    with ShieldedServer() as server:
        place = ("--redis", url(server.port, "localhost", **files))
        with running(place, *PLAIN, "--ttl", "20s") as process:
            [record] = server.redis.keys("*:record:*")
            server.proxy.cut()
            server.proxy.tls = renewed
            server.proxy.pass_all()
            wait_until(lambda: len(asked) > 1, 20, "the holder to ask in vain")
            for name, path in stranger.parameters.items():
                shutil.copy(path, files[name])
            end = server.redis.hget(record, "lease_end")
            wait_until(lambda: server.redis.hget(record, "lease_end") != end, 20, "an extended lease")
            assert process.poll() is None
