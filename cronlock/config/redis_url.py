"""URLs of Redis servers in redis-py's syntax, parsed without urllib (8 ms of imports)."""

from cronlock.errors import Refused

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from collections.abc import Sequence

ALIASES = {"valkey": "redis", "valkeys": "rediss"}
SCHEMES = ("redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel", *ALIASES)
PORT = 6379
SENTINEL_PORT = 26379
PORT_MAX = 65_535
DATABASE_MAX = 65_535
HOST_MAX = 255  # bytes of a host name (RFC 1035)
HEX = b"0123456789abcdefABCDEF"
LOGIN = ("db", "username", "password")
SENTINEL_LOGIN = ("sentinel_username", "sentinel_password")
TLS = "ssl_ca_certs ssl_ca_path ssl_certfile ssl_keyfile ssl_password ssl_cert_reqs ssl_check_hostname".split()
VALUES = {  # of these parameters, the safe one first
    "ssl_cert_reqs": ("required", "none"),
    "ssl_check_hostname": ("true", "false"),
}
FORMS = "redis://host:port, rediss:// for TLS, unix:///path or redis+sentinel://host,host/service"


class Address:
    """The address of one server and its login. `label` names the server in messages, without the password.

    `tls`: the ssl_ parameters of the URL by redis-py's names; None without TLS. With `sentinels` the server is the
    master of `service`, as these Sentinels report it.
    """

    __slots__ = ("db", "host", "password", "path", "port", "sentinels", "service", "tls", "username")

    def __init__(
        self,
        host: str = "",
        port: int = PORT,
        path: str = "",
        db: int = 0,
        username: str = "",
        password: str = "",
        tls: "dict[str, str] | None" = None,
    ) -> None:
        self.host = host
        self.port = port
        self.path = path
        self.db = db
        self.username = username
        self.password = password
        self.tls = tls
        self.service = ""
        self.sentinels: Sequence[Address] = ()

    @property
    def label(self) -> str:
        if self.sentinels:  # the first by name, because nodes may list the Sentinels in any order
            where = f"{self.service}@{min(sentinel.label for sentinel in self.sentinels)}"
            return f"{where}/{self.db}" if self.db else where
        host = f"[{self.host}]" if ":" in self.host else self.host
        where = self.path or f"{host}:{self.port}"
        return f"{where}/{self.db}" if self.db else where

    def beside(self, host: str, port: int) -> "Address":
        """Return the address of another node of the same cluster, with the same login and database."""
        return Address(host, port, "", self.db, self.username, self.password, self.tls)


def parse(url: str, source: str) -> Address:
    """Return the address in a URL; raises Refused with the source.

    The messages never quote the URL: a password that is not percent-encoded may be anywhere in it.
    """
    scheme, rest = _scheme_and_rest(url, source)
    rest, _, query = rest.partition("?")
    if "@" in query:
        raise Refused(f"{source}: percent-encode special characters in a Redis URL's password: %3F for ?, %40 for @")
    login, _, where = ("", "", rest) if rest.startswith("/") else rest.rpartition("@")
    username, _, password = login.partition(":")
    options = _read_options(query, scheme, source)
    address = Address(
        username=_unquote(username) or options.get("username", ""),
        password=_unquote(password) or options.get("password", ""),
        tls=_read_tls_options(options, source) if scheme.startswith("rediss") else None,
    )
    if scheme == "unix":
        address.path = _unquote(where)
        if not address.path.startswith("/") or not address.path.isprintable():
            raise Refused(
                f"{source}: a unix:// URL needs the absolute path of the socket: unix:///run/redis/redis.sock"
            )
        db = ""
    else:
        where, _, db = where.partition("/")
        if scheme.endswith("+sentinel"):
            service, _, db = db.partition("/")
            _read_sentinels(address, where, service, options, source)
        else:
            address.host, address.port = _host_and_port(where, PORT, source)
    db = _unquote(db) or options.get("db", "0")
    address.db = _number(
        db, 0, DATABASE_MAX, f"{source}: Redis URL with an invalid database: write its number, 0 to 65535"
    )
    return address


def _scheme_and_rest(url: str, source: str) -> tuple[str, str]:
    if url != url.strip():
        raise Refused(f"{source}: a blank or a line break before or after a Redis URL: remove it")
    if url[:1] in ('"', "'"):
        raise Refused(f"{source}: a Redis URL in quotes, which would be part of it: remove them")
    scheme, found, rest = url.partition("://")
    if not found or scheme not in SCHEMES:
        what = "no scheme" if not found else f"unknown scheme {scheme!r}" if scheme.isalpha() else "unknown scheme"
        raise Refused(f"{source}: Redis URL with {what}: write {FORMS}")
    if any(f"{between}{known}://" in rest for between in " ," for known in SCHEMES):
        raise Refused(f"{source}: several Redis URLs in one: repeat --redis, or put spaces into CRONLOCK_REDIS")
    return ALIASES.get(scheme, scheme), rest


def _host_and_port(text: str, default: int, source: str) -> tuple[str, int]:
    if "," in text:
        what = f"{source}: several hosts in one Redis URL: give each a URL"
        raise Refused(f"{what}: repeat --redis, or put spaces into CRONLOCK_REDIS")
    if "$" in text:
        raise Refused(f"{source}: a variable in a Redis URL, which is not replaced here: write the host and the port")
    if text.startswith("["):
        host, closed, port = text[1:].partition("]")
        port = port[1:] if port.startswith(":") else port and "none"
    else:
        host, _, port = text.partition(":")
        closed = "]"
    host = _unquote(host) or "localhost"
    if not closed or not host.isprintable() or " " in host:
        raise Refused(f"{source}: Redis URL with an invalid host name: write {FORMS}")
    return host, _number(port or str(default), 1, 65_535, f"{source}: Redis URL with an invalid port: write 1 to 65535")


def _read_sentinels(address: Address, hosts: str, service: str, options: "dict[str, str]", source: str) -> None:
    address.service = _unquote(service)
    if not address.service or not address.service.isprintable():
        raise Refused(f"{source}: Sentinel URL without a service name: write redis+sentinel://host,host/service")
    login = [options.get(name, "") for name in SENTINEL_LOGIN]
    sentinels = []
    for text in hosts.split(","):
        host, port = _host_and_port(text, SENTINEL_PORT, source)
        sentinels.append(Address(host, port, username=login[0], password=login[1], tls=address.tls))
    address.sentinels = sentinels


def _read_options(query: str, scheme: str, source: str) -> "dict[str, str]":
    known = [*LOGIN]
    known += SENTINEL_LOGIN if scheme.endswith("+sentinel") else ()
    known += TLS if scheme.startswith("rediss") else ()
    options: dict[str, str] = {}
    for pair in query.split("&") if query else ():
        name, _, value = pair.partition("=")
        if name in TLS and name not in known:
            raise Refused(f"{source}: {name} is for TLS: write rediss://{_beside(source)}")
        if name not in known:
            secret = any(option.endswith("password") for option in options)  # whose & may have begun this pair
            shown = f" {name}" if value and name.isidentifier() and name.isascii() and not secret else ""
            raise Refused(f"{source}: unknown parameter{shown} in a Redis URL: use {', '.join(known)}{_beside(source)}")
        options[name] = _unquote(value)
    return options


def _beside(source: str) -> str:
    return ", or set CRONLOCK_REDIS to a URL for cronlock alone" if source == "REDIS_URL" else ""


def _read_tls_options(options: "dict[str, str]", source: str) -> "dict[str, str]":
    """Return the parameters for TLS, validated without reading any file."""
    tls = {name: options[name] for name in TLS if name in options}
    for name, values in VALUES.items():
        if tls.setdefault(name, values[0]) not in values:
            raise Refused(f"{source}: invalid value of {name}: write {' or '.join(values)}{_beside(source)}")
    if "ssl_certfile" not in tls and ("ssl_keyfile" in tls or "ssl_password" in tls):
        raise Refused(f"{source}: a key without a certificate: add ssl_certfile")
    if not all(tls.values()):
        raise Refused(f"{source}: {next(name for name in tls if not tls[name])} is empty: give it a value")
    return tls


def _number(text: str, least: int, most: int, message: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 5 or not least <= int(text) <= most:
        raise Refused(message)
    return int(text)


def _unquote(text: str) -> str:
    """Return the text without percent-encoding; a percent sign without two hexadecimal digits is kept."""
    if "%" not in text:
        return text
    first, *parts = text.encode("utf-8", "surrogateescape").split(b"%")
    out = [first]
    for part in parts:
        encoded = len(part) > 1 and part[0] in HEX and part[1] in HEX
        out.append(bytes((int(part[:2], 16),)) + part[2:] if encoded else b"%" + part)
    return b"".join(out).decode("utf-8", "surrogateescape")
