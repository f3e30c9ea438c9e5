"""Hints for a command line without a command of cronlock. Imported only on the way to an error."""

from cronlock.config.command_options import options_of

MEANT = {  # what other programs call it, and the command
    "status": "list ls ps show info jobs keys state top",
    "history": "log logs runs",
    "check": "doctor test verify validate lint config",
    "pause": "disable suspend stop hold",
    "resume": "enable unpause continue start",
    "unlock": "release break clear kill",
    "forget": "delete del remove rm purge",
    "run": "exec execute lock",
}


def hint(word: str, message: str) -> str:
    """Return the message about an unknown command, with the command that may have been meant."""
    meant = next((command for command, words in MEANT.items() if word.lower() in words.split()), "")
    if word.lower() == "run":
        meant = "run"
    if meant:
        message = f"No such command {word!r}: type cronlock {meant}."
    return message if meant == "run" else f"{message} To run a command: cronlock run --key NAME -- {word}"


def command_left_out(flag: str, words: list[str], commands: list[str]) -> str:
    """Return the hint for an option in front of a command, or without one; empty if no command has the option."""
    having = [command for command in commands if flag in _flags_of(command)]
    if not having:
        return ""
    before = words[: words.index("--")] if "--" in words else words
    meant = next((word for word in before if word in having and "--" not in words), "")
    command = meant or ("run" if "run" in having else "COMMAND")
    return f"{flag} belongs behind a command: type cronlock {command} {flag} ..."


def _flags_of(command: str) -> set[str]:
    return {flag for option in options_of(command) for flag in option.flags}
