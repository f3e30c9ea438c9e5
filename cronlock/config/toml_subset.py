"""The files that most operators write, read without tomllib, whose import takes as long as the rest of a run's start.

Plain is a text of `name = value` lines, comments on lines of their own, and [keys.NAME] tables, with values that are
texts in quotes without escapes, lists of them, whole numbers, true and false. All else is tomllib's to read or to
refuse; a property test holds the two equal.
"""

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

TABLE = "[keys."
BLANKS = " \t"
QUOTES = "\"'"


def plain(text: str) -> "dict[str, Any] | None":
    """What a file says; None when it is not plain."""
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
        name, value = name.rstrip(BLANKS), _value(_whole(rest.lstrip(BLANKS), lines))
        if value is None or not _bare(name) or name in table or name == "keys":
            return None
        table[name] = value
    return top


def _stripped(line: str) -> str:
    return line.strip(BLANKS)


def _bare(name: str) -> bool:
    return name.isascii() and name.replace("-", "a").replace("_", "a").isalnum()


def _whole(text: str, lines: "Iterator[str]") -> str:
    """A value with the lines that a list goes on over."""
    while text[:1] == "[" and text[-1] != "]":
        more = next(lines, None)
        if more is None:
            return ""
        text += "\n" + _stripped(more)
    return text


def _value(text: str) -> "Any":
    """What stands behind the equals sign; None when it is not plain."""
    if text in ("true", "false"):
        return text == "true"
    if text.isascii() and text.isdigit() and len(text) <= 9 and (text[0] != "0" or text == "0"):
        return int(text)
    if text[:1] != "[":
        return _text(text)
    items = [item.strip(BLANKS + "\n") for item in text[1:-1].split(",")]
    if not items[-1]:
        items.pop()
    texts = [_text(item) for item in items]
    return None if None in texts else texts


def _text(word: str) -> str | None:
    quote, inner = word[:1], word[1:-1]
    quoted = len(word) > 1 and quote in QUOTES and word[-1] == quote and quote not in inner
    escapes = quote == '"' and "\\" in inner
    return inner if quoted and not escapes and inner.isprintable() else None
