"""URLs of Redis servers: what they say, and what no message ever says."""

from typing import Any
from urllib.parse import quote, unquote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cronlock.config.redis_url import Address, parse
from cronlock.errors import Refused

Parts = dict[str, Any]

VERIFIED = {"ssl_cert_reqs": "required", "ssl_check_hostname": "true"}
ME = {"username": "me", "password": "secret"}


def parts(address: Address) -> Parts:
    """All that differs from the default address."""
    plain: Parts = {"host": "localhost", "port": 6379, "path": "", "db": 0, "username": "", "password": "", "tls": None}
    found = {name: getattr(address, name) for name in plain}
    return {name: value for name, value in found.items() if value != plain[name]}


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://", {}),
        ("redis://redis-1", {"host": "redis-1"}),
        ("redis://redis-1/", {"host": "redis-1"}),
        ("redis://redis-1:", {"host": "redis-1"}),
        ("redis://redis-1:7000", {"host": "redis-1", "port": 7000}),
        ("redis://:7000", {"port": 7000}),
        ("redis://h:65535/65535", {"host": "h", "port": 65535, "db": 65535}),
        ("redis://h/3", {"host": "h", "db": 3}),
        ("redis://h?db=3", {"host": "h", "db": 3}),
        ("redis://h/?db=3", {"host": "h", "db": 3}),
        ("redis://h/2?db=3", {"host": "h", "db": 2}),
        ("redis://h?", {"host": "h"}),
        ("redis://[::1]", {"host": "::1"}),
        ("redis://[::1]:7000/1", {"host": "::1", "port": 7000, "db": 1}),
        ("redis://[fe80::1%25eth0]:7000", {"host": "fe80::1%eth0", "port": 7000}),
        ("redis://:secret@h", {"host": "h", "password": "secret"}),
        ("redis://me:secret@h:1", {"host": "h", "port": 1, "username": "me", "password": "secret"}),
        ("redis://me@h", {"host": "h", "username": "me"}),
        ("redis://me:@h", {"host": "h", "username": "me"}),
        ("redis://me:a%40b%3A%2F%3F%25@h", {"host": "h", "username": "me", "password": "a@b:/?%"}),
        ("redis://:a:b@h", {"host": "h", "password": "a:b"}),
        ("redis://:a@b@h", {"host": "h", "password": "a@b"}),
        ("redis://:a/b@h/1", {"host": "h", "password": "a/b", "db": 1}),
        ("redis://:100%@h", {"host": "h", "password": "100%"}),
        ("redis://:%zz%4@h", {"host": "h", "password": "%zz%4"}),
        ("redis://:a%  b%+1@h", {"host": "h", "password": "a%  b%+1"}),
        ("redis://:%C3%BC@h", {"host": "h", "password": "ü"}),
        ("redis://:%ff@h", {"host": "h", "password": "\udcff"}),
        ("redis://h?username=me&password=a%26b", {"host": "h", "username": "me", "password": "a&b"}),
        ("redis://you:pw@h?username=me&password=x", {"host": "h", "username": "you", "password": "pw"}),
        ("unix:///run/redis.sock", {"host": "", "path": "/run/redis.sock"}),
        ("unix:///run/redis.sock?db=2", {"host": "", "path": "/run/redis.sock", "db": 2}),
        ("unix://me:pw@/run/r.sock", {"host": "", "path": "/run/r.sock", "username": "me", "password": "pw"}),
        ("unix:///run/a%20b%3F.sock", {"host": "", "path": "/run/a b?.sock"}),
        ("unix:///run/redis@1.sock", {"host": "", "path": "/run/redis@1.sock"}),
        ("rediss://h", {"host": "h", "tls": VERIFIED}),
        ("rediss://me:secret@h:1/2", {"host": "h", "port": 1, "db": 2, **ME, "tls": VERIFIED}),
        ("rediss://h?ssl_ca_certs=/etc/a%26b.pem", {"host": "h", "tls": VERIFIED | {"ssl_ca_certs": "/etc/a&b.pem"}}),
        ("rediss://h?ssl_cert_reqs=none", {"host": "h", "tls": VERIFIED | {"ssl_cert_reqs": "none"}}),
        ("rediss://h?ssl_check_hostname=false", {"host": "h", "tls": VERIFIED | {"ssl_check_hostname": "false"}}),
    ],
)
def test_a_url_says_where_and_who(url: str, expected: Parts) -> None:
    """As redis-py reads it; a percent sign that encodes nothing stands for itself."""
    assert parts(parse(url, "--redis")) == expected


@pytest.mark.parametrize(
    ("url", "places"),
    [
        ("redis+sentinel://h/jobs", ["h:26379"]),
        ("redis+sentinel://a:1,b,[::1]:2/jobs", ["a:1", "b:26379", "[::1]:2"]),
        ("redis+sentinel:///jobs", ["localhost:26379"]),
    ],
)
def test_a_url_of_a_service_says_who_knows_its_master(url: str, places: list[str]) -> None:
    """Sentinels with commas between, on their own port unless another one is given."""
    address = parse(url, "--redis")
    assert [sentinel.label for sentinel in address.sentinels] == places
    assert (address.service, address.db, address.tls) == ("jobs", 0, None)


def test_a_service_and_its_sentinels_have_logins_of_their_own() -> None:
    """TLS is for both."""
    login = "sentinel_username=you&sentinel_password=x%26y"
    address = parse(f"rediss+sentinel://me:secret@a,b/jobs/3?{login}&ssl_ca_certs=/ca.pem", "--redis")
    assert parts(address) == {"host": "", "db": 3, **ME, "tls": VERIFIED | {"ssl_ca_certs": "/ca.pem"}}
    assert [(one.username, one.password, one.db) for one in address.sentinels] == [("you", "x&y", 0)] * 2
    assert all(one.tls == address.tls for one in address.sentinels)


def test_a_service_has_one_name_in_whatever_order_its_sentinels_stand() -> None:
    """Nodes with several services compare these names."""
    one, other = (parse(f"redis+sentinel://{hosts}/jobs/1", "--redis") for hosts in ("b,a:1", "a:1,b"))
    assert one.label == other.label == "jobs@a:1/1"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "no scheme"),
        ("redis+foo://h", "unknown scheme"),
        ("redis://a,b", "several hosts"),
        ("redis+sentinel://h", "without a service name"),
        ("redis+sentinel://h/", "without a service name"),
        ("redis+sentinel://h/a%0Ab", "without a service name"),
        ("redis+sentinel://a,b:x/jobs", "port"),
        ("redis+sentinel://h/jobs/x", "invalid database"),
        ("redis://h?sentinel_username=me", "unknown parameter"),
        ("redis://h?ssl_ca_certs=/ca.pem", "ssl_ca_certs is for TLS: write rediss://"),
        ("unix:///s?ssl_cert_reqs=none", "is for TLS"),
        ("rediss://h?ssl_cert_reqs=optional", "required or none"),
        ("rediss://h?ssl_check_hostname=0", "true or false"),
        ("rediss://h?ssl_keyfile=/k.pem", "ssl_certfile"),
        ("rediss://h?ssl_ca_certs=", "ssl_ca_certs is empty"),
        ("rediss://h?ssl_ciphers=x", "unknown parameter"),
        ("redis-1:6379", "no scheme"),
        ("/run/redis.sock", "no scheme"),
        ("redis:/h", "no scheme"),
        ("http://h", "unknown scheme 'http'"),
        ("REDIS://h", "unknown scheme 'REDIS'"),
        ("://h", "unknown scheme"),
        ("redis://h:0", "port"),
        ("redis://h:65536", "port"),
        ("redis://h:x", "port"),
        ("redis://h:-1", "port"),
        ("redis://h:6379x", "port"),
        ("redis://h:²", "port"),
        ("redis://h:000006379", "port"),
        ("redis://::1", "port"),
        ("redis://[::1]7000", "port"),
        ("redis://[::1", "host name"),
        ("redis://a b", "host name"),
        ("redis://a%0Ab", "host name"),
        ("redis://%00", "host name"),
        ("redis://h/x", "invalid database"),
        ("redis://h/-1", "invalid database"),
        ("redis://h/65536", "invalid database"),
        ("redis://h/1/2", "invalid database"),
        ("redis://h?db=x", "invalid database"),
        ("redis://h?timeout=3", "unknown parameter"),
        ("redis://h?db", "invalid database"),
        ("redis://h?&", "unknown parameter"),
        ("unix://", "absolute path"),
        ("unix://run/redis.sock", "absolute path"),
        ("unix://me:pw@run/redis.sock", "absolute path"),
        ("unix:///a%0Ab", "absolute path"),
        ("unix:///a?db=x", "invalid database"),
        ("redis://:se?cret@h", "percent-encode"),
    ],
)
def test_what_leads_nowhere_is_refused_with_its_source(url: str, reason: str) -> None:
    """One line that begins with where the URL came from."""
    with pytest.raises(Refused, match=reason) as caught:
        parse(url, "REDIS_URL")
    assert str(caught.value).startswith("REDIS_URL: ")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("url", "label"),
    [
        ("redis://h", "h:6379"),
        ("redis://me:secret@h:1/2", "h:1/2"),
        ("redis://:secret@[::1]:7000", "[::1]:7000"),
        ("unix://me:secret@/run/r.sock", "/run/r.sock"),
        ("unix:///run/r.sock?db=1&password=secret", "/run/r.sock/1"),
    ],
)
def test_a_label_names_the_server_alone(url: str, label: str) -> None:
    """It stands in messages and in the settings that nodes compare: no user, no password."""
    assert parse(url, "x").label == label


def test_the_nodes_of_a_cluster_share_the_login() -> None:
    """But not the place, nor the database: a cluster has one."""
    node = parse("redis://me:secret@h:1", "x").beside("10.0.0.2", 7001)
    assert parts(node) == {"host": "10.0.0.2", "port": 7001, "username": "me", "password": "secret"}


def said(url: str) -> Address | str:
    """The address in a URL, or the refusal."""
    try:
        return parse(url, "source")
    except Refused as refused:
        return str(refused)


URL_TEXT = st.text("redisunx:/@?&=[]%#. \n0167db-aé") | st.text()


@settings(max_examples=500)
@given(st.sampled_from(["", "redis://", "unix://", "redis://h?", "redis://h:", "unix:///"]), URL_TEXT)
@example("redis://", "[")
@example("redis://", "%")
def test_any_text_is_an_address_or_refused(front: str, text: str) -> None:
    """No traceback whatever stands in a variable, and nothing that breaks a message's line."""
    address = said(front + text)
    if isinstance(address, str):
        assert address.startswith("source: ")
        assert address.isprintable()
    else:
        assert address.label.isprintable()
        assert 1 <= address.port <= 65_535
        assert 0 <= address.db <= 65_535
        assert bool(address.host) != bool(address.path)


@given(st.text(max_size=30), st.text(max_size=30))
def test_any_login_survives_percent_encoding(username: str, password: str) -> None:
    """What quote() writes is read as it was, and it does not move the host."""
    url = f"redis://{quote(username, safe='')}:{quote(password, safe='')}@h:1"
    address = parse(url, "x")
    assert (address.username, address.password, address.label) == (username, password, "h:1")


@given(st.text("%0aAfFzZ 4+x", max_size=12))
@example("100%")
@example("%  ")
def test_percent_signs_are_read_as_everywhere(text: str) -> None:
    """The same as urllib, which run can't afford to import."""
    assert parse(f"redis://:{text}@h", "x").password == unquote(text, errors="surrogateescape")


SECRETS = st.text("s3cr?t/@:&=%[] #+ -.é", min_size=1, max_size=20).map("Geheim".__add__).map(lambda s: s + "Tresor")


@settings(max_examples=500)
@given(
    SECRETS | st.tuples(SECRETS, st.sampled_from(["?db=1", "://", "/0", ":1"])).map("".join),
    st.sampled_from(
        [
            *("redis://:{}@h", "redis://me:{}@h:1/0", "redis://:{}", "redis://h:{}", "redis://h:1?password={}"),
            *("redis://h:{}/0", "redis://me:{}@", "redis:{}@h://", ":{}@h", "http://:{}@h", "unix://:{}@/s"),
            *("unix://:{}", "redis://:{}@h:x", "redis://:{}@h/x", "redis://:{}@h?x=1", "redis://:{}@a b"),
        ]
    ),
)
@example("Geheim?db=1Tresor", "redis://:{}@h")
def test_no_refusal_shows_a_password(secret: str, url: str) -> None:
    """Not even of a URL that went wrong, nor a part of it: cron mails what cronlock says."""
    refusal = said(url.format(secret))
    if isinstance(refusal, str):
        assert "Geheim" not in refusal
        assert "Tresor" not in refusal
