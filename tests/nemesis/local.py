"""One machine with containers that share the folder of --local but have clocks that differ."""

import json
import subprocess
import time
from pathlib import Path
from random import Random
from typing import Any

from cronlock.lock.local import file_name
from cronlock.lock.protocol import MAIN
from cronlock.lock.witness import BOOT_ID, is_alive
from tests.nemesis.network_namespaces import Namespace
from tests.support.servers import Closing

LOCAL = "local"  # the topology
STATE = "/var/lib/cronlock"  # root's state folder
LOOK = 0.002  # s between two reads of the record
OWN_BOOT = f'echo "$1" > "$2" && mount --bind "$2" {BOOT_ID}'
HIDDEN = "mount -t tmpfs none /proc/sys"
KINDS = (  # what a container does to the boot id, and the seconds by which its other clocks are ahead
    ("", 0),
    (OWN_BOOT, 0),
    ("", 100_000),
    (HIDDEN, 0),
    (OWN_BOOT, 5_000),
    (HIDDEN, 200_000),
)


class Containers:
    """Containers without networks of their own: each has its own boot id or none, and its own monotonic clocks."""

    address = ""

    def __init__(self, namespaces: int, folder: Path, rng: Random) -> None:
        self.state = folder / "state"
        self.state.mkdir(mode=0o700)
        Path(STATE).mkdir(mode=0o700, exist_ok=True)
        kinds = rng.sample(KINDS, len(KINDS))
        self.namespaces = [self._open(number, *kinds[number % len(kinds)]) for number in range(namespaces)]

    def _open(self, number: int, boot: str, ahead: int) -> Namespace:
        clocks = ("--time", "--monotonic", str(ahead), "--boottime", str(ahead), "--fork", "--kill-child")
        script = f'set -e; mount --bind "$0" {STATE}; {boot or ":"}; echo $$; exec sleep infinity'
        file = self.state.parent / f"boot{number}"
        words = ["unshare", "--mount", *(clocks if ahead else ()), "sh", "-c", script]
        keeper = subprocess.Popen([*words, str(self.state), f"boot-{number}", str(file)], stdout=subprocess.PIPE)
        assert keeper.stdout
        inside = keeper.stdout.readline().decode().strip()
        assert inside, "a container can't be made"
        return Namespace("", keeper, ("nsenter", "-t", inside, "-m", *(("-T",) if ahead else ()), "--"), ahead)

    def close(self) -> None:
        for namespace in self.namespaces:
            namespace.keeper.kill()
            namespace.keeper.wait()


class Folder(Closing):
    """The voter in a file, with the interface of the nemesis's servers."""

    def __init__(self, state: Path, key: str) -> None:
        self.password = ""
        self.each_of = [""]
        self.watch = self
        self._path = state / file_name(f"cronlock:{MAIN}:{key}", key)

    def place(self, _password: str) -> dict[str, str]:
        """Return the environment variables that name the voter."""
        return {"CRONLOCK_LOCAL": "1"}

    def _record(self) -> dict[str, Any]:
        try:
            return dict(json.loads(self._path.read_text())["record"])
        except FileNotFoundError:
            return {}

    def wait(self, operation: str, timeout: float) -> bool:
        """Return whether the operation was executed within this time, as far as repeated reads can show."""
        before, end = self._record(), time.monotonic() + timeout
        while time.monotonic() < end:
            record = self._record()
            if record != before and _step(before, record) == operation:
                return True
            before = record
            time.sleep(LOOK)
        return False

    def leases(self, _key: str) -> list[str]:
        """Return the lock file if a run's witness holds it; leases depend on clocks that no longer exist."""
        return [f"{self._path.name}: its witness is held"] if is_alive(str(self._path)) else []

    def heal(self) -> None:
        """Do nothing: a file needs no recovery."""

    def close(self) -> None:
        """Do nothing: no file is open."""


def _step(before: dict[str, Any], record: dict[str, Any]) -> str:
    """Return the operation behind a change of the record."""
    if record.get("kind") == "prepare":
        return "prepare"
    if record.get("kind") == "run":
        return "extend" if before.get("kind") == "run" and before["token"] == record["token"] else "commit"
    return "finish"
