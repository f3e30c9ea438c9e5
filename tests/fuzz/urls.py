"""URLs of servers: an address, or a refusal, neither of which shows the password."""

import random
from urllib.parse import quote

from cronlock.config import redis_url
from cronlock.errors import Refused
from cronlock.messages import masked
from tests.fuzz.texts import changed, pieces

MARK = "GeHeim"  # in every password
ODD = set(" ") | set("\t\n\r")  # a reader of plain text takes the URL to end there
KNOWN = [
    *(f"{scheme}://" for scheme in (*redis_url.SCHEMES, "http", "")),
    *":/@?&=[]%#,; ",
    *("h", "redis-1", "127.0.0.1", "[::1]", "::1", "6379", "26379", "0", "65536", "99999999999", "/run/r.sock"),
    *("db=1", "username=me", "password=", "sentinel_username=me", "sentinel_password=", "ssl_cert_reqs=none"),
    *("ssl_ca_certs=/ca.pem", "ssl_certfile=/c", "ssl_keyfile=/k", "ssl_password=", "ssl_check_hostname=no"),
    *("%40", "%ff", "%0A", "%00", "mymaster", "?", "&"),
]
WHOLE = [
    "{scheme}://me:{secret}@redis-1:6379/0?db=1",
    "{scheme}://:{secret}@[::1]:7000",
    "{scheme}://me:{secret}@h1:26379,h2,[::1]:26380/mymaster/2?sentinel_username=me&sentinel_password={secret}",
    "{scheme}://h?ssl_ca_certs=/ca&ssl_certfile=/c&ssl_keyfile=/k&ssl_password={secret}&ssl_cert_reqs=none",
    "{scheme}://me:{secret}@/run/redis.sock?db=2&password={secret}",
]


def make(rng: random.Random) -> tuple[str, bool]:
    """Return a URL, and whether MARK is in it only as the password; changed URLs may have it in their host."""
    if rng.random() < 0.4:
        return pieces(rng, KNOWN), False
    secret = MARK + pieces(rng, [*":/?&=[]%# ", "pw", "x"])[:40] + MARK
    if rng.random() < 0.5:
        secret = quote(secret, safe="", errors="surrogateescape")
    text = rng.choice(WHOLE).format(scheme=rng.choice(redis_url.SCHEMES), secret=secret)
    return (text, True) if rng.random() < 0.3 else (changed(rng, text, KNOWN), False)


def check(given: tuple[str, bool]) -> None:
    text, whole = given
    try:
        found = redis_url.parse(text, "source")
    except Refused as refused:
        said = str(refused)
        assert said.startswith("source: "), said
    else:
        said = f"{found.label} {found!r}"
        assert 1 <= found.port <= 65_535
        assert 0 <= found.db <= 65_535
    assert said.isprintable(), said
    assert not whole or MARK not in said, said
    if whole and not ODD & set(text):
        assert MARK not in masked(text), masked(text)
