"""Servers that speak TLS with a certificate of a private authority and demand one of clients, too."""

import functools
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import redis
import trustme

from tests.support.binaries import speaks_tls
from tests.support.commands import new_folder
from tests.support.ports import BUS, free_port
from tests.support.proxies import Proxy
from tests.support.servers import Place, Server

NAMES = ("127.0.0.1", "::1", "localhost", "*.example")  # that the servers' certificate is good for


class Authority:
    """A certificate authority, with a certificate for servers and one for clients, as files."""

    def __init__(self, folder: Path) -> None:
        self.root, self.servers, self.server_key = folder / "ca.pem", folder / "server.pem", folder / "server.key"
        self.client, self.client_key = folder / "client.pem", folder / "client.key"
        authority = trustme.CA()
        authority.cert_pem.write_to_path(self.root)
        pairs = ((NAMES, self.servers, self.server_key), (("cronlock.example",), self.client, self.client_key))
        for names, file, key in pairs:
            issued = authority.issue_cert(*names)
            issued.private_key_pem.write_to_path(key)
            issued.cert_chain_pems[0].write_to_path(file)

    @property
    def parameters(self) -> dict[str, str]:
        """Of a client's URL, and of redis-py."""
        names = ("ssl_ca_certs", self.root), ("ssl_certfile", self.client), ("ssl_keyfile", self.client_key)
        return {name: str(file) for name, file in names}

    @property
    def context(self) -> ssl.SSLContext:
        """A server's."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=self.root)
        context.load_cert_chain(self.servers, self.server_key)
        context.verify_mode = ssl.CERT_REQUIRED
        return context


@functools.cache
def authority() -> Authority:
    """The one that all servers here have; another call of Authority is a stranger to it."""
    return Authority(new_folder())


def parameters() -> str:
    """A client's, as they stand in a URL."""
    return urlencode(authority().parameters, safe="/")


def tls_url(place: Place, port: int) -> str:
    return f"rediss://{place.host}:{port}?{parameters()}"


class TlsServer(Server):
    """A server that speaks nothing else on its port, on its cluster bus, and to its master."""

    def listens(self) -> dict[str, Any]:
        ours = authority()
        return {
            "port": 0,
            "tls-port": self.port,
            "tls-ca-cert-file": ours.root,
            "tls-cert-file": ours.servers,
            "tls-key-file": ours.server_key,
            "tls-auth-clients": "yes",
            "tls-replication": "yes",
            "tls-cluster": "yes",
        }

    def client(self, **kw: Any) -> "redis.Redis":
        return super().client(**{"ssl": True, **authority().parameters} | kw)

    @property
    def url(self) -> str:
        return tls_url(self.place, self.port)


class TlsProxy(Proxy):
    """A proxy that ends TLS in front of a server that was built without it."""

    def __init__(self, server: "ShieldedServer") -> None:
        self.tls = authority().context
        self.inner = server
        super().__init__(server, server.place.address, server.port)

    @property
    def target(self) -> tuple[str, int]:
        return self.inner.place.address, self.inner.plain_port


class ShieldedServer(Server):
    """A server without TLS behind a proxy with it; `port` is the proxy's, and what its cluster tells clients."""

    def __init__(self, *args: Any, **kw: Any) -> None:
        self.plain_port = free_port()
        super().__init__(*args, **kw)
        self.proxy = TlsProxy(self)

    def listens(self) -> dict[str, Any]:
        announced = {"cluster-announce-port": self.port, "cluster-announce-bus-port": self.bus_port}
        return {"port": self.plain_port, **announced}

    def move(self) -> None:
        self.plain_port = free_port()

    @property
    def bus_port(self) -> int:
        return self.plain_port + BUS

    def client(self, **kw: Any) -> "redis.Redis":
        return super().client(**{"port": self.plain_port} | kw)

    @property
    def url(self) -> str:
        return tls_url(self.place, self.port)

    def close(self) -> None:
        self.proxy.close()
        super().close()


def tls_kind(binary: Path) -> type[Server]:
    """Return the way to have this binary with TLS."""
    return TlsServer if speaks_tls(binary) else ShieldedServer
