"""The server in the variables that other programs read too: REDIS_URL, or REDIS_HOST and those beside it.

A variable that says where or how to connect is obeyed or refused: without its TLS or its database, cronlock would lock
on another server than the operator thinks. This module is imported only where nothing of cronlock's own names a server.
"""

from cronlock.config.options import boolean
from cronlock.config.redis_url import DATABASE_MAX, Address, parse
from cronlock.errors import Refused

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from collections.abc import Mapping

HOST, URL, DATABASE, SCHEME = "REDIS_HOST", "REDIS_URL", "REDIS_DB", "REDIS_SCHEME"
TLS = "REDIS_TLS REDIS_SSL REDIS_USE_TLS REDIS_USE_SSL REDIS_TLS_ENABLED REDIS_SSL_ENABLED".split()
SCHEMES = {"tcp": False, "redis": False, "valkey": False, "tls": True, "ssl": True, "rediss": True, "valkeys": True}
NONE = ("null", "none", "nil", "undefined")  # what some frameworks write for a value that is not there
SEPARATE = "unset one of them, or pass --redis"


def server_in(environ: "Mapping[str, str]") -> tuple[list[Address], str]:
    """Return the server that these variables name, if they do, and the variable's name. Raises Refused."""
    url, host = _read(environ, URL), _read(environ, HOST)
    if not url and not host:
        return [], "default"
    database, tls = _read_database(environ), _read_tls(environ)
    by_url = parse(url, URL) if url else None
    by_host = _by_host(environ, host, database[1], tls[1]) if host else None
    if by_url and by_host and by_url.label != by_host.label:
        raise Refused(f"{URL} ({by_url.label}) and {HOST} ({by_host.label}) differ: {SEPARATE}")
    if not by_url:
        return [by_host] if by_host else [], HOST
    if database[1] not in (None, by_url.db):
        raise Refused(f"{URL} ({by_url.label}) and {database[0]} ({database[1]}) differ: {SEPARATE}")
    if tls[1] is not None and tls[1] != (by_url.tls is not None) and not by_url.path:
        scheme = "redis" if by_url.tls is None else "rediss"
        raise Refused(f"{URL} ({scheme}://) and {tls[0]} ({environ[tls[0]].strip()}) differ: {SEPARATE}")
    return [by_url], URL


def _by_host(environ: "Mapping[str, str]", host: str, database: int | None, tls: bool | None) -> Address:
    port = _read(environ, "REDIS_PORT") or "6379"
    if port.startswith("tcp://"):  # Kubernetes sets it so for a service that is called redis
        port = port.rpartition(":")[2]
    if not port.isdigit():
        raise Refused("REDIS_PORT: it is not a port: write a number from 1 to 65535")
    if "://" in host:
        raise Refused(f"{HOST} contains a URL: put the URL into {URL}")
    if "," in host:
        raise Refused(f"{HOST} names several hosts: put a URL for each into CRONLOCK_REDIS, with spaces between them")
    if host.startswith("/"):
        raise Refused(f"{HOST} contains a path: write unix:///PATH into CRONLOCK_REDIS")
    if host.count(":") == 1:
        raise Refused(f"{HOST} contains a colon: put the port into REDIS_PORT")
    bracketed = f"[{host}]" if ":" in host else host
    address = parse(f"{'rediss' if tls else 'redis'}://{bracketed}:{port}", "REDIS_HOST and REDIS_PORT")
    address.username = _read(environ, "REDIS_USERNAME")
    address.password = _read(environ, "REDIS_PASSWORD")
    address.db = database or 0
    return address


def _read_database(environ: "Mapping[str, str]") -> tuple[str, int | None]:
    text = _read(environ, DATABASE)
    if not text:
        return DATABASE, None
    if not (text.isascii() and text.isdigit()) or len(text) > 5 or int(text) > DATABASE_MAX:
        raise Refused(f"{DATABASE}: it is not a database: write a number from 0 to {DATABASE_MAX}")
    return DATABASE, int(text)


def _read_tls(environ: "Mapping[str, str]") -> tuple[str, bool | None]:
    """Return whether a variable asks for TLS, and its name; None if no variable says so."""
    found: dict[str, bool] = {}
    for name in TLS:
        text = _read(environ, name)
        try:
            found |= {name: boolean(text)} if text else {}
        except ValueError:
            raise Refused(f"{name}: it is neither 1 nor 0: write one of them") from None
    scheme = _read(environ, SCHEME)
    if scheme:
        if scheme not in SCHEMES:
            raise Refused(f"{SCHEME}: it is neither tcp nor tls: write one of them")
        found[SCHEME] = SCHEMES[scheme]
    if len(set(found.values())) > 1:
        raise Refused(f"{' and '.join(found)} differ: unset one of them, or pass --redis")
    return next(iter(found.items()), ("", None))


def _read(environ: "Mapping[str, str]", name: str) -> str:
    """Return the value of a variable. Raises Refused for a value that was meant otherwise."""
    text = environ.get(name, "")
    if text[:1] in ('"', "'") and len(text) > 1 and text[-1] == text[0]:
        raise Refused(f"{name} is in quotes, which would be part of the value: remove them")
    if text[-1:] in ("\n", "\r"):
        raise Refused(f"{name} ends with a line break: remove it, as with printf in place of echo")
    if text.lower() in NONE:
        raise Refused(f"{name} is {text}, which may mean none: unset it, or write a URL into CRONLOCK_REDIS")
    return text
