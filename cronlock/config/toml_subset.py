"""TOML, read without tomllib where the text is plain: importing tomllib takes as long as the rest of a run's start.

A plain text has `name = value` lines, comments on lines of their own, and [keys.NAME] tables. Its values are strings in
quotes without escapes, lists of them, whole numbers, true and false. tomllib reads or refuses every other text; a
property test holds the two equal.
"""

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

TABLE = "[keys."
BLANKS = " \t"
QUOTES = "\"'"
DOTS_MAX = 300  # in one line: tomllib takes minutes for a name of thousands of parts; seven URLs have fewer


def parse_toml(text: str) -> "dict[str, Any]":
    """Return what a file contains. Raises ValueError or RecursionError when it is not TOML."""
    content = parse_plain(text)
    if content is None:
        import tomllib

        if any(line.count(".") > DOTS_MAX for line in text.split("\n") if not line.lstrip().startswith("#")):
            raise ValueError(f"a line has more than {DOTS_MAX} dots")
        content = tomllib.loads(text)
    return content


def without_quotation(reason: str) -> str:
    """Return a message of tomllib without its quotation of the file, which may be a password."""
    front, _, rest = reason.partition("'")
    quoted, quote, back = rest.rpartition("'")
    return f"{front}'...'{back}" if quote and len(quoted) > 4 else reason


def parse_plain(text: str) -> "dict[str, Any] | None":
    """Return what a file contains; None when it is not plain."""
    top: dict[str, Any] = {}
    table = top
    lines = iter(text.split("\n"))
    for line in map(_stripped, lines):
        if not line or (line[0] == "#" and line.replace("\t", " ").isprintable()):
            continue
        if line.startswith(TABLE) and line[-1] == "]":
            name, tables = line[len(TABLE) : -1], top.setdefault("keys", {})
            if not _bare(name) or name in tables:
                return None
            table = tables[name] = {}
            continue
        name, _, rest = line.partition("=")
        name, value = name.rstrip(BLANKS), _value(_with_list_lines(rest.lstrip(BLANKS), lines))
        if value is None or not _bare(name) or name in table or name == "keys":
            return None
        table[name] = value
    return top


def _stripped(line: str) -> str:
    return line.strip(BLANKS)


def _bare(name: str) -> bool:
    return name.isascii() and name.replace("-", "a").replace("_", "a").isalnum()


def _with_list_lines(text: str, lines: "Iterator[str]") -> str:
    """Return a value together with the further lines of a list."""
    while text[:1] == "[" and text[-1] != "]":
        more = next(lines, None)
        if more is None:
            return ""
        text += "\n" + _stripped(more)
    return text


def _value(text: str) -> "Any":
    """Return the value of a text behind the equals sign; None when it is not plain."""
    if text in ("true", "false"):
        return text == "true"
    if text.isascii() and text.isdigit() and len(text) <= 9 and (text[0] != "0" or text == "0"):
        return int(text)
    if text[:1] != "[":
        return _string(text)
    items = [item.strip(BLANKS + "\n") for item in text[1:-1].split(",")]
    if not items[-1]:
        items.pop()
    strings = [_string(item) for item in items]
    return None if None in strings else strings


def _string(word: str) -> str | None:
    quote, inner = word[:1], word[1:-1]
    quoted = len(word) > 1 and quote in QUOTES and word[-1] == quote and quote not in inner
    escapes = quote == '"' and "\\" in inner
    return inner if quoted and not escapes and inner.isprintable() else None
