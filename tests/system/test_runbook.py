"""The guide's runbook: what happened is made to happen, each command is typed, and prints what the page says."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.support.commands import faked_clock, wait_until
from tests.support.doc_pages import page, section
from tests.support.doc_sandbox import CONSOLE, Command, prompted
from tests.support.namespace_host import NamespaceHost
from tests.support.processes import kill_all

pytestmark = pytest.mark.debian

RUN = "cronlock run --once --key nightly -- /usr/local/bin/nightly --full"
CRONTAB = f"PATH=/usr/local/bin:/usr/bin:/bin\n0 2 * * *  root  {RUN}\n"
LATE = {"CRONLOCK_START_WITHIN": "1d"}  # the settings file lets nightly start for two hours, and the hour is any

Happening = Callable[[NamespaceHost], Iterator[dict[str, str]]]  # yields additions to the commands' environment


def ran_on(namespace_host: NamespaceHost, node: str) -> None:
    done = namespace_host.run(RUN, CRONLOCK_NODE=node, **LATE)
    assert (done.returncode, done.stderr) == (0, "")


def died(namespace_host: NamespaceHost) -> Iterator[dict[str, str]]:
    assert namespace_host.run("cronlock run --key report --schedule none true").returncode == 0
    namespace_host.servers[1].kill()
    yield {}


def replaced(namespace_host: NamespaceHost) -> Iterator[dict[str, str]]:
    ran_on(namespace_host, "web-3")
    namespace_host.servers[1].restart(empty=True)
    yield {}


def updated(namespace_host: NamespaceHost) -> Iterator[dict[str, str]]:
    ran_on(namespace_host, "web-3")
    namespace_host.servers[0].restart()
    yield {}


def drifts(namespace_host: NamespaceHost) -> Iterator[dict[str, str]]:
    yield faked_clock(FAKETIME="+70s")


def stuck(namespace_host: NamespaceHost) -> Iterator[dict[str, str]]:
    process = namespace_host.start(f"exec {RUN.partition('--full')[0]} sleep", CRONLOCK_NODE="web-2", **LATE)
    wait_until(namespace_host.started, message="the command")
    kill_all(process)
    yield {}


def ran(namespace_host: NamespaceHost) -> Iterator[dict[str, str]]:
    ran_on(namespace_host, "web-3")
    yield {}


def changes(namespace_host: NamespaceHost) -> Iterator[dict[str, str]]:
    line = "cronlock run --once --key report -- true"
    namespace_host.crontab(CRONTAB.replace(RUN, line))
    for node in ("web-1", "web-2"):
        done = namespace_host.run(line, CRONLOCK_NODE=node)
        assert (done.returncode, done.stderr) == (0, "")
    yield {}


def nothing(namespace_host: NamespaceHost) -> Iterator[dict[str, str]]:
    yield {}


HAPPENINGS: dict[str, Happening] = {
    "A server is down": died,
    "A server was replaced by an empty one": replaced,
    "Update or restart all servers": updated,
    "A node's clock is wrong": drifts,
    "A key stays locked by a dead node": stuck,
    "Run a tick again": ran,
    "Remove a key that is no longer used": ran,
    "Change a schedule": changes,
    "What runs when the clocks change": nothing,
}


def entries() -> dict[str, list[Command]]:
    """The commands of each entry, by its heading."""
    _, *parts = re.split(r"^### (.*)$", section(page("operations.md"), "Runbook"), flags=re.MULTILINE)
    return {
        title: [command for block in CONSOLE.findall(text) for command in prompted(block)]
        for title, text in zip(parts[::2], parts[1::2], strict=True)
    }


def masked(line: str) -> str:
    """Without what is another number at each time, and the width that it gives to a column."""
    line = re.sub(r"(\d{4}-\d\d-\d\d|[A-Z][a-z]{2} \d\d) (?=\d\d:\d\d)", "", line)  # of a time that is not today's
    line = re.sub(r"(?<= )\d\d:\d\d(:\d\d)?", "0:0", line)  # which has seconds if it is today's
    return " ".join(re.sub(r"\d+", "0", line).split())


def same(shown: str, printed: str, look: Callable[[str], str] = masked) -> bool:
    """Whether this was printed; a line of three dots stands for any lines."""
    lines = [look(line) for line in shown.splitlines()]
    pattern = "".join("(?:.*\n)*?" if line == "..." else f"{re.escape(line)}\n" for line in lines)
    return re.fullmatch(pattern, "".join(f"{look(line)}\n" for line in printed.splitlines())) is not None


def test_each_entry_is_tried() -> None:
    assert list(entries()) == list(HAPPENINGS)
    assert all(entries().values())


@pytest.mark.parametrize("title", HAPPENINGS)
def test_an_entry_of_the_runbook_prints_what_it_says(title: str, namespace_host: NamespaceHost) -> None:
    """In the order of the page, on the servers as they are then."""
    namespace_host.crontab(CRONTAB)
    with contextmanager(HAPPENINGS[title])(namespace_host) as env:
        for command in entries()[title]:
            node = {"CRONLOCK_NODE": command.node} if command.node else {}
            done = namespace_host.run(command.text, **env, **node)
            printed = done.stdout + done.stderr
            look = str if "--dry-run" in command.text else masked  # whose ticks are the same at each time
            assert same(command.output, printed, look), f"$ {command.text}\n{printed}"
