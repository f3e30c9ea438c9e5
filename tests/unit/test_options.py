"""The table of options: the parsing of values, and a scanner that never differs from click."""

import re
from typing import Any

import click
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cronlock.cli.app import run_command
from cronlock.config.options import (
    BY_FLAG,
    BY_NAME,
    GROUPS,
    OPTIONS,
    Choice,
    boolean,
    duration,
    exit_status,
    name,
    node,
    nonempty_text,
    positive_duration,
    scan,
)

SECOND, MINUTE, HOUR, DAY = 1000, 60_000, 3_600_000, 86_400_000


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("500ms", 500),
        ("1ms", 1),
        ("90", 90 * SECOND),
        ("90s", 90 * SECOND),
        ("007", 7 * SECOND),
        ("15m", 15 * MINUTE),
        ("2h", 2 * HOUR),
        ("1d", DAY),
        ("0", 0),
        ("0ms", 0),
        ("0d", 0),
        ("999999999d", 999_999_999 * DAY),
    ],
)
def test_a_duration_is_read(text: str, length: int) -> None:
    """Durations are milliseconds; a bare number is seconds; 0 is 0."""
    assert duration(text) == length


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "s", "ms", "-1", "+1", "1.5h", "1 h", " 1h", "1h ", "1H", "1w", "1M", "1sm", "1mss", "1h30m", "1e3"),
        *("1_000", "forever", "٣s", "²s", "1000000000", "1\n", "0x10", "1sd"),
    ],
)
def test_a_text_that_is_not_a_duration_is_refused(text: str) -> None:
    """The message shows the text and what to write instead."""
    with pytest.raises(ValueError, match="not a duration: write 500ms, 90s, 15m, 2h or 1d") as caught:
        duration(text)
    assert repr(text) in str(caught.value)


@given(st.text())
def test_any_text_is_a_duration_or_refused(text: str) -> None:
    """The parser raises nothing but ValueError, and reads a duration as its reader would."""
    try:
        length = duration(text)
    except ValueError:
        assert not re.fullmatch(r"[0-9]{1,9}(ms|[smhd])?", text, re.ASCII)
    else:
        units = {"ms": 1, "": SECOND, "s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY}
        digits, unit = re.fullmatch(r"([0-9]+)(\D*)", text).groups()  # type: ignore[union-attr]
        assert length == int(digits) * units[unit]


@pytest.mark.parametrize("text", ["0", "0s", "0ms", "000d"])
def test_zero_is_refused_where_it_has_no_meaning(text: str) -> None:
    """A lease of 0 s, or a start within 0 s, can't be intended."""
    with pytest.raises(ValueError, match="0 has no meaning here"):
        positive_duration(text)
    assert positive_duration("1ms") == 1


@pytest.mark.parametrize("read", [name, node])
@pytest.mark.parametrize(
    "text", ["a", "nightly", "a key with spaces", "100%", "über-größe", "日本", "-k", "a/b", "=", "x" * 200, "ü" * 200]
)
def test_a_name_may_be_any_printable_text(read: Any, text: str) -> None:
    """Spaces and percent signs are allowed."""
    assert read(text) == text


@pytest.mark.parametrize("read", [name, node])
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("x" * 201, "201 characters, 200 are allowed"),
        ("a{b", "brace"),
        ("}", "brace"),
        ("a\nb", "control character"),
        ("a\tb", "control character"),
        ("\x00", "control character"),
        ("\x7f", "control character"),
        ("a\u2028b", "can't be printed"),
        ("\udcff", "can't be printed"),
    ],
)
def test_a_name_that_would_break_redis_key_names_or_messages_is_refused(read: Any, text: str, reason: str) -> None:
    """Braces are hash tags, control characters break lines."""
    with pytest.raises(ValueError, match=reason):
        read(text)


def test_a_colon_is_for_keys_only() -> None:
    """It ends a node's name inside Redis key names."""
    assert name("team:nightly") == "team:nightly"
    with pytest.raises(ValueError, match="colon"):
        node("web:1")


@pytest.mark.parametrize(("text", "status"), [("0", 0), ("75", 75), ("255", 255), ("007", 7)])
def test_an_exit_status_is_read(text: str, status: int) -> None:
    """An exit status is 0 to 255."""
    assert exit_status(text) == status


@pytest.mark.parametrize("text", ["", "256", "-1", "+1", "1.0", "0255", "x", " 1", "²", "٣"])
def test_a_text_that_is_not_an_exit_status_is_refused(text: str) -> None:
    """exit(256) would exit with 0."""
    with pytest.raises(ValueError, match="not an exit status: 0 to 255"):
        exit_status(text)


def test_a_variable_turns_an_option_without_value_on_or_off() -> None:
    """The usual words count in upper and lower case; an empty text is no."""
    assert all(boolean(text) is True for text in ("1", "true", "True", "YES", "on"))
    assert all(boolean(text) is False for text in ("0", "false", "NO", "off", ""))
    for text in ("2", "y", "enabled", " 1"):
        with pytest.raises(ValueError, match="neither 1 nor 0"):
            boolean(text)


def test_a_choice_is_one_of_its_words_and_the_refusal_lists_them() -> None:
    """The word has to be spelled exactly."""
    read = Choice("fail", "skip", "run")
    assert read("skip") == "skip"
    for text in ("", "Fail", "ski", "skip "):
        with pytest.raises(ValueError, match="not one of fail, skip, run"):
            read(text)


def test_a_text_may_be_anything_but_empty() -> None:
    """The text is checked where it is used."""
    assert nonempty_text(" ") == " "
    with pytest.raises(ValueError, match="empty"):
        nonempty_text("")


def test_names_flags_and_variables_are_unique() -> None:
    """An option never hides another one as a flag, a variable or a name in the file."""
    flags = [flag for option in OPTIONS for flag in option.flags]
    for all_of_them in (flags, [o.name for o in OPTIONS], [o.variable for o in OPTIONS]):
        assert len(set(all_of_them)) == len(all_of_them)
    assert len(BY_FLAG) == len(flags)
    assert len(BY_NAME) == len(OPTIONS)
    for option in OPTIONS:
        assert re.fullmatch(r"CRONLOCK_[A-Z_]+", option.variable)
        assert not option.variable.startswith("CRONLOCK_RUN_")  # those belong to the command
        assert re.fullmatch(r"(-[A-Za-z] )?--[a-z][a-z-]+", " ".join(option.flags))
        assert bool(option.parse) == bool(option.metavar), option.name


def test_help_shows_every_option_once_under_its_group() -> None:
    """Help shows flags, value and default, in groups in the order of the table."""
    context = click.Context(run_command, info_name="run", terminal_width=200, max_content_width=200)
    page = run_command.get_help(context)
    sections = re.split(r"^(\S.*):$", page, flags=re.MULTILINE)
    titles = sections[1::2]
    assert titles[: len(GROUPS)] == list(GROUPS)
    texts = dict(zip(titles, sections[2::2], strict=True))
    for option in OPTIONS:
        row = f"{', '.join(option.flags)} {option.metavar}".rstrip()
        holders = [title for title, text in texts.items() if re.search(rf"^  {re.escape(row)}(  |$)", text, re.M)]
        assert holders == [option.group], option.name
        words = " ".join(texts[option.group].split())
        assert option.help in words, option.name
        assert f"[{option.default}]" in words or not option.default


# -- scan, beside click ------------------------------------------------------------------------------------------------


def clicked(words: list[str]) -> tuple[dict[str, Any], list[str]] | None:
    """Return what click passes on for the same words: the values of the given options, and the command."""
    try:
        context = run_command.make_context("run", list(words))
    except (click.ClickException, click.exceptions.Exit):
        return None
    params = dict(context.params)
    command = list(params.pop("command"))
    values = {}
    for option in OPTIONS:
        value = params.pop(option.name.replace("-", "_"))
        if value is not None and value is not False and value != ():
            values[option.name] = list(value) if option.many else value
    assert not params
    return values, command


FLAGS = sorted(BY_FLAG)
GOOD = ["nightly", "0", "90", "15m", "* * * * *", "none", "75", "fail", "redis://h:1", "a=b", "-1", "--", "-", "-v"]
VALUES = [*GOOD, "", "=", "256", "a{b", "forever", "--key", "\udcff", "日本", "-k=x", "--key=x"]
OTHER_WORDS = "-- - --- --= --=x --help -h --version --ke --key- -x -vx -v=1 -é".split()
CLUSTERS = "-vq -qv -E3 -vE3 -E=3 -E256 -kx -vkx -vk -vv -v- -v-key=x -vq- -v--".split()
COMMANDS = ["true", "echo", "", "--key", "-v", "--", "--once", "--help", "a b"]

words_of_a_line = st.lists(
    st.one_of(
        st.sampled_from(FLAGS),
        st.tuples(st.sampled_from(FLAGS), st.sampled_from(VALUES)).map(list),
        st.tuples(st.sampled_from([f for f in FLAGS if f[1] == "-"]), st.sampled_from(VALUES)).map("=".join),
        st.tuples(st.sampled_from([f for f in FLAGS if f[1] != "-"]), st.sampled_from(VALUES)).map("".join),
        st.sampled_from(CLUSTERS),
        st.sampled_from(OTHER_WORDS),
        st.text("-vqkE=3x", max_size=6),
        st.text("-vqkE=3x", max_size=4).map("-".__add__),
        st.text(max_size=3),
    ).map(lambda item: item if isinstance(item, list) else [item]),
    max_size=5,
).map(lambda items: [word for item in items for word in item])


@settings(max_examples=1500, deadline=None)
@given(words_of_a_line, st.lists(st.sampled_from(COMMANDS), max_size=3))
@example(["-v-"], ["true"])
@example(["-v-key=x"], ["true"])
@example(["-vk", "x"], ["true"])
@example(["--key", "--", "--"], ["--", "true"])
@example(["-E", "0", "--outage-wait", "0"], ["true"])
@example(["--redis", "a", "--redis=b", "-k", "a", "-kb"], ["true"])
def test_the_scanner_gives_up_or_agrees_with_click(line: list[str], command: list[str]) -> None:
    """A crontab line means the same on the fast path and on the slow one."""
    scanned = scan(line + command)
    if scanned is not None:
        assert scanned == clicked(line + command)


@pytest.mark.parametrize(
    ("words", "values", "command"),
    [
        (["true"], {}, ["true"]),
        (["--", "--key", "x"], {}, ["--key", "x"]),
        (["--once", "-k", "a", "cmd", "--key", "b"], {"once": True, "key": "a"}, ["cmd", "--key", "b"]),
        (["-vqkNAME", "-", "-v"], {"verbose": True, "quiet": True, "key": "NAME"}, ["-", "-v"]),
        (["-E3", "--ttl=90", "--", "--", "x"], {"conflict-exit-code": 3, "ttl": 90_000}, ["--", "x"]),
        (["-k", "a", "--key=b", ""], {"key": "b"}, [""]),
        (["--redis=redis://a", "--redis", "redis://b", "x"], {"redis": ["redis://a", "redis://b"]}, ["x"]),
        (["--schedule", "*/5 * * * *", "--tz=UTC", "x"], {"schedule": "*/5 * * * *", "tz": "UTC"}, ["x"]),
        (["--outage-wait", "0", "-E", "0", "x"], {"outage-wait": 0, "conflict-exit-code": 0}, ["x"]),
    ],
)
def test_a_well_formed_line_needs_no_click(words: list[str], values: dict[str, Any], command: list[str]) -> None:
    """Otherwise every crontab line would pay for the import of click."""
    assert scan(words) == (values, command) == clicked(words)


@pytest.mark.parametrize(
    "words",
    [
        *([], ["--key", "x"], ["--key"], ["-k"], ["--"], ["--help"], ["--unknown", "x"], ["-z", "x"]),
        *(
            ["--once=1", "x"],
            ["--key=", "x"],
            ["--ttl", "0", "x"],
            ["-E", "256", "x"],
            ["--on-outage", "explode", "x"],
            ["-v-", "x"],
        ),
    ],
)
def test_lines_that_click_has_to_answer_are_not_scanned(words: list[str]) -> None:
    """These are help, an unknown option, a bad value, and a missing command."""
    assert scan(words) is None
    assert clicked(words) is None


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_set_of_good_options_is_read_without_click(data: st.DataObject) -> None:
    """The scanner must read every well-formed line, in any spelling."""
    good = {
        "ttl": "90",
        "start-within": "15m",
        "outage-wait": "0",
        "max-runtime": "1h",
        "kill-after": "5s",
        "wait": "forever",
        "splay": "2s",
        "on-outage": "skip",
    }
    good |= {"conflict-exit-code": "75", "redis": "redis://h", "node": "web-1"}
    words, expected = [], {}
    for option in data.draw(st.lists(st.sampled_from(OPTIONS), unique=True)):
        flag = data.draw(st.sampled_from(option.flags))
        if not option.parse:
            words.append(flag)
            expected[option.name] = True
            continue
        text = good.get(option.name, "x")
        glued = [f"{flag}={text}"] if flag.startswith("--") else [flag + text]
        words += data.draw(st.sampled_from([glued, [flag, text]]))
        expected[option.name] = [option.parse(text)] if option.many else option.parse(text)
    assert scan([*words, "cmd"]) == (expected, ["cmd"])
