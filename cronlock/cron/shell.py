"""A reader of shell scripts: simple commands and their words, never expanded.

Each `$NAME`, `${...}`, `$(...)` or backquote leaves a HOLE in the shape of its word; a word without a HOLE is known as
the program will get it. This module is on the path that cron starts: it imports nothing.
"""

HOLE = "\0"  # no word that reaches a program can have this character
BLANK = " \t"
SEPARATORS = "&|;()\n"
REDIRECTIONS = "<>"
ENDS = BLANK + SEPARATORS + REDIRECTIONS
CLOSES = {"$(": ")", "${": "}", "(": ")"}


class Word:
    """One word: `text` without its quotes and with expansions as written, `shape` with a HOLE for each of them.

    `inner` are the scripts of its command substitutions.
    """

    __slots__ = ("inner", "shape", "text")

    def __init__(self, text: str, shape: str, inner: list[str]) -> None:
        self.text = text
        self.shape = shape
        self.inner = inner


def commands(script: str, expanded: bool = False) -> list[list[Word]]:
    """Return the simple commands of a script, without redirections and comments; some may be empty.

    `expanded`: another shell expands this script before the one that reads it, so single quotes hide nothing.
    Raises ValueError where a quote, a substitution or a brace is not closed.
    """
    found: list[list[Word]] = [[]]
    target = False  # the next word is the target of a redirection
    at = 0
    while (at := blank_end(script, at)) < len(script):
        char = script[at]
        if char in REDIRECTIONS or script.startswith("&>", at):
            at = redirection_end(script, at)
            target = True
        elif char in SEPARATORS:
            found.append([])
            target = False
            at += 1
        else:
            start = at
            word, at = read_word(script, at, expanded)
            descriptor = script[at : at + 1] in tuple(REDIRECTIONS) and script[start:at].isdigit()
            if not target and not descriptor:
                found[-1].append(word)
            target = False
    return found


def blank_end(script: str, at: int) -> int:
    """Return the end of the blanks, line continuations and comments that start here, between two words."""
    while at < len(script):
        if script[at] in BLANK:
            at += 1
        elif script.startswith("\\\n", at):
            at += 2
        elif script[at] == "#":
            end = script.find("\n", at)
            at = end if end >= 0 else len(script)
        else:
            break
    return at


def redirection_end(script: str, at: int) -> int:
    """Return the end of the operator that starts here: >, >>, >|, >&, <, <<, <<<, <&, <>, &>, &>>."""
    at += script[at] == "&"
    while script[at : at + 1] in tuple(REDIRECTIONS):
        at += 1
    return at + (script[at : at + 1] in ("&", "|"))


def read_word(script: str, at: int, expanded: bool) -> tuple[Word, int]:
    """Return the word that starts here, and its end (POSIX shell, Quoting)."""
    text: list[str] = []
    shape: list[str] = []
    inner: list[str] = []
    quoted = False
    while at < len(script) and (quoted or script[at] not in ENDS):
        char = script[at]
        end = at + 1
        piece = known = char
        if char == '"':
            quoted = not quoted
            piece = known = ""
        elif char == "\\":
            piece, end = _escaped(script, at, quoted)
            known = piece
        elif char == "'" and not quoted:
            end = script.index("'", end) + 1
            piece = known = script[at + 1 : end - 1]
            if expanded and ("$" in piece or "`" in piece):
                known = HOLE
        elif char in "$`":
            end = _expansion_end(script, at)
            piece = script[at:end]
            if end > at + 1 or (not quoted and script[end : end + 1] in ("'", '"')):  # $'...' is bash's
                known = HOLE
            if char == "`" or script.startswith("$(", at):
                inner.append(piece.lstrip("$")[1:-1])
        text.append(piece)
        shape.append(known)
        at = end
    if quoted:
        raise ValueError('no closing "')
    return Word("".join(text), "".join(shape), inner), at


def _escaped(script: str, at: int, quoted: bool) -> tuple[str, int]:
    """Return the meaning of the backslash here and its character, and their end."""
    char = script[at + 1 : at + 2]
    if char == "\n":
        return "", at + 2
    if not char or (quoted and char not in '$`"\\'):
        return "\\" + char, at + 1 + len(char)
    return char, at + 2


def _expansion_end(script: str, at: int) -> int:
    """Return the end of the expansion that this $ or backquote begins; at + 1 for a literal $."""
    if script[at] == "`" or script[at : at + 2] in CLOSES:
        return _nested_end(script, at)
    at += 1
    if script[at : at + 1] and script[at] in "@*#?$!-0123456789":
        return at + 1
    while at < len(script) and script[at].isascii() and (script[at].isalnum() or script[at] == "_"):
        at += 1
    return at


def _nested_end(script: str, at: int) -> int:
    """Return the end of the $(...), ${...} or backquotes that begin here, with everything nested in them."""
    waiting: list[str] = []
    while at < len(script):
        char = script[at]
        inside = waiting[-1] if waiting else ""
        opener = script[at : at + 2]
        if char == inside:
            waiting.pop()
            if not waiting:
                return at + 1
        elif char == "\\":
            at += 1
        elif char == "'" and inside != '"':
            at = script.index("'", at + 1)
        elif opener in CLOSES:
            waiting.append(CLOSES[opener])
            at += 1
        elif char in '"`':
            waiting.append(char)
        elif char == "(" and inside == ")":
            waiting.append(")")
        at += 1
    raise ValueError("an expansion is not closed")
