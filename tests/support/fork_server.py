"""cronlock by the dozen: one process has all of it in memory, and forks for each call, which costs little then."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from subprocess import CompletedProcess
from typing import NamedTuple

from tests.support.commands import environment, home

AT_ONCE = 16  # most of them wait for servers that don't answer
PATIENCE = 100  # s for all of them
CODE = """
import importlib, json, os, pkgutil, sys, traceback
import cronlock.cli.app, cronlock.run.session
for module in pkgutil.walk_packages(cronlock.__path__, "cronlock."):
    importlib.import_module(module.name)
from cronlock.__main__ import main
at_once, calls = json.load(sys.stdin)
running, ended, outs = {}, {}, []
def end_one():
    pid, status = os.wait()
    ended[running.pop(pid)] = os.waitstatus_to_exitcode(status)
for number, (words, env, home) in enumerate(calls):
    if len(running) == at_once:
        end_one()
    outs.append((os.memfd_create("out"), os.memfd_create("err")))
    pid = os.fork()
    running[pid] = number
    if not pid:
        os.chdir(home)
        for fd, own in zip((os.open("/dev/null", os.O_RDWR), *outs[-1]), (0, 1, 2)):
            os.dup2(fd, own)
        os.environ.update(env, HOME=home)
        sys.argv = ["cronlock", *words]
        try:
            main()
        except BaseException:
            traceback.print_exc()
        sys.stderr.flush()
        os._exit(99)
while running:
    end_one()
texts = [[os.pread(fd, 1_000_000, 0).decode("utf-8", "replace") for fd in pair] for pair in outs]
json.dump([(ended[number], *pair) for number, pair in enumerate(texts)], sys.stdout)
"""


class Call(NamedTuple):
    """A command line, what its environment gains, and its HOME, which is the test's unless another is given."""

    words: Sequence[str]
    env: Mapping[str, str] = {}
    folder: Path | None = None


def call_all(calls: Sequence[Call], at_once: int = AT_ONCE) -> list[CompletedProcess[str]]:
    """What became of each; in their order, where it is one at a time."""
    asked = [(list(call.words), dict(call.env), str(call.folder or home())) for call in calls]
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        input=json.dumps((at_once, asked)),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env=environment(),
        check=True,
    )
    found = json.loads(done.stdout)
    return [CompletedProcess(call.words, *one) for call, one in zip(calls, found, strict=True)]
