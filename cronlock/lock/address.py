"""URLs of Redis servers, as redis-py spells them, read without urllib (8 ms of imports)."""

from cronlock.errors import Refused

SCHEMES = ("redis", "unix")
PORT = 6379
HEX = b"0123456789abcdefABCDEF"


class Address:
    """Where one server is and how to log in. `label` names it in messages and never holds a password."""

    __slots__ = ("db", "host", "password", "path", "port", "username")

    def __init__(
        self, host: str = "", port: int = PORT, path: str = "", db: int = 0, username: str = "", password: str = ""
    ) -> None:
        self.host = host
        self.port = port
        self.path = path
        self.db = db
        self.username = username
        self.password = password

    @property
    def label(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        place = self.path or f"{host}:{self.port}"
        return f"{place}/{self.db}" if self.db else place

    def beside(self, host: str, port: int) -> "Address":
        """Another node of the same cluster: same login, other place."""
        return Address(host, port, username=self.username, password=self.password)


def parse(url: str, source: str) -> Address:
    """The address in a URL; raises Refused, naming the source.

    No message shows a part of the URL: a password that is not percent-encoded may stand anywhere in it.
    """
    scheme, found, rest = url.partition("://")
    if not found or scheme not in SCHEMES:
        what = "no scheme" if not found else f"unknown scheme {scheme!r}" if scheme.isalpha() else "unknown scheme"
        raise Refused(f"{source}: a Redis URL with {what}: write redis://host:port or unix:///path")
    if any(f"{between}{known}://" in rest for between in " ," for known in SCHEMES):
        raise Refused(f"{source}: several Redis URLs in one: repeat --redis, or put spaces between in CRONLOCK_REDIS")
    rest, _, query = rest.partition("?")
    if "@" in query:
        raise Refused(f"{source}: percent-encode what is special in a Redis URL's password: %3F for ?, %40 for @")
    login, _, place = ("", "", rest) if rest.startswith("/") else rest.rpartition("@")
    username, _, password = login.partition(":")
    options = _query(query, source)
    address = Address(
        username=_unquote(username) or options.get("username", ""),
        password=_unquote(password) or options.get("password", ""),
    )
    if scheme == "unix":
        address.path = _unquote(place)
        if not address.path.startswith("/") or not address.path.isprintable():
            raise Refused(f"{source}: a unix:// URL needs the whole path of the socket: unix:///run/redis/redis.sock")
        db = options.get("db", "0")
    else:
        place, _, path = place.partition("/")
        _read_place(address, place, source)
        db = _unquote(path) or options.get("db", "0")
    address.db = _number(db, 0, 65_535, f"{source}: a Redis URL without a database number where one should be")
    return address


def _read_place(address: Address, place: str, source: str) -> None:
    if place.startswith("["):
        host, closed, port = place[1:].partition("]")
        port = port[1:] if port.startswith(":") else port and "none"
    else:
        host, _, port = place.partition(":")
        closed = "]"
    address.host = _unquote(host) or "localhost"
    if not closed or not address.host.isprintable() or " " in address.host:
        raise Refused(f"{source}: a Redis URL without a host name where one should be")
    address.port = _number(port or str(PORT), 1, 65_535, f"{source}: a Redis URL whose port is none: 1 to 65535")


def _query(query: str, source: str) -> dict[str, str]:
    options = {}
    for pair in query.split("&") if query else ():
        name, _, value = pair.partition("=")
        if name not in ("db", "username", "password"):
            raise Refused(f"{source}: unknown parameter in a Redis URL: db, username and password are known")
        options[name] = _unquote(value)
    return options


def _number(text: str, least: int, most: int, complaint: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 5 or not least <= int(text) <= most:
        raise Refused(complaint)
    return int(text)


def _unquote(text: str) -> str:
    """Undo percent-encoding; a percent sign without two hexadecimal digits stands for itself."""
    if "%" not in text:
        return text
    first, *parts = text.encode("utf-8", "surrogateescape").split(b"%")
    out = [first]
    for part in parts:
        encoded = len(part) > 1 and part[0] in HEX and part[1] in HEX
        out.append(bytes((int(part[:2], 16),)) + part[2:] if encoded else b"%" + part)
    return b"".join(out).decode("utf-8", "surrogateescape")
