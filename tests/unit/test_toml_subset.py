"""Plain TOML, read without tomllib: equal to tomllib, which also gets every text that is not plain."""

import tomllib

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cronlock.config.toml_subset import parse_plain

PLAIN = """\
# where all nodes lock
redis = ["redis://redis-1:6379", "redis://redis-2:6379",
  "redis://redis-3:6379",
]
\tprefix="größe # [1] = , x"

verbose = true
tz = 'Europe/Berlin'
wait = 90
conflict-exit-code = 0

[keys.nightly]
each = false
node = ""
[keys.x_1-2]
"""
names = st.sampled_from(["redis", "wait", "keys", "a-b", "A_1", "", "a.b", '"a"', "größe", "ttl", "[keys.a]", "[keys]"])
texts = st.text(st.sampled_from("ab ß#,=[]\"'\\\t\r\n\x00\x7f\u00a0"), max_size=6)
words = st.one_of(
    st.sampled_from(
        ["true", "false", "0", "01", "1", "9_0", "-1", "1.5", "inf", "'a'", "''", '""', "[]", "[,]", "[", "]"]
    ),
    texts.map('"{}"'.format),
    texts.map("'{}'".format),
    texts,
)
lists = st.lists(words, max_size=3).map(lambda items: f"[{', '.join(items)}]") | st.lists(words, max_size=3).map(
    lambda items: "[\n" + ",\n".join(items) + ",\n]"
)
blanks = st.sampled_from(["", " ", "\t", "  "])
lines = st.one_of(
    st.builds("{}{}{}={}{}{}".format, blanks, names, blanks, blanks, words | lists, blanks),
    st.builds("[keys.{}]".format, names),
    st.builds("{}#{}".format, blanks, texts),
    words,
    blanks,
)


@settings(max_examples=1_500, deadline=None)
@given(text=st.lists(lines, max_size=5).map("\n".join))
@example(text=PLAIN)
@example(text="[keys.a]\nkeys = 1")
@example(text="keys = 1\n[keys.a]")
@example(text='a = ["b",\n"c\n"]')
@example(text='a = ["b\nc"]')
@example(text='a = ["].\'\n.truea = ["]')
@example(text="a = 1\na = 2")
@example(text="[keys.a]\n[keys.a]")
def test_it_reads_what_tomllib_reads(text: str) -> None:
    """Or it reads nothing."""
    found = parse_plain(text)
    if found is not None:
        assert found == tomllib.loads(text)


def test_it_reads_what_operators_write() -> None:
    """Else it would be no use."""
    assert parse_plain(PLAIN) == tomllib.loads(PLAIN)
    assert parse_plain(PLAIN) is not None
    assert parse_plain("") == {}


NOT_PLAIN = (
    r"""
a = 'b'''; a = "\u00e9"; a = 1 # why; ["keys".a]; [keys."a b"]; a.b = 1; a = [1]; a = 01; a = 2026-11-20; [[keys.a]]
[keys.a; a; = 1; a = [; a = ["b" "c"]; a = [,]; a = "b; a = "b" "c"
""".strip()
    .replace("\n", "; ")
    .split("; ")
)


@pytest.mark.parametrize("text", [*NOT_PLAIN, "\ufeffa = 1", "a = 1\r\nb = 2", "# \x00"])
def test_a_text_that_is_not_plain_is_left_to_tomllib(text: str) -> None:
    """Escapes, comments behind a value, dotted and quoted names, other values, and all that is wrong."""
    assert parse_plain(text) is None
