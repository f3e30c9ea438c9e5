"""System calls of a run, by strace: their number, and a command that is executed late."""

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.integration.test_cost import where
from tests.support.commands import cronlock, environment, home

pytestmark = pytest.mark.debian


CALLS = 180  # system calls from the first socket to the exit: a dozen for what the command inherits, ten to import the
# lease, which a run that has not won does without


@pytest.mark.parametrize("fixture", ["servers", "cluster"])
def test_a_run_makes_few_system_calls(fixture: str, request: pytest.FixtureRequest) -> None:
    """From the first socket to the exit, with all that it starts, up to its execve."""
    words = [*where(request.getfixturevalue(fixture)), "--key", "job", "--schedule", "none", "--", "true"]
    for trace in ("first", "trace"):
        subprocess.run(
            ["strace", "-o", trace, sys.executable, "-m", "cronlock", "run", *words],
            env=environment(),
            cwd=home(),
            check=True,
            timeout=30,
        )
    calls = re.findall(r"^\w+(?=\()", Path(home(), "trace").read_text(), re.MULTILINE)
    calls = calls[calls.index("socket") :]
    assert {"clone", "waitid", "exit_group"} <= set(calls)
    assert len(calls) <= CALLS, Counter(calls)


def test_a_command_that_ended_before_it_was_looked_at_has_run(local_key):
    """On a busy machine the command is executed late, and ends before cronlock checks whether it was stopped."""
    late = ("-e", "inject=execve:delay_enter=80000", "-e", "inject=poll:delay_exit=200000")  # microseconds
    before = ("strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=execve,poll", *late)
    words = ("run", "--local", "--key", local_key, "--schedule", "none", "--", "true")
    done = cronlock(*words, before=before)
    assert (done.returncode, done.stderr) == (0, "")
