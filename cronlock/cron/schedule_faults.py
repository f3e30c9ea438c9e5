"""Messages about a schedule that does not have five fields. This module is imported only on the way to an error."""

from collections.abc import Iterable


def not_five_fields(fields: list[str], nicknames: Iterable[str]) -> str:
    """Return the fault of a schedule with these words, and what to write.

    A shell puts files in place of a star without quotes, so that the one field may be any file's name.
    """
    text = " ".join(fields)
    word = text.lower().strip("@")
    front = f"schedule {text!r} has {len(fields)} field{'s' * (len(fields) != 1)}"
    if word == "none" or f"@{word}" in nicknames:
        return f"{front}: write {word if word == 'none' else f'@{word}'}"
    if len(fields) < 5:
        return f"{front}: write five in one pair of quotes, as in --schedule '0 2 * * *'"
    return f"{front}: write five"
