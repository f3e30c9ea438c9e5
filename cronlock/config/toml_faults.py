"""Messages about a settings file that is not TOML, or has other tables than [keys.NAME]: the line, and what to write.

They never quote a value, which may be a password. This module is imported only on the way to an error.
"""

import re

from cronlock.config.options import BY_NAME
from cronlock.config.toml_subset import without_quotation
from cronlock.config.unknown_names import advice
from cronlock.errors import Refused

LINE = re.compile(r" \(at line (\d+), column \d+\)$")
NAME = re.compile(r"\s*([A-Za-z0-9_-]+)\s*(=?)\s*(.*)")
HEADER_FORM = 'write [keys.NAME], or [keys."NAME"] for a name with blanks or dots'
HEADER = re.compile(r"\s*\[")
BARE = re.compile(r"[A-Za-z0-9_-]+")  # names that TOML takes without quotes
CURLY = "\u201c\u201d\u2018\u2019"  # the quotes of text processors
VARIABLES = {option.variable: option for option in BY_NAME.values()}
URLS, FLAG, TEXT = "write a URL in quotes, or several in brackets", "write true or false", "write the value in quotes"
TOP = "settings of all keys go to the top of the file, before any table"


def not_toml(path: str, data: bytes, error: Exception) -> Refused:
    """Return the refusal of a file with this content, from which parsing raised `error`."""
    if isinstance(error, UnicodeDecodeError):
        bad = data.count(b"\n", 0, error.start) + 1
        return Refused(f"{path}: line {bad}: not UTF-8: save the file as UTF-8")
    if data.startswith(b"\xef\xbb\xbf"):
        return Refused(f"{path}: byte order mark: save the file as UTF-8 without one")
    found = LINE.search(str(error))
    for number, text in enumerate(data.decode().split("\n"), 1):
        if found and int(found[1]) == number:
            advice = _what_to_write(text, str(error))
        else:
            advice = "" if found else _open_quotes(text)  # which reach to the end of the document
        if advice:
            return Refused(f"{path}: line {number}: {advice}")
    return Refused(f"{path} is not valid TOML: {without_quotation(str(error))}")


def _what_to_write(line: str, reason: str) -> str:
    """Return what to write instead of a line that tomllib does not accept; empty where it is not known."""
    if line.lstrip().startswith((";", "//")):
        return "begin a comment with #"
    if HEADER.match(line):
        twice = reason.startswith("Cannot declare")
        return "this table is there twice: put its lines into one table" if twice else HEADER_FORM
    found = NAME.match(line)
    name, equals, value = found.groups() if found else ("", "", "")
    if name == "export" or name in VARIABLES:
        return _in_place_of_variable(value.partition("=")[0].strip() if name == "export" else name)
    if name not in BY_NAME:
        return ""
    if not equals:
        return f"{name}: write an equals sign before the value"
    if reason.startswith("Cannot overwrite"):
        return f"{name}: it is given twice: remove one of the lines"
    if value[:1] in CURLY and value:
        return f"{name}: write straight quotes"
    if value[:1] in ('"', "'"):
        return _open_quotes(line)
    return f"{name}: {form(name)}"


def _open_quotes(line: str) -> str:
    found = NAME.match(line)
    quote = found[3][:1] if found else ""
    return f"{found[1]}: close the quotes" if found and quote in ('"', "'") and found[3].count(quote) == 1 else ""


def form(name: str) -> str:
    """Return how to write the value of an option in a file."""
    option = BY_NAME[name]
    return URLS if option.many else TEXT if option.parse else FLAG


def _in_place_of_variable(name: str) -> str:
    option = VARIABLES.get(name)
    return f"{name} is a variable: write {option.name} = ..." if option else ""


def unknown_name(path: str, key: str | None, name: str, value: object) -> Refused:
    """Return the refusal of a name, or of a table, at the top level or in the table of `key`."""
    table = value[0] if isinstance(value, list) and value else value
    if isinstance(table, dict):
        return _unknown_table(path, key, name, table)
    where = path if key is None else f"{path} [keys.{key}]"
    if name in VARIABLES:
        return Refused(f"{where}: {_in_place_of_variable(name)}")
    return Refused(f"{where}: unknown name {name!r}: {advice(name, BY_NAME)}")


def _unknown_table(path: str, key: str | None, name: str, table: dict[str, object]) -> Refused:
    names = [*(["keys", key] if key is not None else []), name]
    names += [inner for inner, value in table.items() if isinstance(value, dict)][:1]
    meant = ".".join(names[1:] if names[0] in ("key", "keys") else names) or "NAME"
    own = meant if BARE.fullmatch(meant) else f'"{meant}"'
    return Refused(f"{path}: unknown table [{'.'.join(names)}]: write [keys.{own}] for one key; {TOP}")
