"""Advice for a command that was not found: often it was written for a shell. Imported only on the way to an error."""

SHELL_WORDS = set(
    "! . : [[ ( { alias bg cd eval exec exit export fg for function if read set shift source time trap ulimit umask"
    " unset until while".split()
)
NO_SHELL = "cronlock starts no shell: write sh -c '...'"


def shown_name_and_advice(name: str) -> tuple[str, str]:
    """Return the name of a command that was not found, without a value, and what to write; the advice may be empty."""
    variable, equals, _ = name.partition("=")
    assigns = bool(equals) and variable.isidentifier()
    shown = f"{variable}=..." if assigns else name or repr(name)
    if not name:
        return shown, "the command is empty: a variable in its place may not be set"
    if " " in name:
        return shown, "cronlock starts no shell: remove the quotes, or write sh -c '...'"
    if assigns:
        return shown, "to set a variable for the command, write env in front of it"
    return shown, NO_SHELL if name in SHELL_WORDS or name[0] in "~(" or set(name) & set("$*?;|<>&`") else ""
