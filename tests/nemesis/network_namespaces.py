"""Networks of one's own: every node and every server in a namespace, and links between two of them that can be cut.

A cut is a wrong hardware address in the one's table of neighbours: what it sends to the other is lost without a word,
what it gets from it still arrives, and connections stay open.
"""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

NETWORK = "10.9"
BRIDGE = "house0"
NOBODY = "02:00:00:00:ff:ff"  # a hardware address that none of the interfaces has


@dataclass(frozen=True)
class Room:
    """A network namespace with one address, kept by a process that sleeps in it.

    `words` stand before a command line that is to run in here; it keeps the process number. `ahead` is by how many
    seconds CLOCK_MONOTONIC is ahead in here.
    """

    address: str
    keeper: subprocess.Popen[bytes]
    words: tuple[str, ...]
    ahead: int = 0


def ip(*lines: str, room: Room | None = None) -> None:
    """Lines for ip(8), all at once."""
    words = (*(room.words if room else ()), "ip", "-batch", "-")
    subprocess.run(words, input="\n".join(lines), text=True, check=True, capture_output=True)


class House:
    """Some rooms on one bridge. The network namespace it is built in has the first address, and goes with it."""

    address = f"{NETWORK}.0.1"

    def __init__(self, rooms: int) -> None:
        ip("link set lo up", f"link add {BRIDGE} type bridge", f"link set {BRIDGE} up")
        ip(f"addr add {self.address}/16 dev {BRIDGE}")
        keepers = [subprocess.Popen(["unshare", "--net", "sh", "-c", "echo; exec sleep infinity"],
                                    stdout=subprocess.PIPE) for _ in range(rooms)]  # fmt: skip
        for keeper in keepers:
            assert keeper.stdout
            keeper.stdout.readline()  # it has its namespace
        self.rooms = [
            Room(f"{NETWORK}.1.{number + 1}", keeper, ("nsenter", "-t", str(keeper.pid), "-n", "--"))
            for number, keeper in enumerate(keepers)
        ]
        ip(*(f"link add room{n} type veth peer name eth0 netns {room.keeper.pid}"
             for n, room in enumerate(self.rooms)))  # fmt: skip
        ip(*(f"link set room{n} master {BRIDGE} up" for n in range(rooms)))
        for room in self.rooms:
            ip("link set lo up", f"addr add {room.address}/16 dev eth0", "link set eth0 up", room=room)

    @staticmethod
    def cut(room: Room, others: Sequence[Room]) -> None:
        """From now on nothing that is sent in `room` reaches the others."""
        ip(*(f"neigh replace {other.address} lladdr {NOBODY} dev eth0 nud permanent" for other in others), room=room)

    @staticmethod
    def mend(room: Room, others: Sequence[Room]) -> None:
        """Takes a cut back."""
        ip(*(f"neigh del {other.address} dev eth0" for other in others), room=room)

    def close(self) -> None:
        for room in self.rooms:
            room.keeper.kill()
            room.keeper.wait()
