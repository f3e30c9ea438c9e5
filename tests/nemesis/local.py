"""One machine with containers that share a folder: what --local locks in, looked at by clocks that differ."""

import json
import subprocess
import time
from pathlib import Path
from random import Random
from typing import Any

from cronlock.lock.local import file_name
from cronlock.lock.protocol import MAIN
from cronlock.lock.witness import BOOT_ID, lives
from tests.nemesis.network_namespaces import Room
from tests.support.servers import Closing

LOCAL = "local"  # the topology
STATE = "/var/lib/cronlock"  # root's
LOOK = 0.002  # s between two looks at the record
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
    """Rooms without a network of their own: each has its boot id, or none, and its clocks since the start."""

    address = ""

    def __init__(self, rooms: int, folder: Path, rng: Random) -> None:
        self.state = folder / "state"
        self.state.mkdir(mode=0o700)
        Path(STATE).mkdir(mode=0o700, exist_ok=True)
        kinds = rng.sample(KINDS, len(KINDS))
        self.rooms = [self._open(number, *kinds[number % len(kinds)]) for number in range(rooms)]

    def _open(self, number: int, boot: str, ahead: int) -> Room:
        clocks = ("--time", "--monotonic", str(ahead), "--boottime", str(ahead), "--fork", "--kill-child")
        script = f'set -e; mount --bind "$0" {STATE}; {boot or ":"}; echo $$; exec sleep infinity'
        file = self.state.parent / f"boot{number}"
        words = ["unshare", "--mount", *(clocks if ahead else ()), "sh", "-c", script]
        keeper = subprocess.Popen([*words, str(self.state), f"boot-{number}", str(file)], stdout=subprocess.PIPE)
        assert keeper.stdout
        inside = keeper.stdout.readline().decode().strip()
        assert inside, "a container can't be made"
        return Room("", keeper, ("nsenter", "-t", inside, "-m", *(("-T",) if ahead else ()), "--"), ahead)

    def close(self) -> None:
        for room in self.rooms:
            room.keeper.kill()
            room.keeper.wait()


class Folder(Closing):
    """The voter in a file, by what the nemesis needs of it."""

    def __init__(self, state: Path, key: str) -> None:
        self.password = ""
        self.each_of = [""]
        self.watch = self
        self._path = state / file_name(f"cronlock:{MAIN}:{key}", key)

    def place(self, _password: str) -> dict[str, str]:
        """What says where the voters are."""
        return {"CRONLOCK_LOCAL": "1"}

    def _record(self) -> dict[str, Any]:
        try:
            return dict(json.loads(self._path.read_text())["record"])
        except FileNotFoundError:
            return {}

    def wait(self, operation: str, timeout: float) -> bool:
        """Whether it was done within so many seconds, as far as two looks can tell."""
        before, end = self._record(), time.monotonic() + timeout
        while time.monotonic() < end:
            record = self._record()
            if record != before and _step(before, record) == operation:
                return True
            before = record
            time.sleep(LOOK)
        return False

    def leases(self, _key: str) -> list[str]:
        """Whether anybody says that a run lives: leases are by clocks that nobody has any more."""
        return [f"{self._path.name}: its witness is held"] if lives(str(self._path)) else []

    def heal(self) -> None:
        """A file does not fall ill."""

    def close(self) -> None:
        """Nothing is open."""


def _step(before: dict[str, Any], record: dict[str, Any]) -> str:
    """The operation behind a change."""
    if record.get("kind") == "prepare":
        return "prepare"
    if record.get("kind") == "run":
        return "extend" if before.get("kind") == "run" and before["token"] == record["token"] else "commit"
    return "finish"
