"""README's runbook: what happened is made to happen, each command is typed, and prints what the page says."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.support.commands import faked_clock, kill_all, wait_until
from tests.support.doc_sandbox import CONSOLE, Command, prompted, section
from tests.support.namespace_host import Stage

pytestmark = pytest.mark.debian

RUN = "cronlock run --once --key nightly -- /usr/local/bin/nightly --full"
CRONTAB = f"PATH=/usr/local/bin:/usr/bin:/bin\n0 2 * * *  root  {RUN}\n"
LATE = {"CRONLOCK_START_WITHIN": "1d"}  # README's settings file lets nightly start for two hours, and the hour is any

Happening = Callable[[Stage], Iterator[dict[str, str]]]  # yields what the environment of all that is typed gains


def ran_on(stage: Stage, node: str) -> None:
    done = stage.run(RUN, CRONLOCK_NODE=node, **LATE)
    assert (done.returncode, done.stderr) == (0, "")


def died(stage: Stage) -> Iterator[dict[str, str]]:
    assert stage.run("cronlock run --key report --schedule none true").returncode == 0
    stage.servers[1].kill()
    yield {}


def replaced(stage: Stage) -> Iterator[dict[str, str]]:
    ran_on(stage, "web-3")
    stage.servers[1].restart(empty=True)
    yield {}


def updated(stage: Stage) -> Iterator[dict[str, str]]:
    ran_on(stage, "web-3")
    stage.servers[0].restart()
    yield {}


def drifts(stage: Stage) -> Iterator[dict[str, str]]:
    yield faked_clock(FAKETIME="+70s")


def stuck(stage: Stage) -> Iterator[dict[str, str]]:
    process = stage.start(f"exec {RUN.partition('--full')[0]} sleep", CRONLOCK_NODE="web-2", **LATE)
    wait_until(stage.started, message="the command")
    kill_all(process)
    yield {}


def ran(stage: Stage) -> Iterator[dict[str, str]]:
    ran_on(stage, "web-3")
    yield {}


def changes(stage: Stage) -> Iterator[dict[str, str]]:
    line = "cronlock run --once --key report -- true"
    stage.crontab(CRONTAB.replace(RUN, line))
    for node in ("web-1", "web-2"):
        done = stage.run(line, CRONLOCK_NODE=node)
        assert (done.returncode, done.stderr) == (0, "")
    yield {}


def nothing(stage: Stage) -> Iterator[dict[str, str]]:
    yield {}


HAPPENINGS: dict[str, Happening] = {
    "A voter died.": died,
    "A voter is replaced": replaced,
    "All servers are updated.": updated,
    "A clock drifts.": drifts,
    "A key is stuck.": stuck,
    "A tick has to be rerun.": ran,
    "A key is of no use any more": ran,
    "A schedule changes.": changes,
    "The night the clocks change.": nothing,
}


def entries() -> dict[str, list[Command]]:
    """The commands of each entry, by its words in bold."""
    _, *parts = re.split(r"^\*\*(.*?)\*\*", section("Runbook"), flags=re.MULTILINE)
    return {
        title: [command for block in CONSOLE.findall(text) for command in prompted(block)]
        for title, text in zip(parts[::2], parts[1::2], strict=True)
    }


def masked(line: str) -> str:
    """Without what is another number at each time, and the width that it gives to a column."""
    line = re.sub(r"\d{4}-\d\d-\d\d (?=\d\d:\d\d:\d\d)", "", line)  # of a time that is not today's
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
def test_an_entry_of_the_runbook_prints_what_it_says(title: str, stage: Stage) -> None:
    """In the order of the page, on the servers as they are then."""
    stage.crontab(CRONTAB)
    with contextmanager(HAPPENINGS[title])(stage) as env:
        for command in entries()[title]:
            node = {"CRONLOCK_NODE": command.node} if command.node else {}
            done = stage.run(command.text, **env, **node)
            printed = done.stdout + done.stderr
            look = str if "--dry-run" in command.text else masked  # whose ticks are the same at each time
            assert same(command.output, printed, look), f"$ {command.text}\n{printed}"
