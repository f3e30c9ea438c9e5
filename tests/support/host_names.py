"""Host names that only a test's own processes know."""

from tests.support.commands import home

MOUNTS = 'mount --bind "$0" /etc/hosts; exec "$@"'


def knowing(*lines: str) -> tuple[str, ...]:
    """The words in front of a program that sees these lines in its /etc/hosts. Needs root."""
    file = home() / "hosts"
    file.write_text("\n".join(("127.0.0.1 localhost", *lines, "")))
    return "unshare", "--mount", "sh", "-ec", MOUNTS, str(file)
