"""Many rounds, each in namespaces of its own, several at once."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping

from tests.nemesis.report import Report
from tests.support.commands import ROOT

NAMESPACES = (
    *("unshare", "--net", "--pid", "--mount-proc", "--fork", "--kill-child"),
    "sh",
    "-c",
    '"$@"; exit $?',
    "sh",
)
LIMIT = 180  # s for one round


def play(fault: str, topology: str, seed: int, program: Mapping[str, str] | None = None) -> Report:
    """Run one round in network and process namespaces that end with it; sh is their init and reaps."""
    words = [*NAMESPACES, sys.executable, "-m", "tests.nemesis.round", fault, topology, str(seed)]
    env = {"NEMESIS_PROGRAM": json.dumps(dict(program or {}))}
    done = subprocess.run(
        words, cwd=ROOT, env=os.environ | env, capture_output=True, text=True, timeout=LIMIT, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{fault}, {topology}, seed {seed}: the round itself failed:\n{done.stderr[-4000:]}")
    return Report.from_json(done.stdout.splitlines()[-1])
